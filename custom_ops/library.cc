// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// What the library reports about itself: what it was built for, and which
// instruction set its kernels use.

#include "custom_ops/isa.h"

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

#if !defined(ALEXNET_TF_CUDA)
#define ALEXNET_TF_CUDA none
#endif

// Python reads this text from the file before it loads the library, because a
// library that was built for a different TensorFlow cannot be loaded safely,
// not even to ask for this text.
extern "C" __attribute__((used)) const char alexnet_tf_build[] =
    "alexnet_tf build: tensorflow=" TEXT(ALEXNET_TF_TENSORFLOW) " cuda=" TEXT(
        ALEXNET_TF_CUDA) ";";

// Returns the name of the instruction set. Returns null if the environment
// variable ALEXNET_TF_ISA asks for one that is not available.
extern "C" __attribute__((used)) const char* alexnet_tf_instruction_set() {
  alexnet_tf::Isa isa;
  const bool found = alexnet_tf::ChooseIsaFromEnvironment(&isa).empty();
  return found ? alexnet_tf::IsaName(isa) : nullptr;
}
