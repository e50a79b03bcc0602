// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The vector operations of each instruction set, and the choice of kernels. One
// binary holds the kernels of every instruction set. Only functions between
// push_options and pop_options use more than the compiler's default, and
// nothing there may have external linkage, because the linker could use its
// copy everywhere.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "custom_ops/lrn/lrn.h"

#if defined(ALEXNET_TF_X86)
#include <immintrin.h>
#endif

// GCC 12 warns about operands that its own intrinsics leave undefined on
// purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

namespace alexnet_tf {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSmallest = std::numeric_limits<float>::min();

// The values of beta that have kernels of their own, and all others.
enum class Power { kThreeQuarters, kHalf, kOne, kAny };

struct Constants {
  float k, alpha, beta;
  float beta_high, beta_low;  // their sum is beta; the first has 12 bits
  float power_of_infinity, power_of_nan;  // s^-beta, as std::pow has it
  float two_alpha_beta;
  std::int32_t passes_all;  // no bits if the input is rectified, else all
  std::int64_t half;        // neighbors on each side, at most all of them
};

// Planes of rows in float32. Each row lies between zeros that are at least as
// wide as half a window, so that windows need no bounds checks.
struct Scratch {
  float* first;
  std::int64_t row_stride, plane_stride;

  float* Row(int plane, std::int64_t row) const {
    return first + plane * plane_stride + row * row_stride;
  }
};

template <typename T>
struct Kernels {
  void (*forward)(const Constants&, const Scratch&, const T* x,
                  std::int64_t rows, std::int64_t channels, T* y);
  void (*gradient)(const Constants&, const Scratch&, const T* dy, const T* x,
                   std::int64_t rows, std::int64_t channels, T* dx);
};

Power PowerOf(float beta) {
  if (beta == 0.75f) return Power::kThreeQuarters;
  if (beta == 0.5f) return Power::kHalf;
  if (beta == 1.0f) return Power::kOne;
  return Power::kAny;
}

// -------------------------------------------------------------------- baseline
// 128-bit vectors of GCC's vector extension, which become SSE2, or NEON on Arm.
namespace baseline {

constexpr std::int64_t kLanes = 4;
constexpr bool kCanStream = false;
typedef float Float __attribute__((vector_size(16)));
typedef std::int32_t Bits32 __attribute__((vector_size(16)));
typedef std::uint16_t Bits16 __attribute__((vector_size(8)));

template <typename V, typename T>
inline V Read(const T* p, std::int64_t count) {
  V v = {};
  constexpr std::int64_t kAll = sizeof(V) / sizeof(T);
  if (count == kAll) {
    std::memcpy(&v, p, sizeof(V));
  } else {
    std::memcpy(&v, p, count * sizeof(T));
  }
  return v;
}

template <typename V, typename T>
inline void Write(T* p, V v, std::int64_t count) {
  constexpr std::int64_t kAll = sizeof(V) / sizeof(T);
  if (count == kAll) {
    std::memcpy(p, &v, sizeof(V));
  } else {
    std::memcpy(p, &v, count * sizeof(T));
  }
}

inline Float LoadScratch(const float* p) { return Read<Float>(p, kLanes); }
inline void StoreScratch(float* p, Float v) { Write(p, v, kLanes); }

inline Bits32 LoadBits(const BFloat16* p, std::int64_t count) {
  return Read<Bits32>(p, count);
}
inline void StoreBits(BFloat16* p, Bits32 bits, std::int64_t count) {
  Write(p, bits, count);
}

inline Float Load(const float* p, std::int64_t count) {
  return Read<Float>(p, count);
}

inline Float Load(const BFloat16* p, std::int64_t count) {
  const Bits16 bits = Read<Bits16>(p, count);
  return reinterpret_cast<Float>(__builtin_convertvector(bits, Bits32) << 16);
}

// The exponent's bias changes from 15 to 127. For subnormals, a float with
// their mantissa and the exponent of 2^-14, minus 2^-14, is exact.
inline Float Load(const Half* p, std::int64_t count) {
  const Bits32 bits = __builtin_convertvector(Read<Bits16>(p, count), Bits32);
  const Bits32 sign = (bits & 0x8000) << 16, magnitude = bits & 0x7fff;
  const Bits32 exponent = magnitude & 0x7c00;
  const Bits32 normal = (magnitude << 13) + (112 << 23);
  const Bits32 special = (magnitude << 13) | 0x7f800000;
  const Float offset = Float{} + 0x1p-14f;
  const Float subnormal =
      reinterpret_cast<Float>((magnitude << 13) + (113 << 23)) - offset;
  const Bits32 finite =
      exponent == 0 ? reinterpret_cast<Bits32>(subnormal) : normal;
  return reinterpret_cast<Float>(sign |
                                 (exponent == 0x7c00 ? special : finite));
}

inline void Store(float* p, Float v, std::int64_t count) { Write(p, v, count); }

inline void Store(BFloat16* p, Float v, std::int64_t count) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  const Bits32 rounded = bits + 0x7fff + ((bits >> 16) & 1);
  Write(p, __builtin_convertvector(rounded >> 16, Bits16), count);
}

inline void Store(Half* p, Float v, std::int64_t count) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  const Bits32 sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  const Bits32 normal =
      (magnitude - (112 << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Adding 0.5 leaves a subnormal's rounded mantissa in the lowest bits.
  const Float shifted = reinterpret_cast<Float>(magnitude) + 0.5f;
  const Bits32 subnormal = reinterpret_cast<Bits32>(shifted) - 0x3f000000;
  Bits32 half = magnitude < 0x38800000 ? subnormal : normal;
  half = magnitude >= 0x477ff000 ? Bits32{} + 0x7c00 : half;
  half = magnitude > 0x7f800000 ? Bits32{} + 0x7e00 : half;
  Write(p, __builtin_convertvector(sign | half, Bits16), count);
}

// The lanes from kFirst on of `low`, followed by the first lanes of `high`.
template <int kFirst>
inline Float Join(Float low, Float high) {
  return __builtin_shuffle(low, high,
                           Bits32{kFirst, kFirst + 1, kFirst + 2, kFirst + 3});
}

// Rounds to nearest, ties to even. NaN stays NaN: for bfloat16 inputs its lower
// half is zero, so that nothing carries into the upper half.
inline Bits32 RoundToBFloat16(Float v) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  return bits + 0x7fff + ((bits >> 16) & 1);
}

// The even lanes of bfloat16 from `even`, and the odd lanes from `odd`.
inline Bits32 PackBFloat16(Float even, Float odd) {
  return ((RoundToBFloat16(even) >> 16) & 0xffff) |
         (RoundToBFloat16(odd) & -0x10000);
}

// Compare the bits as integers.
inline Float MaxBits(float low, Float v) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  const Bits32 bound = reinterpret_cast<Bits32>(Float{} + low);
  return reinterpret_cast<Float>(bits > bound ? bits : bound);
}
inline Float MinBits(float high, Float v) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  const Bits32 bound = reinterpret_cast<Bits32>(Float{} + high);
  return reinterpret_cast<Float>(bits < bound ? bits : bound);
}

