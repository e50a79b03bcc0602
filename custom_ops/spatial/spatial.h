// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The released program's normalisation within one map (layer type `rnorm`);
// free of TensorFlow.

#ifndef ALEXNET_TF_CUSTOM_OPS_SPATIAL_SPATIAL_H_
#define ALEXNET_TF_CUSTOM_OPS_SPATIAL_SPATIAL_H_

#include <cstddef>
#include <cstdint>

#include "custom_ops/float16.h"

namespace alexnet_tf {

// y = x / (k + alpha * sum of x^2)^beta, the sum over the square of
// `size` x `size` positions of the same channel around x, clipped at the
// border; `size` is odd.
struct SpatialParams {
  int size = 5;
  float k = 1;
  float alpha = 4e-5f;
  float beta = 0.75f;
};

// One picture, [height, width, channels].
struct SpatialShape {
  int64_t height;
  int64_t width;
  int64_t channels;
};

// Floats of scratch space that either function needs.
std::size_t SpatialScratch(const SpatialParams& params,
                           const SpatialShape& shape);

// One picture each; values are float32 or bfloat16. The
// arithmetic is float32. `dx` is the gradient of the loss by `x` where `dy` is
// that by `y`.
void SpatialForward(const SpatialParams& params, const SpatialShape& shape,
                    const float* x, float* scratch, float* y);
void SpatialForward(const SpatialParams& params, const SpatialShape& shape,
                    const BFloat16* x, float* scratch, BFloat16* y);
void SpatialGradient(const SpatialParams& params, const SpatialShape& shape,
                     const float* dy, const float* x, float* scratch,
                     float* dx);
void SpatialGradient(const SpatialParams& params, const SpatialShape& shape,
                     const BFloat16* dy, const BFloat16* x, float* scratch,
                     BFloat16* dx);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_SPATIAL_SPATIAL_H_
