// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Compares the transformations of every instruction set that this CPU supports
// with the double-precision reference, and a whole Winograd convolution with
// direct convolution.
//
//   g++ -std=c++17 -O3 -fno-math-errno -I. custom_ops/winograd/winograd_test.cc
//       custom_ops/winograd/winograd_cpu.cc
//       custom_ops/winograd/winograd_reference.cc custom_ops/isa.cc
//       custom_ops/limits.cc -o winograd_test

#include "custom_ops/winograd/winograd.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/limits.h"
#include "custom_ops/testing.h"

namespace alexnet_tf {
namespace {

// The relative error of rounding to the type.
double Epsilon(const float*) { return 0; }
double Epsilon(const BFloat16*) { return 0x1p-8; }

// `slack` is the error of the float32 sums, in which terms cancel.
template <typename T>
void CheckValues(GuardedArray<T>* got, const std::vector<double>& want,
                 const std::string& name) {
  const double slack = 2e-6 * LargestMagnitude(want);
  for (std::int64_t i = 0; i < got->size(); ++i) {
    CheckNear(Widen((*got)[i]), want[i],
              Epsilon(got->data()) * std::fabs(want[i]) + slack, name, i);
  }
}

template <typename T>
void CheckTransformations(Isa isa, const WinogradParams& params,
                          const WinogradShape& shape) {
  std::mt19937 random(20120930);
  GuardedArray<T> images(shape.images * shape.height * shape.width *
                         shape.channels);
  GuardedArray<T> tiles(WinogradPlaces(params) * shape.images *
                        WinogradTiles(params, shape) * shape.channels);
  GuardedArray<T> got_images(images.size()), got_tiles(tiles.size());
  FillNormal(1, &random, &images);
  FillNormal(1, &random, &tiles);
  GuardedArray<float> scratch(WinogradScratch(shape));
  Fill(std::numeric_limits<float>::quiet_NaN(), &scratch);
  const std::int64_t cut = shape.images / 2;
  for (auto [first, last] :
       {std::pair{std::int64_t{0}, cut}, std::pair{cut, shape.images}}) {
    WinogradToTiles(isa, params, shape, images.data(), first, last,
                    got_tiles.data());
    WinogradFromTiles(isa, params, shape, tiles.data(), first, last,
                      scratch.data(), got_images.data());
  }

  const std::string name =
      std::string(IsaName(isa)) + ", " + std::to_string(sizeof(T)) +
      " bytes, " + (params.side == WinogradSide::kInput ? "input" : "output") +
      " side, outputs " + std::to_string(params.outputs) + ", kernel size " +
      std::to_string(params.kernel_size) + ", " + std::to_string(shape.images) +
      " of " + std::to_string(shape.height) + " x " +
      std::to_string(shape.width) + " x " + std::to_string(shape.channels) +
      ": ";
  std::vector<double> want_tiles(tiles.size()), want_images(images.size());
  WinogradReferenceToTiles(params, shape, Doubles(&images).data(),
                           want_tiles.data());
  WinogradReferenceFromTiles(params, shape, Doubles(&tiles).data(),
                             want_images.data());
  CheckValues(&got_tiles, want_tiles, name + "tiles");
  CheckValues(&got_images, want_images, name + "images");
}

void CheckEveryShape(Isa isa, int outputs, int kernel_size) {
  for (WinogradSide side : {WinogradSide::kInput, WinogradSide::kOutput}) {
    for (std::int64_t channels : {1, 5, 16, 21}) {
      for (int padding : {0, 3}) {
        const WinogradParams params{side, outputs, kernel_size, padding, 2};
        for (const WinogradShape& shape : {WinogradShape{3, 7, 6, channels},
                                           {1, 8, 9, channels},
                                           {2, 1, 2, channels},
                                           {0, 8, 8, channels},
                                           {2, 8, 8, 0}}) {
          CheckTransformations<float>(isa, params, shape);
          CheckTransformations<BFloat16>(isa, params, shape);
        }
      }
    }
  }
}

// One row of G, the matrix of the kernel.
std::vector<double> KernelMatrixRow(int row, int t, int kernel_size) {
  const double points[] = {0, 1, -1, 2, -2, 0.5, -0.5};
  std::vector<double> values(kernel_size);
  values.back() = 1;
  if (row == t - 1) return values;
  double divisor = 1;
  for (int i = 0; i < t - 1; ++i) {
    if (i != row) divisor *= points[row] - points[i];
  }
  for (int j = 0; j < kernel_size; ++j) {
    values[j] = std::pow(points[row], j) / divisor;
  }
  return values;
}

// G g G^T.
std::vector<double> TransformedKernel(int t, int kernel_size,
                                      const std::vector<double>& kernel) {
  std::vector<double> transformed(t * t);
  for (int place = 0; place < t * t; ++place) {
    const auto rows = KernelMatrixRow(place / t, t, kernel_size);
    const auto columns = KernelMatrixRow(place % t, t, kernel_size);
    for (int i = 0; i < kernel_size * kernel_size; ++i) {
      transformed[place] +=
          rows[i / kernel_size] * columns[i % kernel_size] * kernel[i];
    }
  }
  return transformed;
}

// An image of 9 x 10 with one channel, between 1 and 2 rows and columns of
// zeros.
void CheckConvolution(Isa isa, int outputs, int kernel_size) {
  const int height = 9, width = 10, before = 1, after = 2;
  const WinogradParams input{WinogradSide::kInput, outputs, kernel_size, before,
                             after};
  WinogradParams output = input;
  output.side = WinogradSide::kOutput;
  const int grow = before + after - kernel_size + 1;
  const WinogradShape x_shape{1, height, width, 1};
  const WinogradShape y_shape{1, height + grow, width + grow, 1};

  std::mt19937 random(20120930);
  GuardedArray<float> x(height * width), kernel(kernel_size * kernel_size);
  GuardedArray<float> y(y_shape.height * y_shape.width);
  FillNormal(1, &random, &x);
  FillNormal(1, &random, &kernel);
  const std::int64_t tile_count = WinogradTiles(input, x_shape);
  GuardedArray<float> tiles(WinogradPlaces(input) * tile_count);
  WinogradToTiles(isa, input, x_shape, x.data(), 0, 1, tiles.data());
  const int t = outputs + kernel_size - 1;
  const auto factors = TransformedKernel(t, kernel_size, Doubles(&kernel));
  for (std::int64_t i = 0; i < tiles.size(); ++i) {
    tiles[i] *= static_cast<float>(factors[i / tile_count]);
  }
  std::vector<float> scratch(WinogradScratch(y_shape));
  WinogradFromTiles(isa, output, y_shape, tiles.data(), 0, 1, scratch.data(),
                    y.data());

  for (std::int64_t i = 0; i < y.size(); ++i) {
    double want = 0;
    for (int j = 0; j < kernel.size(); ++j) {
      const std::int64_t row = i / y_shape.width - before + j / kernel_size;
      const std::int64_t column = i % y_shape.width - before + j % kernel_size;
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      want += double{kernel[j]} * x[row * width + column];
    }
    CheckNear(y[i], want, 1e-4,
              std::string("a convolution, ") + IsaName(isa) + ", outputs " +
                  std::to_string(outputs) + ", kernel size " +
                  std::to_string(kernel_size) + ": y",
              i);
  }
}

void CheckParams() {
  const WinogradParams valid{WinogradSide::kInput, 4, 3, 0, 0};
  WinogradParams outputs = valid, kernel_size = valid, padding = valid;
  outputs.outputs = 3;
  kernel_size.kernel_size = 4;
  padding.padding_after = -1;
  Check(WinogradError(valid).empty(), "valid params");
  Check(WinogradError(outputs).find("outputs") == 0, "3 outputs");
  Check(WinogradError(kernel_size).find("kernel_size") == 0, "kernel size 4");
  Check(WinogradError(padding).find("padding_after") == 0, "negative padding");
  padding.padding_after = 1 << 30;
  Check(WinogradError(padding).find("padding_after") == 0, "large padding");
  padding.padding_before = padding.padding_after = kLargestExtent;
  Check(WinogradError(padding).empty(), "the largest padding");
  Check(WinogradTiles(padding, {1, 3, 3, 1}) == 32768 * 32768,
        "tiles of the largest padding");
  Check(WinogradShapeError(padding, {1, 3, 3, 1}).empty(), "2^36 values");
  Check(!WinogradShapeError(padding, {1 << 20, 1 << 30, 0, 1}).empty(),
        "more than 2^60 values");
}

int Main() {
  CheckParams();
  ForEachIsa({Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}, [](Isa isa) {
    for (int outputs : {2, 4}) {
      for (int kernel_size : {3, 5}) {
        CheckEveryShape(isa, outputs, kernel_size);
        CheckConvolution(isa, outputs, kernel_size);
      }
    }
  });
  return Finish();
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
