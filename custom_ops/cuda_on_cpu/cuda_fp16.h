// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Stands in for CUDA's header of this name; see cuda_runtime.h.

#ifndef ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_FP16_H_
#define ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_FP16_H_

#include <algorithm>
#include <cmath>

struct __half {
  unsigned short bits;
};
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __half_as_ushort(__half value) { return value.bits; }

inline float __half2float(__half value) {
  const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
  float magnitude = std::ldexp(1024.0f + fraction, exponent - 25);
  if (exponent == 0) magnitude = std::ldexp(float(fraction), -24);
  if (exponent == 31) magnitude = fraction ? NAN : INFINITY;
  return value.bits & 0x8000 ? -magnitude : magnitude;
}

// Rounds to nearest, ties to even.
inline __half __float2half_rn(float value) {
  if (std::isnan(value)) return {0x7fff};
  const unsigned short sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f)
    return {static_cast<unsigned short>(sign | 0x7c00)};
  // A carry out of the fraction enters the exponent, which is right.
  const int exponent = std::max(-14, std::ilogb(magnitude));
  const int fraction = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
  return {
      static_cast<unsigned short>(sign | ((exponent + 14) * 1024 + fraction))};
}

#endif  // ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_FP16_H_
