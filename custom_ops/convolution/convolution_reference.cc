// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <algorithm>

#include "custom_ops/convolution/convolution.h"

namespace alexnet_tf {
namespace {

// Adds the contribution of one output position, with the gradients `dy` of its
// filters. `image` is the input image, and `row` and `column` are where the
// kernel begins in it.
void AddPosition(const ConvolutionShape& s, const double* image,
                 std::int64_t row, std::int64_t column, const double* dy,
                 double* kernel_gradient) {
  for (std::int64_t i = 0; i < s.kernel_size; ++i) {
    for (std::int64_t j = 0; j < s.kernel_size; ++j) {
      const std::int64_t y = row + i, x = column + j;
      if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
      for (std::int64_t c = 0; c < s.channels; ++c) {
        double* to = kernel_gradient +
                     ((i * s.kernel_size + j) * s.channels + c) * s.filters;
        const double value = image[(y * s.width + x) * s.channels + c];
        for (std::int64_t f = 0; f < s.filters; ++f) to[f] += value * dy[f];
      }
    }
  }
}

}  // namespace

void ConvolutionReferenceWeightGradients(const ConvolutionShape& s,
                                         const double* x, const double* dy,
                                         double* kernel_gradient,
                                         double* bias_gradient) {
  std::fill_n(kernel_gradient,
              s.kernel_size * s.kernel_size * s.channels * s.filters, 0.0);
  std::fill_n(bias_gradient, s.filters, 0.0);
  for (std::int64_t n = 0; n < s.images; ++n) {
    for (std::int64_t p = 0; p < s.OutputHeight(); ++p) {
      for (std::int64_t q = 0; q < s.OutputWidth(); ++q, dy += s.filters) {
        for (std::int64_t f = 0; f < s.filters; ++f) bias_gradient[f] += dy[f];
        AddPosition(s, x + n * s.height * s.width * s.channels,
                    p - s.padding_before, q - s.padding_before, dy,
                    kernel_gradient);
      }
    }
  }
}

}  // namespace alexnet_tf
