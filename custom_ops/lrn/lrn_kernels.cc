// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/lrn/lrn.h"
#include "custom_ops/sharding.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"

#if defined(ALEXNET_TF_CUDA)
#include "xla/stream_executor/stream.h"
#endif

namespace alexnet_tf {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

// Reads and validates the attributes.
class LrnOp : public OpKernel {
 public:
  explicit LrnOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, GetConstants(context, &params_));
  }

 protected:
  LrnParams params_;
};

// Returns whether the output is so large that it leaves the caches before it is
// read.
bool ExceedsCaches(const Tensor& output) {
  return output.TotalBytes() >= std::size_t{32} << 20;
}

class LrnCpuOp : public LrnOp {
 public:
  explicit LrnCpuOp(OpKernelConstruction* context) : LrnOp(context) {
    if (context->HasAttr("rectified")) {
      OP_REQUIRES_OK(context,
                     context->GetAttr("rectified", &params_.rectified));
    }
    const std::string error = ChooseIsaFromEnvironment(&isa_);
    OP_REQUIRES(context, error.empty(), absl::FailedPreconditionError(error));
  }

 protected:
  // Distributes the rows of `tensor` over TensorFlow's threads. Rows do not
  // depend on each other, so the results do not depend on how they are
  // distributed.
  template <typename Work>
  absl::Status ShareOutRows(OpKernelContext* context, const Tensor& tensor,
                            int64_t cycles_per_value, Work work) const {
    if (tensor.NumElements() == 0) return absl::OkStatus();
    const int64_t channels = tensor.dim_size(3);
    return ShareOut(context, tensor.NumElements() / channels,
                    channels * cycles_per_value, LrnScratch(params_, channels),
                    work);
  }

  Isa isa_;
};

template <typename T>
class LrnForwardCpuOp : public LrnCpuOp {
 public:
  using LrnCpuOp::LrnCpuOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    OP_REQUIRES_OK(context, CheckImages("x", x.shape()));
    Tensor* y;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {0}, 0, x.shape(), &y));
    const int64_t channels = x.dim_size(3);
    OP_REQUIRES_OK(
        context, ShareOutRows(context, x, 3,
                              [&](int64_t first, int64_t last, float* scratch) {
                                const int64_t start = first * channels;
                                LrnForward(isa_, params_, Data<T>(x) + start,
                                           last - first, channels, scratch,
                                           Data<T>(y) + start,
                                           ExceedsCaches(*y));
                              }));
  }
};

template <typename T>
class LrnGradientCpuOp : public LrnCpuOp {
 public:
  using LrnCpuOp::LrnCpuOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& dy = context->input(0);
    const Tensor& x = context->input(1);
    OP_REQUIRES_OK(context, CheckImages("x", x.shape()));
    OP_REQUIRES_OK(context, CheckSameShape("dy", dy, "x", x));
    Tensor* dx;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {0, 1}, 0, x.shape(), &dx));
    const int64_t channels = x.dim_size(3);
    OP_REQUIRES_OK(
        context,
        ShareOutRows(
            context, x, 6, [&](int64_t first, int64_t last, float* scratch) {
              const int64_t start = first * channels;
              LrnGradient(isa_, params_, Data<T>(dy) + start,
                          Data<T>(x) + start, last - first, channels, scratch,
                          Data<T>(dx) + start, ExceedsCaches(*dx));
            }));
  }
};

#define REGISTER_LRN(device, T, Forward, Gradient)                         \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>LocalResponseNormalization")     \
                              .Device(device)                              \
                              .TypeConstraint<T>("T"),                     \
                          Forward<T>);                                     \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>LocalResponseNormalizationGrad") \
                              .Device(device)                              \
                              .TypeConstraint<T>("T"),                     \
                          Gradient<T>);
#define REGISTER_CPU(T) \
  REGISTER_LRN(tensorflow::DEVICE_CPU, T, LrnForwardCpuOp, LrnGradientCpuOp)
REGISTER_CPU(float)
REGISTER_CPU(Eigen::half)
REGISTER_CPU(tensorflow::bfloat16)
#undef REGISTER_CPU

#if defined(ALEXNET_TF_CUDA)

class LrnGpuOp : public LrnOp {
 public:
  explicit LrnGpuOp(OpKernelConstruction* context) : LrnOp(context) {
    bool rectified = false;
    if (context->HasAttr("rectified")) {
      OP_REQUIRES_OK(context, context->GetAttr("rectified", &rectified));
    }
    OP_REQUIRES(
        context, !rectified,
        absl::UnimplementedError(
            "rectified=true has no GPU kernel: compute the gradients of "
            "the normalization and of the ReLU separately"));
    const std::string error = LrnCudaDriverError();
    OP_REQUIRES(context, error.empty(), absl::FailedPreconditionError(error));
  }

 protected:
  static void* Stream(OpKernelContext* context) {
    return context->op_device_context()
        ->stream()
        ->platform_specific_handle()
        .stream;
  }

  static absl::Status LaunchStatus(int error) {
    if (error == 0) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("GPU kernel launch failed: ", LrnCudaErrorText(error)));
  }
};

template <typename T>
class LrnForwardGpuOp : public LrnGpuOp {
 public:
  using LrnGpuOp::LrnGpuOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    OP_REQUIRES_OK(context, CheckImages("x", x.shape()));
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    if (x.NumElements() == 0) return;
    const int64_t channels = x.dim_size(3);
    OP_REQUIRES_OK(context,
                   LaunchStatus(LrnForwardCuda(
                       Stream(context), params_, Data<T>(x),
                       x.NumElements() / channels, channels, Data<T>(y))));
  }
};

template <typename T>
class LrnGradientGpuOp : public LrnGpuOp {
 public:
  using LrnGpuOp::LrnGpuOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& dy = context->input(0);
    const Tensor& x = context->input(1);
    OP_REQUIRES_OK(context, CheckImages("x", x.shape()));
    OP_REQUIRES_OK(context, CheckSameShape("dy", dy, "x", x));
    Tensor* dx;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &dx));
    if (x.NumElements() == 0) return;
    const int64_t channels = x.dim_size(3);
    OP_REQUIRES_OK(context,
                   LaunchStatus(LrnGradientCuda(
                       Stream(context), params_, Data<T>(dy), Data<T>(x),
                       x.NumElements() / channels, channels, Data<T>(dx))));
  }
};

#define REGISTER_GPU(T) \
  REGISTER_LRN(tensorflow::DEVICE_GPU, T, LrnForwardGpuOp, LrnGradientGpuOp)
REGISTER_GPU(float)
REGISTER_GPU(Eigen::half)
REGISTER_GPU(tensorflow::bfloat16)
#undef REGISTER_GPU

#endif  // ALEXNET_TF_CUDA

}  // namespace
}  // namespace alexnet_tf
