// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Normalization within one map, which the 2012 program has as layer type
// `rnorm`:
//
//   s  = k + alpha * sum of x^2
//   y  = x * s^-beta
//   dx = dy * s^-beta - 2 alpha beta x * sum of dy * x * s^(-beta - 1)
//
// The sums are over the square of `size` x `size` positions of the same channel
// around x, clipped at the border. In the second sum, every position has its
// own s. Nothing here uses TensorFlow, so the library can be built, tested and
// timed alone.

#ifndef ALEXNET_TF_CUSTOM_OPS_SPATIAL_SPATIAL_H_
#define ALEXNET_TF_CUSTOM_OPS_SPATIAL_SPATIAL_H_

#include <cstddef>
#include <cstdint>

#include "custom_ops/float16.h"

namespace alexnet_tf {

struct SpatialParams {
  int size = 5;  // odd, 1 to kLargestExtent
  float k = 1;
  float alpha = 4e-5f;
  float beta = 0.75f;
};

// One image, [height, width, channels].
struct SpatialShape {
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;
};

// The formulas above in double precision, for one image. `dx` is the gradient
// of the loss with respect to `x`, and `dy` the one with respect to `y`. The
// tests compare the fast kernels with these functions.
void SpatialReferenceForward(const SpatialParams& params,
                             const SpatialShape& shape, const double* x,
                             double* y);
void SpatialReferenceGradient(const SpatialParams& params,
                              const SpatialShape& shape, const double* dy,
                              const double* x, double* dx);

// The number of floats of scratch space that the functions below need. The
// space may contain anything.
std::size_t SpatialScratch(const SpatialParams& params,
                           const SpatialShape& shape);

// The same for float32 or bfloat16 values. The arithmetic is float32.
// Single-threaded.
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
