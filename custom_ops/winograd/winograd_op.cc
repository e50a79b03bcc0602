// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/tensors.h"
#include "custom_ops/winograd/winograd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// The attributes of an op at shape inference or a kernel's construction.
template <typename Context>
absl::Status Params(Context* context, WinogradParams* params) {
  std::string side;
  TF_RETURN_IF_ERROR(context->GetAttr("side", &side));
  TF_RETURN_IF_ERROR(context->GetAttr("outputs", &params->outputs));
  TF_RETURN_IF_ERROR(context->GetAttr("taps", &params->taps));
  TF_RETURN_IF_ERROR(context->GetAttr("before", &params->before));
  TF_RETURN_IF_ERROR(context->GetAttr("after", &params->after));
  params->side = side == "input" ? WinogradSide::kInput : WinogradSide::kOutput;
  const std::string error = WinogradError(*params);
  return error.empty() ? absl::OkStatus() : absl::InvalidArgumentError(error);
}

std::int64_t Places(const WinogradParams& params) {
  const std::int64_t tile = params.outputs + params.taps - 1;
  return tile * tile;
}

REGISTER_OP("AlexnetTf>WinogradToTiles")
    .Input("pictures: T")
    .Output("tiles: T")
    .Attr("T: {float, bfloat16}")
    .Attr("side: {'input', 'output'}")
    .Attr("outputs: int")
    .Attr("taps: int")
    .Attr("before: int")
    .Attr("after: int")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      WinogradParams params;
      TF_RETURN_IF_ERROR(Params(c, &params));
      ShapeHandle pictures;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &pictures));
      const WinogradShape shape{
          c->Value(c->Dim(pictures, 0)), c->Value(c->Dim(pictures, 1)),
          c->Value(c->Dim(pictures, 2)), c->Value(c->Dim(pictures, 3))};
      const bool known =
          shape.pictures >= 0 && shape.height >= 0 && shape.width >= 0;
      c->set_output(
          0, c->MakeShape({c->MakeDim(Places(params)),
                           known ? c->MakeDim(shape.pictures *
                                              WinogradTiles(params, shape))
                                 : c->UnknownDim(),
                           c->Dim(pictures, 3)}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Cuts pictures into tiles and transforms them, for Winograd's convolution.

With t = outputs + taps - 1: of the input's side B^T x B of tiles of t x t, which
overlap; of the output's side A y A^T of tiles of outputs x outputs.

pictures: `[batch, height, width, channels]`.
tiles: `[t * t, batch * tiles, channels]`.
side: Whether the pictures are those a convolution reads or those it writes.
outputs: Results of a tile along each side, 2 or 4.
taps: Height and width of the kernel, 3 or 5.
before: Zeros that the convolution adds in front of rows and columns.
after: Zeros that it adds behind them.
)doc");

REGISTER_OP("AlexnetTf>WinogradFromTiles")
    .Input("tiles: T")
    .Input("shape: int32")
    .Output("pictures: T")
    .Attr("T: {float, bfloat16}")
    .Attr("side: {'input', 'output'}")
    .Attr("outputs: int")
    .Attr("taps: int")
    .Attr("before: int")
    .Attr("after: int")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle tiles, pictures;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &tiles));
      TF_RETURN_IF_ERROR(c->MakeShapeFromShapeTensor(1, &pictures));
      TF_RETURN_IF_ERROR(c->WithRank(pictures, 4, &pictures));
      c->set_output(0, pictures);
      return absl::OkStatus();
    })
    .Doc(R"doc(
The adjoint of `AlexnetTf>WinogradToTiles`: of the output's side A^T m A, the
results of a convolution; of the input's side the gradient by its input.

tiles: As of that op.
shape: Of the pictures.
pictures: `[batch, height, width, channels]`.
side: As in that op.
outputs: As in that op.
taps: As in that op.
before: As in that op.
after: As in that op.
)doc");

