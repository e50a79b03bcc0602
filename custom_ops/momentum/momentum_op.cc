// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/momentum/momentum.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::Var;
using ::tensorflow::shape_inference::InferenceContext;

REGISTER_OP("AlexnetTf>ResourceApplyDecayedMomentum")
    .Input("var: resource")
    .Input("velocity: resource")
    .Input("gradient: T")
    .Input("rate: float")
    .Attr("T: {float, bfloat16}")
    .Attr("momentum: float")
    .Attr("decay: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      ::tensorflow::shape_inference::ShapeHandle scalar;
      return c->WithRank(c->input(3), 0, &scalar);
    })
    .Doc(R"doc(
The update of the AlexNet paper, section 5, in place and in one pass:
`v <- momentum * v - rate * (gradient + decay * w); w <- w + v`.

var: `w`, a float32 variable.
velocity: `v`, a float32 variable of the same shape.
gradient: Of the loss by `w`, of the same shape.
rate: The learning rate, a scalar.
momentum: What a step keeps of the velocity.
decay: Weight decay, times the rate.
)doc");

// The values of a variable, exclusively: where a read still holds its buffer,
// in a buffer of its own. The variable's lock must be held.
absl::Status Exclusive(OpKernelContext* context, const char* name, Var* var,
                       float** values) {
  Tensor* tensor = var->tensor();
  if (!var->is_initialized || tensor->dtype() != tensorflow::DT_FLOAT) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " must be an initialized float32 variable, got ",
                     var->DebugString()));
  }
  if (!tensor->RefCountIsOne()) {
    Tensor copy;
    TF_RETURN_IF_ERROR(
        context->allocate_temp(tensorflow::DT_FLOAT, tensor->shape(), &copy));
    copy.flat<float>() = tensor->flat<float>();
    *tensor = copy;
  }
  *values = tensor->flat<float>().data();
  return absl::OkStatus();
}

template <typename T>
class DecayedMomentumOp : public OpKernel {
 public:
  explicit DecayedMomentumOp(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("momentum", &momentum_));
    OP_REQUIRES_OK(context, context->GetAttr("decay", &decay_));
  }

  void Compute(OpKernelContext* context) override {
    tensorflow::core::RefCountPtr<Var> var, velocity;
    OP_REQUIRES_OK(context,
                   LookupResource(context, HandleFromInput(context, 0), &var));
    OP_REQUIRES_OK(context, LookupResource(context, HandleFromInput(context, 1),
                                           &velocity));
    OP_REQUIRES(context, var.get() != velocity.get(),
                absl::InvalidArgumentError(
                    "var and velocity must be two variables, got one"));
    const Tensor& gradient = context->input(2);
    const Tensor& rate = context->input(3);
    OP_REQUIRES(
        context, tensorflow::TensorShapeUtils::IsScalar(rate.shape()),
        absl::InvalidArgumentError(absl::StrCat(
            "rate must be a scalar, got shape ", rate.shape().DebugString())));

    tensorflow::mutex_lock var_lock(*var->mu());
    tensorflow::mutex_lock velocity_lock(*velocity->mu());
    float* w;
    float* v;
    OP_REQUIRES_OK(context, Exclusive(context, "var", var.get(), &w));
    OP_REQUIRES_OK(context, Exclusive(context, "velocity", velocity.get(), &v));
    OP_REQUIRES(context,
                gradient.shape() == var->tensor()->shape() &&
                    gradient.shape() == velocity->tensor()->shape(),
                absl::InvalidArgumentError(absl::StrCat(
                    "var, velocity and gradient must have one shape, got ",
                    var->tensor()->shape().DebugString(), ", ",
                    velocity->tensor()->shape().DebugString(), " and ",
                    gradient.shape().DebugString())));

    const auto* g = Data<T>(gradient);
    const MomentumParams params{rate.scalar<float>()(), momentum_, decay_};
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(
        workers.num_threads, workers.workers, gradient.NumElements(), 4,
        [&](int64_t first, int64_t last) {
          MomentumStep(params, g + first, last - first, v + first, w + first);
        });
  }

 private:
  float momentum_;
  float decay_;
};

#define REGISTER(TYPE)                                                   \
  REGISTER_KERNEL_BUILDER(Name("AlexnetTf>ResourceApplyDecayedMomentum") \
                              .Device(tensorflow::DEVICE_CPU)            \
                              .TypeConstraint<TYPE>("T"),                \
                          DecayedMomentumOp<TYPE>);
REGISTER(float)
REGISTER(tensorflow::bfloat16)
#undef REGISTER

}  // namespace
}  // namespace alexnet_tf
