// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Checks the GPU kernels of every type against the double-precision reference,
// then prints what bandwidth they reach beside a device-to-device copy.
//
//   nvcc -std=c++17 -O3 -arch=native -I. custom_ops/lrn/lrn_bench.cu
//       custom_ops/lrn/lrn_cuda.cu custom_ops/lrn/lrn_reference.cc -o lrn_bench

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/lrn/lrn.h"

namespace alexnet_tf {
namespace {

void Require(int error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, LrnCudaErrorText(error).c_str());
  std::exit(2);
}

double Get(float v) { return v; }
double Get(Half v) { return __half2float(__ushort_as_half(v.bits)); }
double Get(BFloat16 v) {
  return __bfloat162float(__ushort_as_bfloat16(v.bits));
}

void Set(float* p, double v) { *p = static_cast<float>(v); }
void Set(Half* p, double v) {
  p->bits = __half_as_ushort(__float2half(static_cast<float>(v)));
}
void Set(BFloat16* p, double v) {
  p->bits = __bfloat16_as_ushort(__float2bfloat16(static_cast<float>(v)));
}

template <typename T>
struct Traits;
template <>
struct Traits<float> {
  static constexpr const char* kName = "float32";
  static constexpr double kEpsilon = 2e-6;
};
template <>
struct Traits<Half> {
  static constexpr const char* kName = "float16";
  static constexpr double kEpsilon = 0x1p-11 + 2e-6;
};
template <>
struct Traits<BFloat16> {
  static constexpr const char* kName = "bfloat16";
  static constexpr double kEpsilon = 0x1p-8 + 2e-6;
};

// Device memory whose bits are NaN in every type until written.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::int64_t count) : count_(count) {
    Require(cudaMalloc(&data_, count * sizeof(T)), "allocation");
    Poison();
  }
  explicit DeviceArray(const std::vector<T>& values)
      : DeviceArray(static_cast<std::int64_t>(values.size())) {
    Require(cudaMemcpy(data_, values.data(), count_ * sizeof(T),
                       cudaMemcpyHostToDevice),
            "copy to the device");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  void Poison() {
    Require(cudaMemset(data_, 0xff, count_ * sizeof(T)), "poison");
  }
  T* data() { return data_; }
  std::vector<T> Host() const {
    std::vector<T> values(count_);
    Require(cudaMemcpy(values.data(), data_, count_ * sizeof(T),
                       cudaMemcpyDeviceToHost),
            "copy from the device");
    return values;
  }

 private:
  std::int64_t count_;
  T* data_ = nullptr;
};

// Returns how many values are wrong.
template <typename T>
std::int64_t Check(const LrnParams& params, std::int64_t rows,
                   std::int64_t channels, unsigned seed) {
  const std::int64_t count = rows * channels;
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> x(count), dy(count);
  std::vector<double> wide_x(count), wide_dy(count), y(count), dx(count),
      scale(count);
  for (std::int64_t i = 0; i < count; ++i) {
    Set(&x[i], 30 * normal(random));
    Set(&dy[i], normal(random));
    wide_x[i] = Get(x[i]);
    wide_dy[i] = Get(dy[i]);
  }
  LrnReferenceForward(params, wide_x.data(), rows, channels, y.data());
  LrnReferenceGradient(params, wide_dy.data(), wide_x.data(), rows, channels,
                       dx.data());
  // The terms of dx may cancel: its error is that of the largest.
  for (double& v : wide_x) v = std::fabs(v);
  for (double& v : wide_dy) v = std::fabs(v);
  LrnReferenceGradient(params, wide_dy.data(), wide_x.data(), rows, channels,
                       scale.data());

  DeviceArray<T> device_x(x), device_dy(dy), device_y(count), device_dx(count);
  Require(LrnForwardCuda(nullptr, params, device_x.data(), rows, channels,
                         device_y.data()),
          "forward");
  Require(LrnGradientCuda(nullptr, params, device_dy.data(), device_x.data(),
                          rows, channels, device_dx.data()),
          "gradient");
  const std::vector<T> got_y = device_y.Host(), got_dx = device_dx.Host();
  const double epsilon = Traits<T>::kEpsilon, tiny = 1e-7;
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double terms =
        std::fabs(scale[i]) + 2 * wide_dy[i] * std::pow(params.k, -params.beta);
    // Written so that NaN is wrong.
    wrong +=
        !(std::fabs(Get(got_y[i]) - y[i]) <= epsilon * std::fabs(y[i]) + tiny);
    wrong += !(std::fabs(Get(got_dx[i]) - dx[i]) <= epsilon * terms + tiny);
  }
  return wrong;
}

