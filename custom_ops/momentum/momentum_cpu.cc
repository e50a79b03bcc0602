// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Bound by memory at any vector width: the compiler's baseline code is enough.

#include "custom_ops/momentum/momentum.h"

namespace alexnet_tf {
namespace {

template <bool kCopies, typename T>
void Step(const MomentumParams& params, const T* __restrict gradient,
          int64_t count, float* __restrict v, float* __restrict w,
          BFloat16* __restrict copy) {
  const float rate = params.rate;
  const float momentum = params.momentum;
  const float decay = params.decay;
  for (int64_t i = 0; i < count; ++i) {
    const float velocity =
        momentum * v[i] - rate * (Widen(gradient[i]) + decay * w[i]);
    v[i] = velocity;
    w[i] += velocity;
    if constexpr (kCopies) Narrow(w[i], copy + i);
  }
}

template <typename T>
void StepOf(const MomentumParams& params, const T* gradient, int64_t count,
            float* v, float* w, BFloat16* copy) {
  if (copy == nullptr) return Step<false>(params, gradient, count, v, w, copy);
  Step<true>(params, gradient, count, v, w, copy);
}

}  // namespace

void MomentumStep(const MomentumParams& params, const float* gradient,
                  int64_t count, float* v, float* w, BFloat16* copy) {
  StepOf(params, gradient, count, v, w, copy);
}

void MomentumStep(const MomentumParams& params, const BFloat16* gradient,
                  int64_t count, float* v, float* w, BFloat16* copy) {
  StepOf(params, gradient, count, v, w, copy);
}

}  // namespace alexnet_tf
