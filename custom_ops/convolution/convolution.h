// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The weight gradients of a convolution in bfloat16, computed as products of
// tiles. Nothing here uses TensorFlow, so the library can be built, tested and
// timed alone.
//
// For y = x * w + b with stride 1, the gradients are
//
//   dw[i, j, c, f] = sum over n, p, q of
//                    x[n, p + i - padding_before, q + j - padding_before, c]
//                    dy[n, p, q, f],
//   db[f] = sum over n, p, q of dy[n, p, q, f].
//
// For each kernel position (i, j), dw is a product of two matrices. Their inner
// dimension is all positions of all images: 21,632 for a batch of 128 maps of
// 13 x 13. Positions are counted on a grid that has zeros between rows and
// between images, so that moving from one kernel position to another is an
// offset on the grid.

#ifndef ALEXNET_TF_CUSTOM_OPS_CONVOLUTION_CONVOLUTION_H_
#define ALEXNET_TF_CUSTOM_OPS_CONVOLUTION_CONVOLUTION_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

struct ConvolutionShape {
  std::int64_t images, height, width, channels;  // of the input
  std::int64_t kernel_size;  // height and width, 1 to kLargestExtent
  // Rows and columns of zeros in front of the input, and behind it, 0 to
  // kLargestExtent.
  std::int64_t padding_before, padding_after;
  std::int64_t filters;

  std::int64_t OutputHeight() const {
    return height + padding_before + padding_after - kernel_size + 1;
  }
  std::int64_t OutputWidth() const {
    return width + padding_before + padding_after - kernel_size + 1;
  }
};

// In the functions below,
// x: [images, height, width, channels],
// dy: [images, OutputHeight(), OutputWidth(), filters],
// kernel_gradient: [kernel_size, kernel_size, channels, filters],
// bias_gradient: [filters].

// The formulas above in double precision. The tests compare the fast kernels
// with this function.
void ConvolutionReferenceWeightGradients(const ConvolutionShape& shape,
                                         const double* x, const double* dy,
                                         double* kernel_gradient,
                                         double* bias_gradient);

// The fast kernels work in two steps. First, AddWeightGradients is called for
// parts of the images, each with a partial sum of its own. Then the two Finish
// functions add up the partial sums and round them once.

// Returns what is wrong with these attributes, or an empty string.
std::string ConvolutionError(int kernel_size, int padding_before,
                             int padding_after);

// The number of floats in a partial sum. It holds both gradients, tile by tile.
std::size_t WeightGradientSums(const ConvolutionShape& shape);

// The number of floats of scratch space that AddWeightGradients needs for up to
// `most_images` images, at least 1: 2^62 if it is larger. The space must be
// aligned to 64 bytes, and may contain anything.
std::int64_t WeightGradientScratch(const ConvolutionShape& shape,
                                   std::int64_t most_images);

// Adds to `sums` the contribution of the images `first` up to, but without,
// `last`. Products of bfloat16 values are summed in float32.
void AddWeightGradients(Isa isa, const ConvolutionShape& shape,
                        const BFloat16* x, const BFloat16* dy,
                        std::int64_t first, std::int64_t last, float* scratch,
                        float* sums);

// The number of blocks into which FinishWeightGradients cuts its work.
std::int64_t WeightGradientBlocks(const ConvolutionShape& shape);

// Adds up `parts` consecutive partial sums and rounds the result, for the
// blocks `first` up to, but without, `last`.
void FinishWeightGradients(const ConvolutionShape& shape, const float* sums,
                           std::int64_t parts, std::int64_t first,
                           std::int64_t last, BFloat16* kernel_gradient);

// The same for the bias, in one call.
void FinishBiasGradients(const ConvolutionShape& shape, const float* sums,
                         std::int64_t parts, BFloat16* bias_gradient);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_CONVOLUTION_CONVOLUTION_H_
