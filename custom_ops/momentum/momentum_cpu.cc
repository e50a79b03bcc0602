// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Bound by memory at any vector width: the compiler's baseline code is enough.

#include "custom_ops/momentum/momentum.h"

namespace alexnet_tf {
namespace {

template <typename T>
void Step(const MomentumParams& params, const T* __restrict gradient,
          int64_t count, float* __restrict v, float* __restrict w) {
  const float rate = params.rate;
  const float momentum = params.momentum;
  const float decay = params.decay;
  for (int64_t i = 0; i < count; ++i) {
    const float velocity =
        momentum * v[i] - rate * (Widen(gradient[i]) + decay * w[i]);
    v[i] = velocity;
    w[i] += velocity;
  }
}

}  // namespace

void MomentumStep(const MomentumParams& params, const float* gradient,
                  int64_t count, float* v, float* w) {
  Step(params, gradient, count, v, w);
}

void MomentumStep(const MomentumParams& params, const BFloat16* gradient,
                  int64_t count, float* v, float* w) {
  Step(params, gradient, count, v, w);
}

}  // namespace alexnet_tf
