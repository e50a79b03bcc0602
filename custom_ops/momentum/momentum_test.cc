// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Compares the momentum step with the double-precision reference.
//
//   g++ -std=c++17 -O3 -I. custom_ops/momentum/momentum_test.cc
//       custom_ops/momentum/momentum_cpu.cc
//       custom_ops/momentum/momentum_reference.cc custom_ops/isa.cc
//       custom_ops/limits.cc -o momentum_test

#include "custom_ops/momentum/momentum.h"

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/testing.h"

namespace alexnet_tf {
namespace {

// Takes three steps. The values stay near 1, so the tolerance is absolute.
template <typename T>
void CheckSteps(const MomentumParams& params, std::int64_t count, bool copies) {
  std::mt19937 random(20120930);
  GuardedArray<T> gradient(count);
  GuardedArray<float> v(count), w(count);
  GuardedArray<BFloat16> copy(count);
  FillNormal(1, &random, &v);
  FillNormal(1, &random, &w);
  std::vector<double> want_v = Doubles(&v), want_w = Doubles(&w);
  const std::string name = std::to_string(sizeof(T)) + " bytes, count " +
                           std::to_string(count) +
                           (copies ? ", with a copy: " : ": ");
  const std::string of_v = name + "v", of_w = name + "w",
                    of_copy = name + "copy";
  for (int step = 0; step < 3; ++step) {
    FillNormal(1, &random, &gradient);
    MomentumReferenceStep(params, Doubles(&gradient).data(), count,
                          want_v.data(), want_w.data());
    MomentumStep(params, gradient.data(), count, v.data(), w.data(),
                 copies ? copy.data() : nullptr);
    for (std::int64_t i = 0; i < count; ++i) {
      CheckNear(v[i], want_v[i], 3e-6, of_v, i);
      CheckNear(w[i], want_w[i], 3e-6, of_w, i);
      if (!copies) continue;
      // Half of bfloat16's distance between neighboring values.
      CheckNear(Widen(copy[i]), w[i], std::ldexp(std::fabs(w[i]), -8), of_copy,
                i);
    }
  }
}

void CheckNumbersWorkedByHand() {
  const float gradient = 2;
  float v = 0.5f, w = 1;
  BFloat16 copy;
  MomentumStep({0.25f, 0.5f, 1.0f}, &gradient, 1, &v, &w, &copy);
  Check(v == -0.5f && w == 0.5f && Widen(copy) == 0.5f,
        "v = 0.5 * 0.5 - 0.25 * (2 + 1 * 1) = -0.5, w = 1 - 0.5");
}

void CheckParams() {
  Check(MomentumError(0.9f, 5e-4f, 1).empty(), "valid params");
  Check(MomentumError(NAN, 0, 0).find("momentum") == 0, "momentum of NaN");
  Check(MomentumError(0, INFINITY, 0).find("weight_decay") == 0, "infinite");
  Check(MomentumError(0, 0, 2).find("copies") == 0, "two copies");
}

int Main() {
  CheckParams();
  CheckNumbersWorkedByHand();
  for (std::int64_t count : {0, 1, 3, 4, 15, 16, 17, 1001}) {
    for (bool copies : {false, true}) {
      CheckSteps<float>({0.1f, 0.9f, 0.01f}, count, copies);
      CheckSteps<BFloat16>({0.1f, 0.9f, 0.01f}, count, copies);
      CheckSteps<float>({1.0f, 0.0f, 0.0f}, count, copies);
    }
  }
  return Finish();
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