template <typename T>
std::int64_t CheckAll() {
  std::int64_t wrong = 0;
  unsigned seed = std::random_device()();
  std::printf("%-9s seed %u: ", Traits<T>::kName, seed);
  for (std::int64_t channels : {1, 3, 5, 8, 31, 48, 96, 128, 256, 1000}) {
    for (int size : {1, 3, 5, 9, 31}) {
      for (float beta : {0.75f, 0.5f, 1.0f, 0.6f}) {
        for (std::int64_t rows : {1, 29, 61}) {
          wrong += Check<T>({size, 2.0f, 1e-2f, beta}, rows, channels, ++seed);
        }
      }
    }
  }
  std::printf("%lld wrong\n", static_cast<long long>(wrong));
  return wrong;
}

// Median seconds of one call.
double Seconds(const std::function<void()>& call) {
  cudaEvent_t begin, end;
  Require(cudaEventCreate(&begin), "event");
  Require(cudaEventCreate(&end), "event");
  std::vector<float> times;
  for (int i = 0; i < 25; ++i) {
    Require(cudaEventRecord(begin), "event");
    call();
    Require(cudaEventRecord(end), "event");
    Require(cudaEventSynchronize(end), "run");
    float ms = 0;
    Require(cudaEventElapsedTime(&ms, begin, end), "event");
    if (i >= 5) times.push_back(ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + times.size() / 2,
                   times.end());
  return times[times.size() / 2] * 1e-3;
}

template <typename T>
void Time(std::int64_t batch, std::int64_t side, std::int64_t channels) {
  const std::int64_t rows = batch * side * side, count = rows * channels;
  std::vector<T> values(count);
  for (std::int64_t i = 0; i < count; ++i) Set(&values[i], i % 61 - 30.0);
  DeviceArray<T> x(values), dy(values), out(count);
  const double bytes = static_cast<double>(count) * sizeof(T);
  const LrnParams params;
  const double copy = Seconds([&] {
    Require(cudaMemcpyAsync(out.data(), x.data(), count * sizeof(T),
                            cudaMemcpyDeviceToDevice),
            "copy");
  });
  const double forward = Seconds([&] {
    Require(
        LrnForwardCuda(nullptr, params, x.data(), rows, channels, out.data()),
        "forward");
  });
  const double gradient = Seconds([&] {
    Require(LrnGradientCuda(nullptr, params, dy.data(), x.data(), rows,
                            channels, out.data()),
            "gradient");
  });
  const double copy_rate = 2 * bytes / copy;
  const double forward_rate = 2 * bytes / forward;
  const double gradient_rate = 3 * bytes / gradient;
  std::printf(
      "%-9s %4lldx%lldx%lldx%-4lld %8.0f %8.0f %5.1f %% %8.0f %5.1f %%\n",
      Traits<T>::kName, static_cast<long long>(batch),
      static_cast<long long>(side), static_cast<long long>(side),
      static_cast<long long>(channels), copy_rate / 1e9, forward_rate / 1e9,
      100 * forward_rate / copy_rate, gradient_rate / 1e9,
      100 * gradient_rate / copy_rate);
}

int Main() {
  const std::string error = LrnCudaDriverError();
  if (!error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 2;
  }
  cudaDeviceProp device;
  Require(cudaGetDeviceProperties(&device, 0), "device");
  std::printf("%s\n", device.name);
  const std::int64_t wrong =
      CheckAll<float>() + CheckAll<Half>() + CheckAll<BFloat16>();
  std::printf("%-9s %-16s %8s %8s %7s %8s %7s\n", "GB/s", "", "copy", "forward",
              "", "gradient", "");
  for (std::int64_t batch : {1, 128, 1024}) {
    Time<float>(batch, 55, 96);
    Time<float>(batch, 27, 256);
    Time<Half>(batch, 55, 96);
    Time<Half>(batch, 27, 256);
    Time<BFloat16>(batch, 55, 96);
    Time<BFloat16>(batch, 27, 256);
  }
  return wrong != 0;
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
