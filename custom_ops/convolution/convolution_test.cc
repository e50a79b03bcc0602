// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Compares the weight gradients with the double-precision reference.
//
//   g++ -std=c++17 -O3 -I. custom_ops/convolution/convolution_test.cc
//       custom_ops/convolution/convolution_cpu.cc
//       custom_ops/convolution/convolution_reference.cc custom_ops/isa.cc
//       custom_ops/limits.cc -o convolution_test

#include "custom_ops/convolution/convolution.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/limits.h"
#include "custom_ops/testing.h"

namespace alexnet_tf {
namespace {

std::string Name(Isa isa, const ConvolutionShape& s, std::int64_t parts) {
  return std::string(IsaName(isa)) + ", " + std::to_string(s.images) + " of " +
         std::to_string(s.height) + " x " + std::to_string(s.width) + " x " +
         std::to_string(s.channels) + ", kernel size " +
         std::to_string(s.kernel_size) + ", padding " +
         std::to_string(s.padding_before) + " and " +
         std::to_string(s.padding_after) + ", filters " +
         std::to_string(s.filters) + ", parts " + std::to_string(parts) + ": ";
}

void CheckShape(Isa isa, const ConvolutionShape& s, std::int64_t parts) {
  std::mt19937 random(20120930);
  const std::int64_t outputs = s.images * s.OutputHeight() * s.OutputWidth();
  GuardedArray<BFloat16> x(s.images * s.height * s.width * s.channels);
  GuardedArray<BFloat16> dy(outputs * s.filters);
  FillNormal(1, &random, &x);
  FillNormal(1, &random, &dy);

  const std::int64_t size = WeightGradientSums(s);
  GuardedArray<float> sums(parts * size);
  // The scratch space may contain anything.
  const std::int64_t images = std::max<std::int64_t>(1, s.images / parts + 1);
  GuardedArray<float> scratch(WeightGradientScratch(s, images));
  for (std::int64_t part = 0; part < parts; ++part) {
    Fill(std::numeric_limits<float>::quiet_NaN(), &scratch);
    AddWeightGradients(isa, s, x.data(), dy.data(), part * s.images / parts,
                       (part + 1) * s.images / parts, scratch.data(),
                       sums.data() + part * size);
  }
  GuardedArray<BFloat16> kernel(s.kernel_size * s.kernel_size * s.channels *
                                s.filters);
  GuardedArray<BFloat16> bias(s.filters);
  const std::int64_t blocks = WeightGradientBlocks(s);
  FinishWeightGradients(s, sums.data(), parts, 0, blocks / 2, kernel.data());
  FinishWeightGradients(s, sums.data(), parts, blocks / 2, blocks,
                        kernel.data());
  FinishBiasGradients(s, sums.data(), parts, bias.data());

  std::vector<double> want(kernel.size()), want_bias(bias.size());
  ConvolutionReferenceWeightGradients(s, Doubles(&x).data(),
                                      Doubles(&dy).data(), want.data(),
                                      want_bias.data());
  const std::string name = Name(isa, s, parts);
  const std::string of_kernel = name + "kernel", of_bias = name + "bias";
  // Of a float32 sum in which terms cancel.
  const double slack = 1e-5 * (std::sqrt(static_cast<double>(outputs)) + 1);
  for (std::int64_t i = 0; i < kernel.size(); ++i) {
    CheckNear(Widen(kernel[i]), want[i], std::fabs(want[i]) / 256 + slack,
              of_kernel, i);
  }
  for (std::int64_t f = 0; f < bias.size(); ++f) {
    CheckNear(Widen(bias[f]), want_bias[f],
              std::fabs(want_bias[f]) / 256 + slack, of_bias, f);
  }
}

// For ones, each position of the kernel counts the outputs that it reaches.
void CheckNumbersWorkedByHand(Isa isa) {
  const ConvolutionShape shape{1, 4, 4, 1, 3, 1, 1, 1};
  std::vector<BFloat16> ones(16), kernel(9), bias(1);
  for (BFloat16& one : ones) Narrow(1, &one);
  std::vector<float> sums(WeightGradientSums(shape));
  GuardedArray<float> scratch(WeightGradientScratch(shape, 1));
  AddWeightGradients(isa, shape, ones.data(), ones.data(), 0, 1, scratch.data(),
                     sums.data());
  FinishWeightGradients(shape, sums.data(), 1, 0, WeightGradientBlocks(shape),
                        kernel.data());
  FinishBiasGradients(shape, sums.data(), 1, bias.data());
  const double want[] = {9, 12, 9, 12, 16, 12, 9, 12, 9};
  for (int i = 0; i < 9; ++i) {
    CheckNear(Widen(kernel[i]), want[i], 0, "by hand: kernel", i);
  }
  CheckNear(Widen(bias[0]), 16, 0, "by hand: bias", 0);
}

#if defined(ALEXNET_TF_AMX)
// A thread's tile configuration is the same after a call as before it.
void CheckTileConfigurationIsRestored() {
  alignas(64) std::uint8_t before[64] = {1}, after[64];
  before[16] = 32;  // bytes of a row of tile 0
  before[48] = 5;   // its rows
  asm volatile("ldtilecfg %0" : : "m"(before));
  CheckShape(Isa::kAmxBf16, {1, 4, 4, 3, 3, 1, 1, 5}, 1);
  asm volatile("sttilecfg %0" : "=m"(after));
  Check(std::memcmp(before, after, sizeof(after)) == 0,
        "the tile configuration is restored");
  asm volatile("tilerelease");
  CheckShape(Isa::kAmxBf16, {1, 4, 4, 3, 3, 1, 1, 5}, 1);
  asm volatile("sttilecfg %0" : "=m"(after));
  Check(after[0] == 0, "tiles that were released are released again");
}
#endif

void CheckShapes(Isa isa) {
  for (std::int64_t size : {1, 2, 3, 5}) {
    for (std::int64_t channels : {1, 16, 33, 48}) {
      for (std::int64_t filters : {1, 31, 64}) {
        CheckShape(isa, {3, 7, 6, channels, size, size / 2, size / 2, filters},
                   2);
        CheckShape(isa, {2, 6, 9, channels, size, 0, 3, filters}, 1);
        CheckShape(isa, {1, 5, 5, channels, size, 4, 0, filters}, 1);
      }
    }
  }
  // A kernel that is larger than the input.
  CheckShape(isa, {2, 2, 3, 5, 5, 3, 2, 7}, 2);
  // Several images are packed at a time, and the last time fewer.
  CheckShape(isa, {7, 13, 13, 256, 3, 1, 1, 32}, 1);
  CheckShape(isa, {3, 57, 57, 48, 3, 0, 0, 48}, 2);
  // Nothing.
  CheckShape(isa, {0, 5, 5, 3, 3, 1, 1, 4}, 1);
  CheckShape(isa, {2, 5, 5, 0, 3, 1, 1, 0}, 1);
  CheckShape(isa, {1, 0, 5, 3, 1, 0, 0, 4}, 1);
}

void CheckParams() {
  Check(ConvolutionError(3, 0, kLargestExtent).empty(), "valid params");
  Check(ConvolutionError(0, 0, 0).find("kernel_size") == 0, "kernel size 0");
  Check(ConvolutionError(1 << 30, 0, 0).find("kernel_size") == 0, "too large");
  Check(ConvolutionError(3, -1, 0).find("padding_before") == 0, "negative");
  Check(ConvolutionError(3, 0, 1 << 30).find("padding_after") == 0, "padding");
  // A grid of 2^34 positions of 2^31 filters.
  const std::int64_t most = kLargestExtent;
  Check(WeightGradientScratch({1, most, most, 0, most, most, most, 1LL << 31},
                              1) == 1LL << 62,
        "scratch space of more than any memory");
}

int Main() {
  CheckParams();
  ForEachIsa({Isa::kBaseline, Isa::kAmxBf16}, [](Isa isa) {
    CheckNumbersWorkedByHand(isa);
    CheckShapes(isa);
#if defined(ALEXNET_TF_AMX)
    if (isa == Isa::kAmxBf16) CheckTileConfigurationIsRestored();
#endif
  });
  return Finish();
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
