// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Compares the GPU kernels of every type with the double-precision reference.
// Then prints the bandwidth that they reach, that of a device-to-device copy,
// and that of cuDNN's LRN if its library is found at run time.
//
//   nvcc -std=c++17 -O3 -arch=native -I. custom_ops/lrn/lrn_bench.cu
//       custom_ops/lrn/lrn_cuda.cu custom_ops/lrn/lrn_reference.cc -ldl
//       -o lrn_bench

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "custom_ops/lrn/lrn.h"
#include "custom_ops/lrn/lrn_testing.h"

namespace alexnet_tf {
namespace {

void Require(int error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, LrnCudaErrorText(error).c_str());
  std::exit(2);
}

template <typename T>
constexpr const char* kName = std::is_same_v<T, float>  ? "float32"
                              : std::is_same_v<T, Half> ? "float16"
                                                        : "bfloat16";

// The error of the arithmetic, if CUDA's functions err as much as they may.
constexpr double kArithmetic = 2e-6;

// Device memory that contains NaN, in every type, until it is written.
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
  for (std::int64_t i = 0; i < count; ++i) {
    Set(&x[i], 30 * normal(random));
    Set(&dy[i], normal(random));
  }
  const LrnExpected want =
      ExpectedOf(params, x.data(), dy.data(), rows, channels);

  DeviceArray<T> device_x(x), device_dy(dy), device_y(count), device_dx(count);
  Require(LrnForwardCuda(nullptr, params, device_x.data(), rows, channels,
                         device_y.data()),
          "forward");
  Require(LrnGradientCuda(nullptr, params, device_dy.data(), device_x.data(),
                          rows, channels, device_dx.data()),
          "gradient");
  const std::vector<T> got_y = device_y.Host(), got_dx = device_dx.Host();
  const double epsilon = Rounding(x.data()) + kArithmetic, tiny = 1e-7;
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    // The comparisons are written so that NaN counts as wrong.
    wrong += !(std::fabs(Get(got_y[i]) - want.y[i]) <=
               epsilon * std::fabs(want.y[i]) + tiny);
    wrong += !(std::fabs(Get(got_dx[i]) - want.dx[i]) <=
               epsilon * want.scale[i] + tiny);
  }
  return wrong;
}

