// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "custom_ops/spatial/spatial.h"

namespace alexnet_tf {
namespace {

// The sum of `values` over the square around each position.
std::vector<double> WindowSums(const SpatialParams& params,
                               const SpatialShape& shape,
                               const std::vector<double>& values) {
  const std::int64_t half = params.size / 2;
  std::vector<double> sums(values.size());
  for (std::int64_t i = 0; i < std::int64_t(values.size()); ++i) {
    const std::int64_t channel = i % shape.channels;
    const std::int64_t column = i / shape.channels % shape.width;
    const std::int64_t row = i / shape.channels / shape.width;
    const std::int64_t top = std::max<std::int64_t>(row - half, 0);
    const std::int64_t left = std::max<std::int64_t>(column - half, 0);
    const std::int64_t bottom = std::min(row + half, shape.height - 1);
    const std::int64_t right = std::min(column + half, shape.width - 1);
    for (std::int64_t r = top; r <= bottom; ++r) {
      for (std::int64_t c = left; c <= right; ++c) {
        sums[i] += values[(r * shape.width + c) * shape.channels + channel];
      }
    }
  }
  return sums;
}

// s at each position.
std::vector<double> Scales(const SpatialParams& params,
                           const SpatialShape& shape, const double* x) {
  std::vector<double> scales(shape.height * shape.width * shape.channels);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = x[i] * x[i];
  scales = WindowSums(params, shape, scales);
  for (double& s : scales) s = params.k + params.alpha * s;
  return scales;
}

}  // namespace

void SpatialReferenceForward(const SpatialParams& params,
                             const SpatialShape& shape, const double* x,
                             double* y) {
  const std::vector<double> s = Scales(params, shape, x);
  for (std::size_t i = 0; i < s.size(); ++i) {
    y[i] = x[i] * std::pow(s[i], -params.beta);
  }
}

void SpatialReferenceGradient(const SpatialParams& params,
                              const SpatialShape& shape, const double* dy,
                              const double* x, double* dx) {
  const double alpha = params.alpha, beta = params.beta;
  const std::vector<double> s = Scales(params, shape, x);
  std::vector<double> pull(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    pull[i] = dy[i] * x[i] * std::pow(s[i], -beta - 1);
  }
  pull = WindowSums(params, shape, pull);
  for (std::size_t i = 0; i < s.size(); ++i) {
    dx[i] = dy[i] * std::pow(s[i], -beta) - 2 * alpha * beta * x[i] * pull[i];
  }
}

}  // namespace alexnet_tf
