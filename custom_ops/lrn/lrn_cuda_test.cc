// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Runs the CUDA kernels on the CPU and compares them with the double-precision
// reference and with the CPU kernels. It proves their arithmetic and that they
// stay within their tensors, not their speed, and nothing about nvcc.
//
//   g++ -std=c++17 -O1 -fsanitize=address,undefined -DALEXNET_TF_PORTABLE -I.
//       -Icustom_ops/cuda_on_cpu custom_ops/cuda_on_cpu/launch.cc
//       custom_ops/lrn/lrn_cuda_test.cc custom_ops/lrn/lrn_cpu.cc
//       custom_ops/lrn/lrn_reference.cc custom_ops/isa.cc
//       custom_ops/limits.cc -o lrn_cuda_test

// Two blocks' vectors, so that small tensors need 64-bit indices.
#define ALEXNET_TF_LRN_WIDE_FROM 240
#include "custom_ops/lrn/lrn_cuda.cu"

#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/cuda_on_cpu/launch.h"
#include "custom_ops/lrn/lrn.h"
#include "custom_ops/lrn/lrn_testing.h"
#include "custom_ops/testing.h"

namespace alexnet_tf {
namespace {

constexpr std::int64_t kVectorsPerBlock = kInner * kWarpsPerBlock;

// The error of the arithmetic, if CUDA's functions err as much as they may.
constexpr double kArithmetic = 2e-6;

// Values that lie `offset` values behind an address that is a multiple of 16.
// AddressSanitizer guards both ends if the offset is 0, and otherwise the last.
template <typename T>
class Values {
 public:
  Values(std::int64_t size, int offset)
      : memory_(size + offset), data_(memory_.data() + offset) {
    std::memset(memory_.data(), 0xff, memory_.size() * sizeof(T));  // NaN
  }
  T* data() { return data_; }
  T& operator[](std::int64_t i) { return data_[i]; }

 private:
  std::vector<T> memory_;
  T* data_;
};

// How far each tensor is from an aligned address, in values.
struct Offsets {
  int x = 0, dy = 0, y = 0, dx = 0;
};

// Inputs, and what the kernels make of them.
template <typename T>
struct Rows {
  Rows(const LrnParams& params, std::int64_t rows, std::int64_t channels,
       const Offsets& offsets = {})
      : params(params),
        rows(rows),
        channels(channels),
        count(rows * channels),
        offsets(offsets),
        x(count, offsets.x),
        dy(count, offsets.dy),
        y(count, offsets.y),
        dx(count, offsets.dx) {}

  void FillRandomly() {
    static std::mt19937 random(20120930);
    std::normal_distribution<double> normal;
    for (std::int64_t i = 0; i < count; ++i) {
      Set(&x[i], 30 * normal(random));
      Set(&dy[i], normal(random));
    }
  }

  // Runs the kernels on `count_rows` rows from `first` on.
  void Run(std::int64_t first, std::int64_t count_rows, T* to_y, T* to_dx) {
    const std::int64_t at = first * channels;
    Check(LrnForwardCuda<T>(nullptr, params, x.data() + at, count_rows,
                            channels, to_y + at) == cudaSuccess,
          Name("forward is launched"));
    Check(LrnGradientCuda<T>(nullptr, params, dy.data() + at, x.data() + at,
                             count_rows, channels, to_dx + at) == cudaSuccess,
          Name("gradient is launched"));
  }
  void Run() { Run(0, rows, y.data(), dx.data()); }

  std::string Name(const std::string& what) const {
    return what + ", " +
           (std::is_same_v<T, float>  ? "float"
            : std::is_same_v<T, Half> ? "half"
                                      : "bfloat16") +
           ", rows " + std::to_string(rows) + ", channels " +
           std::to_string(channels) + ", size " + std::to_string(params.size) +
           ", beta " + std::to_string(params.beta) + ": ";
  }

