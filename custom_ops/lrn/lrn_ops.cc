// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/lrn/lrn.h"
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
    .SetShapeFn(NormalizationShape<LrnParams>)
    .Doc(R"doc(
Divides each value by a power of the squares of its neighbors' values in the
channel dimension: `y_i = x_i / (k + alpha * sum_j x_j^2)^beta`. The sum is over
the channels `j` with `|j - i| <= size / 2`.

x: `[batch, height, width, channels]`.
y: Has the shape and type of `x`.
size: The number of channels in the window, an odd number of at most 65535. It is
  the paper's n.
k: The positive constant that is added to the sum.
alpha: The factor of the sum itself, not of its mean.
beta: The exponent. `k^-beta` may be at most 2^127.
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
    .SetShapeFn(NormalizationShape<LrnParams>)
    .Doc(R"doc(
Computes the gradient of `AlexnetTf>LocalResponseNormalization` from its input.

dy: The gradient of the loss with respect to that op's output.
x: That op's input, of the same shape.
dx: The gradient of the loss with respect to `x`.
size: As in that op.
k: As in that op.
alpha: As in that op.
beta: As in that op.
rectified: Whether `x` is `max(z, 0)`, and the gradient is the one with respect to
  `z`, which is 0 where `x` is 0. Only the CPU kernels support this.
)doc");

}  // namespace alexnet_tf
