// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <string>

#include "absl/status/status.h"
#include "custom_ops/tensors.h"
#include "custom_ops/winograd/winograd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status GetParams(InferenceContext* c, WinogradParams* params) {
  std::string side;
  TF_RETURN_IF_ERROR(c->GetAttr("side", &side));
  TF_RETURN_IF_ERROR(c->GetAttr("outputs", &params->outputs));
  TF_RETURN_IF_ERROR(c->GetAttr("kernel_size", &params->kernel_size));
  TF_RETURN_IF_ERROR(c->GetAttr("padding_before", &params->padding_before));
  TF_RETURN_IF_ERROR(c->GetAttr("padding_after", &params->padding_after));
  params->side = side == "input" ? WinogradSide::kInput : WinogradSide::kOutput;
  return StatusOf(WinogradError(*params));
}

// Computes the shape of the tensor of tiles from the shape of the images, as
// far as that is known.
absl::Status GetTiles(InferenceContext* c, ShapeHandle images,
                      ShapeHandle* tiles) {
  WinogradParams params;
  TF_RETURN_IF_ERROR(GetParams(c, &params));
  const WinogradShape shape{
      c->Value(c->Dim(images, 0)), c->Value(c->Dim(images, 1)),
      c->Value(c->Dim(images, 2)), c->Value(c->Dim(images, 3))};
  const bool known = shape.images >= 0 && shape.height >= 0 && shape.width >= 0;
  if (known) TF_RETURN_IF_ERROR(StatusOf(WinogradShapeError(params, shape)));
  *tiles = c->MakeShape(
      {c->MakeDim(WinogradPlaces(params)),
       known ? c->MakeDim(shape.images * WinogradTiles(params, shape))
             : c->UnknownDim(),
       c->Dim(images, 3)});
  return absl::OkStatus();
}

absl::Status ToTilesShape(InferenceContext* c) {
  ShapeHandle images, tiles;
  TF_RETURN_IF_ERROR(GetImages(c, 0, &images));
  TF_RETURN_IF_ERROR(GetTiles(c, images, &tiles));
  c->set_output(0, tiles);
  return absl::OkStatus();
}

absl::Status FromTilesShape(InferenceContext* c) {
  ShapeHandle images, tiles;
  TF_RETURN_IF_ERROR(c->MakeShapeFromShapeTensor(1, &images));
  TF_RETURN_IF_ERROR(c->WithRank(images, 4, &images));
  TF_RETURN_IF_ERROR(GetTiles(c, images, &tiles));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), tiles, &tiles));
  c->set_output(0, images);
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("AlexnetTf>WinogradToTiles")
    .Input("images: T")
    .Output("tiles: T")
    .Attr("T: {float, bfloat16}")
    .Attr("side: {'input', 'output'}")
    .Attr("outputs: int")
    .Attr("kernel_size: int")
    .Attr("padding_before: int")
    .Attr("padding_after: int")
    .SetShapeFn(ToTilesShape)
    .Doc(R"doc(
Cuts images into tiles and transforms them, for Winograd convolution.

Let t = outputs + kernel_size - 1. For the input side the result is B^T x B of
tiles of t x t, which overlap. For the output side it is A y A^T of tiles of
outputs x outputs.

images: `[batch, height, width, channels]`.
tiles: `[t * t, batch * tiles, channels]`.
side: Whether these are the images that a convolution reads or those it writes.
outputs: The results of a tile along each side, 2 or 4.
kernel_size: The height and width of the kernel, 3 or 5.
padding_before: The rows and columns of zeros in front of the convolution's
  input.
padding_after: The rows and columns of zeros behind the convolution's input.
)doc");

REGISTER_OP("AlexnetTf>WinogradFromTiles")
    .Input("tiles: T")
    .Input("shape: int32")
    .Output("images: T")
    .Attr("T: {float, bfloat16}")
    .Attr("side: {'input', 'output'}")
    .Attr("outputs: int")
    .Attr("kernel_size: int")
    .Attr("padding_before: int")
    .Attr("padding_after: int")
    .SetShapeFn(FromTilesShape)
    .Doc(R"doc(
Computes the adjoint of `AlexnetTf>WinogradToTiles`. For the output side this is
A^T m A, the results of a convolution. For the input side it is the gradient with
respect to the convolution's input.

tiles: As in that op.
shape: The shape of the images.
images: `[batch, height, width, channels]`.
side: As in that op.
outputs: As in that op.
kernel_size: As in that op.
padding_before: As in that op.
padding_after: As in that op.
)doc");

}  // namespace alexnet_tf
