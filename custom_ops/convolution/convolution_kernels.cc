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
    const std::string error = ChooseIsaFromEnvironment(&isa_);
    OP_REQUIRES(context, error.empty(), absl::FailedPreconditionError(error));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    ConvolutionShape shape;
    OP_REQUIRES_OK(context, GetShape(x, dy, &shape));
    Tensor *kernel_gradient, *bias_gradient;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0,
                                TensorShape({kernel_size_, kernel_size_,
                                             shape.channels, shape.filters}),
                                &kernel_gradient));
    OP_REQUIRES_OK(context,
                   context->allocate_output(1, TensorShape({shape.filters}),
                                            &bias_gradient));

    const std::int64_t parts = Parts(context, shape);
    const std::int64_t floats = WeightGradientSums(shape);
    Tensor partial;
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_FLOAT,
                                                   TensorShape({parts, floats}),
                                                   &partial));
    float* sums = partial.flat<float>().data();
    AddParts(context, shape, Data<bfloat16>(x), Data<bfloat16>(dy), parts,
             sums);
    FinishKernel(context, shape, sums, parts, Data<bfloat16>(kernel_gradient));
    FinishBiasGradients(shape, sums, parts, Data<bfloat16>(bias_gradient));
  }

 private:
  absl::Status GetShape(const Tensor& x, const Tensor& dy,
                        ConvolutionShape* shape) const {
    if (x.dims() != 4 || dy.dims() != 4) {
      return absl::InvalidArgumentError(absl::StrCat(
          "x and dy must have rank 4, [batch, height, width, channels], got "
          "shapes ",
          x.shape().DebugString(), " and ", dy.shape().DebugString()));
    }
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

  // Computes the partial sums on TensorFlow's threads. Any thread may take any
  // part.
  void AddParts(OpKernelContext* context, const ConvolutionShape& shape,
                const BFloat16* x, const BFloat16* dy, std::int64_t parts,
                float* sums) const {
    const std::int64_t floats = WeightGradientSums(shape);
    const std::int64_t operations =
        shape.images / parts * shape.OutputHeight() * shape.OutputWidth() *
        kernel_size_ * kernel_size_ * shape.channels * shape.filters;
    const std::int64_t cycles = std::max<std::int64_t>(operations / 256, 1);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, parts, cycles,
                      [&](std::int64_t first, std::int64_t last) {
                        for (std::int64_t part = first; part < last; ++part) {
                          float* own = sums + part * floats;
                          std::fill(own, own + floats, 0.0f);
                          AddWeightGradients(
                              isa_, shape, x, dy, part * shape.images / parts,
                              (part + 1) * shape.images / parts, own);
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
