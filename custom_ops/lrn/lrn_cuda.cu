// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// First come the kernels, then their launchers. A row is the channels of a
// pixel, so neighbors in a warp are neighboring channels, and every access of a
// warp is contiguous.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "custom_ops/lrn/lrn.h"

namespace alexnet_tf {
namespace {

enum class Power { kThreeQuarters, kHalf, kOne, kAny };

struct Constants {
  float k, alpha, beta, two_alpha_beta;
};

// The hardware's approximations have errors of up to 2 units in the last place,
// and are 0 if s is infinite.
__device__ __forceinline__ float SquareRoot(float v) {
  float root;
#ifdef CUDA_ON_CPU  // which cannot run PTX
  root = std::sqrt(v);
#else
  asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(v));
#endif
  return root;
}

template <Power kPower>
__device__ __forceinline__ float InversePower(float s, float beta) {
  if constexpr (kPower == Power::kAny) return powf(s, -beta);
  const float r = rsqrtf(s);
  if constexpr (kPower == Power::kHalf) return r;
  if constexpr (kPower == Power::kOne) return r * r;
  return r * SquareRoot(r);
}

__device__ __forceinline__ float ToFloat(float v) { return v; }
__device__ __forceinline__ float ToFloat(Half v) {
  return __half2float(__ushort_as_half(v.bits));
}
__device__ __forceinline__ float ToFloat(BFloat16 v) {
  return __uint_as_float(static_cast<unsigned>(v.bits) << 16);
}

__device__ __forceinline__ void Assign(float* p, float v) { *p = v; }
__device__ __forceinline__ void Assign(Half* p, float v) {
  p->bits = __half_as_ushort(__float2half_rn(v));
}
__device__ __forceinline__ void Assign(BFloat16* p, float v) {
  p->bits = __bfloat16_as_ushort(__float2bfloat16_rn(v));
}

// ------------------------------------------- windows of five, 16-byte accesses

constexpr int kWarp = 32;
constexpr int kWarpsPerBlock = 4;
// A warp reads 32 vectors of 16 bytes and writes the 30 inner ones. The outer
// two are needed for their neighbors' windows. They are inner ones of a
// neighboring warp, so they are in the cache.
constexpr int kInner = kWarp - 2;

template <typename T>
constexpr int kWidth = 16 / sizeof(T);

template <typename T>
__device__ __forceinline__ void LoadVector(const T* p, bool inside,
                                           float (&v)[kWidth<T>]) {
  uint4 bits = make_uint4(0, 0, 0, 0);
  if (inside) bits = __ldg(reinterpret_cast<const uint4*>(p));
  const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      v[i] = __uint_as_float(words[i]);
    } else {
      v[2 * i] = ToFloat(T{static_cast<std::uint16_t>(words[i])});
      v[2 * i + 1] = ToFloat(T{static_cast<std::uint16_t>(words[i] >> 16)});
    }
  }
}

template <typename T>
__device__ __forceinline__ void StoreVector(T* p, const float (&v)[kWidth<T>]) {
  unsigned words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      words[i] = __float_as_uint(v[i]);
    } else {
      T low, high;
      Assign(&low, v[2 * i]);
      Assign(&high, v[2 * i + 1]);
      words[i] = low.bits | static_cast<unsigned>(high.bits) << 16;
    }
  }
  // No kernel here reads it again, so the cache need not keep it.
  __stcs(reinterpret_cast<uint4*>(p),
         make_uint4(words[0], words[1], words[2], words[3]));
}

// sums[i] = values[i - 2] + .. + values[i + 2] along the row. The outer values
// come from the neighboring lanes. `first` and `last` tell whether this lane
// begins or ends a row.
template <int kCount>
__device__ __forceinline__ void WindowSums(const float (&values)[kCount],
                                           bool first, bool last,
                                           float (&sums)[kCount]) {
  constexpr unsigned kAll = 0xffffffffu;
  float wide[kCount + 4];
  wide[0] = __shfl_up_sync(kAll, values[kCount - 2], 1);
  wide[1] = __shfl_up_sync(kAll, values[kCount - 1], 1);
  wide[kCount + 2] = __shfl_down_sync(kAll, values[0], 1);
  wide[kCount + 3] = __shfl_down_sync(kAll, values[1], 1);
  if (first) wide[0] = wide[1] = 0;
  if (last) wide[kCount + 2] = wide[kCount + 3] = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) wide[i + 2] = values[i];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    sums[i] =
        (wide[i] + wide[i + 1]) + wide[i + 2] + (wide[i + 3] + wide[i + 4]);
  }
}

// The vector that this lane works on. Index has 32 bits if that is enough,
// because the kernel divides such numbers.
template <typename Index>
struct Place {
  Index vector;
  bool inside, first, last, writes;

  __device__ __forceinline__ Place(Index vectors, Index vectors_per_row) {
    const int lane = threadIdx.x % kWarp;
    const Index warp =
        static_cast<Index>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
    // -1 wraps to the largest index, which is not inside.
    vector = warp * kInner + lane - 1;
    inside = vector < vectors;
    const Index column = vector % vectors_per_row;
    first = column == 0;
    last = column == vectors_per_row - 1;
    writes = inside && lane > 0 && lane < kWarp - 1;
  }
};

