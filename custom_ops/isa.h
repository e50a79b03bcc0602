// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The instruction sets that the CPU kernels are built for.

#ifndef ALEXNET_TF_CUSTOM_OPS_ISA_H_
#define ALEXNET_TF_CUSTOM_OPS_ISA_H_

#include <string>

#if defined(__clang__)
#error "the CPU kernels need GCC 10 or newer: set CXX=g++"
#endif

#if defined(__x86_64__) && !defined(ALEXNET_TF_PORTABLE)
#define ALEXNET_TF_X86 1
#if __GNUC__ >= 11 && defined(__linux__)
#define ALEXNET_TF_AMX 1
#endif
#endif

namespace alexnet_tf {

enum class Isa { kBaseline, kAvx2, kAvx512, kAvx512Bf16, kAmxBf16 };

const char* IsaName(Isa isa);

// Sets `isa` to the instruction set named `requested`: "amx_bf16",
// "avx512_bf16", "avx512", "avx2" or "baseline". If `requested` is null or
// empty, sets it to the best one that this CPU supports. Returns an empty
// string, or what is wrong with the request.
std::string ChooseIsa(const char* requested, Isa* isa);

// Calls ChooseIsa with the environment variable ALEXNET_TF_ISA. An error names
// the variable.
std::string ChooseIsaFromEnvironment(Isa* isa);

}  // namespace alexnet_tf

#endif  // ALEXNET_TF_CUSTOM_OPS_ISA_H_
