// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/spatial/spatial.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"

namespace alexnet_tf {

REGISTER_OP("AlexnetTf>SpatialNormalization")
    .Input("x: T")
    .Output("y: T")
    .Attr("T: {float, bfloat16}")
    .Attr("size: int")
    .Attr("k: float")
    .Attr("alpha: float")
    .Attr("beta: float")
    .SetShapeFn(NormalizationShape<SpatialParams>)
    .Doc(R"doc(
Divides each value by a power of the squares around it in its own map:
`y = x / (k + alpha * sum of x^2)^beta`. The sum is over `size` x `size` positions.

x: `[batch, height, width, channels]`.
y: Has the shape and type of `x`.
size: The side of the square, an odd number of at most 65535.
k: The positive constant that is added to the sum.
alpha: The factor of the sum itself, not of its mean.
beta: The exponent. `k^-beta` may be at most 2^127.
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
    .SetShapeFn(NormalizationShape<SpatialParams>)
    .Doc(R"doc(
Computes the gradient of `AlexnetTf>SpatialNormalization` from its input.

dy: The gradient of the loss with respect to that op's output.
x: That op's input, of the same shape.
dx: The gradient of the loss with respect to `x`.
size: As in that op.
k: As in that op.
alpha: As in that op.
beta: As in that op.
)doc");

}  // namespace alexnet_tf
