// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// What the ops' C++ tests share. A test runs its checks and returns Finish()
// from main.

#ifndef ALEXNET_TF_CUSTOM_OPS_TESTING_H_
#define ALEXNET_TF_CUSTOM_OPS_TESTING_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/float16.h"
#include "custom_ops/isa.h"

namespace alexnet_tf {

inline std::int64_t checks = 0;
inline std::int64_t failures = 0;

// Counts one check. The first 20 failures are printed.
inline void Check(bool ok, const std::string& what) {
  ++checks;
  if (!ok && ++failures <= 20) std::printf("FAILED: %s\n", what.c_str());
}

// Checks that `got` is within `tolerance` of `want`. NaN is equal to NaN, and
// an infinity only to itself.
inline void CheckNear(double got, double want, double tolerance,
                      const std::string& name, std::int64_t index) {
  const bool near = std::isnan(want)   ? std::isnan(got)
                    : std::isinf(want) ? got == want
                                       : std::fabs(got - want) <= tolerance;
  if (near) {
    ++checks;
    return;
  }
  char text[80];
  std::snprintf(text, sizeof(text), "[%lld] is %.9g, expected %.9g",
                static_cast<long long>(index), got, want);
  Check(false, name + text);
}

// Values that end where a page begins that may not be touched. A read or write
// past the last value ends the process.
template <typename T>
class GuardedArray {
 public:
  explicit GuardedArray(std::int64_t size) : size_(size) {
    const std::size_t page = sysconf(_SC_PAGESIZE);
    const std::size_t used = (size * sizeof(T) + page - 1) / page * page;
    bytes_ = used + page;
    base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + used, page, PROT_NONE) != 0) {
      std::perror("guard page");
      std::exit(2);
    }
    data_ = reinterpret_cast<T*>(base_ + used - size * sizeof(T));
  }
  ~GuardedArray() { munmap(base_, bytes_); }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;

  std::int64_t size() const { return size_; }
  T* data() { return data_; }
  T& operator[](std::int64_t i) { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  const std::int64_t size_;
  std::size_t bytes_;
  char* base_;
  T* data_;
};

// Fills `values`, of float or BFloat16, with normally distributed numbers.
template <typename T>
void FillNormal(float deviation, std::mt19937* random,
                GuardedArray<T>* values) {
  std::normal_distribution<float> normal(0, deviation);
  for (T& value : *values) Narrow(normal(*random), &value);
}

template <typename T>
void Fill(float value, GuardedArray<T>* values) {
  for (T& each : *values) Narrow(value, &each);
}

// The same values in double precision, for a reference.
template <typename T>
std::vector<double> Doubles(GuardedArray<T>* values) {
  std::vector<double> doubles;
  for (T value : *values) doubles.push_back(Widen(value));
  return doubles;
}

inline double LargestMagnitude(const std::vector<double>& values) {
  double largest = 0;
  for (double value : values) largest = std::fmax(largest, std::fabs(value));
  return largest;
}

// Calls run(isa) for each of these instruction sets that is available, and
// prints which ran. Only the baseline must be available.
template <typename Run>
void ForEachIsa(std::initializer_list<Isa> isas, Run run) {
  for (Isa wanted : isas) {
    Isa isa;
    const std::string error = ChooseIsa(IsaName(wanted), &isa);
    Check(error.empty() || wanted != Isa::kBaseline, error);
    if (error.empty()) run(isa);
    std::printf("%s: %s%s\n", IsaName(wanted),
                error.empty() ? "run" : "not run, ", error.c_str());
  }
}

// Prints how many checks ran and failed, and returns the test's exit status.
inline int Finish() {
  std::printf("%lld checks, %lld failures\n", static_cast<long long>(checks),
              static_cast<long long>(failures));
  return failures != 0;
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_TESTING_H_
