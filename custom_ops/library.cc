// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// What the library was built for. Python reads this text from the file before
// loading it: a library built for another TensorFlow cannot be loaded safely,
// not even to ask it. And which instruction set its kernels choose.

#include <cstdlib>

#include "custom_ops/isa.h"

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

#if !defined(ALEXNET_TF_CUDA)
#define ALEXNET_TF_CUDA none
#endif

extern "C" __attribute__((used)) const char alexnet_tf_build[] =
    "alexnet_tf build: tensorflow=" TEXT(ALEXNET_TF_TENSORFLOW) " cuda=" TEXT(
        ALEXNET_TF_CUDA) ";";

// Its name, or null where ALEXNET_TF_ISA asks for what is not there.
extern "C" __attribute__((used)) const char* alexnet_tf_instruction_set() {
  alexnet_tf::Isa isa;
  const bool found =
      alexnet_tf::ChooseIsa(std::getenv("ALEXNET_TF_ISA"), &isa).empty();
  return found ? alexnet_tf::IsaName(isa) : nullptr;
}
