// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <cstdint>

#include "absl/status/status.h"
#include "custom_ops/sharding.h"
#include "custom_ops/spatial/spatial.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"

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
    OP_REQUIRES_OK(context, GetConstants(context, &params_));
  }

 protected:
  // Distributes the images of `x` over TensorFlow's threads, and calls
  // work(the shape of an image, the offset of its values, scratch space) for
  // each.
  template <typename Work>
  absl::Status ForEachImage(OpKernelContext* context, const Tensor& x,
                            std::int64_t cycles_per_value, Work work) const {
    if (x.NumElements() == 0) return absl::OkStatus();
    const SpatialShape shape{x.dim_size(1), x.dim_size(2), x.dim_size(3)};
    const std::int64_t values = shape.height * shape.width * shape.channels;
    return ShareOut(context, x.dim_size(0), values * cycles_per_value,
                    SpatialScratch(params_, shape),
                    [&](std::int64_t first, std::int64_t last, float* scratch) {
                      for (std::int64_t image = first; image < last; ++image) {
                        work(shape, image * values, scratch);
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
    OP_REQUIRES_OK(context, CheckImages("x", x.shape()));
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    OP_REQUIRES_OK(context, this->ForEachImage(
                                context, x, 8,
                                [&](const SpatialShape& shape,
                                    std::int64_t offset, float* scratch) {
                                  SpatialForward(this->params_, shape,
                                                 Data<T>(x) + offset, scratch,
                                                 Data<T>(y) + offset);
                                }));
  }
};

template <typename T>
class SpatialGradientOp : public SpatialOp<T> {
 public:
  using SpatialOp<T>::SpatialOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& dy = context->input(0);
    const Tensor& x = context->input(1);
    OP_REQUIRES_OK(context, CheckImages("x", x.shape()));
    OP_REQUIRES_OK(context, CheckSameShape("dy", dy, "x", x));
    Tensor* dx;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &dx));
    OP_REQUIRES_OK(context, this->ForEachImage(
                                context, x, 16,
                                [&](const SpatialShape& shape,
                                    std::int64_t offset, float* scratch) {
                                  SpatialGradient(this->params_, shape,
                                                  Data<T>(dy) + offset,
                                                  Data<T>(x) + offset, scratch,
                                                  Data<T>(dx) + offset);
                                }));
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
