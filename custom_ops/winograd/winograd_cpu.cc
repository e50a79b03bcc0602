// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The matrices, where tiles lie in a picture, and which kernels run. As in
// lrn_cpu.cc, one binary holds every instruction set.

#include <cstring>
#include <type_traits>

#include "custom_ops/winograd/winograd.h"

namespace alexnet_tf {
namespace {

template <int kTheRows, int kTheColumns>
struct Factors {
  float at[kTheRows][kTheColumns] = {};
};

// Toom's and Cook's points, infinity coming after the last.
constexpr double kPoints[] = {0, 1, -1, 2, -2, 0.5, -0.5};

// A, [t, outputs]: the powers of each point, 0 to outputs - 1; infinity has a
// one for the highest.
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

// B^T, [t, t]: the coefficients of the product of (x - p) over all points but
// the row's; for infinity's row over all.
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

// Where the tiles lie in a picture.
struct Grid {
  Grid(const WinogradParams& params, const WinogradShape& the_shape)
      : shape(the_shape), step(params.outputs) {
    const bool input = params.side == WinogradSide::kInput;
    before = input ? params.before : 0;
    const std::int64_t grow =
        input ? params.before + params.after - params.taps + 1 : 0;
    rows = (shape.height + grow + step - 1) / step;
    columns = (shape.width + grow + step - 1) / step;
  }

  std::int64_t PictureValues() const {
    return shape.height * shape.width * shape.channels;
  }

  // Offsets in a picture of a tile's kSide x kSide places, -1 outside it.
  template <int kSide>
  void Places(std::int64_t row, std::int64_t column, std::int64_t* at) const {
    for (int i = 0; i < kSide; ++i) {
      const std::int64_t y = row * step - before + i;
      for (int j = 0; j < kSide; ++j) {
        const std::int64_t x = column * step - before + j;
        const bool inside =
            y >= 0 && y < shape.height && x >= 0 && x < shape.width;
        at[i * kSide + j] =
            inside ? (y * shape.width + x) * shape.channels : -1;
      }
    }
  }

  const WinogradShape shape;
  const std::int64_t step;
  std::int64_t before, rows, columns;
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

// Calls use(kernel) with the instruction set's kernel of a matrix.
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

// Calls use(matrix) with what goes from pictures to tiles.
template <typename Use>
void WithMatrix(const WinogradParams& params, Use use) {
  const int tile = params.outputs + params.taps - 1;
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
  if (params.taps != 3 && params.taps != 5) {
    return "taps must be 3 or 5, got " + std::to_string(params.taps);
  }
  if (params.before < 0 || params.after < 0) {
    return "before and after must be at least 0, got " +
           std::to_string(params.before) + " and " +
           std::to_string(params.after);
  }
  return "";
}

std::int64_t WinogradTiles(const WinogradParams& params,
                           const WinogradShape& shape) {
  const Grid grid(params, shape);
  return grid.rows > 0 && grid.columns > 0 ? grid.rows * grid.columns : 0;
}

std::size_t WinogradScratch(const WinogradShape& shape) {
  return shape.height * shape.width * shape.channels;
}

template <typename T>
void WinogradToTiles(Isa isa, const WinogradParams& params,
                     const WinogradShape& shape, const T* pictures,
                     std::int64_t first, std::int64_t last, T* tiles) {
  WithMatrix(params, [&](auto matrix) {
    WithKernel<T, decltype(matrix)>(isa, [&](auto kernel) {
      kernel.ToTiles(Grid(params, shape), pictures, first, last, tiles);
    });
  });
}

template <typename T>
void WinogradFromTiles(Isa isa, const WinogradParams& params,
                       const WinogradShape& shape, const T* tiles,
                       std::int64_t first, std::int64_t last, float* scratch,
                       T* pictures) {
  WithMatrix(params, [&](auto matrix) {
    WithKernel<T, Transpose<decltype(matrix)>>(isa, [&](auto kernel) {
      kernel.FromTiles(Grid(params, shape), tiles, first, last, scratch,
                       pictures);
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