class WinogradOp : public OpKernel {
 public:
  explicit WinogradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, Params(context, &params_));
    const std::string error = ChooseIsa(std::getenv("ALEXNET_TF_ISA"), &isa_);
    OP_REQUIRES(context, error.empty(),
                absl::FailedPreconditionError(absl::StrCat(
                    "environment variable ALEXNET_TF_ISA: ", error)));
  }

 protected:
  // The tensor of tiles of such pictures.
  absl::Status Tiles(const TensorShape& pictures, TensorShape* tiles,
                     WinogradShape* shape) const {
    if (pictures.dims() != 4) {
      return absl::InvalidArgumentError(
          absl::StrCat("pictures must have rank 4, [batch, height, width, "
                       "channels], got shape ",
                       pictures.DebugString()));
    }
    *shape = {pictures.dim_size(0), pictures.dim_size(1), pictures.dim_size(2),
              pictures.dim_size(3)};
    return TensorShape::BuildTensorShape(
        {Places(params_), shape->pictures * WinogradTiles(params_, *shape),
         shape->channels},
        tiles);
  }

  // Cuts the pictures over TensorFlow's threads: work(first, last).
  template <typename Work>
  void ForPictures(OpKernelContext* context, const WinogradShape& shape,
                   Work work) const {
    const std::int64_t values =
        WinogradTiles(params_, shape) * Places(params_) * shape.channels;
    if (shape.pictures == 0 || shape.channels == 0) return;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, shape.pictures,
                      2 * values, work);
  }

  WinogradParams params_;
  Isa isa_;
};

template <typename T>
class WinogradToTilesOp : public WinogradOp {
 public:
  using WinogradOp::WinogradOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& pictures = context->input(0);
    TensorShape tiles_shape;
    WinogradShape shape;
    OP_REQUIRES_OK(context, Tiles(pictures.shape(), &tiles_shape, &shape));
    Tensor* tiles;
    OP_REQUIRES_OK(context, context->allocate_output(0, tiles_shape, &tiles));
    ForPictures(context, shape, [&](std::int64_t first, std::int64_t last) {
      WinogradToTiles(isa_, params_, shape, Data<T>(pictures), first, last,
                      Data<T>(tiles));
    });
  }
};

template <typename T>
class WinogradFromTilesOp : public WinogradOp {
 public:
  using WinogradOp::WinogradOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& tiles = context->input(0);
    const Tensor& sizes = context->input(1);
    OP_REQUIRES(context, sizes.dims() == 1 && sizes.NumElements() == 4,
                absl::InvalidArgumentError(absl::StrCat(
                    "shape must be four numbers, [batch, height, width, "
                    "channels], got a tensor of shape ",
                    sizes.shape().DebugString())));
    TensorShape pictures_shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShapeUtils::MakeShape(
                       sizes.vec<std::int32_t>().data(), 4, &pictures_shape));
    TensorShape tiles_shape;
    WinogradShape shape;
    OP_REQUIRES_OK(context, Tiles(pictures_shape, &tiles_shape, &shape));
    OP_REQUIRES(context, tiles.shape() == tiles_shape,
                absl::InvalidArgumentError(absl::StrCat(
                    "tiles must have shape ", tiles_shape.DebugString(),
                    " for pictures of shape ", pictures_shape.DebugString(),
                    ", got ", tiles.shape().DebugString())));
    Tensor* pictures;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, pictures_shape, &pictures));
    ForPictures(context, shape, [&](std::int64_t first, std::int64_t last) {
      // Every float is written before it is read.
      const std::unique_ptr<float[]> scratch(new float[WinogradScratch(shape)]);
      WinogradFromTiles(isa_, params_, shape, Data<T>(tiles), first, last,
                        scratch.get(), Data<T>(pictures));
    });
  }
};

#define REGISTER(TYPE)                                        \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>WinogradToTiles")   \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<TYPE>("T"),     \
                          WinogradToTilesOp<TYPE>);           \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>WinogradFromTiles") \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<TYPE>("T"),     \
                          WinogradFromTilesOp<TYPE>);
REGISTER(float)
REGISTER(tensorflow::bfloat16)
#undef REGISTER

}  // namespace
}  // namespace alexnet_tf
