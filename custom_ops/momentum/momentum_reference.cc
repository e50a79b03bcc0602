// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/momentum/momentum.h"

namespace alexnet_tf {

void MomentumReferenceStep(const MomentumParams& params, const double* gradient,
                           std::int64_t count, double* v, double* w) {
  for (std::int64_t i = 0; i < count; ++i) {
    v[i] = params.momentum * v[i] -
           params.learning_rate * (gradient[i] + params.weight_decay * w[i]);
    w[i] += v[i];
  }
}

}  // namespace alexnet_tf
