// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Holds the kernels of every instruction set that this processor has against
// the double-precision reference. Buffers end where readable memory ends, so
// that a read or write past them ends the program.
//
//   g++ -std=c++17 -O3 -fno-math-errno -I. custom_ops/lrn/lrn_test.cc
//       custom_ops/lrn/lrn_cpu.cc custom_ops/lrn/lrn_reference.cc -o lrn_test

#include "custom_ops/lrn/lrn.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace alexnet_tf {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

int failures = 0;

void Check(bool ok, const std::string& what) {
  if (ok) return;
  if (++failures <= 20) std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

// `count` values before a page that may not be touched.
template <typename T>
class GuardedArray {
 public:
  explicit GuardedArray(std::int64_t count) {
    const std::size_t page = sysconf(_SC_PAGESIZE);
    const std::size_t used = (count * sizeof(T) + page - 1) / page * page;
    size_ = used + page;
    base_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + used, page, PROT_NONE) != 0) {
      std::perror("guard page");
      std::exit(2);
    }
    data_ = reinterpret_cast<T*>(base_ + used - count * sizeof(T));
  }
  ~GuardedArray() { munmap(base_, size_); }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;

  T* data() { return data_; }
  T& operator[](std::int64_t i) { return data_[i]; }

 private:
  char* base_;
  std::size_t size_;
  T* data_;
};

// How a type reads and writes one value, and the relative error of rounding to
// it, with what the arithmetic adds: to the 16-bit types that of the estimates.
void Set(float* p, double v) { *p = static_cast<float>(v); }
double Get(const float& v) { return v; }
double Epsilon(const float*) { return 4e-7; }
double Tiny(const float*) { return 1e-37; }

void Set(BFloat16* p, double v) {
  const float f = static_cast<float>(v);
  std::uint32_t bits;
  std::memcpy(&bits, &f, sizeof(bits));
  p->bits = static_cast<std::uint16_t>(bits >> 16);
}
double Get(const BFloat16& v) {
  const std::uint32_t bits = std::uint32_t{v.bits} << 16;
  float f;
  std::memcpy(&f, &bits, sizeof(f));
  return f;
}
double Epsilon(const BFloat16*) { return 0x1p-8 + 2.2e-4; }
double Tiny(const BFloat16*) { return 1e-37; }

double Get(const Half& v) {
  const int exponent = v.bits >> 10 & 31, mantissa = v.bits & 1023;
  const double sign = v.bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return mantissa ? kNan : sign * kInf;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}
void Set(Half* p, double v) {
  const std::uint16_t sign = std::signbit(v) ? 0x8000 : 0;
  const double magnitude = std::fabs(v);
  if (std::isnan(v)) {
    p->bits = 0x7e00;
    return;
  }
  // The bits of positive halves are in the order of their values.
  std::uint16_t low = 0, high = 0x7c00;
  while (high - low > 1) {
    const std::uint16_t middle = (low + high) / 2;
    (Get(Half{middle}) <= magnitude ? low : high) = middle;
  }
  p->bits = sign | (std::isinf(v) ? 0x7c00 : low);
}
double Epsilon(const Half*) { return 0x1p-11 + 2.2e-4; }
double Tiny(const Half*) { return 0x1p-25; }

bool Close(double got, double want, double scale, double epsilon, double tiny) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return got == want;
  return std::fabs(got - want) <= epsilon * scale + tiny;
}

