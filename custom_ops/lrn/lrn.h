// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Local response normalization across channels (AlexNet paper, section 3.3):
//
//   s_i  = k + alpha * sum of x_j^2 over |j - i| <= size / 2 within the row
//   y_i  = x_i * s_i^-beta
//   dx_i = dy_i * s_i^-beta
//          - 2 alpha beta x_i * sum over the same window of
//            dy_j x_j s_j^(-beta - 1)
//
// A row is the channels of one pixel, which are contiguous in memory. Nothing
// here uses TensorFlow, so the library can be built, tested and timed alone.

#ifndef ALEXNET_TF_CUSTOM_OPS_LRN_LRN_H_
#define ALEXNET_TF_CUSTOM_OPS_LRN_LRN_H_

#include <cstdint>
#include <string>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

struct LrnParams {
  int size = 5;  // the paper's n: odd, 1 to kLargestExtent
  float k = 2.0f;
  float alpha = 1e-4f;
  float beta = 0.75f;
  // Whether x = max(z, 0), and the gradient is the one with respect to z. Only
  // the CPU kernels support this.
  bool rectified = false;
};

// The formulas above in plain double-precision loops. The tests compare every
// kernel with these functions.
void LrnReferenceForward(const LrnParams& params, const double* x,
                         std::int64_t rows, std::int64_t channels, double* y);
void LrnReferenceGradient(const LrnParams& params, const double* dy,
                          const double* x, std::int64_t rows,
                          std::int64_t channels, double* dx);

// Single-threaded vector kernels, where T is float, Half or BFloat16. Pointers
// need the alignment of T only. `y` may be `x`, and `dx` may be `dy` or `x`.
// `scratch` has room for LrnScratch() floats and may contain anything. With
// `stream`, the kernels use non-temporal stores if possible. This is for
// results that are too large to stay in the caches.
template <typename T>
void LrnForward(Isa isa, const LrnParams& params, const T* x, std::int64_t rows,
                std::int64_t channels, float* scratch, T* y,
                bool stream = false);
template <typename T>
void LrnGradient(Isa isa, const LrnParams& params, const T* dy, const T* x,
                 std::int64_t rows, std::int64_t channels, float* scratch,
                 T* dx, bool stream = false);

// The number of floats of scratch space that these functions need.
std::int64_t LrnScratch(const LrnParams& params, std::int64_t channels);

// The same on a GPU, for contiguous device memory, and not in place. `stream`
// is a cudaStream_t. The functions return the cudaError_t of the launch, which
// is 0 for success.
template <typename T>
int LrnForwardCuda(void* stream, const LrnParams& params, const T* x,
                   std::int64_t rows, std::int64_t channels, T* y);
template <typename T>
int LrnGradientCuda(void* stream, const LrnParams& params, const T* dy,
                    const T* x, std::int64_t rows, std::int64_t channels,
                    T* dx);
std::string LrnCudaErrorText(int error);

// Returns an empty string, or what is wrong with the driver.
std::string LrnCudaDriverError();

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_LRN_LRN_H_
