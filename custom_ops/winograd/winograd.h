// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Winograd convolution (Lavin & Gray, 2016): the transformations of images
// before and after its matrix products. Nothing here uses TensorFlow, so the
// library can be built, tested and timed alone.
//
// For every tile of `outputs` x `outputs` results, with
// t = outputs + kernel_size - 1,
//
//   y = A^T [(G g G^T) * (B^T x B)] A.
//
// This takes t^2 products per pair of channels, whereas direct convolution
// takes outputs^2 * kernel_size^2. The products at one place of all tiles are
// one matrix product.
//
// The matrices are those of Toom and Cook for the first t - 2 of the points 0,
// 1, -1, 2, -2, 1/2, -1/2, and for infinity:
//
//   A, [t, outputs]: each row has the powers 0 to outputs - 1 of a point. The
//     row of infinity has a one in the last column.
//   B^T, [t, t]: each row has the coefficients of the product of (z - p) over
//     all points p other than the row's own; the row of infinity, over all
//     points.
//   G, [t, kernel_size]: each row has the powers 0 to kernel_size - 1 of a
//   point
//     q, divided by the product of (q - p) over all other points p. The row of
//     infinity has a one in the last column.

#ifndef ALEXNET_TF_CUSTOM_OPS_WINOGRAD_WINOGRAD_H_
#define ALEXNET_TF_CUSTOM_OPS_WINOGRAD_WINOGRAD_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

// Which images are transformed: those that the convolution reads, by B, or
// those that it writes, by A.
enum class WinogradSide { kInput, kOutput };

struct WinogradParams {
  WinogradSide side;
  int outputs;      // 2 or 4
  int kernel_size;  // 3 or 5; t is then 4, 6 or 8
  // Rows and columns of zeros in front of the convolution's input, and behind
  // it, 0 to kLargestExtent.
  int padding_before;
  int padding_after;
};

struct WinogradShape {
  std::int64_t images;
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;
};

// Returns what is wrong with `params`, or an empty string. The functions below
// need valid params, and dimensions of at most kLargestDimension.
std::string WinogradError(const WinogradParams& params);

// The number of places in a transformed tile, t * t.
std::int64_t WinogradPlaces(const WinogradParams& params);

// The number of tiles in one image. It is 0 if the image is too small for a
// result.
std::int64_t WinogradTiles(const WinogradParams& params,
                           const WinogradShape& shape);

// Returns what is wrong with tiles of these images, or an empty string: there
// may be at most 2^60 values.
std::string WinogradShapeError(const WinogradParams& params,
                               const WinogradShape& shape);

// Below, images are [images, height, width, channels], and transformed tiles
// are [t * t, images * tiles, channels].
//
// ToTiles computes B^T x B for kInput, where tiles overlap, and A y A^T for
// kOutput. FromTiles is its adjoint: A^T m A for kOutput, and for kInput the
// sum of B m B^T over the tiles. Each function is the other's gradient.

// Both in double precision, for all images. The tests compare the fast kernels
// with these functions.
void WinogradReferenceToTiles(const WinogradParams& params,
                              const WinogradShape& shape, const double* images,
                              double* tiles);
void WinogradReferenceFromTiles(const WinogradParams& params,
                                const WinogradShape& shape, const double* tiles,
                                double* images);

// The number of floats of scratch space that WinogradFromTiles needs. The space
// may contain anything.
std::size_t WinogradScratch(const WinogradShape& shape);

// The same for the images `first` up to, but without, `last`, of float32 or
// bfloat16 values. The arithmetic is float32. Single-threaded.
template <typename T>
void WinogradToTiles(Isa isa, const WinogradParams& params,
                     const WinogradShape& shape, const T* images,
                     std::int64_t first, std::int64_t last, T* tiles);
template <typename T>
void WinogradFromTiles(Isa isa, const WinogradParams& params,
                       const WinogradShape& shape, const T* tiles,
                       std::int64_t first, std::int64_t last, float* scratch,
                       T* images);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_WINOGRAD_WINOGRAD_H_
