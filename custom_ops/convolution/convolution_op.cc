// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/convolution/convolution.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::bfloat16;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("AlexnetTf>ConvolutionWeightGradients")
    .Input("x: bfloat16")
    .Input("dy: bfloat16")
    .Output("kernel: bfloat16")
    .Output("bias: bfloat16")
    .Attr("taps: int >= 1")
    .Attr("before: int >= 0")
    .Attr("after: int >= 0")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle x, dy;
      int taps;
      TF_RETURN_IF_ERROR(c->GetAttr("taps", &taps));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &x));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 4, &dy));
      c->set_output(0, c->MakeShape({c->MakeDim(taps), c->MakeDim(taps),
                                     c->Dim(x, 3), c->Dim(dy, 3)}));
      c->set_output(1, c->MakeShape({c->Dim(dy, 3)}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradients of a convolution of stride 1, and of a bias added to it, by their
weights. Products are summed in float32, and the sums are rounded once.

x: The convolution's input, `[batch, height, width, channels]`.
dy: Gradient of the loss by its result, `[batch, height + before + after - taps
  + 1, width + before + after - taps + 1, filters]`.
kernel: Gradient of the loss by the kernel, `[taps, taps, channels, filters]`.
bias: Gradient of the loss by the bias, `[filters]`.
taps: Height and width of the kernel.
before: Zeros that the convolution adds in front of rows and columns.
after: Zeros that it adds behind them.
)doc");

class ConvolutionWeightGradientsOp : public OpKernel {
 public:
  explicit ConvolutionWeightGradientsOp(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("taps", &taps_));
    OP_REQUIRES_OK(context, context->GetAttr("before", &before_));
    OP_REQUIRES_OK(context, context->GetAttr("after", &after_));
    const std::string error = ChooseIsa(std::getenv("ALEXNET_TF_ISA"), &isa_);
    OP_REQUIRES(context, error.empty(),
                absl::FailedPreconditionError(absl::StrCat(
                    "environment variable ALEXNET_TF_ISA: ", error)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    OP_REQUIRES(
        context, x.dims() == 4 && dy.dims() == 4,
        absl::InvalidArgumentError(absl::StrCat(
            "x and dy must have rank 4, [batch, height, width, channels], got "
            "shapes ",
            x.shape().DebugString(), " and ", dy.shape().DebugString())));
    const ConvolutionShape shape{x.dim_size(0), x.dim_size(1), x.dim_size(2),
                                 x.dim_size(3), taps_,         before_,
                                 after_,        dy.dim_size(3)};
    OP_REQUIRES(
        context,
        dy.dim_size(0) == shape.pictures &&
            dy.dim_size(1) == shape.OutputHeight() &&
            dy.dim_size(2) == shape.OutputWidth(),
        absl::InvalidArgumentError(absl::StrCat(
            "for x of shape ", x.shape().DebugString(), " dy must have shape [",
            shape.pictures, ",", shape.OutputHeight(), ",", shape.OutputWidth(),
            ",filters], got ", dy.shape().DebugString())));
    Tensor *kernel, *bias;
    OP_REQUIRES_OK(
        context,
        context->allocate_output(
            0, TensorShape({taps_, taps_, shape.channels, shape.filters}),
            &kernel));
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, TensorShape({shape.filters}), &bias));

    // A part of the pictures for each thread, whichever thread takes it. Each
    // has sums of its own, so that with many threads not all get a part.
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    const std::int64_t floats = WeightGradientSums(shape);
    const std::int64_t parts = std::max<std::int64_t>(
        1, std::min({std::int64_t{workers.num_threads}, shape.pictures,
                     kMostFloats / std::max<std::int64_t>(1, floats)}));
    Tensor partial;
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_FLOAT,
                                                   TensorShape({parts, floats}),
                                                   &partial));
    float* sums = partial.flat<float>().data();
    const std::int64_t operations = shape.pictures / parts * dy.dim_size(1) *
                                    dy.dim_size(2) * taps_ * taps_ *
                                    shape.channels * shape.filters;
    tensorflow::Shard(workers.num_threads, workers.workers, parts,
                      std::max<std::int64_t>(operations / 256, 1),
                      [&](std::int64_t first, std::int64_t last) {
                        for (std::int64_t part = first; part < last; ++part) {
                          float* own = sums + part * floats;
                          std::fill(own, own + floats, 0.0f);
                          AddWeightGradients(
                              isa_, shape, Data<bfloat16>(x),
                              Data<bfloat16>(dy), part * shape.pictures / parts,
                              (part + 1) * shape.pictures / parts, own);
                        }
                      });
    tensorflow::Shard(workers.num_threads, workers.workers,
                      WeightGradientBlocks(shape), 32 * shape.filters * parts,
                      [&](std::int64_t first, std::int64_t last) {
                        FinishWeightGradients(shape, sums, parts, first, last,
                                              Data<bfloat16>(kernel));
                      });
    FinishBiasGradients(shape, sums, parts, Data<bfloat16>(bias));
  }

 private:
  static constexpr std::int64_t kMostFloats = 1 << 25;

  int taps_, before_, after_;
  Isa isa_;
};

REGISTER_KERNEL_BUILDER(
    Name("AlexnetTf>ConvolutionWeightGradients").Device(tensorflow::DEVICE_CPU),
    ConvolutionWeightGradientsOp);

}  // namespace
}  // namespace alexnet_tf
