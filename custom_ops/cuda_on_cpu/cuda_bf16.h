// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Stands in for CUDA's header of this name; see cuda_runtime.h.

#ifndef ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_BF16_H_
#define ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_BF16_H_

#include <cmath>
#include <cstring>

struct __nv_bfloat16 {
  unsigned short bits;
};
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
  return value.bits;
}

// Rounds to nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  if (std::isnan(value)) return {0x7fff};
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const unsigned low = bits & 0xffff, high = bits >> 16;
  const bool up = low > 0x8000 || (low == 0x8000 && high % 2 == 1);
  return {static_cast<unsigned short>(high + up)};
}

#endif  // ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_CUDA_BF16_H_
