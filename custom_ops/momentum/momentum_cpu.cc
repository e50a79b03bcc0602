// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Memory bandwidth limits this op at any vector width, so the code that the
// compiler makes for its default instruction set is fast enough.

#include "custom_ops/limits.h"
#include "custom_ops/momentum/momentum.h"

namespace alexnet_tf {
namespace {

template <bool kCopies, typename T>
void Step(const MomentumParams& params, const T* __restrict gradient,
          std::int64_t count, float* __restrict v, float* __restrict w,
          BFloat16* __restrict copy) {
  const float learning_rate = params.learning_rate;
  const float momentum = params.momentum;
  const float weight_decay = params.weight_decay;
  for (std::int64_t i = 0; i < count; ++i) {
    const float velocity =
        momentum * v[i] -
        learning_rate * (Widen(gradient[i]) + weight_decay * w[i]);
    v[i] = velocity;
    w[i] += velocity;
    if constexpr (kCopies) Narrow(w[i], copy + i);
  }
}

template <typename T>
void StepWithOptionalCopy(const MomentumParams& params, const T* gradient,
                          std::int64_t count, float* v, float* w,
                          BFloat16* copy) {
  if (copy == nullptr) return Step<false>(params, gradient, count, v, w, copy);
  Step<true>(params, gradient, count, v, w, copy);
}

}  // namespace

std::string MomentumError(float momentum, float weight_decay, int copies) {
  std::string error = FactorError("momentum", momentum);
  if (error.empty()) error = FactorError("weight_decay", weight_decay);
  if (error.empty() && (copies < 0 || copies > 1)) {
    error =
        "copies must be empty or one variable, got " + std::to_string(copies);
  }
  return error;
}

void MomentumStep(const MomentumParams& params, const float* gradient,
                  std::int64_t count, float* v, float* w, BFloat16* copy) {
  StepWithOptionalCopy(params, gradient, count, v, w, copy);
}

void MomentumStep(const MomentumParams& params, const BFloat16* gradient,
                  std::int64_t count, float* v, float* w, BFloat16* copy) {
  StepWithOptionalCopy(params, gradient, count, v, w, copy);
}

}  // namespace alexnet_tf
