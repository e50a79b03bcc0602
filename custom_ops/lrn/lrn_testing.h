// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// What the tests and the bench of the LRN kernels share: values of each type,
// and the results that the double-precision reference expects.

#ifndef ALEXNET_TF_CUSTOM_OPS_LRN_LRN_TESTING_H_
#define ALEXNET_TF_CUSTOM_OPS_LRN_LRN_TESTING_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "custom_ops/lrn/lrn.h"

namespace alexnet_tf {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// For each type: Set and Get write and read one value. Rounding() is the
// relative error of rounding to the type, and Tiny() the absolute error of
// small values.
inline void Set(float* p, double v) { *p = static_cast<float>(v); }
inline double Get(const float& v) { return v; }
inline double Rounding(const float*) { return 0x1p-24; }
inline double Tiny(const float*) { return 1e-37; }

// Truncates, and keeps the sign of NaN.
inline void Set(BFloat16* p, double v) {
  const float f = static_cast<float>(v);
  std::uint32_t bits;
  std::memcpy(&bits, &f, sizeof(bits));
  p->bits = static_cast<std::uint16_t>(bits >> 16);
}
inline double Get(const BFloat16& v) { return Widen(v); }
inline double Rounding(const BFloat16*) { return 0x1p-8; }
inline double Tiny(const BFloat16*) { return 1e-37; }

inline double Get(const Half& v) {
  const int exponent = v.bits >> 10 & 31, mantissa = v.bits & 1023;
  const double sign = v.bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return mantissa ? kNan : sign * kInf;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}
inline void Set(Half* p, double v) {
  const std::uint16_t sign = std::signbit(v) ? 0x8000 : 0;
  const double magnitude = std::fabs(v);
  if (std::isnan(v)) {
    p->bits = 0x7e00;
    return;
  }
  // The bits of positive halves are in the order of their values.
  std::uint16_t low = 0, high = 0x7c00;
  while (high - low > 1) {
    const std::uint16_t middle = (low + high) / 2;
    (Get(Half{middle}) <= magnitude ? low : high) = middle;
  }
  p->bits = sign | (std::isinf(v) ? 0x7c00 : low);
}
inline double Rounding(const Half*) { return 0x1p-11; }
inline double Tiny(const Half*) { return 0x1p-25; }

// y and dx by the reference. The terms of dx may cancel, so its error is
// relative to `scale`, which is at least the largest one.
struct LrnExpected {
  std::vector<double> y, dx, scale;
};

template <typename T>
LrnExpected ExpectedOf(const LrnParams& params, const T* x, const T* dy,
                       std::int64_t rows, std::int64_t channels) {
  const std::int64_t count = rows * channels;
  std::vector<double> wide_x(count), wide_dy(count);
  LrnExpected expected{std::vector<double>(count), std::vector<double>(count),
                       std::vector<double>(count)};
  for (std::int64_t i = 0; i < count; ++i) {
    wide_x[i] = Get(x[i]);
    wide_dy[i] = Get(dy[i]);
  }
  LrnReferenceForward(params, wide_x.data(), rows, channels, expected.y.data());
  LrnReferenceGradient(params, wide_dy.data(), wide_x.data(), rows, channels,
                       expected.dx.data());
  // If all inputs are positive, only the first term has the other sign.
  for (double& v : wide_x) v = std::fabs(v);
  for (double& v : wide_dy) v = std::fabs(v);
  LrnReferenceGradient(params, wide_dy.data(), wide_x.data(), rows, channels,
                       expected.scale.data());
  for (std::int64_t i = 0; i < count; ++i) {
    expected.scale[i] = std::fabs(expected.scale[i]) +
                        2 * wide_dy[i] * std::pow(params.k, -params.beta);
  }
  return expected;
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_LRN_LRN_TESTING_H_
