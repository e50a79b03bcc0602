// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "custom_ops/lrn/lrn.h"

namespace alexnet_tf {
namespace {

// The sum of values[j] over the window around i, clipped to the row.
double WindowSum(const std::vector<double>& values, std::int64_t i, int size) {
  const std::int64_t channels = values.size();
  const std::int64_t first = std::max<std::int64_t>(0, i - size / 2);
  const std::int64_t last = std::min<std::int64_t>(channels - 1, i + size / 2);
  double sum = 0;
  for (std::int64_t j = first; j <= last; ++j) sum += values[j];
  return sum;
}

// s_i for the channels of one row.
std::vector<double> Scales(const LrnParams& params, const double* x,
                           std::int64_t channels) {
  std::vector<double> squares(channels), scales(channels);
  for (std::int64_t i = 0; i < channels; ++i) squares[i] = x[i] * x[i];
  for (std::int64_t i = 0; i < channels; ++i) {
    scales[i] =
        params.k + double{params.alpha} * WindowSum(squares, i, params.size);
  }
  return scales;
}

}  // namespace

void LrnReferenceForward(const LrnParams& params, const double* x,
                         std::int64_t rows, std::int64_t channels, double* y) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const double* row_x = x + row * channels;
    const std::vector<double> scale = Scales(params, row_x, channels);
    for (std::int64_t i = 0; i < channels; ++i) {
      y[row * channels + i] = row_x[i] / std::pow(scale[i], params.beta);
    }
  }
}

void LrnReferenceGradient(const LrnParams& params, const double* dy,
                          const double* x, std::int64_t rows,
                          std::int64_t channels, double* dx) {
  const double alpha = params.alpha, beta = params.beta;
  for (std::int64_t row = 0; row < rows; ++row) {
    const double* row_x = x + row * channels;
    const double* row_dy = dy + row * channels;
    const std::vector<double> scale = Scales(params, row_x, channels);
    std::vector<double> pull(channels);  // the terms of the second sum
    for (std::int64_t j = 0; j < channels; ++j) {
      pull[j] = row_dy[j] * row_x[j] / std::pow(scale[j], beta + 1);
    }
    for (std::int64_t i = 0; i < channels; ++i) {
      dx[row * channels + i] =
          row_dy[i] / std::pow(scale[i], beta) -
          2 * alpha * beta * row_x[i] * WindowSum(pull, i, params.size);
      if (params.rectified && !(row_x[i] > 0)) dx[row * channels + i] = 0;
    }
  }
}

}  // namespace alexnet_tf
