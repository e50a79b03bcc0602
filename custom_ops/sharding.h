// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Distributes an op's work over TensorFlow's threads.

#ifndef ALEXNET_TF_CUSTOM_OPS_SHARDING_H_
#define ALEXNET_TF_CUSTOM_OPS_SHARDING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace alexnet_tf {

// Calls work(first, last, scratch) for parts of `units` on TensorFlow's
// threads, where `scratch` has room for `floats` values and may contain
// anything. The space is allocated before the work is shared out, so that a
// lack of memory is the op's error. An allocation that fails within a thread of
// the pool would end the process.
template <typename Work>
absl::Status ShareOut(tensorflow::OpKernelContext* context, std::int64_t units,
                      std::int64_t cycles_per_unit, std::int64_t floats,
                      Work work) {
  const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
  // A row for every thread of the pool and one for the calling thread, of
  // whole cache lines.
  constexpr std::int64_t kLine = 16;
  tensorflow::TensorShape shape;
  TF_RETURN_IF_ERROR(tensorflow::TensorShape::BuildTensorShape(
      {workers.workers->NumThreads() + 1, (floats + kLine - 1) / kLine * kLine},
      &shape));
  tensorflow::Tensor scratch;
  TF_RETURN_IF_ERROR(
      context->allocate_temp(tensorflow::DT_FLOAT, shape, &scratch));
  float* const rows = scratch.flat<float>().data();
  tensorflow::Shard(
      workers.num_threads, workers.workers, units, cycles_per_unit,
      [&](std::int64_t first, std::int64_t last) {
        const std::int64_t row = workers.workers->CurrentThreadId() + 1;
        work(first, last, rows + row * shape.dim_size(1));
      });
  return absl::OkStatus();
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_SHARDING_H_
