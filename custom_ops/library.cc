// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// What the library was built for. Python reads this text from the file before
// loading it: a library built for another TensorFlow cannot be loaded safely,
// not even to ask it.

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

#if !defined(ALEXNET_TF_CUDA)
#define ALEXNET_TF_CUDA none
#endif

extern "C" __attribute__((used)) const char alexnet_tf_build[] =
    "alexnet_tf build: tensorflow=" TEXT(ALEXNET_TF_TENSORFLOW) " cuda=" TEXT(
        ALEXNET_TF_CUDA) ";";
