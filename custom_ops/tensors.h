// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Connects TensorFlow's tensors with the libraries that do not use TensorFlow.

#ifndef ALEXNET_TF_CUSTOM_OPS_TENSORS_H_
#define ALEXNET_TF_CUSTOM_OPS_TENSORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/float16.h"
#include "custom_ops/limits.h"
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

// The status of a library's error text, which is empty for success.
inline absl::Status StatusOf(const std::string& error) {
  return error.empty() ? absl::OkStatus() : absl::InvalidArgumentError(error);
}

// Reads the constants of a normalization and checks them. Context is an
// OpKernelConstruction or an InferenceContext.
template <typename Context, typename Params>
absl::Status GetConstants(Context* context, Params* params) {
  TF_RETURN_IF_ERROR(context->GetAttr("size", &params->size));
  TF_RETURN_IF_ERROR(context->GetAttr("k", &params->k));
  TF_RETURN_IF_ERROR(context->GetAttr("alpha", &params->alpha));
  TF_RETURN_IF_ERROR(context->GetAttr("beta", &params->beta));
  return StatusOf(
      NormalizationError(params->size, params->k, params->alpha, params->beta));
}

// Checks that the tensor called `name` has the shape of images.
inline absl::Status CheckImages(const char* name,
                                const tensorflow::TensorShape& shape) {
  if (shape.dims() != 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " must have rank 4, [batch, height, width, channels], got shape ",
        shape.DebugString()));
  }
  for (const tensorflow::TensorShapeDim& dimension : shape) {
    if (dimension.size <= kLargestDimension) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the dimensions of ", name, " must be at most ",
                     kLargestDimension, ", got shape ", shape.DebugString()));
  }
  return absl::OkStatus();
}

// Checks that the tensor called `name` has the shape of the one called `other`.
inline absl::Status CheckSameShape(const char* name,
                                   const tensorflow::Tensor& tensor,
                                   const char* other,
                                   const tensorflow::Tensor& other_tensor) {
  if (tensor.shape() == other_tensor.shape()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " must have the shape of ", other, ", ",
                   other_tensor.shape().DebugString(), ", got ",
                   tensor.shape().DebugString()));
}

// The same as CheckImages for the input `index`, as far as its shape is known.
inline absl::Status GetImages(
    tensorflow::shape_inference::InferenceContext* c, int index,
    tensorflow::shape_inference::ShapeHandle* images) {
  TF_RETURN_IF_ERROR(c->WithRank(c->input(index), 4, images));
  for (int i = 0; i < 4; ++i) {
    if (c->Value(c->Dim(*images, i)) <= kLargestDimension) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("dimensions must be at most ", kLargestDimension,
                     ", got shape ", c->DebugString(*images)));
  }
  return absl::OkStatus();
}

// The shape function of a normalization and of its gradient. Params is the
// type of its constants. The inputs and the output all have the same shape.
template <typename Params>
absl::Status NormalizationShape(
    tensorflow::shape_inference::InferenceContext* c) {
  Params params;
  TF_RETURN_IF_ERROR(GetConstants(c, &params));
  tensorflow::shape_inference::ShapeHandle shape;
  TF_RETURN_IF_ERROR(GetImages(c, 0, &shape));
  for (int i = 1; i < c->num_inputs(); ++i) {
    tensorflow::shape_inference::ShapeHandle other;
    TF_RETURN_IF_ERROR(GetImages(c, i, &other));
    TF_RETURN_IF_ERROR(c->Merge(shape, other, &shape));
  }
  c->set_output(0, shape);
  return absl::OkStatus();
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_TENSORS_H_
