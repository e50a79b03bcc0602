// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/convolution/convolution.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::bfloat16;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

class ConvolutionWeightGradientsOp : public OpKernel {
 public:
  explicit ConvolutionWeightGradientsOp(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("kernel_size", &kernel_size_));
    OP_REQUIRES_OK(context,
                   context->GetAttr("padding_before", &padding_before_));
    OP_REQUIRES_OK(context, context->GetAttr("padding_after", &padding_after_));
    OP_REQUIRES_OK(context,
                   StatusOf(ConvolutionError(kernel_size_, padding_before_,
                                             padding_after_)));
    const std::string error = ChooseIsaFromEnvironment(&isa_);
    OP_REQUIRES(context, error.empty(), absl::FailedPreconditionError(error));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    ConvolutionShape shape;
    OP_REQUIRES_OK(context, GetShape(x, dy, &shape));
    TensorShape kernel_shape;
    OP_REQUIRES_OK(
        context, TensorShape::BuildTensorShape({kernel_size_, kernel_size_,
                                                shape.channels, shape.filters},
                                               &kernel_shape));
    Tensor *kernel_gradient, *bias_gradient;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, kernel_shape, &kernel_gradient));
    OP_REQUIRES_OK(context,
                   context->allocate_output(1, TensorShape({shape.filters}),
                                            &bias_gradient));
    if (dy.NumElements() == 0) {
      kernel_gradient->flat<bfloat16>().setZero();
      bias_gradient->flat<bfloat16>().setZero();
      return;
    }

    const std::int64_t parts = Parts(context, shape);
    // A part has at most this many images.
    const std::int64_t images = (shape.images + parts - 1) / parts;
    Tensor sums, scratch;
    OP_REQUIRES_OK(context,
                   Allocate(context, parts, WeightGradientSums(shape), &sums));
    OP_REQUIRES_OK(
        context, Allocate(context, parts, WeightGradientScratch(shape, images),
                          &scratch));
    AddParts(context, shape, Data<bfloat16>(x), Data<bfloat16>(dy), &scratch,
             &sums);
    const float* all_sums = sums.flat<float>().data();
    if (kernel_gradient->NumElements() > 0) {
      FinishKernel(context, shape, all_sums, parts,
                   Data<bfloat16>(kernel_gradient));
    }
    FinishBiasGradients(shape, all_sums, parts, Data<bfloat16>(bias_gradient));
  }

 private:
  absl::Status GetShape(const Tensor& x, const Tensor& dy,
                        ConvolutionShape* shape) const {
    TF_RETURN_IF_ERROR(CheckImages("x", x.shape()));
    TF_RETURN_IF_ERROR(CheckImages("dy", dy.shape()));
    *shape = {x.dim_size(0), x.dim_size(1),   x.dim_size(2),  x.dim_size(3),
              kernel_size_,  padding_before_, padding_after_, dy.dim_size(3)};
    if (dy.dim_size(0) != shape->images ||
        dy.dim_size(1) != shape->OutputHeight() ||
        dy.dim_size(2) != shape->OutputWidth()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "for x of shape ", x.shape().DebugString(), ", dy must have shape [",
          shape->images, ",", shape->OutputHeight(), ",", shape->OutputWidth(),
          ",filters], got ", dy.shape().DebugString()));
    }
    constexpr std::int64_t kMostPositions = std::int64_t{1} << 60;
    const std::int64_t padding = shape->padding_before + shape->padding_after;
    if (BoundedProduct({shape->images, shape->height + padding,
                        shape->width + padding}) > kMostPositions) {
      return absl::InvalidArgumentError(absl::StrCat(
          "x of shape ", x.shape().DebugString(), " with padding_before ",
          padding_before_, " and padding_after ", padding_after_,
          " must have at most 2^60 positions"));
    }
    return absl::OkStatus();
  }

  // The number of parts into which the images are cut: one per thread. Each
  // part needs a partial sum of its own, so there are fewer parts if the sums
  // would take too much memory.
  static std::int64_t Parts(OpKernelContext* context,
                            const ConvolutionShape& shape) {
    constexpr std::int64_t kMostFloats = 1 << 25;
    const std::int64_t threads =
        context->device()->tensorflow_cpu_worker_threads()->num_threads;
    const std::int64_t floats = WeightGradientSums(shape);
    return std::max<std::int64_t>(
        1, std::min({threads, shape.images,
                     kMostFloats / std::max<std::int64_t>(1, floats)}));
  }

  // Allocates a row of `floats` for each part, in whole cache lines.
  static absl::Status Allocate(OpKernelContext* context, std::int64_t parts,
                               std::int64_t floats, Tensor* rows) {
    constexpr std::int64_t kLine = 16;
    TensorShape shape;
    TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape(
        {parts, (floats + kLine - 1) / kLine * kLine}, &shape));
    return context->allocate_temp(tensorflow::DT_FLOAT, shape, rows);
  }

  // Computes the partial sums on TensorFlow's threads. Any thread may take any
  // part.
  void AddParts(OpKernelContext* context, const ConvolutionShape& shape,
                const BFloat16* x, const BFloat16* dy, Tensor* scratch,
                Tensor* sums) const {
    const std::int64_t parts = sums->dim_size(0), floats = sums->dim_size(1);
    const std::int64_t operations = BoundedProduct(
        {shape.images / parts, shape.OutputHeight(), shape.OutputWidth(),
         kernel_size_, kernel_size_, shape.channels, shape.filters});
    const std::int64_t cycles = std::max<std::int64_t>(operations / 256, 1);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(
        workers.num_threads, workers.workers, parts, cycles,
        [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t part = first; part < last; ++part) {
            float* own = sums->flat<float>().data() + part * floats;
            std::fill(own, own + floats, 0.0f);
            AddWeightGradients(
                isa_, shape, x, dy, part * shape.images / parts,
                (part + 1) * shape.images / parts,
                scratch->flat<float>().data() + part * scratch->dim_size(1),
                own);
          }
        });
  }

  static void FinishKernel(OpKernelContext* context,
                           const ConvolutionShape& shape, const float* sums,
                           std::int64_t parts, BFloat16* kernel_gradient) {
    const std::int64_t cycles = 32 * shape.filters * parts;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers,
                      WeightGradientBlocks(shape), cycles,
                      [&](std::int64_t first, std::int64_t last) {
                        FinishWeightGradients(shape, sums, parts, first, last,
                                              kernel_gradient);
                      });
  }

  int kernel_size_, padding_before_, padding_after_;
  Isa isa_;
};

REGISTER_KERNEL_BUILDER(
    Name("AlexnetTf>ConvolutionWeightGradients").Device(tensorflow::DEVICE_CPU),
    ConvolutionWeightGradientsOp);

}  // namespace
}  // namespace alexnet_tf
