// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Compares the kernels of every instruction set that this CPU supports with the
// double-precision reference.
//
//   g++ -std=c++17 -O3 -fno-math-errno -I. custom_ops/lrn/lrn_test.cc
//       custom_ops/lrn/lrn_cpu.cc custom_ops/lrn/lrn_reference.cc
//       custom_ops/isa.cc custom_ops/limits.cc -o lrn_test

#include "custom_ops/lrn/lrn.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/limits.h"
#include "custom_ops/lrn/lrn_testing.h"
#include "custom_ops/testing.h"

namespace alexnet_tf {
namespace {

// The arithmetic's relative error. In the 16-bit types it is that of the
// estimates.
double Arithmetic(const float*) { return 4e-7 - 0x1p-24; }
double Arithmetic(const BFloat16*) { return 2.2e-4; }
double Arithmetic(const Half*) { return 2.2e-4; }

// Rows of inputs, and what the kernels make of them.
template <typename T>
struct Rows {
  Rows(Isa isa, const LrnParams& params, std::int64_t rows,
       std::int64_t channels, const std::vector<double>& x_values,
       const std::vector<double>& dy_values)
      : isa(isa),
        params(params),
        rows(rows),
        channels(channels),
        count(rows * channels),
        x(count),
        dy(count),
        y(count),
        dx(count),
        scratch(LrnScratch(params, channels)) {
    for (std::int64_t i = 0; i < count; ++i) {
      Set(&x[i], x_values[i]);
      Set(&dy[i], dy_values[i]);
      Set(&y[i], 12345);
      Set(&dx[i], 12345);
    }
    Forward(x.data(), y.data());
    Gradient(dy.data(), x.data(), dx.data());
  }

  void Forward(const T* from, T* to, bool stream = false) {
    Fill(std::numeric_limits<float>::quiet_NaN(), &scratch);
    LrnForward(isa, params, from, rows, channels, scratch.data(), to, stream);
  }

  void Gradient(const T* from_dy, const T* from_x, T* to, bool stream = false) {
    Fill(std::numeric_limits<float>::quiet_NaN(), &scratch);
    LrnGradient(isa, params, from_dy, from_x, rows, channels, scratch.data(),
                to, stream);
  }

  std::string Name(const std::string& what) const {
    return what + ", " + IsaName(isa) + ", " + std::to_string(sizeof(T)) +
           " bytes, rows " + std::to_string(rows) + ", channels " +
           std::to_string(channels) + ", size " + std::to_string(params.size) +
           ", beta " + std::to_string(params.beta) + ": ";
  }

