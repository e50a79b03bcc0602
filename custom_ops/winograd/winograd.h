// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Winograd's minimal convolution (Lavin & Gray, 2016): what is done to pictures
// before and after its matrix products; free of TensorFlow.
//
// Of every tile of `outputs` x `outputs` results, with t = outputs + taps - 1,
//     y = A^T [(G g G^T) * (B^T x B)] A
// in t^2 products a pair of channels, where the sum as written takes
// outputs^2 * taps^2. The products of one place of all tiles are one matrix
// product. Matrices are Toom's and Cook's for the points 0, 1, -1, 2, -2, 1/2,
// -1/2, of which the first t - 2, and infinity.

#ifndef ALEXNET_TF_CUSTOM_OPS_WINOGRAD_WINOGRAD_H_
#define ALEXNET_TF_CUSTOM_OPS_WINOGRAD_WINOGRAD_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

// Which pictures: those the convolution reads (transformed by B), or those it
// writes (by A).
enum class WinogradSide { kInput, kOutput };

struct WinogradParams {
  WinogradSide side;
  int outputs;  // 2 or 4
  int taps;     // 3 or 5; outputs + taps - 1 is 4, 6 or 8
  int before;   // rows and columns of zeros that the convolution adds to its
  int after;    // input, in front and behind
};

// Pictures of [height, width, channels].
struct WinogradShape {
  std::int64_t pictures;
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;
};

// What is wrong with `params`, or nothing.
std::string WinogradError(const WinogradParams& params);

// Tiles of one picture, 0 or less where no result fits it.
std::int64_t WinogradTiles(const WinogradParams& params,
                           const WinogradShape& shape);

// Floats of scratch space that WinogradFromTiles needs.
std::size_t WinogradScratch(const WinogradShape& shape);

// Between pictures, [pictures, height, width, channels], and transformed tiles,
// [t * t, pictures * tiles, channels]: pictures `first` to `last`, without it.
// The two are adjoint to each other: each is the other's gradient. Values are
// float32 or bfloat16; the arithmetic is float32. kInput: B^T x B, and its
// adjoint, in which tiles overlap. kOutput: A^T m A, and its adjoint.
template <typename T>
void WinogradToTiles(Isa isa, const WinogradParams& params,
                     const WinogradShape& shape, const T* pictures,
                     std::int64_t first, std::int64_t last, T* tiles);
template <typename T>
void WinogradFromTiles(Isa isa, const WinogradParams& params,
                       const WinogradShape& shape, const T* tiles,
                       std::int64_t first, std::int64_t last, float* scratch,
                       T* pictures);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_WINOGRAD_WINOGRAD_H_
