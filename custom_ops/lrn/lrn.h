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
// A row is the channels of one pixel, contiguous in memory. Nothing here knows
// TensorFlow: the library is built, tested and timed alone.
#ifndef ALEXNET_TF_LRN_LRN_H_
#define ALEXNET_TF_LRN_LRN_H_

#include <cstdint>
#include <string>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

struct LrnParams {
  int size = 5;  // the paper's n: odd, at least 1
  float k = 2.0f;
  float alpha = 1e-4f;
  float beta = 0.75f;
  // Whether x = max(z, 0), and the gradient is by z. On the CPU alone.
  bool rectified = false;
};

// Empty where `params` make sense, else which one does not, what was expected
// and what came.
std::string LrnParamsError(const LrnParams& params);

// The formula above in plain double-precision loops: what every kernel is held
// against.
void LrnReferenceForward(const LrnParams& params, const double* x,
                         std::int64_t rows, std::int64_t channels, double* y);
void LrnReferenceGradient(const LrnParams& params, const double* dy,
                          const double* x, std::int64_t rows,
                          std::int64_t channels, double* dx);

// Single-threaded vector kernels, for T of float, Half and BFloat16. Pointers
// need the alignment of T only; `y` may be `x`, and `dx` may be `dy` or `x`.
// `stream` writes past the caches where that is possible: for results too large
// to be found there again.
template <typename T>
void LrnForward(Isa isa, const LrnParams& params, const T* x, std::int64_t rows,
                std::int64_t channels, T* y, bool stream = false);
template <typename T>
void LrnGradient(Isa isa, const LrnParams& params, const T* dy, const T* x,
                 std::int64_t rows, std::int64_t channels, T* dx,
                 bool stream = false);

// The same on a GPU, of contiguous device memory and not in place. `stream` is
// a cudaStream_t; the results are cudaError_t of the launch, 0 for success.
template <typename T>
int LrnForwardCuda(void* stream, const LrnParams& params, const T* x,
                   std::int64_t rows, std::int64_t channels, T* y);
template <typename T>
int LrnGradientCuda(void* stream, const LrnParams& params, const T* dy,
                    const T* x, std::int64_t rows, std::int64_t channels,
                    T* dx);
std::string LrnCudaErrorText(int error);

// Empty, or what is wrong with the driver.
std::string LrnCudaDriverError();

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_LRN_LRN_H_
