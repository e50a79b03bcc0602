// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "absl/status/status.h"
#include "custom_ops/convolution/convolution.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace alexnet_tf {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("AlexnetTf>ConvolutionWeightGradients")
    .Input("x: bfloat16")
    .Input("dy: bfloat16")
    .Output("kernel_gradient: bfloat16")
    .Output("bias_gradient: bfloat16")
    .Attr("kernel_size: int")
    .Attr("padding_before: int")
    .Attr("padding_after: int")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle x, dy;
      int kernel_size, padding_before, padding_after;
      TF_RETURN_IF_ERROR(c->GetAttr("kernel_size", &kernel_size));
      TF_RETURN_IF_ERROR(c->GetAttr("padding_before", &padding_before));
      TF_RETURN_IF_ERROR(c->GetAttr("padding_after", &padding_after));
      TF_RETURN_IF_ERROR(StatusOf(
          ConvolutionError(kernel_size, padding_before, padding_after)));
      TF_RETURN_IF_ERROR(GetImages(c, 0, &x));
      TF_RETURN_IF_ERROR(GetImages(c, 1, &dy));
      c->set_output(
          0, c->MakeShape({c->MakeDim(kernel_size), c->MakeDim(kernel_size),
                           c->Dim(x, 3), c->Dim(dy, 3)}));
      c->set_output(1, c->MakeShape({c->Dim(dy, 3)}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Computes the weight gradients of a convolution of stride 1 with a bias. Products
are summed in float32, and the sums are rounded once.

x: The convolution's input, `[batch, height, width, channels]`.
dy: The gradient of the loss with respect to the convolution's output, `[batch,
  height + padding_before + padding_after - kernel_size + 1, width +
  padding_before + padding_after - kernel_size + 1, filters]`.
kernel_gradient: The gradient of the loss with respect to the kernel,
  `[kernel_size, kernel_size, channels, filters]`.
bias_gradient: The gradient of the loss with respect to the bias, `[filters]`.
kernel_size: The height and width of the kernel.
padding_before: The rows and columns of zeros in front of the input.
padding_after: The rows and columns of zeros behind the input.
)doc");

}  // namespace alexnet_tf
