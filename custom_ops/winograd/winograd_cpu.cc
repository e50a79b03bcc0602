// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The matrices, the places of tiles in an image, and the choice of kernels. As
// in lrn_cpu.cc, one binary holds the kernels of every instruction set.

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "custom_ops/limits.h"
#include "custom_ops/winograd/winograd.h"

namespace alexnet_tf {
namespace {

template <int kTheRows, int kTheColumns>
struct Factors {
  float at[kTheRows][kTheColumns] = {};
};

// The points of Toom and Cook. Infinity comes after the last one in use.
constexpr double kPoints[] = {0, 1, -1, 2, -2, 0.5, -0.5};

// A and B^T of winograd.h.
template <int kTile, int kOutputs>
constexpr Factors<kTile, kOutputs> MakeA() {
  Factors<kTile, kOutputs> a;
  for (int i = 0; i < kTile - 1; ++i) {
    double power = 1;
    for (int j = 0; j < kOutputs; ++j, power *= kPoints[i]) a.at[i][j] = power;
  }
  a.at[kTile - 1][kOutputs - 1] = 1;
  return a;
}

template <int kTile>
constexpr Factors<kTile, kTile> MakeBT() {
  Factors<kTile, kTile> b;
  for (int i = 0; i < kTile; ++i) {
    double product[kTile] = {1};
    int degree = 0;
    for (int point = 0; point < kTile - 1; ++point) {
      if (point == i) continue;
      ++degree;
      for (int j = degree; j >= 0; --j) {
        product[j] = (j > 0 ? product[j - 1] : 0) - kPoints[point] * product[j];
      }
    }
    for (int j = 0; j < kTile; ++j) b.at[i][j] = product[j];
  }
  return b;
}

template <int kRows, int kColumns>
constexpr Factors<kColumns, kRows> Transposed(
    const Factors<kRows, kColumns>& factors) {
  Factors<kColumns, kRows> transposed;
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) transposed.at[j][i] = factors.at[i][j];
  }
  return transposed;
}

template <int kTile, int kOutputs>
struct A {
  static constexpr int kRows = kTile, kColumns = kOutputs;
  static constexpr auto Make() { return MakeA<kTile, kOutputs>(); }
};
template <int kTile>
struct BT {
  static constexpr int kRows = kTile, kColumns = kTile;
  static constexpr auto Make() { return MakeBT<kTile>(); }
};
template <typename Matrix>
struct Transpose {
  static constexpr int kRows = Matrix::kColumns, kColumns = Matrix::kRows;
  static constexpr auto Make() { return Transposed(Matrix::Make()); }
};

// The places of the tiles in an image.
struct Grid {
  Grid(const WinogradParams& params, const WinogradShape& the_shape)
      : shape(the_shape), step(params.outputs) {
    const bool input = params.side == WinogradSide::kInput;
    padding = input ? params.padding_before : 0;
    const std::int64_t grow =
        input ? padding + params.padding_after - params.kernel_size + 1 : 0;
    rows = (shape.height + grow + step - 1) / step;
    columns = (shape.width + grow + step - 1) / step;
  }

  std::int64_t ImageValues() const {
    return shape.height * shape.width * shape.channels;
  }

  // The offsets in an image of a tile's kSide x kSide places, or -1 for places
  // outside the image.
  template <int kSide>
  void Places(std::int64_t row, std::int64_t column, std::int64_t* at) const {
    for (int i = 0; i < kSide; ++i) {
      const std::int64_t y = row * step - padding + i;
      for (int j = 0; j < kSide; ++j) {
        const std::int64_t x = column * step - padding + j;
        const bool inside =
            y >= 0 && y < shape.height && x >= 0 && x < shape.width;
        at[i * kSide + j] =
            inside ? (y * shape.width + x) * shape.channels : -1;
      }
    }
  }

  const WinogradShape shape;
  const std::int64_t step;
  std::int64_t padding, rows, columns;
};

namespace baseline {
constexpr std::int64_t kLanes = 4;
#include "custom_ops/winograd/winograd_cpu_kernels.inc"
}  // namespace baseline

#if defined(ALEXNET_TF_X86)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
constexpr std::int64_t kLanes = 8;
#include "custom_ops/winograd/winograd_cpu_kernels.inc"
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
namespace avx512 {
constexpr std::int64_t kLanes = 16;
#include "custom_ops/winograd/winograd_cpu_kernels.inc"
}  // namespace avx512
#pragma GCC pop_options
#endif

