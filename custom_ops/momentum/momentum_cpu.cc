// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Bound by memory at any vector width: the compiler's baseline code is enough.

#include <cstring>

#include "custom_ops/momentum/momentum.h"

namespace alexnet_tf {
namespace {

inline float Widen(float value) { return value; }

inline float Widen(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

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

void MomentumStep(const MomentumParams& params, const uint16_t* gradient,
                  int64_t count, float* v, float* w) {
  Step(params, gradient, count, v, w);
}

}  // namespace alexnet_tf
