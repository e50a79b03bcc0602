// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/sharding.h"
#include "custom_ops/tensors.h"
#include "custom_ops/winograd/winograd.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

class WinogradOp : public OpKernel {
 public:
  explicit WinogradOp(OpKernelConstruction* context) : OpKernel(context) {
    std::string side;
    OP_REQUIRES_OK(context, context->GetAttr("side", &side));
    OP_REQUIRES_OK(context, context->GetAttr("outputs", &params_.outputs));
    OP_REQUIRES_OK(context,
                   context->GetAttr("kernel_size", &params_.kernel_size));
    OP_REQUIRES_OK(context,
                   context->GetAttr("padding_before", &params_.padding_before));
    OP_REQUIRES_OK(context,
                   context->GetAttr("padding_after", &params_.padding_after));
    params_.side =
        side == "input" ? WinogradSide::kInput : WinogradSide::kOutput;
    OP_REQUIRES_OK(context, StatusOf(WinogradError(params_)));
    const std::string error = ChooseIsaFromEnvironment(&isa_);
    OP_REQUIRES(context, error.empty(), absl::FailedPreconditionError(error));
  }

 protected:
  // Computes the shape of the tensor of tiles from the shape of the images.
  absl::Status GetTilesShape(const TensorShape& images, TensorShape* tiles,
                             WinogradShape* shape) const {
    TF_RETURN_IF_ERROR(CheckImages("images", images));
    *shape = {images.dim_size(0), images.dim_size(1), images.dim_size(2),
              images.dim_size(3)};
    TF_RETURN_IF_ERROR(StatusOf(WinogradShapeError(params_, *shape)));
    return TensorShape::BuildTensorShape(
        {WinogradPlaces(params_),
         shape->images * WinogradTiles(params_, *shape), shape->channels},
        tiles);
  }

  // Distributes the images over TensorFlow's threads, which call
  // work(first, last, scratch).
  template <typename Work>
  absl::Status ForImages(OpKernelContext* context, const WinogradShape& shape,
                         std::int64_t scratch, Work work) const {
    const std::int64_t values = WinogradTiles(params_, shape) *
                                WinogradPlaces(params_) * shape.channels;
    return ShareOut(context, shape.images, 2 * values, scratch, work);
  }

  WinogradParams params_;
  Isa isa_;
};

template <typename T>
class WinogradToTilesOp : public WinogradOp {
 public:
  using WinogradOp::WinogradOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& images = context->input(0);
    TensorShape tiles_shape;
    WinogradShape shape;
    OP_REQUIRES_OK(context,
                   GetTilesShape(images.shape(), &tiles_shape, &shape));
    Tensor* tiles;
    OP_REQUIRES_OK(context, context->allocate_output(0, tiles_shape, &tiles));
    if (tiles->NumElements() == 0) return;
    OP_REQUIRES_OK(
        context, ForImages(context, shape, 0,
                           [&](std::int64_t first, std::int64_t last, float*) {
                             WinogradToTiles(isa_, params_, shape,
                                             Data<T>(images), first, last,
                                             Data<T>(tiles));
                           }));
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
    TensorShape images_shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShapeUtils::MakeShape(
                       sizes.vec<std::int32_t>().data(), 4, &images_shape));
    TensorShape tiles_shape;
    WinogradShape shape;
    OP_REQUIRES_OK(context, GetTilesShape(images_shape, &tiles_shape, &shape));
    OP_REQUIRES(context, tiles.shape() == tiles_shape,
                absl::InvalidArgumentError(absl::StrCat(
                    "tiles must have shape ", tiles_shape.DebugString(),
                    " for images of shape ", images_shape.DebugString(),
                    ", got ", tiles.shape().DebugString())));
    Tensor* images;
    OP_REQUIRES_OK(context, context->allocate_output(0, images_shape, &images));
    if (images->NumElements() == 0) return;
    OP_REQUIRES_OK(
        context,
        ForImages(context, shape, WinogradScratch(shape),
                  [&](std::int64_t first, std::int64_t last, float* scratch) {
                    WinogradFromTiles(isa_, params_, shape, Data<T>(tiles),
                                      first, last, scratch, Data<T>(images));
                  }));
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
