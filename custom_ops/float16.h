// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// 16-bit floats as they lie in memory; the arithmetic is float32.

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

// One value from and to memory, for loops that are the same for both types.
inline float Widen(float value) { return value; }

inline float Widen(BFloat16 narrow) {
  const std::uint32_t wide = static_cast<std::uint32_t>(narrow.bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

inline void Narrow(float value, float* narrow) { *narrow = value; }

// To nearest, ties to even; a NaN stays one.
inline void Narrow(float value, BFloat16* narrow) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const std::uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  narrow->bits = value == value ? rounded >> 16 : 0x7fc0;
}

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_FLOAT16_H_
