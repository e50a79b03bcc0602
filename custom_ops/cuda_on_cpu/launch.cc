// Copyright 2026 The alexnet_tf authors. Apache-2.0.

#include "custom_ops/cuda_on_cpu/launch.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

// AddressSanitizer must know when the stack changes.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void**, const void*, std::size_t) {}
static void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*) {
}
#endif

namespace cuda_on_cpu {
namespace {

constexpr int kLanes = 32;
// The kernels use 4 kB. AddressSanitizer clears its notes at every switch.
constexpr std::size_t kStackBytes = 1 << 14;

struct Fiber {
  ucontext_t context;
  const void* stack;
  std::size_t bytes;
  void* fake_stack = nullptr;  // AddressSanitizer's
};

// Leaves `from`, which `ends` or will go on later, and enters `to`.
void Switch(Fiber* from, const Fiber& to, bool ends = false) {
  __sanitizer_start_switch_fiber(ends ? nullptr : &from->fake_stack, to.stack,
                                 to.bytes);
  swapcontext(&from->context, &to.context);
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
}

struct Lane {
  Fiber fiber;
  std::vector<char> memory = std::vector<char>(kStackBytes);
  bool finished;
  int shuffles;     // how many it has reached
  int distance;     // of the latest
  float values[2];  // that it gave to the latest two
};

std::array<Lane, kLanes> lanes;
Fiber scheduler;
int current;  // the lane that runs
const std::function<void()>* job;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "cuda_on_cpu: lane %d: %s\n", current, what);
  std::abort();
}

void RunLane() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack, &scheduler.bytes);
  (*job)();
  lanes[current].finished = true;
  Switch(&lanes[current].fiber, scheduler, true);
}

void Prepare(Lane* lane) {
  lane->finished = false;
  lane->shuffles = 0;
  ucontext_t* context = &lane->fiber.context;
  getcontext(context);
  lane->fiber.stack = context->uc_stack.ss_sp = lane->memory.data();
  lane->fiber.bytes = context->uc_stack.ss_size = kStackBytes;
  makecontext(context, RunLane, 0);
}

// All lanes must have finished, or wait at the same shuffle.
void CheckTogether() {
  const Lane& first = lanes[0];
  for (current = 0; current < kLanes; ++current) {
    const Lane& lane = lanes[current];
    if (lane.finished != first.finished || lane.shuffles != first.shuffles) {
      Fail("is missing at a shuffle, or is alone at one");
    }
    if (!lane.finished && lane.distance != first.distance) {
      Fail("is at another shuffle than lane 0");
    }
  }
}

template <typename T>
void ShuffleOrder(T* order, std::mt19937* random) {
  if (seed != 0) std::shuffle(order->begin(), order->end(), *random);
}

}  // namespace

float Shuffle(unsigned mask, float value, int distance) {
  if (mask != 0xffffffffu)
    Fail("shuffles of a part of a warp are not emulated");
  const int me = current;
  Lane& lane = lanes[me];
  const int parity = lane.shuffles++ % 2;
  lane.values[parity] = value;
  lane.distance = distance;
  Switch(&lane.fiber, scheduler);  // until every lane has given its value
  const int from = me + distance;
  return lanes[from < 0 || from >= kLanes ? me : from].values[parity];
}

bool Launch(std::int64_t blocks, int threads, const void* kernel,
            const std::function<void(unsigned, unsigned)>& place,
            const std::function<void()>& work) {
  if (blocks < 1 || blocks > 2147483647 || threads < 1 || threads > 1024) {
    return false;
  }
  if (threads % kLanes != 0) Fail("part of a warp is not emulated");
  kernels.insert(kernel);
  ++launches;
  job = &work;
  std::mt19937 random(seed);
  const std::int64_t run =
      last_blocks == 0 ? blocks : std::min(blocks, last_blocks);
  std::vector<std::int64_t> order(run);
  std::iota(order.begin(), order.end(), blocks - run);
  ShuffleOrder(&order, &random);
  std::vector<int> warps(threads / kLanes);
  std::iota(warps.begin(), warps.end(), 0);
  std::array<int, kLanes> turns;
  std::iota(turns.begin(), turns.end(), 0);
  for (std::int64_t block : order) {
    ShuffleOrder(&warps, &random);
    for (int warp : warps) {
      ShuffleOrder(&turns, &random);
      for (Lane& lane : lanes) Prepare(&lane);
      while (!lanes[0].finished) {
        for (int turn : turns) {
          current = turn;
          place(block, warp * kLanes + turn);
          Switch(&scheduler, lanes[turn].fiber);
        }
        CheckTogether();
      }
    }
  }
  return true;
}

}  // namespace cuda_on_cpu
