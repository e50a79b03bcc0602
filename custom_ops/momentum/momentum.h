// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The paper's update (section 5) in one pass over memory; free of TensorFlow.

#ifndef ALEXNET_TF_CUSTOM_OPS_MOMENTUM_MOMENTUM_H_
#define ALEXNET_TF_CUSTOM_OPS_MOMENTUM_MOMENTUM_H_

#include <cstdint>

#include "custom_ops/float16.h"

namespace alexnet_tf {

struct MomentumParams {
  float rate;
  float momentum;
  float decay;
};

// v <- momentum * v - rate * (gradient + decay * w); w <- w + v, for `count`
// values; and where `copy` is not null, copy <- w, rounded. The gradient is
// float32 or bfloat16.
void MomentumStep(const MomentumParams& params, const float* gradient,
                  int64_t count, float* v, float* w, BFloat16* copy);
void MomentumStep(const MomentumParams& params, const BFloat16* gradient,
                  int64_t count, float* v, float* w, BFloat16* copy);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_MOMENTUM_MOMENTUM_H_