template <typename T>
std::int64_t CheckAll() {
  std::int64_t wrong = 0;
  unsigned seed = std::random_device()();
  std::printf("%-9s seed %u: ", kName<T>, seed);
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

// Returns the median duration of one call.
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

// cuDNN's LRN. It is found at run time, so that the bench needs neither its
// headers nor its library. The types and numbers are those of cudnn.h, which
// are the same in versions 8 and 9.
class Cudnn {
 public:
  Cudnn() {
    for (const char* name : {"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"}) {
      if ((library_ = dlopen(name, RTLD_NOW | RTLD_GLOBAL)) != nullptr) break;
    }
    found_ = library_ != nullptr && Find("cudnnGetVersion", &version_) &&
             Find("cudnnCreate", &create_) &&
             Find("cudnnCreateTensorDescriptor", &create_tensor_) &&
             Find("cudnnDestroyTensorDescriptor", &destroy_tensor_) &&
             Find("cudnnSetTensor4dDescriptor", &set_tensor_) &&
             Find("cudnnCreateLRNDescriptor", &create_lrn_) &&
             Find("cudnnSetLRNDescriptor", &set_lrn_) &&
             Find("cudnnLRNCrossChannelForward", &forward_) &&
             Find("cudnnLRNCrossChannelBackward", &backward_);
    if (!found_) {
      std::printf("cuDNN: not found (libcudnn.so in LD_LIBRARY_PATH)\n");
      return;
    }
    // cuDNN divides alpha by the size of the window.
    found_ = create_(&handle_) == 0 && create_lrn_(&lrn_) == 0 &&
             set_lrn_(lrn_, 5, 5e-4, 0.75, 2.0) == 0;
    std::printf("cuDNN: %s, version %zu\n", found_ ? "found" : "fails",
                version_());
  }

  // Prints GB/s in a layout that cuDNN supports: NHWC like ours, or NCHW if
  // cuDNN refuses NHWC.
  template <typename T>
  void Time(int batch, int side, int channels, const T* x, const T* y,
            const T* dy, T* out);

 private:
  template <typename Function>
  bool Find(const char* name, Function** function) {
    *function = reinterpret_cast<Function*>(dlsym(library_, name));
    return *function != nullptr;
  }

  using Pointer = void*;
  void* library_ = nullptr;
  bool found_ = false;
  Pointer handle_ = nullptr, lrn_ = nullptr;
  std::size_t (*version_)() = nullptr;
  int (*create_)(Pointer*) = nullptr;
  int (*create_tensor_)(Pointer*) = nullptr;
  int (*destroy_tensor_)(Pointer) = nullptr;
  int (*set_tensor_)(Pointer, int format, int type, int, int, int,
                     int) = nullptr;
  int (*create_lrn_)(Pointer*) = nullptr;
  int (*set_lrn_)(Pointer, unsigned, double, double, double) = nullptr;
  int (*forward_)(Pointer, Pointer, int mode, const void* alpha, Pointer,
                  const void* x, const void* beta, Pointer, void* y) = nullptr;
  int (*backward_)(Pointer, Pointer, int mode, const void* alpha, Pointer,
                   const void* y, Pointer, const void* dy, Pointer,
                   const void* x, const void* beta, Pointer,
                   void* dx) = nullptr;
};

template <typename T>
void Cudnn::Time(int batch, int side, int channels, const T* x, const T* y,
                 const T* dy, T* out) {
  if (!found_) return;
  const int type = sizeof(T) == 4 ? 0 : std::is_same_v<T, Half> ? 2 : 9;
  const float one = 1, zero = 0;
  const double bytes =
      static_cast<double>(batch) * side * side * channels * sizeof(T);
  int error = 0;
  for (int format : {1, 0}) {
    Pointer tensor;
    Require(create_tensor_(&tensor), "cuDNN's descriptor");
    const auto forward = [&] {
      return forward_(handle_, lrn_, 0, &one, tensor, x, &zero, tensor, out);
    };
    const auto backward = [&] {
      return backward_(handle_, lrn_, 0, &one, tensor, y, tensor, dy, tensor, x,
                       &zero, tensor, out);
    };
    error = set_tensor_(tensor, format, type, batch, channels, side, side);
    if (error == 0) error = forward();
    if (error == 0) error = backward();
    if (error == 0) {
      const double forward_s = Seconds([&] { forward(); });
      const double backward_s = Seconds([&] { backward(); });
      std::printf("%-9s %4dx%dx%dx%-4d %8s %8.0f %7s %8.0f   cuDNN, %s\n",
                  kName<T>, batch, side, side, channels, "",
                  2 * bytes / forward_s / 1e9, "", 3 * bytes / backward_s / 1e9,
                  format == 1 ? "NHWC" : "NCHW");
    }
    destroy_tensor_(tensor);
    if (error == 0) return;
  }
  std::printf("%-9s %4dx%dx%dx%-4d not supported by cuDNN (status %d)\n",
              kName<T>, batch, side, side, channels, error);
}

template <typename T>
void Time(Cudnn* cudnn, std::int64_t batch, std::int64_t side,
          std::int64_t channels) {
  const std::int64_t rows = batch * side * side, count = rows * channels;
  T few[61];
  for (int i = 0; i < 61; ++i) Set(&few[i], i - 30.0);
  std::vector<T> values(count);
  for (std::int64_t i = 0; i < count; ++i) values[i] = few[i % 61];
  DeviceArray<T> x(values), dy(values), y(count), out(count);
  const double bytes = static_cast<double>(count) * sizeof(T);
  const LrnParams params;
  const double copy = Seconds([&] {
    Require(cudaMemcpyAsync(out.data(), x.data(), count * sizeof(T),
                            cudaMemcpyDeviceToDevice),
            "copy");
  });
  const double forward = Seconds([&] {
    Require(LrnForwardCuda(nullptr, params, x.data(), rows, channels, y.data()),
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
      kName<T>, static_cast<long long>(batch), static_cast<long long>(side),
      static_cast<long long>(side), static_cast<long long>(channels),
      copy_rate / 1e9, forward_rate / 1e9, 100 * forward_rate / copy_rate,
      gradient_rate / 1e9, 100 * gradient_rate / copy_rate);
  cudnn->Time(batch, side, channels, x.data(), y.data(), dy.data(), out.data());
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
  Cudnn cudnn;
  for (std::int64_t batch : {1, 128, 1024}) {
    Time<float>(&cudnn, batch, 55, 96);
    Time<float>(&cudnn, batch, 27, 256);
    Time<Half>(&cudnn, batch, 55, 96);
    Time<Half>(&cudnn, batch, 27, 256);
    Time<BFloat16>(&cudnn, batch, 55, 96);
    Time<BFloat16>(&cudnn, batch, 27, 256);
  }
  return wrong != 0;
}

}  // namespace
}  // namespace alexnet_tf

int main() { return alexnet_tf::Main(); }