// Calls use(kernel) with the kernel of this instruction set and this matrix.
template <typename T, typename Matrix, typename Use>
void WithKernel(Isa isa, Use use) {
  switch (isa) {
#if defined(ALEXNET_TF_X86)
    case Isa::kAmxBf16:
    case Isa::kAvx512Bf16:
    case Isa::kAvx512:
      return use(avx512::Kernel<T, Matrix>());
    case Isa::kAvx2:
      return use(avx2::Kernel<T, Matrix>());
#endif
    default:
      return use(baseline::Kernel<T, Matrix>());
  }
}

// Calls use(matrix) with the matrix that transforms images to tiles.
template <typename Use>
void WithMatrix(const WinogradParams& params, Use use) {
  const int tile = params.outputs + params.kernel_size - 1;
  if (params.side == WinogradSide::kInput) {
    if (tile == 4) return use(BT<4>());
    if (tile == 6) return use(BT<6>());
    return use(BT<8>());
  }
  if (tile == 4) return use(A<4, 2>());
  if (tile == 6 && params.outputs == 2) return use(A<6, 2>());
  if (tile == 6) return use(A<6, 4>());
  return use(A<8, 4>());
}

}  // namespace

std::string WinogradError(const WinogradParams& params) {
  if (params.outputs != 2 && params.outputs != 4) {
    return "outputs must be 2 or 4, got " + std::to_string(params.outputs);
  }
  if (params.kernel_size != 3 && params.kernel_size != 5) {
    return "kernel_size must be 3 or 5, got " +
           std::to_string(params.kernel_size);
  }
  const std::string error =
      ExtentError("padding_before", 0, params.padding_before);
  if (!error.empty()) return error;
  return ExtentError("padding_after", 0, params.padding_after);
}

std::int64_t WinogradPlaces(const WinogradParams& params) {
  const std::int64_t tile = params.outputs + params.kernel_size - 1;
  return tile * tile;
}

std::int64_t WinogradTiles(const WinogradParams& params,
                           const WinogradShape& shape) {
  const Grid grid(params, shape);
  return grid.rows > 0 && grid.columns > 0 ? grid.rows * grid.columns : 0;
}

std::string WinogradShapeError(const WinogradParams& params,
                               const WinogradShape& shape) {
  // Images without channels count too, because their number of tiles is a
  // dimension.
  const std::int64_t values = BoundedProduct(
      {shape.images, WinogradTiles(params, shape), WinogradPlaces(params),
       std::max<std::int64_t>(1, shape.channels)});
  if (values <= std::int64_t{1} << 60) return "";
  return "the tiles may have at most 2^60 values, which " +
         std::to_string(shape.images) + " images of " +
         std::to_string(shape.height) + " x " + std::to_string(shape.width) +
         " x " + std::to_string(shape.channels) + " with padding_before " +
         std::to_string(params.padding_before) + " and padding_after " +
         std::to_string(params.padding_after) + " exceed";
}

std::size_t WinogradScratch(const WinogradShape& shape) {
  return shape.height * shape.width * shape.channels;
}

template <typename T>
void WinogradToTiles(Isa isa, const WinogradParams& params,
                     const WinogradShape& shape, const T* images,
                     std::int64_t first, std::int64_t last, T* tiles) {
  WithMatrix(params, [&](auto matrix) {
    WithKernel<T, decltype(matrix)>(isa, [&](auto kernel) {
      kernel.ToTiles(Grid(params, shape), images, first, last, tiles);
    });
  });
}

template <typename T>
void WinogradFromTiles(Isa isa, const WinogradParams& params,
                       const WinogradShape& shape, const T* tiles,
                       std::int64_t first, std::int64_t last, float* scratch,
                       T* images) {
  WithMatrix(params, [&](auto matrix) {
    WithKernel<T, Transpose<decltype(matrix)>>(isa, [&](auto kernel) {
      kernel.FromTiles(Grid(params, shape), tiles, first, last, scratch,
                       images);
    });
  });
}

#define INSTANTIATE(T)                                               \
  template void WinogradToTiles<T>(Isa, const WinogradParams&,       \
                                   const WinogradShape&, const T*,   \
                                   std::int64_t, std::int64_t, T*);  \
  template void WinogradFromTiles<T>(Isa, const WinogradParams&,     \
                                     const WinogradShape&, const T*, \
                                     std::int64_t, std::int64_t, float*, T*);
INSTANTIATE(float)
INSTANTIATE(BFloat16)
#undef INSTANTIATE

}  // namespace alexnet_tf