template <typename T, Power kPower, typename Index>
__global__ void __launch_bounds__(kWarp* kWarpsPerBlock)
    Forward5Kernel(Constants c, const T* __restrict__ x, Index vectors,
                   Index vectors_per_row, T* __restrict__ y) {
  constexpr int kCount = kWidth<T>;
  const Place<Index> place(vectors, vectors_per_row);
  const std::int64_t offset = static_cast<std::int64_t>(place.vector) * kCount;
  float values[kCount], squares[kCount], sums[kCount];
  LoadVector(x + offset, place.inside, values);
#pragma unroll
  for (int i = 0; i < kCount; ++i) squares[i] = values[i] * values[i];
  WindowSums(squares, place.first, place.last, sums);
  if (!place.writes) return;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] *= InversePower<kPower>(c.k + c.alpha * sums[i], c.beta);
  }
  StoreVector(y + offset, values);
}

template <typename T, Power kPower, typename Index>
__global__ void __launch_bounds__(kWarp* kWarpsPerBlock)
    Gradient5Kernel(Constants c, const T* __restrict__ dy,
                    const T* __restrict__ x, Index vectors,
                    Index vectors_per_row, T* __restrict__ dx) {
  constexpr int kCount = kWidth<T>;
  const Place<Index> place(vectors, vectors_per_row);
  const std::int64_t offset = static_cast<std::int64_t>(place.vector) * kCount;
  float values[kCount], direct[kCount], work[kCount], sums[kCount];
  LoadVector(x + offset, place.inside, values);
  LoadVector(dy + offset, place.inside, direct);
#pragma unroll
  for (int i = 0; i < kCount; ++i) work[i] = values[i] * values[i];
  WindowSums(work, place.first, place.last, sums);
  // An outer lane lacks a neighbor, so some of its sums are wrong. But the
  // inner lanes use only the two channels next to them, whose sums are right.
  static_assert(kCount >= 4, "the outer lanes' windows");
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float s = c.k + c.alpha * sums[i];
    direct[i] *= InversePower<kPower>(s, c.beta);
    work[i] = direct[i] * values[i] * InversePower<Power::kOne>(s, 1.0f);
  }
  WindowSums(work, place.first, place.last, sums);
  if (!place.writes) return;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    direct[i] -= c.two_alpha_beta * values[i] * sums[i];
  }
  StoreVector(dx + offset, direct);
}

// ------------------------------------------------------- any window, any width

constexpr int kThreads = 256;

template <typename T>
__device__ __forceinline__ float Scale(const Constants& c, const T* row,
                                       std::int64_t i, std::int64_t half,
                                       std::int64_t channels) {
  float sum = 0;
  const std::int64_t end = min(channels, i + half + 1);
  for (std::int64_t j = max(std::int64_t{0}, i - half); j < end; ++j) {
    const float v = ToFloat(row[j]);
    sum += v * v;
  }
  return c.k + c.alpha * sum;
}

// One thread per value.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    ForwardKernel(Constants c, std::int64_t half, const T* __restrict__ x,
                  std::int64_t count, std::int64_t channels,
                  T* __restrict__ y) {
  const std::int64_t at =
      static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const std::int64_t i = at % channels;
  const float s = Scale(c, x + (at - i), i, half, channels);
  Assign(y + at, ToFloat(x[at]) * InversePower<Power::kAny>(s, c.beta));
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    GradientKernel(Constants c, std::int64_t half, const T* __restrict__ dy,
                   const T* __restrict__ x, std::int64_t count,
                   std::int64_t channels, T* __restrict__ dx) {
  const std::int64_t at =
      static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const std::int64_t i = at % channels;
  const T* row_x = x + (at - i);
  const T* row_dy = dy + (at - i);
  float pulled = 0;
  const std::int64_t end = min(channels, i + half + 1);
  for (std::int64_t j = max(std::int64_t{0}, i - half); j < end; ++j) {
    const float s = Scale(c, row_x, j, half, channels);
    // In the order of the other kernels, so that the same products overflow.
    const float direct =
        ToFloat(row_dy[j]) * InversePower<Power::kAny>(s, c.beta);
    pulled += direct * ToFloat(row_x[j]) * (1 / s);
  }
  const float s = Scale(c, row_x, i, half, channels);
  const float direct =
      ToFloat(row_dy[i]) * InversePower<Power::kAny>(s, c.beta);
  Assign(dx + at, direct - c.two_alpha_beta * ToFloat(row_x[i]) * pulled);
}

// ------------------------------------------------------------------- launchers

Constants ConstantsOf(const LrnParams& params) {
  // In double precision, because 2 * alpha may overflow.
  const float two_alpha_beta = 2.0 * params.alpha * params.beta;
  return {params.k, params.alpha, params.beta, two_alpha_beta};
}

bool Aligned(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

// Tensors of fewer vectors than this are indexed with 32 bits. The test lowers
// it.
#ifndef ALEXNET_TF_LRN_WIDE_FROM
#define ALEXNET_TF_LRN_WIDE_FROM (std::int64_t{1} << 31)
#endif

// Runs `kernel` with as many blocks as `work` needs, and returns the error of
// the launch. The largest grid has 2^31 - 1 blocks. A block works on at least
// 512 bytes, so that grid would need a tensor of a tebibyte, more than any
// device has.
template <typename... Parameters, typename... Arguments>
int Launch(void* stream, std::int64_t work, int work_per_block, int threads,
           void (*kernel)(Parameters...), const Arguments&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = static_cast<unsigned>((work - 1) / work_per_block + 1);
  config.blockDim = threads;
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel,
                            static_cast<Parameters>(arguments)...);
}

// The same for a kernel that works on vectors.
template <typename... Parameters, typename... Arguments>
int Launch5(void* stream, std::int64_t vectors, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  return Launch(stream, vectors, kInner * kWarpsPerBlock,
                kWarp * kWarpsPerBlock, kernel, arguments...);
}

template <typename T, typename Index>
auto Forward5(float beta) {
  if (beta == 0.75f) return Forward5Kernel<T, Power::kThreeQuarters, Index>;
  if (beta == 0.5f) return Forward5Kernel<T, Power::kHalf, Index>;
  if (beta == 1.0f) return Forward5Kernel<T, Power::kOne, Index>;
  return Forward5Kernel<T, Power::kAny, Index>;
}

template <typename T, typename Index>
auto Gradient5(float beta) {
  if (beta == 0.75f) return Gradient5Kernel<T, Power::kThreeQuarters, Index>;
  if (beta == 0.5f) return Gradient5Kernel<T, Power::kHalf, Index>;
  if (beta == 1.0f) return Gradient5Kernel<T, Power::kOne, Index>;
  return Gradient5Kernel<T, Power::kAny, Index>;
}

}  // namespace

