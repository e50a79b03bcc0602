// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/spatial/spatial.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

template <typename T>
class SpatialOp : public OpKernel {
 public:
  explicit SpatialOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("size", &params_.size));
    OP_REQUIRES_OK(context, context->GetAttr("k", &params_.k));
    OP_REQUIRES_OK(context, context->GetAttr("alpha", &params_.alpha));
    OP_REQUIRES_OK(context, context->GetAttr("beta", &params_.beta));
    OP_REQUIRES(context, params_.size >= 1 && params_.size % 2 == 1,
                absl::InvalidArgumentError(absl::StrCat(
                    "size must be odd and at least 1, got ", params_.size)));
  }

 protected:
  // Distributes the images of `x` over TensorFlow's threads, and calls
  // work(the shape of an image, the offset of its values, scratch space) for
  // each.
  template <typename Work>
  void ForEachImage(OpKernelContext* context, const Tensor& x,
                    std::int64_t cycles_per_value, Work work) const {
    const SpatialShape shape{x.dim_size(1), x.dim_size(2), x.dim_size(3)};
    const std::int64_t values = shape.height * shape.width * shape.channels;
    if (x.NumElements() == 0) return;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(
        workers.num_threads, workers.workers, x.dim_size(0),
        values * cycles_per_value, [&](std::int64_t first, std::int64_t last) {
          // The scratch space is not set to zero, because every float is
          // written before it is read.
          const std::unique_ptr<float[]> scratch(
              new float[SpatialScratch(params_, shape)]);
          for (std::int64_t image = first; image < last; ++image) {
            work(shape, image * values, scratch.get());
          }
        });
  }

  SpatialParams params_;
};

template <typename T>
class SpatialForwardOp : public SpatialOp<T> {
 public:
  using SpatialOp<T>::SpatialOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    OP_REQUIRES(context, x.dims() == 4,
                absl::InvalidArgumentError(absl::StrCat(
                    "x must have rank 4, [batch, height, width, channels], "
                    "got shape ",
                    x.shape().DebugString())));
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    this->ForEachImage(
        context, x, 8,
        [&](const SpatialShape& shape, std::int64_t offset, float* scratch) {
          SpatialForward(this->params_, shape, Data<T>(x) + offset, scratch,
                         Data<T>(y) + offset);
        });
  }
};

template <typename T>
class SpatialGradientOp : public SpatialOp<T> {
 public:
  using SpatialOp<T>::SpatialOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& dy = context->input(0);
    const Tensor& x = context->input(1);
    OP_REQUIRES(
        context, x.dims() == 4 && dy.shape() == x.shape(),
        absl::InvalidArgumentError(absl::StrCat(
            "x must have rank 4, [batch, height, width, channels], and "
            "dy must have the same shape, got ",
            x.shape().DebugString(), " and ", dy.shape().DebugString())));
    Tensor* dx;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &dx));
    this->ForEachImage(
        context, x, 16,
        [&](const SpatialShape& shape, std::int64_t offset, float* scratch) {
          SpatialGradient(this->params_, shape, Data<T>(dy) + offset,
                          Data<T>(x) + offset, scratch, Data<T>(dx) + offset);
        });
  }
};

#define REGISTER(TYPE)                                               \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>SpatialNormalization")     \
                              .Device(tensorflow::DEVICE_CPU)        \
                              .TypeConstraint<TYPE>("T"),            \
                          SpatialForwardOp<TYPE>);                   \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>SpatialNormalizationGrad") \
                              .Device(tensorflow::DEVICE_CPU)        \
                              .TypeConstraint<TYPE>("T"),            \
                          SpatialGradientOp<TYPE>);
REGISTER(float)
REGISTER(tensorflow::bfloat16)
#undef REGISTER

}  // namespace
}  // namespace alexnet_tf