#if defined(ALEXNET_TF_X86)
constexpr int kEstimateBits = 11;
inline Float RsqrtEstimate(Float s) { return _mm_rsqrt_ps(s); }
#else
constexpr int kEstimateBits = 11;
// Halving the exponent gives 4 correct bits, and one step of third order makes
// them 13.
inline Float RsqrtEstimate(Float s) {
  const Float r =
      reinterpret_cast<Float>(0x5f375a86 - (reinterpret_cast<Bits32>(s) >> 1));
  const Float e = 1.0f - r * (r * s);
  const Float refined = r + r * e * (0.5f + 0.375f * e);
  return s == kInfinity ? Float{} : refined;
}
#endif

#include "custom_ops/lrn/lrn_cpu_kernels.inc"

}  // namespace baseline

#if defined(ALEXNET_TF_X86)

// ------------------------------------------------------------------------ AVX2
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
namespace avx2 {

constexpr std::int64_t kLanes = 8;
constexpr bool kCanStream = false;
typedef float Float __attribute__((vector_size(32)));
typedef std::int32_t Bits32 __attribute__((vector_size(32)));

inline Float LoadScratch(const float* p) { return _mm256_loadu_ps(p); }
inline void StoreScratch(float* p, Float v) { _mm256_storeu_ps(p, v); }

inline __m256i LoadBits(const BFloat16* p, std::int64_t count) {
  BFloat16 rest[2 * kLanes] = {};
  if (count < 2 * kLanes) {
    for (std::int64_t i = 0; i < count; ++i) rest[i] = p[i];
    p = rest;
  }
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

inline void StoreBits(BFloat16* p, __m256i bits, std::int64_t count) {
  BFloat16 rest[2 * kLanes];
  BFloat16* to = count < 2 * kLanes ? rest : p;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
  if (count < 2 * kLanes) {
    for (std::int64_t i = 0; i < count; ++i) p[i] = rest[i];
  }
}

inline Float Widen(const float* p) { return _mm256_loadu_ps(p); }

inline __m128i Load16(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

inline Float Widen(const Half* p) { return _mm256_cvtph_ps(Load16(p)); }

inline Float Widen(const BFloat16* p) {
  const __m256i bits = _mm256_cvtepu16_epi32(Load16(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}

inline void Narrow(float* p, Float v) { _mm256_storeu_ps(p, v); }

inline void Narrow(Half* p, Float v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

inline void Narrow(BFloat16* p, Float v) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  const Bits32 rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const __m256i high =
      _mm256_srli_epi32(reinterpret_cast<__m256i>(rounded), 16);
  const __m256i packed =
      _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_castsi256_si128(packed));
}

template <typename T>
inline Float Load(const T* p, std::int64_t count) {
  if (count == kLanes) return Widen(p);
  T rest[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) rest[i] = p[i];
  return Widen(rest);
}

template <typename T>
inline void Store(T* p, Float v, std::int64_t count) {
  if (count == kLanes) return Narrow(p, v);
  T rest[kLanes];
  Narrow(rest, v);
  for (std::int64_t i = 0; i < count; ++i) p[i] = rest[i];
}

inline Bits32 RoundToBFloat16(Float v) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  return bits + 0x7fff + ((bits >> 16) & 1);
}

inline __m256i PackBFloat16(Float even, Float odd) {
  return reinterpret_cast<__m256i>(((RoundToBFloat16(even) >> 16) & 0xffff) |
                                   (RoundToBFloat16(odd) & -0x10000));
}

inline Float MaxBits(float low, Float v) {
  return _mm256_castsi256_ps(_mm256_max_epi32(
      _mm256_castps_si256(_mm256_set1_ps(low)), _mm256_castps_si256(v)));
}
inline Float MinBits(float high, Float v) {
  return _mm256_castsi256_ps(_mm256_min_epi32(
      _mm256_castps_si256(_mm256_set1_ps(high)), _mm256_castps_si256(v)));
}

template <int kFirst>
inline Float Join(Float low, Float high) {
  const __m256i a = _mm256_castps_si256(low), b = _mm256_castps_si256(high);
  const __m256i middle = _mm256_permute2x128_si256(a, b, 0x21);
  return _mm256_castsi256_ps(
      kFirst < 4 ? _mm256_alignr_epi8(middle, a, 4 * (kFirst & 3))
                 : _mm256_alignr_epi8(b, middle, 4 * (kFirst & 3)));
}

constexpr int kEstimateBits = 11;
inline Float RsqrtEstimate(Float s) { return _mm256_rsqrt_ps(s); }

#include "custom_ops/lrn/lrn_cpu_kernels.inc"

}  // namespace avx2
#pragma GCC pop_options

// --------------------------------------------------------------------- AVX-512
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")
namespace avx512 {

constexpr std::int64_t kLanes = 16;
constexpr bool kCanStream = true;
typedef float Float __attribute__((vector_size(64)));
typedef std::int32_t Bits32 __attribute__((vector_size(64)));

inline Float LoadScratch(const float* p) { return _mm512_loadu_ps(p); }
inline void StoreScratch(float* p, Float v) { _mm512_storeu_ps(p, v); }

inline __mmask16 FirstLanes(std::int64_t count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

inline __mmask32 First16(std::int64_t count) {
  return static_cast<__mmask32>((std::uint64_t{1} << count) - 1);
}
inline __m512i LoadBits(const BFloat16* p, std::int64_t count) {
  return _mm512_maskz_loadu_epi16(First16(count), p);
}
inline void StoreBits(BFloat16* p, __m512i bits, std::int64_t count) {
  _mm512_mask_storeu_epi16(p, First16(count), bits);
}

inline __m256i Load16(const void* p, std::int64_t count) {
  return _mm256_maskz_loadu_epi16(FirstLanes(count), p);
}

inline void Store16(void* p, __m256i bits, std::int64_t count) {
  _mm256_mask_storeu_epi16(p, FirstLanes(count), bits);
}

inline Float Load(const float* p, std::int64_t count) {
  return _mm512_maskz_loadu_ps(FirstLanes(count), p);
}

inline Float Load(const Half* p, std::int64_t count) {
  return _mm512_cvtph_ps(Load16(p, count));
}

inline Float Load(const BFloat16* p, std::int64_t count) {
  const __m512i bits = _mm512_cvtepu16_epi32(Load16(p, count));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

inline void Store(float* p, Float v, std::int64_t count) {
  _mm512_mask_storeu_ps(p, FirstLanes(count), v);
}

inline void Store(Half* p, Float v, std::int64_t count) {
  Store16(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT), count);
}

inline void Store(BFloat16* p, Float v, std::int64_t count) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  const Bits32 rounded = bits + 0x7fff + ((bits >> 16) & 1);
  Store16(p, _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(rounded >> 16)),
          count);
}

inline Bits32 RoundToBFloat16(Float v) {
  const Bits32 bits = reinterpret_cast<Bits32>(v);
  return bits + 0x7fff + ((bits >> 16) & 1);
}

inline __m512i PackBFloat16(Float even, Float odd) {
  return reinterpret_cast<__m512i>(((RoundToBFloat16(even) >> 16) & 0xffff) |
                                   (RoundToBFloat16(odd) & -0x10000));
}

inline Float MaxBits(float low, Float v) {
  return _mm512_castsi512_ps(_mm512_max_epi32(
      _mm512_castps_si512(_mm512_set1_ps(low)), _mm512_castps_si512(v)));
}
inline Float MinBits(float high, Float v) {
  return _mm512_castsi512_ps(_mm512_min_epi32(
      _mm512_castps_si512(_mm512_set1_ps(high)), _mm512_castps_si512(v)));
}

// Non-temporal stores to memory aligned to 64 bytes. bfloat16 values are
// packed.
inline void StreamBits(void* p, __m512i bits) {
  _mm512_stream_si512(static_cast<__m512i*>(p), bits);
}

inline void StreamGroup(float* p, Float a, Float b) {
  _mm512_stream_ps(p, a);
  _mm512_stream_ps(p + kLanes, b);
}

inline void StreamGroup(Half* p, Float a, Float b) {
  const __m512i low =
      _mm512_castsi256_si512(_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  StreamBits(p, _mm512_inserti64x4(
                    low, _mm512_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT), 1));
}

template <int kFirst>
inline Float Join(Float low, Float high) {
  return _mm512_castsi512_ps(_mm512_alignr_epi32(
      _mm512_castps_si512(high), _mm512_castps_si512(low), kFirst));
}

constexpr int kEstimateBits = 14;
inline Float RsqrtEstimate(Float s) { return _mm512_rsqrt14_ps(s); }

namespace plain {

using avx512::MaxBits;
using avx512::MinBits;
using avx512::RsqrtEstimate;
using avx512::StreamGroup;

inline void StreamGroup(BFloat16* p, Float even, Float odd) {
  StreamBits(p, PackBFloat16(even, odd));
}

#include "custom_ops/lrn/lrn_cpu_kernels.inc"

}  // namespace plain

#pragma GCC push_options
#pragma GCC target("avx512bf16")
namespace bf16 {

using avx512::MaxBits;
using avx512::MinBits;
using avx512::RsqrtEstimate;
using avx512::StreamGroup;

// The instruction puts all even values before all odd ones.
inline __m512i PackBFloat16(Float even, Float odd) {
  const __m512i halves =
      reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  const __m512i lanes = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11,
                                         26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(lanes, halves);
}

inline void StreamGroup(BFloat16* p, Float even, Float odd) {
  StreamBits(p, PackBFloat16(even, odd));
}

#include "custom_ops/lrn/lrn_cpu_kernels.inc"

}  // namespace bf16
#pragma GCC pop_options

}  // namespace avx512
#pragma GCC pop_options

#endif  // ALEXNET_TF_X86

// -------------------------------------------------------------------- dispatch

constexpr std::int64_t kMaxLanes = 16;
constexpr std::int64_t kMaxPlanes = 3;
// The size of a plane. Its rows are few enough to stay in the first-level
// cache.
constexpr std::int64_t kPlaneFloats = 1024;

std::int64_t RoundUp(std::int64_t n) {
  return (n + kMaxLanes - 1) / kMaxLanes * kMaxLanes;
}

// Half of the window. A window that is larger than the row is the whole row.
std::int64_t HalfWindow(const LrnParams& params, std::int64_t channels) {
  return std::min<std::int64_t>(params.size / 2, channels - 1);
}

Constants ConstantsOf(const LrnParams& params, std::int64_t channels) {
  Constants c;
  c.k = params.k;
  c.alpha = params.alpha;
  c.beta = params.beta;
  std::uint32_t bits;
  std::memcpy(&bits, &params.beta, sizeof(bits));
  bits &= 0xfffff000u;
  std::memcpy(&c.beta_high, &bits, sizeof(bits));
  c.beta_low = params.beta - c.beta_high;
  c.power_of_infinity = params.beta == 0 ? 1 : 0;
  c.power_of_nan = params.beta == 0 ? 1 : kNan;
  // In double precision, because 2 * alpha may overflow.
  c.two_alpha_beta = 2.0 * params.alpha * params.beta;
  c.passes_all = params.rectified ? 0 : -1;
  c.half = HalfWindow(params, channels);
  return c;
}

template <typename T>
Kernels<T> Choose(Isa isa, const LrnParams& params, std::int64_t channels,
                  bool stream) {
#if defined(ALEXNET_TF_X86)
  if constexpr (std::is_same<T, BFloat16>::value) {
    if (isa >= Isa::kAvx512Bf16) {
      return avx512::bf16::Choose<T>(params, channels, stream);
    }
  }
  if (isa >= Isa::kAvx512) {
    return avx512::plain::Choose<T>(params, channels, stream);
  }
  if (isa == Isa::kAvx2) return avx2::Choose<T>(params, channels, stream);
#endif
  static_cast<void>(isa);
  return baseline::Choose<T>(params, channels, stream);
}

// Returns whether every row of `output` can be written in whole cache lines.
template <typename T>
bool InWholeLines(const T* output, std::int64_t channels) {
  constexpr std::uintptr_t kLine = 64;
  return reinterpret_cast<std::uintptr_t>(output) % kLine == 0 &&
         channels * sizeof(T) % kLine == 0;
}

void FinishStreaming() {
#if defined(ALEXNET_TF_X86)
  _mm_sfence();
#endif
}

// How rows are cut into blocks, whose planes are the scratch space. Windows of
// five stay in registers and need none.
struct Blocks {
  Blocks(const LrnParams& params, std::int64_t channels) {
    if (params.size == 5) return;
    pad = RoundUp(HalfWindow(params, channels));
    stride = RoundUp(channels) + pad;
    rows = std::max<std::int64_t>(1, kPlaneFloats / stride);
    plane = pad + rows * stride;
  }

