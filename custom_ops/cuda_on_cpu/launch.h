// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Runs CUDA kernels on the CPU, one warp at a time. The 32 lanes of a warp are
// fibers, which run until they finish or until they meet at a shuffle. A lane
// that is missing there ends the process with a message, because a real GPU
// would hand out garbage.

#ifndef ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_LAUNCH_H_
#define ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_LAUNCH_H_

#include <cstdint>
#include <functional>
#include <set>

namespace cuda_on_cpu {

// What a test sets. `seed` shuffles the order of blocks, of the warps in a
// block and of the lanes in a warp; 0 runs them in order. If `last_blocks` is
// not 0, only so many blocks at the end of a grid run.
inline unsigned seed = 0;
inline std::int64_t last_blocks = 0;
inline int driver_version = 13000;

// What a test reads: the kernels that were launched so far, and how many times.
inline std::set<const void*> kernels;
inline std::int64_t launches = 0;

// Calls place(block, thread) and then work() for each thread. Returns false,
// and does nothing, if a GPU would refuse the numbers of blocks and threads.
bool Launch(std::int64_t blocks, int threads, const void* kernel,
            const std::function<void(unsigned, unsigned)>& place,
            const std::function<void()>& work);

// Returns the value in the lane `distance` higher, or this lane's own if there
// is none.
float Shuffle(unsigned mask, float value, int distance);

}  // namespace cuda_on_cpu

#endif  // ALEXNET_TF_CUSTOM_OPS_CUDA_ON_CPU_LAUNCH_H_
