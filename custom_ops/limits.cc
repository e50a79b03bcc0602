// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/limits.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace alexnet_tf {
namespace {

// The shortest text with six digits, where std::to_string shows 0 for 1e-9.
std::string Text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

}  // namespace

std::string ExtentError(const char* name, int least, int value) {
  if (value >= least && value <= kLargestExtent) return "";
  return std::string(name) + " must be between " + std::to_string(least) +
         " and " + std::to_string(kLargestExtent) + ", got " +
         std::to_string(value);
}

std::string FactorError(const char* name, float value) {
  if (value >= 0 && std::isfinite(value)) return "";
  return std::string(name) + " must be finite and at least 0, got " +
         Text(value);
}

std::string NormalizationError(int size, float k, float alpha, float beta) {
  if (size < 1 || size > kLargestExtent || size % 2 == 0) {
    return "size must be odd and between 1 and " +
           std::to_string(kLargestExtent) + ", got " + std::to_string(size);
  }
  // TensorFlow's threads flush smaller values to zero.
  constexpr float kSmallest = std::numeric_limits<float>::min();
  if (!(k >= kSmallest && std::isfinite(k))) {
    return "k must be finite and at least " + Text(kSmallest) + ", got " +
           Text(k);
  }
  std::string error = FactorError("alpha", alpha);
  if (error.empty()) error = FactorError("beta", beta);
  if (!error.empty()) return error;
  const auto constants = [=] {
    return "got k " + Text(k) + ", alpha " + Text(alpha) + " and beta " +
           Text(beta);
  };
  if (std::pow(double{k}, -double{beta}) > 0x1p127) {
    return "k^-beta must be at most 2^127, " + constants();
  }
  if (2 * double{alpha} * double{beta} > 0x1p127) {
    return "2 * alpha * beta must be at most 2^127, " + constants();
  }
  return "";
}

std::int64_t BoundedProduct(std::initializer_list<std::int64_t> factors) {
  constexpr std::int64_t kMost = std::int64_t{1} << 62;
  if (std::find(factors.begin(), factors.end(), 0) != factors.end()) return 0;
  std::int64_t product = 1;
  for (const std::int64_t factor : factors) {
    if (factor > kMost / product) return kMost;
    product *= factor;
  }
  return product;
}

}  // namespace alexnet_tf
