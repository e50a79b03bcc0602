// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The paper's update rule (section 5) in one pass over memory, with the weight
// decay inside the velocity:
//
//   v <- momentum * v - learning_rate * (gradient + weight_decay * w)
//   w <- w + v
//
// Nothing here uses TensorFlow, so the library can be built, tested and timed
// alone.

#ifndef ALEXNET_TF_CUSTOM_OPS_MOMENTUM_MOMENTUM_H_
#define ALEXNET_TF_CUSTOM_OPS_MOMENTUM_MOMENTUM_H_

#include <cstdint>
#include <string>

#include "custom_ops/float16.h"

namespace alexnet_tf {

struct MomentumParams {
  float learning_rate;
  float momentum;
  float weight_decay;
};

// Returns what is wrong with these attributes, or an empty string.
std::string MomentumError(float momentum, float weight_decay, int copies);

// The rule above in double precision, for `count` values. The tests compare the
// fast kernels with it.
void MomentumReferenceStep(const MomentumParams& params, const double* gradient,
                           std::int64_t count, double* v, double* w);

// The rule above for `count` values. If `copy` is not null, it is set to the
// new w, rounded. The gradient is float32 or bfloat16. Single-threaded.
void MomentumStep(const MomentumParams& params, const float* gradient,
                  std::int64_t count, float* v, float* w, BFloat16* copy);
void MomentumStep(const MomentumParams& params, const BFloat16* gradient,
                  std::int64_t count, float* v, float* w, BFloat16* copy);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_MOMENTUM_MOMENTUM_H_