  Scratch ScratchIn(float* memory) const {
    // The padding of every row must be zero.
    std::fill_n(memory, kMaxPlanes * plane, 0.0f);
    return {memory + pad, stride, plane};
  }

  std::int64_t pad = 0, stride = 0, plane = 0;
  std::int64_t rows = std::numeric_limits<std::int64_t>::max();
};

}  // namespace

std::int64_t LrnScratch(const LrnParams& params, std::int64_t channels) {
  return kMaxPlanes * Blocks(params, channels).plane;
}

template <typename T>
void LrnForward(Isa isa, const LrnParams& params, const T* x, std::int64_t rows,
                std::int64_t channels, float* scratch, T* y, bool stream) {
  if (rows == 0 || channels == 0) return;
  const Constants c = ConstantsOf(params, channels);
  stream = stream && InWholeLines(y, channels);
  const auto forward = Choose<T>(isa, params, channels, stream).forward;
  const Blocks blocks(params, channels);
  const Scratch planes = blocks.ScratchIn(scratch);
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t start = row * channels;
    const std::int64_t count = std::min(blocks.rows, rows - row);
    forward(c, planes, x + start, count, channels, y + start);
    row += count;
  }
  if (stream) FinishStreaming();
}

template <typename T>
void LrnGradient(Isa isa, const LrnParams& params, const T* dy, const T* x,
                 std::int64_t rows, std::int64_t channels, float* scratch,
                 T* dx, bool stream) {
  if (rows == 0 || channels == 0) return;
  const Constants c = ConstantsOf(params, channels);
  stream = stream && InWholeLines(dx, channels);
  const auto gradient = Choose<T>(isa, params, channels, stream).gradient;
  const Blocks blocks(params, channels);
  const Scratch planes = blocks.ScratchIn(scratch);
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t start = row * channels;
    const std::int64_t count = std::min(blocks.rows, rows - row);
    gradient(c, planes, dy + start, x + start, count, channels, dx + start);
    row += count;
  }
  if (stream) FinishStreaming();
}

#define INSTANTIATE(T)                                                       \
  template void LrnForward<T>(Isa, const LrnParams&, const T*, std::int64_t, \
                              std::int64_t, float*, T*, bool);               \
  template void LrnGradient<T>(Isa, const LrnParams&, const T*, const T*,    \
                               std::int64_t, std::int64_t, float*, T*, bool);
INSTANTIATE(float)
INSTANTIATE(Half)
INSTANTIATE(BFloat16)
#undef INSTANTIATE

}  // namespace alexnet_tf
