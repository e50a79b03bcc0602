// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The 16-bit floating-point types as they lie in memory. All arithmetic is done
// in float32.

#ifndef ALEXNET_TF_CUSTOM_OPS_FLOAT16_H_
#define ALEXNET_TF_CUSTOM_OPS_FLOAT16_H_

#include <cstdint>
#include <cstring>

namespace alexnet_tf {

struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

// Widen and Narrow read and write one value. They are overloaded, so that a
// loop can be written once for float and BFloat16.
inline float Widen(float value) { return value; }

inline float Widen(BFloat16 narrow) {
  const std::uint32_t wide = static_cast<std::uint32_t>(narrow.bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

inline void Narrow(float value, float* narrow) { *narrow = value; }

// Rounds to nearest, ties to even. NaN stays NaN.
inline void Narrow(float value, BFloat16* narrow) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const std::uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  narrow->bits = value == value ? rounded >> 16 : 0x7fc0;
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_FLOAT16_H_
