// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <optional>

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
    .Input("copies: num_copies * resource")
    .Attr("num_copies: int >= 0 = 0")
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
copies: No or one bfloat16 variable of the same shape, which becomes `w`,
  rounded.
momentum: What a step keeps of the velocity.
decay: Weight decay, times the rate.
)doc");

// The values of a variable, exclusively: where a read still holds its buffer,
// in a buffer of its own, which has the values where they are `kept`. The
// variable's lock must be held.
template <typename T>
absl::Status Exclusive(OpKernelContext* context, const char* name, Var* var,
                       bool kept, typename Plain<T>::Type** values) {
  constexpr tensorflow::DataType kType = tensorflow::DataTypeToEnum<T>::value;
  Tensor* tensor = var->tensor();
  if (!var->is_initialized || tensor->dtype() != kType) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, " must be an initialized ", tensorflow::DataTypeString(kType),
        " variable, got ", var->DebugString()));
  }
  if (!tensor->RefCountIsOne()) {
    Tensor own;
    TF_RETURN_IF_ERROR(context->allocate_temp(kType, tensor->shape(), &own));
    if (kept) own.flat<T>() = tensor->flat<T>();
    *tensor = own;
  }
  *values = Data<T>(tensor);
  return absl::OkStatus();
}

template <typename T>
class DecayedMomentumOp : public OpKernel {
 public:
  explicit DecayedMomentumOp(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("momentum", &momentum_));
    OP_REQUIRES_OK(context, context->GetAttr("decay", &decay_));
    int copies;
    OP_REQUIRES_OK(context, context->GetAttr("num_copies", &copies));
    OP_REQUIRES(context, copies <= 1,
                absl::InvalidArgumentError(absl::StrCat(
                    "copies must be no or one variable, got ", copies)));
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
    OP_REQUIRES_OK(context,
                   Exclusive<float>(context, "var", var.get(), true, &w));
    OP_REQUIRES_OK(context, Exclusive<float>(context, "velocity",
                                             velocity.get(), true, &v));
    OP_REQUIRES(context,
                gradient.shape() == var->tensor()->shape() &&
                    gradient.shape() == velocity->tensor()->shape(),
                absl::InvalidArgumentError(absl::StrCat(
                    "var, velocity and gradient must have one shape, got ",
                    var->tensor()->shape().DebugString(), ", ",
                    velocity->tensor()->shape().DebugString(), " and ",
                    gradient.shape().DebugString())));

    tensorflow::core::RefCountPtr<Var> copied;
    BFloat16* copy = nullptr;
    if (context->num_inputs() > kInputs) {
      OP_REQUIRES_OK(
          context,
          LookupResource(context, HandleFromInput(context, kInputs), &copied));
    }
    std::optional<tensorflow::mutex_lock> copied_lock;
    if (copied) {
      OP_REQUIRES(
          context, copied.get() != var.get() && copied.get() != velocity.get(),
          absl::InvalidArgumentError("copy must be a variable of its own"));
      copied_lock.emplace(*copied->mu());
      OP_REQUIRES(context, copied->tensor()->shape() == gradient.shape(),
                  absl::InvalidArgumentError(
                      absl::StrCat("copy must have the shape of var, ",
                                   gradient.shape().DebugString(), ", got ",
                                   copied->tensor()->shape().DebugString())));
      OP_REQUIRES_OK(context, Exclusive<tensorflow::bfloat16>(
                                  context, "copy", copied.get(), false, &copy));
    }

    const auto* g = Data<T>(gradient);
    const MomentumParams params{rate.scalar<float>()(), momentum_, decay_};
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(
        workers.num_threads, workers.workers, gradient.NumElements(), 4,
        [&](int64_t first, int64_t last) {
          MomentumStep(params, g + first, last - first, v + first, w + first,
                       copy == nullptr ? nullptr : copy + first);
        });
  }

 private:
  static constexpr int kInputs = 4;  // besides copies

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
