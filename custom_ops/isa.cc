// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/isa.h"

namespace alexnet_tf {
namespace {

bool Supported(Isa isa) {
#if defined(ALEXNET_TF_X86)
  switch (isa) {
    case Isa::kAvx512Bf16:
      return Supported(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Isa::kBaseline:
      return true;
  }
#endif
  return isa == Isa::kBaseline;
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

std::string ChooseIsa(const char* requested, Isa* isa) {
  const std::string name = requested == nullptr ? "" : requested;
  for (Isa candidate :
       {Isa::kAvx512Bf16, Isa::kAvx512, Isa::kAvx2, Isa::kBaseline}) {
    if (name.empty() ? Supported(candidate) : name == IsaName(candidate)) {
      *isa = candidate;
      return Supported(candidate)
                 ? ""
                 : "this processor does not have \"" + name + "\"";
    }
  }
  return "expected \"avx512_bf16\", \"avx512\", \"avx2\" or \"baseline\", got "
         "\"" +
         name + "\"";
}

}  // namespace alexnet_tf
