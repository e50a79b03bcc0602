// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace alexnet_tf {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("AlexnetTf>ResourceApplyDecayedMomentum")
    .Input("var: resource")
    .Input("velocity: resource")
    .Input("gradient: T")
    .Input("learning_rate: float")
    .Input("copies: num_copies * resource")
    .Attr("num_copies: int >= 0 = 0")
    .Attr("T: {float, bfloat16}")
    .Attr("momentum: float")
    .Attr("weight_decay: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle scalar;
      return c->WithRank(c->input(3), 0, &scalar);
    })
    .Doc(R"doc(
Applies the update rule of the AlexNet paper, section 5, in one pass, in place:
`v <- momentum * v - learning_rate * (gradient + weight_decay * w); w <- w + v`.

var: `w`, a float32 variable.
velocity: `v`, a float32 variable of the same shape.
gradient: The gradient of the loss with respect to `w`, of the same shape.
learning_rate: A scalar.
copies: Empty, or one bfloat16 variable of the same shape. It is set to the new
  `w`, rounded.
momentum: The factor that a step keeps of the velocity.
weight_decay: The factor of `w` that is added to the gradient.
)doc");

}  // namespace alexnet_tf
