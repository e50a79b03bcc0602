// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Against the sum as it is written, in double precision, without TensorFlow.

#include "custom_ops/convolution/convolution.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace alexnet_tf {
namespace {

int failures = 0;

void Check(bool right, const std::string& what) {
  if (right) return;
  ++failures;
  std::printf("wrong: %s\n", what.c_str());
}

std::vector<BFloat16> Drawn(std::int64_t count, std::mt19937* random) {
  std::normal_distribution<float> normal;
  std::vector<BFloat16> values(count);
  for (BFloat16& value : values) Narrow(normal(*random), &value);
  return values;
}

bool Near(BFloat16 found, double expected, double scale) {
  return std::fabs(Widen(found) - expected) <=
         std::fabs(expected) / 256 + 1e-5 * scale;
}

void CheckShape(Isa isa, const ConvolutionShape& s, std::int64_t parts) {
  std::mt19937 random(20120930);
  const std::int64_t out = s.pictures * s.OutputHeight() * s.OutputWidth();
  const auto x = Drawn(s.pictures * s.height * s.width * s.channels, &random);
  const auto dy = Drawn(out * s.filters, &random);

  const std::int64_t size = WeightGradientSums(s);
  std::vector<float> sums(parts * size);
  for (std::int64_t part = 0; part < parts; ++part) {
    AddWeightGradients(isa, s, x.data(), dy.data(), part * s.pictures / parts,
                       (part + 1) * s.pictures / parts,
                       sums.data() + part * size);
  }
  std::vector<BFloat16> kernel(s.taps * s.taps * s.channels * s.filters);
  std::vector<BFloat16> bias(s.filters);
  const std::int64_t blocks = WeightGradientBlocks(s);
  FinishWeightGradients(s, sums.data(), parts, 0, blocks / 2, kernel.data());
  FinishWeightGradients(s, sums.data(), parts, blocks / 2, blocks,
                        kernel.data());
  FinishBiasGradients(s, sums.data(), parts, bias.data());

  std::vector<double> want(kernel.size()), want_bias(bias.size());
  for (std::int64_t n = 0; n < s.pictures; ++n) {
    for (std::int64_t p = 0; p < s.OutputHeight(); ++p) {
      for (std::int64_t q = 0; q < s.OutputWidth(); ++q) {
        const BFloat16* own =
            dy.data() +
            ((n * s.OutputHeight() + p) * s.OutputWidth() + q) * s.filters;
        for (std::int64_t f = 0; f < s.filters; ++f) {
          want_bias[f] += Widen(own[f]);
        }
        for (std::int64_t tap = 0; tap < s.taps * s.taps; ++tap) {
          const std::int64_t row = p + tap / s.taps - s.before;
          const std::int64_t column = q + tap % s.taps - s.before;
          if (row < 0 || row >= s.height || column < 0 || column >= s.width) {
            continue;
          }
          for (std::int64_t c = 0; c < s.channels; ++c) {
            const double value = Widen(
                x[((n * s.height + row) * s.width + column) * s.channels + c]);
            for (std::int64_t f = 0; f < s.filters; ++f) {
              want[(tap * s.channels + c) * s.filters + f] +=
                  value * Widen(own[f]);
            }
          }
        }
      }
    }
  }
  const std::string where =
      std::string(IsaName(isa)) + ", " + std::to_string(s.pictures) + " of " +
      std::to_string(s.height) + " x " + std::to_string(s.width) + " x " +
      std::to_string(s.channels) + ", taps " + std::to_string(s.taps) +
      ", zeros " + std::to_string(s.before) + " and " +
      std::to_string(s.after) + ", filters " + std::to_string(s.filters) +
      ", parts " + std::to_string(parts);
  const double scale = std::sqrt(static_cast<double>(out)) + 1;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    Check(Near(kernel[i], want[i], scale),
          where + ": kernel[" + std::to_string(i) + "] is " +
              std::to_string(Widen(kernel[i])) + ", not " +
              std::to_string(want[i]));
  }
  for (std::size_t f = 0; f < bias.size(); ++f) {
    Check(Near(bias[f], want_bias[f], scale),
          where + ": bias[" + std::to_string(f) + "]");
  }
}

#if defined(ALEXNET_TF_AMX)
// Whoever configured this thread's tiles before finds them so.
void CheckTilesAreGivenBack() {
  alignas(64) std::uint8_t theirs[64] = {1}, after[64];
  theirs[16] = 32;  // bytes of a row of tile 0
  theirs[48] = 5;   // its rows
  asm volatile("ldtilecfg %0" : : "m"(theirs));
  CheckShape(Isa::kAmxBf16, {1, 4, 4, 3, 3, 1, 1, 5}, 1);
  asm volatile("sttilecfg %0" : "=m"(after));
  Check(std::memcmp(theirs, after, sizeof(after)) == 0, "tiles' configuration");
  asm volatile("tilerelease");
  CheckShape(Isa::kAmxBf16, {1, 4, 4, 3, 3, 1, 1, 5}, 1);
  asm volatile("sttilecfg %0" : "=m"(after));
  Check(after[0] == 0, "tiles' release");
}
#endif

int Main() {
  for (const char* name : {"baseline", "amx_bf16"}) {
    Isa isa;
    const std::string error = ChooseIsa(name, &isa);
    if (!error.empty()) {
      std::printf("%s: not run, %s\n", name, error.c_str());
      continue;
    }
    for (std::int64_t taps : {1, 2, 3, 5}) {
      for (std::int64_t channels : {1, 16, 33, 48}) {
        for (std::int64_t filters : {1, 31, 64}) {
          CheckShape(isa,
                     {3, 7, 6, channels, taps, taps / 2, taps / 2, filters}, 2);
          CheckShape(isa, {2, 6, 9, channels, taps, 0, 3, filters}, 1);
          CheckShape(isa, {1, 5, 5, channels, taps, 4, 0, filters}, 1);
        }
      }
    }
    // Taps beyond the input; several pictures at a time, and a rest of them.
    CheckShape(isa, {2, 2, 3, 5, 5, 3, 2, 7}, 2);
    CheckShape(isa, {7, 13, 13, 256, 3, 1, 1, 32}, 1);
    CheckShape(isa, {3, 57, 57, 48, 3, 0, 0, 48}, 2);
    CheckShape(isa, {0, 5, 5, 3, 3, 1, 1, 4}, 1);
    CheckShape(isa, {2, 5, 5, 0, 3, 1, 1, 0}, 1);
    CheckShape(isa, {1, 0, 5, 3, 1, 0, 0, 4}, 1);
#if defined(ALEXNET_TF_AMX)
    if (isa == Isa::kAmxBf16) CheckTilesAreGivenBack();
#endif
    std::printf("%s: run\n", name);
  }
  std::printf("%d failures\n", failures);
  return failures != 0;
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
