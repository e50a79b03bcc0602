// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/spatial/spatial.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

REGISTER_OP("AlexnetTf>SpatialNormalization")
    .Input("x: T")
    .Output("y: T")
    .Attr("T: {float, bfloat16}")
    .Attr("size: int")
    .Attr("k: float")
    .Attr("alpha: float")
    .Attr("beta: float")
    .SetShapeFn(MergedShape)
    .Doc(R"doc(
Divides each value by a power of the squares around it in its own map:
`y = x / (k + alpha * sum of x^2)^beta`, the sum over `size` x `size` positions.

x: `[batch, height, width, channels]`.
y: As `x`.
size: Side of the square, an odd number.
k: Added to the sum, positive.
alpha: Factor of the sum itself, not of its mean.
beta: The exponent.
)doc");

REGISTER_OP("AlexnetTf>SpatialNormalizationGrad")
    .Input("dy: T")
    .Input("x: T")
    .Output("dx: T")
    .Attr("T: {float, bfloat16}")
    .Attr("size: int")
    .Attr("k: float")
    .Attr("alpha: float")
    .Attr("beta: float")
    .SetShapeFn(MergedShape)
    .Doc(R"doc(
Gradient of `AlexnetTf>SpatialNormalization`, recomputed from its input.

dy: Gradient of the loss by that op's output.
x: That op's input, of the same shape.
dx: Gradient of the loss by `x`.
size: As in that op.
k: As in that op.
alpha: As in that op.
beta: As in that op.
)doc");

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
  // Calls work(shape of a picture, offset of its values, scratch space) for
  // every picture of `x`, cut over TensorFlow's threads.
  template <typename Work>
  void ForEachPicture(OpKernelContext* context, const Tensor& x,
                      int64_t cycles_per_value, Work work) const {
    const SpatialShape shape{x.dim_size(1), x.dim_size(2), x.dim_size(3)};
    const int64_t values = shape.height * shape.width * shape.channels;
    if (x.NumElements() == 0) return;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(
        workers.num_threads, workers.workers, x.dim_size(0),
        values * cycles_per_value, [&](int64_t first, int64_t last) {
          // Every float is written before it is read.
          const std::unique_ptr<float[]> scratch(
              new float[SpatialScratch(params_, shape)]);
          for (int64_t picture = first; picture < last; ++picture) {
            work(shape, picture * values, scratch.get());
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
    this->ForEachPicture(
        context, x, 8,
        [&](const SpatialShape& shape, int64_t offset, float* scratch) {
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
            "dy its shape, got ",
            x.shape().DebugString(), " and ", dy.shape().DebugString())));
    Tensor* dx;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &dx));
    this->ForEachPicture(
        context, x, 16,
        [&](const SpatialShape& shape, int64_t offset, float* scratch) {
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
