// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/isa.h"

#include <cstdlib>

#if defined(ALEXNET_TF_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace alexnet_tf {
namespace {

#if defined(ALEXNET_TF_AMX)
// Returns whether the CPU can multiply tiles of bfloat16, and Linux permits
// this process to use them.
bool TilesArePermitted() {
  constexpr unsigned kBfloat16 = 1u << 22, kTiles = 1u << 24;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kBfloat16) &&
         (d & kTiles) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

bool Supported(Isa isa) {
#if defined(ALEXNET_TF_X86)
  switch (isa) {
    case Isa::kAmxBf16:
#if defined(ALEXNET_TF_AMX)
      return Supported(Isa::kAvx512Bf16) && TilesArePermitted();
#else
      return false;
#endif
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
    case Isa::kAmxBf16:
      return "amx_bf16";
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
  for (Isa candidate : {Isa::kAmxBf16, Isa::kAvx512Bf16, Isa::kAvx512,
                        Isa::kAvx2, Isa::kBaseline}) {
    if (name.empty() ? Supported(candidate) : name == IsaName(candidate)) {
      *isa = candidate;
      return Supported(candidate)
                 ? ""
                 : "\"" + name +
                       "\" is not available: this CPU does not support it, "
                       "or this build lacks it (AMX needs g++ 11 or newer), "
                       "or Linux does not permit it";
    }
  }
  return "expected \"amx_bf16\", \"avx512_bf16\", \"avx512\", \"avx2\" or "
         "\"baseline\", got \"" +
         name + "\"";
}

std::string ChooseIsaFromEnvironment(Isa* isa) {
  const std::string error = ChooseIsa(std::getenv("ALEXNET_TF_ISA"), isa);
  return error.empty() ? "" : "environment variable ALEXNET_TF_ISA: " + error;
}

}  // namespace alexnet_tf
