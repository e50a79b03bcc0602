// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"

namespace alexnet_tf {
REGISTER_OP("AlexnetTf>LocalResponseNormalization")
    .Input("x: T")
    .Output("y: T")
    .Attr("T: {float, half, bfloat16}")
    .Attr("size: int = 5")
    .Attr("k: float = 2.0")
    .Attr("alpha: float = 1e-4")
    .Attr("beta: float = 0.75")
    .SetShapeFn(MergedShape)
    .Doc(R"doc(
Divides each value by a power of the squares of its neighbours' values in the
channel dimension: `y_i = x_i / (k + alpha * sum_j x_j^2)^beta`, the sum over
channels `j` with `|j - i| <= size / 2`.

x: `[batch, height, width, channels]`.
y: As `x`.
size: Channels in the window, an odd number: the paper's n.
k: Added to the sum, positive.
alpha: Factor of the sum itself, not of its mean.
beta: The exponent.
)doc");

REGISTER_OP("AlexnetTf>LocalResponseNormalizationGrad")
    .Input("dy: T")
    .Input("x: T")
    .Output("dx: T")
    .Attr("T: {float, half, bfloat16}")
    .Attr("size: int = 5")
    .Attr("k: float = 2.0")
    .Attr("alpha: float = 1e-4")
    .Attr("beta: float = 0.75")
    .Attr("rectified: bool = false")
    .SetShapeFn(MergedShape)
    .Doc(R"doc(
Gradient of `AlexnetTf>LocalResponseNormalization`, recomputed from its input.

dy: Gradient of the loss by that op's output.
x: That op's input, of the same shape.
dx: Gradient of the loss by `x`.
size: As in that op.
k: As in that op.
alpha: As in that op.
beta: As in that op.
rectified: `x` is `max(z, 0)`, and the gradient is by `z`: 0 where `x` is. On the
  CPU alone.
)doc");

}  // namespace alexnet_tf