  const Isa isa;
  const LrnParams params;
  const std::int64_t rows, channels, count;
  GuardedArray<T> x, dy, y, dx;
  GuardedArray<float> scratch;
};

template <typename T>
void CheckAgainstReference(Rows<T>* r, const std::string& name) {
  const LrnParams& params = r->params;
  const LrnExpected want =
      ExpectedOf(params, r->x.data(), r->dy.data(), r->rows, r->channels);
  // Long sums are rounded more often.
  const double terms = std::min<double>(params.size, r->channels);
  const T* type = r->x.data();
  const double epsilon =
      Rounding(type) + Arithmetic(type) + 1e-7 * std::sqrt(terms);
  const std::string y = name + "y", dx = name + "dx";
  for (std::int64_t i = 0; i < r->count; ++i) {
    CheckNear(Get(r->y[i]), want.y[i],
              epsilon * std::fabs(want.y[i]) + Tiny(type), y, i);
    CheckNear(Get(r->dx[i]), want.dx[i], epsilon * want.scale[i] + Tiny(type),
              dx, i);
  }
}

template <typename T>
bool SameBits(GuardedArray<T>* a, GuardedArray<T>* b) {
  return std::memcmp(a->data(), b->data(), a->size() * sizeof(T)) == 0;
}

// Non-temporal stores, if rows are whole cache lines, change nothing.
template <typename T>
void CheckStreamed(Rows<T>* r, const std::string& name) {
  GuardedArray<T> result(r->count);
  r->Forward(r->x.data(), result.data(), true);
  Check(SameBits(&result, &r->y), name + "y streamed");
  r->Gradient(r->dy.data(), r->x.data(), result.data(), true);
  Check(SameBits(&result, &r->dx), name + "dx streamed");
}

// The result may overwrite an input.
template <typename T>
void CheckInPlace(Rows<T>* r, const std::string& name) {
  GuardedArray<T> over_x(r->count), over_dy(r->count);
  std::copy(r->x.begin(), r->x.end(), over_x.begin());
  std::copy(r->dy.begin(), r->dy.end(), over_dy.begin());
  r->Gradient(over_dy.data(), over_x.data(), over_dy.data());
  r->Forward(over_x.data(), over_x.data());
  Check(SameBits(&over_x, &r->y), name + "y over x");
  Check(SameBits(&over_dy, &r->dx), name + "dx over dy");
  std::copy(r->x.begin(), r->x.end(), over_x.begin());
  r->Gradient(r->dy.data(), over_x.data(), over_x.data());
  Check(SameBits(&over_x, &r->dx), name + "dx over x");
}

template <typename T>
void CheckRows(Isa isa, const LrnParams& params, std::int64_t rows,
               std::int64_t channels, const std::vector<double>& x,
               const std::vector<double>& dy, const std::string& what) {
  Rows<T> r(isa, params, rows, channels, x, dy);
  const std::string name = r.Name(what);
  CheckAgainstReference(&r, name);
  CheckStreamed(&r, name);
  CheckInPlace(&r, name);
}

void CheckEveryType(Isa isa, const LrnParams& params, std::int64_t rows,
                    std::int64_t channels, const std::vector<double>& x,
                    const std::vector<double>& dy, const std::string& what) {
  CheckRows<float>(isa, params, rows, channels, x, dy, what);
  CheckRows<BFloat16>(isa, params, rows, channels, x, dy, what);
  CheckRows<Half>(isa, params, rows, channels, x, dy, what);
}

void CheckRandom(Isa isa) {
  std::mt19937 random(20120930);
  std::normal_distribution<double> normal;
  for (std::int64_t channels : {1, 2, 3, 5, 7, 16, 31, 33, 48, 64, 96, 1000}) {
    for (int size : {1, 3, 5, 9, 31, 2001}) {
      for (float beta : {0.75f, 0.5f, 1.0f, 0.6f, 0.0f}) {
        // Half of the time of all cases; beta comes after the sums.
        if (channels > 100 && size > 100 && beta != 0.75f) continue;
        const std::int64_t rows = channels > 100 ? 2 : 5;
        std::vector<double> x(rows * channels), dy(rows * channels);
        for (double& v : x) v = 30 * normal(random);
        for (double& v : dy) v = normal(random);
        LrnParams params{size, 2.0f, size > 100 ? 1e-4f : 1e-2f, beta};
        CheckEveryType(isa, params, rows, channels, x, dy, "random");
        for (double& v : x) v = std::max(v, 0.0);
        params.rectified = true;
        CheckEveryType(isa, params, rows, channels, x, dy, "rectified");
      }
    }
  }
}

// One special value, at every place of a row. NaN spreads over its window, and
// values beside an infinity become zero, unless beta is 0.
void CheckSpecialValues(Isa isa) {
  for (int size : {5, 9}) {
    for (float beta : {0.75f, 0.5f, 1.0f, 0.6f, 0.0f}) {
      for (double special : {kNan, -kNan, kInf, -kInf}) {
        const std::int64_t channels = 37;
        std::vector<double> x(channels * channels, 1.5);
        const std::vector<double> dy(channels * channels, 0.25);
        for (std::int64_t i = 0; i < channels; ++i) {
          x[i * channels + i] = special;
        }
        CheckEveryType(isa, {size, 2.0f, 1e-4f, beta}, channels, channels, x,
                       dy, "special values");
      }
    }
  }
}

void CheckExtremes(Isa isa) {
  const std::vector<double> dy(5, 1.0);
  for (float beta : {0.75f, 0.5f, 1.0f, 0.3f}) {
    for (double v : {0.0, 1e-30, 1e-5, 1.0, 1e4, 1e12, 1e18}) {
      CheckRows<float>(isa, {5, 1.0f, 1.0f, beta}, 1, 5, {v, -v, v, v / 2, v},
                       dy, "large and small");
      CheckRows<BFloat16>(isa, {5, 1.0f, 1.0f, beta}, 1, 5,
                          {v, -v, v, v / 2, v}, dy, "large and small");
    }
    CheckRows<float>(isa, {5, 1e-15f, 0.0f, beta}, 1, 5, {1, 2, 3, 4, 5}, dy,
                     "small k");
    // Half's subnormals and its largest value.
    CheckRows<Half>(isa, {5, 1.0f, 1e-4f, beta}, 1, 5,
                    {0x1p-24, -0x1p-20, 0x1.8p-15, 65504, 0x1p-14}, dy,
                    "the range's ends");
  }
}

// s = 6, 15, 14.
void CheckNumbersWorkedByHand(Isa isa) {
  const float x[] = {1, 2, 3};
  float y[3];
  const LrnParams params{3, 1.0f, 1.0f, 1.0f};
  std::vector<float> scratch(LrnScratch(params, 3));
  LrnForward(isa, params, x, 1, 3, scratch.data(), y);
  const double want[] = {1.0 / 6, 2.0 / 15, 3.0 / 14};
  for (int i = 0; i < 3; ++i) CheckNear(y[i], want[i], 1e-7, "by hand: y", i);
}

void CheckParams() {
  const auto refused = [](const char* what, int size, float k, float alpha,
                          float beta) {
    const std::string error = NormalizationError(size, k, alpha, beta);
    Check(error.find(what) == 0, std::string(what) + ": " + error);
  };
  Check(NormalizationError(5, 2, 1e-4f, 0.75f).empty(), "the paper's");
  Check(NormalizationError(kLargestExtent, 1e-30f, 1, 1).empty(), "large");
  refused("size", 4, 2, 1, 1);
  refused("size", -1, 2, 1, 1);
  refused("size", kLargestExtent + 2, 2, 1, 1);
  refused("size", 2147483647, 2, 1, 1);
  refused("k ", 5, 0, 1, 1);
  refused("k ", 5, 1e-40f, 1, 1);
  refused("k ", 5, kInf, 1, 1);
  refused("alpha", 5, 2, -1, 1);
  refused("alpha", 5, 2, kInf, 1);
  refused("beta", 5, 2, 1, NAN);
  refused("k^-beta", 5, 1e-20f, 1, 2);
  refused("2 * alpha * beta", 5, 2, 1e38f, 1);
  Isa isa;
  Check(!ChooseIsa("mmx", &isa).empty(), "unknown instruction set");
  Check(ChooseIsa("baseline", &isa).empty() && isa == Isa::kBaseline,
        "baseline");
}

int Main() {
  CheckParams();
  ForEachIsa({Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16,
              Isa::kAmxBf16},
             [](Isa isa) {
               CheckNumbersWorkedByHand(isa);
               CheckRandom(isa);
               CheckSpecialValues(isa);
               CheckExtremes(isa);
             });
  return Finish();
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
