// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The gradient of a convolution by its weights, in bfloat16, as products of
// tiles; free of TensorFlow.
//
// Of y = x * w + b with stride 1,
//     dw[i, j, c, f] = sum over n, p, q of
//                      x[n, p + i - before, q + j - before, c] dy[n, p, q, f],
// a product of two matrices for each tap whose inner dimension is all positions
// of all pictures: a batch of 128 maps of 13 x 13 has 21,632. Positions are
// counted on a grid with zeros between rows and between pictures, on which the
// step from tap to tap is an offset.

#ifndef ALEXNET_TF_CUSTOM_OPS_CONVOLUTION_CONVOLUTION_H_
#define ALEXNET_TF_CUSTOM_OPS_CONVOLUTION_CONVOLUTION_H_

#include <cstddef>
#include <cstdint>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

struct ConvolutionShape {
  std::int64_t pictures, height, width, channels;  // of the input
  std::int64_t taps;                               // on each side of the kernel
  std::int64_t before, after;  // zeros around the input, in front and behind
  std::int64_t filters;

  std::int64_t OutputHeight() const {
    return height + before + after - taps + 1;
  }
  std::int64_t OutputWidth() const { return width + before + after - taps + 1; }
};

// Blocks of the kernel's gradient, for FinishWeightGradients.
std::int64_t WeightGradientBlocks(const ConvolutionShape& shape);

// Floats of a partial sum: both gradients, tile by tile.
std::size_t WeightGradientSums(const ConvolutionShape& shape);

// Adds to `sums` what pictures `first` to `last`, without it, contribute.
// x: [pictures, height, width, channels]. dy: [pictures, OutputHeight(),
// OutputWidth(), filters]. Products of bfloat16 are summed in float32.
void AddWeightGradients(Isa isa, const ConvolutionShape& shape,
                        const BFloat16* x, const BFloat16* dy,
                        std::int64_t first, std::int64_t last, float* sums);

// Adds up `parts` partial sums, one behind the other, and rounds, for blocks
// `first` to `last`, without it, of WeightGradientBlocks().
// kernel: [taps, taps, channels, filters].
void FinishWeightGradients(const ConvolutionShape& shape, const float* sums,
                           std::int64_t parts, std::int64_t first,
                           std::int64_t last, BFloat16* kernel);

// As FinishWeightGradients, for bias: [filters].
void FinishBiasGradients(const ConvolutionShape& shape, const float* sums,
                         std::int64_t parts, BFloat16* bias);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_CONVOLUTION_CONVOLUTION_H_
