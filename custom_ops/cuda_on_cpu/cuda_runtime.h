// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Stands in for CUDA's header of this name, so that a C++ compiler can build a
// .cu file and run its kernels on the CPU. It has what our kernels use: grids
// and blocks of one dimension, and full warps that exchange values. There is no
// shared memory, no atomics and no device memory of its own. launch.h describes
// how kernels are run.

#ifndef ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_RUNTIME_H_
#define ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_RUNTIME_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "custom_ops/cuda_on_cpu/launch.h"

#define CUDA_ON_CPU 1
#define CUDART_VERSION 13000

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline dim3 threadIdx, blockIdx;

// Aligned as CUDA's is, so that UBSan finds a vector access that is not.
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

using std::max;
using std::min;

template <typename T>
T __ldg(const T* p) {
  return *p;
}
template <typename T>
void __stcs(T* p, T value) {
  *p = value;
}

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// CUDA's functions may err by this many units in the last place (CUDA C++
// Programming Guide, mathematical functions). So do these, up or down by the
// bits of the result, so that a tolerance that only exact functions meet fails.
inline float InexactBy(int units, double exact) {
  const float rounded = static_cast<float>(exact);
  if (!std::isnormal(rounded)) return rounded;
  const unsigned bits = __float_as_uint(rounded);
  const int error = static_cast<int>(bits * 2654435761u >> 16) % (units + 1);
  return __uint_as_float(bits & 1 ? bits + error : bits - error);
}
inline float rsqrtf(float v) {
  return InexactBy(2, 1 / std::sqrt(static_cast<double>(v)));
}
inline float InexactPower(float v, float exponent) {
  return exponent == 0 ? 1 : InexactBy(4, std::pow(double{v}, exponent));
}
#define powf InexactPower

// The value of `value` in the lane `distance` lower or higher, or in the same
// lane if there is none.
inline float __shfl_up_sync(unsigned mask, float value, unsigned distance) {
  return cuda_on_cpu::Shuffle(mask, value, -static_cast<int>(distance));
}
inline float __shfl_down_sync(unsigned mask, float value, unsigned distance) {
  return cuda_on_cpu::Shuffle(mask, value, static_cast<int>(distance));
}

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
using cudaStream_t = void*;

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}

inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = cuda_on_cpu::driver_version;
  return cudaSuccess;
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

template <typename... Parameters>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Parameters...),
                               Parameters... arguments) {
  const dim3 &grid = config->gridDim, &block = config->blockDim;
  const bool launched =
      grid.y * grid.z * block.y * block.z == 1 &&
      cuda_on_cpu::Launch(
          grid.x, block.x, reinterpret_cast<const void*>(kernel),
          [&](unsigned block_index, unsigned thread_index) {
            blockIdx.x = block_index;
            threadIdx.x = thread_index;
          },
          [&] { kernel(arguments...); });
  return launched ? cudaSuccess : cudaErrorInvalidConfiguration;
}

#endif  // ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_RUNTIME_H_