template <typename T>
int LrnForwardCuda(void* stream, const LrnParams& params, const T* x,
                   std::int64_t rows, std::int64_t channels, T* y) {
  const std::int64_t count = rows * channels;
  if (count == 0) return cudaSuccess;
  const Constants c = ConstantsOf(params);
  if (params.size != 5 || channels % kWidth<T> != 0 || !Aligned(x) ||
      !Aligned(y)) {
    return Launch(stream, count, kThreads, kThreads, ForwardKernel<T>, c,
                  params.size / 2, x, count, channels, y);
  }
  const std::int64_t vectors = count / kWidth<T>;
  const std::int64_t per_row = channels / kWidth<T>;
  if (vectors < ALEXNET_TF_LRN_WIDE_FROM) {
    return Launch5(stream, vectors, Forward5<T, std::uint32_t>(params.beta), c,
                   x, vectors, per_row, y);
  }
  return Launch5(stream, vectors, Forward5<T, std::uint64_t>(params.beta), c, x,
                 vectors, per_row, y);
}

template <typename T>
int LrnGradientCuda(void* stream, const LrnParams& params, const T* dy,
                    const T* x, std::int64_t rows, std::int64_t channels,
                    T* dx) {
  const std::int64_t count = rows * channels;
  if (count == 0) return cudaSuccess;
  const Constants c = ConstantsOf(params);
  if (params.size != 5 || channels % kWidth<T> != 0 || !Aligned(dy) ||
      !Aligned(x) || !Aligned(dx)) {
    return Launch(stream, count, kThreads, kThreads, GradientKernel<T>, c,
                  params.size / 2, dy, x, count, channels, dx);
  }
  const std::int64_t vectors = count / kWidth<T>;
  const std::int64_t per_row = channels / kWidth<T>;
  if (vectors < ALEXNET_TF_LRN_WIDE_FROM) {
    return Launch5(stream, vectors, Gradient5<T, std::uint32_t>(params.beta), c,
                   dy, x, vectors, per_row, dx);
  }
  return Launch5(stream, vectors, Gradient5<T, std::uint64_t>(params.beta), c,
                 dy, x, vectors, per_row, dx);
}

std::string LrnCudaErrorText(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

std::string LrnCudaDriverError() {
  int driver = 0;
  const cudaError_t error = cudaDriverGetVersion(&driver);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  if (driver == 0) return "no GPU driver found";
  constexpr int kLeast = CUDART_VERSION / 1000 * 1000;
  if (driver >= kLeast) return "";
  const auto text = [](int version) {
    return std::to_string(version / 1000) + "." +
           std::to_string(version % 1000 / 10);
  };
  return "the GPU driver supports CUDA " + text(driver) +
         ", and the op library's kernels need " + text(kLeast) +
         ": install a newer driver, or use TensorFlow's own normalization "
         "(--lrn=stock)";
}

#define INSTANTIATE(T)                                                         \
  template int LrnForwardCuda<T>(void*, const LrnParams&, const T*,            \
                                 std::int64_t, std::int64_t, T*);              \
  template int LrnGradientCuda<T>(void*, const LrnParams&, const T*, const T*, \
                                  std::int64_t, std::int64_t, T*);
INSTANTIATE(float)
INSTANTIATE(Half)
INSTANTIATE(BFloat16)
#undef INSTANTIATE

}  // namespace alexnet_tf