  const LrnParams params;
  const std::int64_t rows, channels, count;
  const Offsets offsets;
  Values<T> x, dy, y, dx;
};

template <typename T>
void CheckAgainstReference(Rows<T>* r) {
  const LrnExpected want =
      ExpectedOf(r->params, r->x.data(), r->dy.data(), r->rows, r->channels);
  const T* type = r->x.data();
  const double terms = std::min<double>(r->params.size, r->channels);
  const double epsilon = Rounding(type) + kArithmetic + 1e-7 * std::sqrt(terms);
  const std::string y = r->Name("y"), dx = r->Name("dx");
  for (std::int64_t i = 0; i < r->count; ++i) {
    CheckNear(Get(r->y[i]), want.y[i],
              epsilon * std::fabs(want.y[i]) + Tiny(type), y, i);
    CheckNear(Get(r->dx[i]), want.dx[i], epsilon * want.scale[i] + Tiny(type),
              dx, i);
  }
}

template <typename T>
void CheckSameBits(Rows<T>* r, Values<T>* y, Values<T>* dx, const char* what) {
  const std::size_t bytes = r->count * sizeof(T);
  Check(std::memcmp(y->data(), r->y.data(), bytes) == 0,
        r->Name(std::string("y ") + what));
  Check(std::memcmp(dx->data(), r->dx.data(), bytes) == 0,
        r->Name(std::string("dx ") + what));
}

// No block, warp or lane depends on one that ran before it. And a tensor's rows
// do not depend on each other, nor on the width of the indices.
template <typename T>
void CheckOrders(Rows<T>* r) {
  const Offsets& offsets = r->offsets;
  Values<T> y(r->count, offsets.y), dx(r->count, offsets.dx);
  static unsigned orders = 0;
  cuda_on_cpu::seed = ++orders;
  r->Run(0, r->rows, y.data(), dx.data());
  cuda_on_cpu::seed = 0;
  CheckSameBits(r, &y, &dx, "in another order");

  Values<T> pieces_y(r->count, offsets.y), pieces_dx(r->count, offsets.dx);
  const std::int64_t piece = (r->rows + 2) / 3;
  for (std::int64_t first = 0; first < r->rows; first += piece) {
    r->Run(first, std::min(piece, r->rows - first), pieces_y.data(),
           pieces_dx.data());
  }
  CheckSameBits(r, &pieces_y, &pieces_dx, "in three pieces");
}

template <typename T>
void CheckRandom(const LrnParams& params, std::int64_t rows,
                 std::int64_t channels, const Offsets& offsets = {}) {
  Rows<T> r(params, rows, channels, offsets);
  r.FillRandomly();
  r.Run();
  CheckAgainstReference(&r);
  CheckOrders(&r);
}

// The kernels for vectors: numbers of vectors around those of a warp, of a
// block and of the wide indices, and rows of one vector and of more.
template <typename T>
void CheckVectors() {
  for (float beta : {0.75f, 0.5f, 1.0f, 0.6f, 0.0f}) {
    for (std::int64_t per_row : {1, 3, 32}) {
      for (std::int64_t vectors :
           {1, 29, 30, 31, 119, 120, 121, 239, 240, 350}) {
        const std::int64_t rows = (vectors + per_row - 1) / per_row;
        CheckRandom<T>({5, 2.0f, 1e-2f, beta}, rows, per_row * kWidth<T>);
      }
    }
  }
}

// The kernels for any window: whatever the others do not do.
template <typename T>
void CheckValues() {
  for (float beta : {0.75f, 0.6f, 0.0f}) {
    for (std::int64_t channels : {1, 3, 31, 48}) {
      for (int size : {1, 3, 5, 9, 31, 2001}) {
        for (std::int64_t rows : {1, 11}) {
          CheckRandom<T>({size, 2.0f, 1e-2f, beta}, rows, channels);
        }
      }
    }
    // Of the right size, but one tensor is not aligned.
    for (const Offsets& offsets :
         {Offsets{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}) {
      CheckRandom<T>({5, 2.0f, 1e-2f, beta}, 7, 48, offsets);
    }
  }
}

// Whether `got` means the same as `want`, which may be special. Around the end
// of a type's range, either side of it is right.
template <typename T>
bool Agree(const T& got, const T& want) {
  const double a = Get(got), b = Get(want);
  const double range = std::is_same_v<T, Half> ? 65504 : 3.4e38;
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::fabs(a) > range / 2 && std::fabs(b) > range / 2) return a * b > 0;
  return std::fabs(a - b) <= 1e-2 + 1e-2 * std::fabs(b);
}

// The message takes longer than the kernel, so only a failure has one.
template <typename T>
void CheckSpecial(Rows<T>* r, std::int64_t i, const char* result, const T& got,
                  const T& want) {
  if (Agree(got, want)) {
    ++checks;
    return;
  }
  Check(false, r->Name("special values") + std::to_string(i) + " of x " +
                   std::to_string(Get(r->x[i])) + ", " + result + " is " +
                   std::to_string(Get(got)) + ", not " +
                   std::to_string(Get(want)));
}

// NaN, infinity, sums that overflow, and subnormal numbers: as on the CPU.
template <typename T>
void CheckSpecialValues() {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> share;
  const double specials[] = {kNan, kInf, -kInf, 1e25, -1e30, 1e-42, 0.0, -0.0};
  for (int size : {3, 5, 9}) {
    for (float beta : {0.75f, 0.5f, 1.0f, 0.6f, 0.0f}) {
      const LrnParams params{size, 2.0f, 0.5f, beta};
      Rows<T> r(params, 40, 40);
      for (T* values : {r.x.data(), r.dy.data()}) {
        for (std::int64_t i = 0; i < r.count; ++i) {
          const bool special = share(random) < 0.02;
          Set(values + i, special ? specials[random() % 8] : normal(random));
        }
      }
      r.Run();
      std::vector<T> y(r.count), dx(r.count);
      std::vector<float> scratch(LrnScratch(params, r.channels));
      LrnForward(Isa::kBaseline, params, r.x.data(), r.rows, r.channels,
                 scratch.data(), y.data());
      LrnGradient(Isa::kBaseline, params, r.dy.data(), r.x.data(), r.rows,
                  r.channels, scratch.data(), dx.data());
      for (std::int64_t i = 0; i < r.count; ++i) {
        CheckSpecial(&r, i, "y", r.y[i], y[i]);
        CheckSpecial(&r, i, "dx", r.dx[i], dx[i]);
      }
      CheckOrders(&r);
    }
  }
}

template <typename T>
void CheckEmpty() {
  const std::int64_t before = cuda_on_cpu::launches;
  for (const auto& [rows, channels] : {std::pair(0, 8), {8, 0}, {0, 0}}) {
    Check(LrnForwardCuda<T>(nullptr, {}, nullptr, rows, channels, nullptr) ==
              cudaSuccess,
          "empty forward");
    Check(LrnGradientCuda<T>(nullptr, {}, nullptr, nullptr, rows, channels,
                             nullptr) == cudaSuccess,
          "empty gradient");
  }
  Check(cuda_on_cpu::launches == before, "empty tensors launch nothing");
}

// Memory that exists only where it is touched. Nullptr if there is none.
template <typename T>
std::shared_ptr<T> Sparse(std::int64_t count) {
  const std::size_t bytes = count * sizeof(T);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  return {static_cast<T*>(memory), [bytes](T* p) { munmap(p, bytes); }};
}

// The last two blocks of a tensor of more than 2^31 vectors, or 2^32 values.
// Their results are those of the same rows in a small tensor.
template <typename T>
void CheckHuge(int size, std::int64_t channels, std::int64_t per_block,
               std::int64_t count) {
  Rows<T> small({size, 2.0f, 1e-2f, 0.75f}, 2 * per_block / channels, channels);
  small.FillRandomly();
  small.Run();
  const auto x = Sparse<T>(count), dy = Sparse<T>(count), y = Sparse<T>(count),
             dx = Sparse<T>(count);
  if (!x || !dy || !y || !dx) {
    std::printf("huge tensors: not run, mmap fails\n");
    return;
  }
  const std::int64_t at = count - small.count, rows = count / channels;
  std::copy_n(small.x.data(), small.count, x.get() + at);
  std::copy_n(small.dy.data(), small.count, dy.get() + at);
  cuda_on_cpu::last_blocks = 2;
  Check(LrnForwardCuda<T>(nullptr, small.params, x.get(), rows, channels,
                          y.get()) == cudaSuccess,
        "huge forward");
  Check(LrnGradientCuda<T>(nullptr, small.params, dy.get(), x.get(), rows,
                           channels, dx.get()) == cudaSuccess,
        "huge gradient");
  cuda_on_cpu::last_blocks = 0;
  const std::size_t bytes = small.count * sizeof(T);
  Check(std::memcmp(y.get() + at, small.y.data(), bytes) == 0,
        small.Name("y of a huge tensor"));
  Check(std::memcmp(dx.get() + at, small.dx.data(), bytes) == 0,
        small.Name("dx of a huge tensor"));
}

template <typename T>
void CheckHuge() {
  const std::int64_t per_block = kVectorsPerBlock * kWidth<T>;
  const std::int64_t channels = 12 * kWidth<T>;
  CheckHuge<T>(5, channels, per_block,
               ((std::int64_t{1} << 31) / kVectorsPerBlock + 1) * per_block);
  CheckHuge<T>(3, 8, kThreads, (std::int64_t{1} << 32) + kThreads);
}

// s = 6, 15, 14.
void CheckNumbersWorkedByHand() {
  Rows<float> r({3, 1.0f, 1.0f, 1.0f}, 1, 3);
  for (int i = 0; i < 3; ++i) {
    r.x[i] = i + 1;
    r.dy[i] = 1;
  }
  r.Run();
  const double pull[] = {1.0 / 36, 2.0 / 225, 3.0 / 196};
  const double y[] = {1.0 / 6, 2.0 / 15, 3.0 / 14};
  const double dx[] = {1.0 / 6 - 2 * (pull[0] + pull[1]),
                       1.0 / 15 - 4 * (pull[0] + pull[1] + pull[2]),
                       1.0 / 14 - 6 * (pull[1] + pull[2])};
  for (int i = 0; i < 3; ++i) {
    CheckNear(r.y[i], y[i], 1e-6, "by hand: y", i);
    CheckNear(r.dx[i], dx[i], 1e-6, "by hand: dx", i);
  }
}

void CheckErrors() {
  // More blocks than a grid may have.
  const std::int64_t rows = std::int64_t{1} << 40;
  const int error =
      LrnForwardCuda<float>(nullptr, {3}, nullptr, rows, 1, nullptr);
  Check(error == cudaErrorInvalidConfiguration, "the launch's error returns");
  Check(LrnCudaErrorText(error) == "invalid configuration argument",
        "its text");

  Check(LrnCudaDriverError().empty(), "a driver for this CUDA");
  cuda_on_cpu::driver_version = 0;
  Check(LrnCudaDriverError() == "no GPU driver found", "no driver");
  cuda_on_cpu::driver_version = 11080;
  Check(LrnCudaDriverError() ==
            "the GPU driver supports CUDA 11.8, and the op library's kernels "
            "need 13.0: install a newer driver, or use TensorFlow's own "
            "normalization (--lrn=stock)",
        LrnCudaDriverError());
  cuda_on_cpu::driver_version = 13010;
  Check(LrnCudaDriverError().empty(), "a newer driver");
}

template <typename T>
void CheckType() {
  CheckVectors<T>();
  CheckValues<T>();
  CheckSpecialValues<T>();
  CheckEmpty<T>();
  CheckHuge<T>();
}

int Main() {
  CheckNumbersWorkedByHand();
  CheckErrors();
  CheckType<float>();
  CheckType<Half>();
  CheckType<BFloat16>();
  // Per type and direction: four powers with two widths of indices, and any
  // window.
  const std::size_t ran = cuda_on_cpu::kernels.size();
  Check(ran == 3 * 2 * (4 * 2 + 1), std::to_string(ran) + " kernels ran");
  std::printf("%zu kernels ran\n", ran);
  return Finish();
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