template <typename T>
void CheckRows(Isa isa, const LrnParams& params, std::int64_t rows,
               std::int64_t channels, const std::vector<double>& x_values,
               const std::vector<double>& dy_values, const std::string& what) {
  const std::int64_t count = rows * channels;
  GuardedArray<T> x(count), dy(count), y(count), dx(count);
  std::vector<double> wide_x(count), wide_dy(count), want_y(count),
      want_dx(count);
  for (std::int64_t i = 0; i < count; ++i) {
    Set(&x[i], x_values[i]);
    Set(&dy[i], dy_values[i]);
    Set(&y[i], 12345);
    Set(&dx[i], 12345);
    wide_x[i] = Get(x[i]);
    wide_dy[i] = Get(dy[i]);
  }
  LrnReferenceForward(params, wide_x.data(), rows, channels, want_y.data());
  LrnReferenceGradient(params, wide_dy.data(), wide_x.data(), rows, channels,
                       want_dx.data());
  LrnForward(isa, params, x.data(), rows, channels, y.data());
  LrnGradient(isa, params, dy.data(), x.data(), rows, channels, dx.data());

  // The terms of dx may cancel, and its error is that of the largest: of
  // absolute values none cancel but the first with all others.
  std::vector<double> scale(count);
  for (double& v : wide_x) v = std::fabs(v);
  for (double& v : wide_dy) v = std::fabs(v);
  LrnReferenceGradient(params, wide_dy.data(), wide_x.data(), rows, channels,
                       scale.data());
  for (std::int64_t i = 0; i < count; ++i) {
    scale[i] =
        std::fabs(scale[i]) + 2 * wide_dy[i] * std::pow(params.k, -params.beta);
  }

  const std::string where =
      what + ", " + IsaName(isa) + ", " + std::to_string(sizeof(T)) +
      " bytes, rows " + std::to_string(rows) + ", channels " +
      std::to_string(channels) + ", size " + std::to_string(params.size) +
      ", beta " + std::to_string(params.beta);
  // Long sums round more often.
  const double terms = std::min<double>(params.size, channels);
  const double epsilon = Epsilon(x.data()) + 1e-7 * std::sqrt(terms);
  const double tiny = Tiny(x.data());
  for (std::int64_t i = 0; i < count; ++i) {
    Check(Close(Get(y[i]), want_y[i], std::fabs(want_y[i]), epsilon, tiny),
          where + ": y[" + std::to_string(i) + "] is " +
              std::to_string(Get(y[i])) + ", not " + std::to_string(want_y[i]));
    Check(Close(Get(dx[i]), want_dx[i], scale[i], epsilon, tiny),
          where + ": dx[" + std::to_string(i) + "] is " +
              std::to_string(Get(dx[i])) + ", not " +
              std::to_string(want_dx[i]));
  }

  // Past the caches, where rows are whole cache lines.
  GuardedArray<T> streamed(count);
  LrnForward(isa, params, x.data(), rows, channels, streamed.data(), true);
  Check(std::memcmp(streamed.data(), y.data(), count * sizeof(T)) == 0,
        where + ": y streamed");
  LrnGradient(isa, params, dy.data(), x.data(), rows, channels, streamed.data(),
              true);
  Check(std::memcmp(streamed.data(), dx.data(), count * sizeof(T)) == 0,
        where + ": dx streamed");

  // In place.
  GuardedArray<T> over_x(count), over_dy(count);
  std::memcpy(static_cast<void*>(over_x.data()), x.data(), count * sizeof(T));
  std::memcpy(static_cast<void*>(over_dy.data()), dy.data(), count * sizeof(T));
  LrnGradient(isa, params, over_dy.data(), over_x.data(), rows, channels,
              over_dy.data());
  LrnForward(isa, params, over_x.data(), rows, channels, over_x.data());
  Check(std::memcmp(over_x.data(), y.data(), count * sizeof(T)) == 0,
        where + ": y over x");
  Check(std::memcmp(over_dy.data(), dx.data(), count * sizeof(T)) == 0,
        where + ": dx over dy");
  std::memcpy(static_cast<void*>(over_x.data()), x.data(), count * sizeof(T));
  LrnGradient(isa, params, dy.data(), over_x.data(), rows, channels,
              over_x.data());
  Check(std::memcmp(over_x.data(), dx.data(), count * sizeof(T)) == 0,
        where + ": dx over x");
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

// Of one value in every place of a row: NaN spreads over its window, and beside
// infinity all is zero.
void CheckSpecialValues(Isa isa) {
  for (int size : {5, 9}) {
    for (float beta : {0.75f, 0.5f, 1.0f, 0.6f}) {
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
    // Half: subnormals, and the largest value.
    CheckRows<Half>(isa, {5, 1.0f, 1e-4f, beta}, 1, 5,
                    {0x1p-24, -0x1p-20, 0x1.8p-15, 65504, 0x1p-14}, dy,
                    "ends of the range");
  }
}

// s = 6, 15, 14.
void CheckByHand(Isa isa) {
  const float x[] = {1, 2, 3};
  float y[3];
  LrnForward(isa, {3, 1.0f, 1.0f, 1.0f}, x, 1, 3, y);
  const double want[] = {1.0 / 6, 2.0 / 15, 3.0 / 14};
  for (int i = 0; i < 3; ++i) {
    Check(std::fabs(y[i] - want[i]) < 1e-7, "numbers worked by hand");
  }
}

void CheckParams() {
  Check(LrnParamsError({}).empty(), "defaults");
  Check(LrnParamsError({4, 2, 1, 1}).find("size") == 0, "even size");
  Check(LrnParamsError({-1, 2, 1, 1}).find("size") == 0, "negative size");
  Check(LrnParamsError({5, 0, 1, 1}).find("k ") == 0, "zero k");
  Check(LrnParamsError({5, 2, -1, 1}).find("alpha") == 0, "negative alpha");
  Check(LrnParamsError({5, 2, 1, NAN}).find("beta") == 0, "beta of NaN");
  Isa isa;
  Check(!ChooseIsa("mmx", &isa).empty(), "unknown instruction set");
  Check(ChooseIsa("baseline", &isa).empty() && isa == Isa::kBaseline,
        "baseline");
}

int Main() {
  CheckParams();
  for (const char* name :
       {"baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"}) {
    Isa isa;
    const std::string error = ChooseIsa(name, &isa);
    if (!error.empty()) {
      std::printf("%s: not run, %s\n", name, error.c_str());
      continue;
    }
    CheckByHand(isa);
    CheckRandom(isa);
    CheckSpecialValues(isa);
    CheckExtremes(isa);
    std::printf("%s: run\n", name);
  }
  std::printf("%d failures\n", failures);
  return failures != 0;
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
