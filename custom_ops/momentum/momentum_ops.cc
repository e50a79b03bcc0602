// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/momentum/momentum.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace alexnet_tf {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

constexpr int kGradient = 2;

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
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      float momentum, weight_decay;
      int copies;
      TF_RETURN_IF_ERROR(c->GetAttr("momentum", &momentum));
      TF_RETURN_IF_ERROR(c->GetAttr("weight_decay", &weight_decay));
      TF_RETURN_IF_ERROR(c->GetAttr("num_copies", &copies));
      TF_RETURN_IF_ERROR(
          StatusOf(MomentumError(momentum, weight_decay, copies)));
      ShapeHandle scalar;
      // Handles of variables and the learning rate are scalars.
      for (int i = 0; i < c->num_inputs(); ++i) {
        if (i == kGradient) continue;
        TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 0, &scalar));
      }
      return absl::OkStatus();
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
