// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Compares the spatial normalization and its gradient with the double-precision
// reference.
//
//   g++ -std=c++17 -O3 -fno-math-errno -I. custom_ops/spatial/spatial_test.cc
//       custom_ops/spatial/spatial_cpu.cc
//       custom_ops/spatial/spatial_reference.cc custom_ops/isa.cc
//       custom_ops/limits.cc -o spatial_test

#include "custom_ops/spatial/spatial.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/testing.h"

namespace alexnet_tf {
namespace {

// The relative error of rounding to the type, and of the arithmetic.
double Epsilon(const float*) { return 2e-6; }
double Epsilon(const BFloat16*) { return 0x1p-8 + 2e-6; }

// Because the terms of dx may cancel, its error is relative to the terms and
// not to dx. With x and dy made positive, only the first term has the other
// sign, and twice that term is added.
std::vector<double> GradientTerms(const SpatialParams& params,
                                  const SpatialShape& shape,
                                  std::vector<double> dy,
                                  std::vector<double> x) {
  for (double& v : dy) v = std::fabs(v);
  for (double& v : x) v = std::fabs(v);
  std::vector<double> terms(x.size());
  SpatialReferenceGradient(params, shape, dy.data(), x.data(), terms.data());
  for (std::size_t i = 0; i < terms.size(); ++i) {
    terms[i] =
        std::fabs(terms[i]) + 2 * dy[i] * std::pow(params.k, -params.beta);
  }
  return terms;
}

template <typename T>
void CheckImage(const SpatialParams& params, const SpatialShape& shape) {
  const std::int64_t count = shape.height * shape.width * shape.channels;
  std::mt19937 random(20120930);
  GuardedArray<T> x(count), dy(count), y(count), dx(count);
  FillNormal(5, &random, &x);
  FillNormal(1, &random, &dy);
  // The scratch space may contain anything.
  GuardedArray<float> scratch(SpatialScratch(params, shape));
  Fill(std::numeric_limits<float>::quiet_NaN(), &scratch);
  SpatialForward(params, shape, x.data(), scratch.data(), y.data());
  Fill(std::numeric_limits<float>::quiet_NaN(), &scratch);
  SpatialGradient(params, shape, dy.data(), x.data(), scratch.data(),
                  dx.data());

  const std::vector<double> wide_x = Doubles(&x), wide_dy = Doubles(&dy);
  std::vector<double> want_y(count), want_dx(count);
  SpatialReferenceForward(params, shape, wide_x.data(), want_y.data());
  SpatialReferenceGradient(params, shape, wide_dy.data(), wide_x.data(),
                           want_dx.data());
  const std::vector<double> terms =
      GradientTerms(params, shape, wide_dy, wide_x);
  const std::string name =
      std::to_string(sizeof(T)) + " bytes, " + std::to_string(shape.height) +
      " x " + std::to_string(shape.width) + " x " +
      std::to_string(shape.channels) + ", size " + std::to_string(params.size) +
      ", beta " + std::to_string(params.beta) + ": ";
  const std::string of_y = name + "y", of_dx = name + "dx";
  const double epsilon = Epsilon(x.data());
  for (std::int64_t i = 0; i < count; ++i) {
    CheckNear(Widen(y[i]), want_y[i], epsilon * std::fabs(want_y[i]), of_y, i);
    CheckNear(Widen(dx[i]), want_dx[i], epsilon * terms[i], of_dx, i);
  }
}

// A column of two values within one window: s = 1 + 1 + 4 = 6 for both.
void CheckNumbersWorkedByHand() {
  const SpatialParams params{3, 1.0f, 1.0f, 1.0f};
  const SpatialShape shape{2, 1, 1};
  const float x[] = {1, 2};
  float y[2];
  std::vector<float> scratch(SpatialScratch(params, shape));
  SpatialForward(params, shape, x, scratch.data(), y);
  CheckNear(y[0], 1.0 / 6, 1e-7, "by hand: y", 0);
  CheckNear(y[1], 2.0 / 6, 1e-7, "by hand: y", 1);
}

int Main() {
  CheckNumbersWorkedByHand();
  // Larger and smaller than the windows, and empty.
  const SpatialShape shapes[] = {{8, 9, 1},  {7, 6, 5}, {1, 1, 33}, {3, 12, 16},
                                 {12, 2, 8}, {0, 4, 3}, {4, 0, 3},  {4, 4, 0}};
  for (const SpatialShape& shape : shapes) {
    for (int size : {1, 3, 5, 7, 9, 31, 65535}) {
      for (float beta : {0.75f, 0.5f, 1.0f, 0.0f}) {
        CheckImage<float>({size, 1.0f, 0.01f, beta}, shape);
        CheckImage<BFloat16>({size, 2.0f, 0.1f, beta}, shape);
      }
    }
  }
  return Finish();
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
