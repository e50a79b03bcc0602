// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Connects TensorFlow's tensors with the libraries that do not use TensorFlow.

#ifndef ALEXNET_TF_CUSTOM_OPS_TENSORS_H_
#define ALEXNET_TF_CUSTOM_OPS_TENSORS_H_

#include "absl/status/status.h"
#include "custom_ops/float16.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/types.h"

namespace alexnet_tf {

// The libraries' type for each of TensorFlow's element types.
template <typename T>
struct Plain;
template <>
struct Plain<float> {
  using Type = float;
};
template <>
struct Plain<Eigen::half> {
  using Type = Half;
};
template <>
struct Plain<tensorflow::bfloat16> {
  using Type = BFloat16;
};

template <typename T>
const typename Plain<T>::Type* Data(const tensorflow::Tensor& tensor) {
  return reinterpret_cast<const typename Plain<T>::Type*>(
      tensor.flat<T>().data());
}

template <typename T>
typename Plain<T>::Type* Data(tensorflow::Tensor* tensor) {
  return reinterpret_cast<typename Plain<T>::Type*>(tensor->flat<T>().data());
}

// The shape function of ops whose inputs and output all have the same shape, of
// rank 4.
inline absl::Status MergedShape(
    tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle shape;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &shape));
  for (int i = 1; i < c->num_inputs(); ++i) {
    TF_RETURN_IF_ERROR(c->Merge(shape, c->input(i), &shape));
  }
  c->set_output(0, shape);
  return absl::OkStatus();
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_TENSORS_H_
