// The emulation itself: what it must find in a kernel, in every order of threads, and what it must
// let pass.
#include "emulated.h"

namespace {

using tfkm::Shared;

int failed = 0, passed = 0;

void expect(const char* name, const char* wrong, int threads, void (*kernel)()) {
  for (auto order :
       {emulation::Order::kForward, emulation::Order::kBackward, emulation::Order::kShuffled})
    for (uint64_t seed : {1, 2, 3}) {
      std::string found = emulation::machine().launch({2, 1, 1}, threads, order, seed, kernel);
      bool right = *wrong ? found.find(wrong) != std::string::npos : found.empty();
      right ? ++passed : ++failed;
      if (!right) std::printf("%s: expected \"%s\", got \"%s\"\n", name, wrong, found.c_str());
    }
}

int sum = 0;

void neighbours(bool first_barrier, bool second_barrier) {
  __shared__ Shared<int, 64> values;
  values.set(threadIdx.x, int(threadIdx.x));
  if (first_barrier) __syncthreads();
  int other = values.get((threadIdx.x + 1) % 64);
  if (second_barrier) __syncthreads();
  values.set(threadIdx.x, other);
}

}  // namespace

int main() {
  expect("barriers", "", 64, [] { neighbours(true, true); });
  expect("no barrier before a read", "a race", 64, [] { neighbours(false, true); });
  expect("no barrier before a write", "a race", 64, [] { neighbours(true, false); });
  expect("a read of nothing", "before it is written", 32, [] {
    __shared__ Shared<int, 2> values;
    if (threadIdx.x == 0) values.set(0, 1);
    __syncthreads();
    sum += values.get(1);
  });
  expect("a barrier for some", "divergent", 64, [] {
    if (threadIdx.x < 63) __syncthreads();
  });
  expect("two barriers for one", "divergent", 64, [] {
    if (threadIdx.x < 32)
      __syncthreads();
    else
      __syncthreads();
  });
  expect("a shuffle for some", "divergent", 64, [] {
    if (threadIdx.x != 40) sum += __shfl_xor_sync(0xffffffff, 1, 1);
  });
  expect("a mask without the thread", "mask", 32, [] { __syncwarp(0xff); });
  expect("a barrier of the warp between warps", "a race", 64, [] {
    __shared__ Shared<int, 64> values;
    values.set(threadIdx.x, 1);
    __syncwarp(0xffffffff);
    sum += values.get(63 - threadIdx.x);
  });
  expect("a barrier of the warp within it", "", 64, [] {
    __shared__ Shared<int, 64> values;
    values.set(threadIdx.x, 1);
    __syncwarp(0xffffffff);
    sum += values.get(threadIdx.x ^ 31);
  });
  expect("a barrier of an octet within a warp", "a race", 32, [] {
    __shared__ Shared<int, 32> values;
    values.set(threadIdx.x, 1);
    __syncwarp(0xffu << (threadIdx.x / 8 * 8));
    sum += values.get(threadIdx.x ^ 8);
  });
  expect("atomic additions", "", 64, [] {
    __shared__ Shared<int, 1> total;
    if (threadIdx.x == 0) total.set(0, 0);
    __syncthreads();
    total.atomic_add(0, 1);
    __syncthreads();
    if (total.get(0) != 64) __syncwarp(0);  // an error
  });
  expect("an atomic addition beside a read", "a race", 64, [] {
    __shared__ Shared<int, 1> total;
    if (threadIdx.x == 0) total.set(0, 0);
    __syncthreads();
    sum += threadIdx.x == 5 ? total.get(0) : total.atomic_add(0, 1);
  });
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
