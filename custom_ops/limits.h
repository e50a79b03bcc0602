// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// What the ops accept. Attributes and shapes come from saved models, so they
// may be anything, and no number computed from them may overflow. Every
// function here returns an empty string, or what is wrong: which attribute,
// what was expected, and what it is.

#ifndef ALEXNET_TF_CUSTOM_OPS_LIMITS_H_
#define ALEXNET_TF_CUSTOM_OPS_LIMITS_H_

#include <cstdint>
#include <initializer_list>
#include <string>

namespace alexnet_tf {

// The largest size of a window or kernel, and the largest padding. No JPEG is
// larger.
constexpr int kLargestExtent = 65535;

// The largest dimension of a tensor of images. The product of any two, and the
// sum of any few, fit std::int64_t.
constexpr std::int64_t kLargestDimension = 2147483647;

// An attribute that must lie between `least` and kLargestExtent.
std::string ExtentError(const char* name, int least, int value);

// An attribute that must be finite and at least 0.
std::string FactorError(const char* name, float value);

// The constants of s^-beta with s = k + alpha * a sum of squares. The largest
// power, k^-beta, is finite, so that 0 times a power is 0.
std::string NormalizationError(int size, float k, float alpha, float beta);

// Returns the product of these numbers, which are at least 0, or 2^62 if it is
// larger.
std::int64_t BoundedProduct(std::initializer_list<std::int64_t> factors);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_LIMITS_H_
