// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/momentum/momentum.h"
#include "custom_ops/tensors.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {
namespace {

using ::tensorflow::mutex_lock;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::Var;
using ::tensorflow::core::RefCountPtr;

// Sets `values` to the values of a variable that nobody else reads. If an
// earlier read still holds the variable's buffer, the variable gets a new one,
// into which the values are copied if `keeps_values`. The caller must hold the
// variable's lock.
template <typename T>
absl::Status GetExclusiveValues(OpKernelContext* context, const char* name,
                                Var* var, bool keeps_values,
                                typename Plain<T>::Type** values) {
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
    if (keeps_values) own.flat<T>() = tensor->flat<T>();
    *tensor = own;
  }
  *values = Data<T>(tensor);
  return absl::OkStatus();
}

// The op's variables. There may be no copy.
struct Variables {
  RefCountPtr<Var> var, velocity, copy;
};

// What a step works on.
struct Values {
  float* w;
  float* v;
  BFloat16* copy = nullptr;
};

// Finds the variable whose handle is the input `index`.
absl::Status LookUp(OpKernelContext* context, int index,
                    RefCountPtr<Var>* variable) {
  const Tensor& input = context->input(index);
  if (!tensorflow::TensorShapeUtils::IsScalar(input.shape())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the handle of a variable must be a scalar, got shape ",
                     input.shape().DebugString()));
  }
  return LookupResource(context, HandleFromInput(context, index), variable);
}

absl::Status LookUp(OpKernelContext* context, Variables* variables) {
  constexpr int kVar = 0, kVelocity = 1, kCopy = 4;
  TF_RETURN_IF_ERROR(LookUp(context, kVar, &variables->var));
  TF_RETURN_IF_ERROR(LookUp(context, kVelocity, &variables->velocity));
  if (variables->var.get() == variables->velocity.get()) {
    return absl::InvalidArgumentError(
        "var and velocity must be two variables, got one");
  }
  if (context->num_inputs() == kCopy) return absl::OkStatus();
  TF_RETURN_IF_ERROR(LookUp(context, kCopy, &variables->copy));
  if (variables->copy.get() == variables->var.get() ||
      variables->copy.get() == variables->velocity.get()) {
    return absl::InvalidArgumentError(
        "copy must be a variable other than var and velocity");
  }
  return absl::OkStatus();
}

// Holds the locks of the op's variables, which are all different. They are
// taken in the order of their addresses, as TensorFlow's own ops do, because
// two ops that take the same locks in different orders may wait for each other
// forever.
class Locks {
 public:
  explicit Locks(const Variables& variables) {
    Var* sorted[] = {variables.var.get(), variables.velocity.get(),
                     variables.copy.get()};
    std::sort(std::begin(sorted), std::end(sorted), std::less<Var*>());
    for (int i = 0; i < 3; ++i) {
      if (sorted[i] != nullptr) locks_[i].emplace(*sorted[i]->mu());
    }
  }

 private:
  std::optional<mutex_lock> locks_[3];
};

// Checks types and shapes. The caller must hold the variables' locks.
absl::Status GetValues(OpKernelContext* context, const Variables& variables,
                       const Tensor& gradient, Values* values) {
  TF_RETURN_IF_ERROR(GetExclusiveValues<float>(
      context, "var", variables.var.get(), true, &values->w));
  TF_RETURN_IF_ERROR(GetExclusiveValues<float>(
      context, "velocity", variables.velocity.get(), true, &values->v));
  const auto& var_shape = variables.var->tensor()->shape();
  const auto& velocity_shape = variables.velocity->tensor()->shape();
  if (gradient.shape() != var_shape || gradient.shape() != velocity_shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "var, velocity and gradient must have the same shape, got ",
        var_shape.DebugString(), ", ", velocity_shape.DebugString(), " and ",
        gradient.shape().DebugString()));
  }
  if (!variables.copy) return absl::OkStatus();
  const auto& copy_shape = variables.copy->tensor()->shape();
  if (copy_shape != var_shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "copy must have the shape of var, ", var_shape.DebugString(), ", got ",
        copy_shape.DebugString()));
  }
  return GetExclusiveValues<tensorflow::bfloat16>(
      context, "copy", variables.copy.get(), false, &values->copy);
}

template <typename T>
class DecayedMomentumOp : public OpKernel {
 public:
  explicit DecayedMomentumOp(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("momentum", &momentum_));
    OP_REQUIRES_OK(context, context->GetAttr("weight_decay", &weight_decay_));
    int copies;
    OP_REQUIRES_OK(context, context->GetAttr("num_copies", &copies));
    OP_REQUIRES_OK(context,
                   StatusOf(MomentumError(momentum_, weight_decay_, copies)));
  }

  void Compute(OpKernelContext* context) override {
    Variables variables;
    OP_REQUIRES_OK(context, LookUp(context, &variables));
    const Tensor& gradient = context->input(2);
    const Tensor& learning_rate = context->input(3);
    OP_REQUIRES(context,
                tensorflow::TensorShapeUtils::IsScalar(learning_rate.shape()),
                absl::InvalidArgumentError(
                    absl::StrCat("learning_rate must be a scalar, got shape ",
                                 learning_rate.shape().DebugString())));

    const Locks locks(variables);
    Values values;
    OP_REQUIRES_OK(context, GetValues(context, variables, gradient, &values));
    Step(context, learning_rate.scalar<float>()(), gradient, values);
  }

 private:
  void Step(OpKernelContext* context, float learning_rate,
            const Tensor& gradient, const Values& values) const {
    const MomentumParams params{learning_rate, momentum_, weight_decay_};
    const auto* g = Data<T>(gradient);
    constexpr int kCyclesPerValue = 4;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(
        workers.num_threads, workers.workers, gradient.NumElements(),
        kCyclesPerValue, [&](std::int64_t first, std::int64_t last) {
          BFloat16* copy =
              values.copy == nullptr ? nullptr : values.copy + first;
          MomentumStep(params, g + first, last - first, values.v + first,
                       values.w + first, copy);
        });
  }

  float momentum_;
  float weight_decay_;
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
