// CUDA for a C++ compiler: the threads of a block are fibres of one thread, which go on from
// barrier to barrier in an order that the test chooses. What a card would leave to chance is an
// error here:
// - a barrier that not all threads of a block (or of a mask) come to, or come to at different
// places;
// - an access to shared memory that no barrier orders after one of another thread that it disturbs;
// - a read of shared memory that this block has not written.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#include "direct.h"

#define __device__
#define __shared__ static
#define __syncthreads() ::emulation::machine().block_barrier(__FILE__, __LINE__)
#define __syncwarp(mask) ::emulation::machine().warp_barrier(mask, __FILE__, __LINE__, true)
#define __shfl_xor_sync(mask, value, step) \
  ::emulation::shuffle(mask, value, step, __FILE__, __LINE__)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

namespace emulation {

enum class Order { kForward, kBackward, kShuffled };

// Who has touched a value of shared memory last, and after how many barriers of the block, the
// warp, and the eight neighbours, which are the smallest group that waits together.
struct Touch {
  int thread = -1;
  unsigned sync = 0, warp_sync = 0, octet_sync = 0;

  bool same_warp(const Touch& other) const { return thread / 32 == other.thread / 32; }
  bool same_octet(const Touch& other) const { return thread / 8 == other.thread / 8; }
  bool before(const Touch& now) const {
    return thread < 0 || thread == now.thread || sync != now.sync ||
           (same_warp(now) && warp_sync != now.warp_sync) ||
           (same_octet(now) && octet_sync != now.octet_sync);
  }
};
struct Cell {
  unsigned block = 0;  // that this is about
  Touch write, read;
  bool atomic = false;  // the write
  // Whether others have read since the last barrier: of the same eight, warp, or block.
  bool octet_read = false, warp_read = false, block_read = false;

  void note_read(const Touch& now) {
    if (read.sync != now.sync)
      octet_read = warp_read = block_read = false;
    else if (read.same_warp(now) && read.warp_sync != now.warp_sync)
      octet_read = warp_read = false;
    else if (read.same_octet(now) && read.octet_sync != now.octet_sync)
      octet_read = false;
    if (!read.before(now))
      (read.same_octet(now) ? octet_read : read.same_warp(now) ? warp_read : block_read) = true;
    read = now;
  }
  bool disturbed_by(const Touch& now) const {
    if (read.thread < 0 || read.sync != now.sync) return false;
    if (block_read || !read.same_warp(now)) return true;
    if (read.warp_sync != now.warp_sync) return false;
    if (warp_read || !read.same_octet(now)) return true;
    return read.octet_sync == now.octet_sync && (octet_read || read.thread != now.thread);
  }
};

class Machine {
 public:
  dim3 thread, block, threads, blocks;

  // "" or what went wrong. The blocks in some order, too.
  std::string launch(dim3 grid, int count, Order order, uint64_t seed,
                     std::function<void()> kernel) {
    order_ = order, state_ = seed, kernel_ = std::move(kernel), wrong_.clear();
    blocks = grid, threads = {unsigned(count), 1, 1};
    std::vector<unsigned> all(size_t(grid.x) * grid.y);
    for (unsigned i = 0; i < all.size(); ++i) all[i] = i;
    arrange(all);
    for (unsigned i : all) {
      block = {i % grid.x, i / grid.x, 0};
      run_block(count);
      if (!wrong_.empty()) break;
    }
    return wrong_;
  }

  void block_barrier(const char* file, int line) {
    wait(State::kAtBlockBarrier, 0, file, line, true);
  }
  void warp_barrier(uint32_t mask, const char* file, int line, bool orders) {
    if (!(mask >> thread.x % 32 & 1))
      fail("a thread waits with a mask that it is not in", file, line);
    wait(State::kAtWarpBarrier, mask, file, line, orders);
  }

  // What this thread gives to the others of the mask, and then what another one has given.
  void exchange(uint32_t mask, const void* given, size_t size, const char* file, int line) {
    std::memcpy(&slots_[0][thread.x], given, size);
    warp_barrier(mask, file, line, false);
  }
  const void* given_by(int lane) { return &slots_[1][thread.x / 32 * 32 + lane]; }

  enum class Access { kRead, kWrite, kAtomic };
  void touch(Cell& cell, Access access) {
    if (cell.block != serial_) cell = {}, cell.block = serial_;
    const Fibre& mine = fibres_[thread.x];
    const Touch now{int(thread.x), mine.sync, mine.warp_sync, mine.octet_sync};
    if (access == Access::kRead && cell.write.thread < 0)
      fail("a race, or never written: shared memory read before it is written");
    bool both_atomic = access == Access::kAtomic && cell.atomic;
    if (!both_atomic && !cell.write.before(now))
      fail("a race: shared memory written by another thread without a barrier");
    if (access == Access::kRead) return cell.note_read(now);
    if (cell.disturbed_by(now))
      fail("a race: shared memory overwritten while another thread may read it");
    cell.write = now, cell.atomic = access == Access::kAtomic;
  }

 private:
  enum class State { kReady, kAtBlockBarrier, kAtWarpBarrier, kDone };
  struct Fibre {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    State state = State::kReady;
    uint32_t mask = 0;
    const char* file = nullptr;
    int line = 0;
    unsigned sync = 0, warp_sync = 0, octet_sync = 0;
    bool orders = false;
    void* fake_stack = nullptr;
  };
  static constexpr size_t kStack = 256 << 10;

  uint64_t random() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    return z ^ z >> 31;
  }
  void arrange(std::vector<unsigned>& all) {
    if (order_ == Order::kBackward) std::reverse(all.begin(), all.end());
    for (size_t i = all.size(); order_ == Order::kShuffled && i > 1; --i)
      std::swap(all[i - 1], all[random() % i]);
  }

  void run_block(int count) {
    ++serial_;
    while (int(fibres_.size()) < count) {
      fibres_.emplace_back();
      fibres_.back().stack.reset(new char[kStack]);
    }
    slots_[0].resize(count), slots_[1].resize(count);
    for (int i = 0; i < count; ++i) {
      Fibre& fibre = fibres_[i];
      fibre.state = State::kReady, fibre.sync = fibre.warp_sync = fibre.octet_sync = 0,
      fibre.fake_stack = nullptr;
      getcontext(&fibre.context);
      fibre.context.uc_stack.ss_sp = fibre.stack.get(), fibre.context.uc_stack.ss_size = kStack;
      fibre.context.uc_link = nullptr;
      makecontext(&fibre.context, begin, 0);
    }
    std::vector<unsigned> all(count);
    for (int i = 0; i < count; ++i) all[i] = unsigned(i);
    arrange(all);
    for (bool any = true; any && wrong_.empty();) {
      any = false;
      for (unsigned i : all)
        while (fibres_[i].state == State::kReady && wrong_.empty()) {
          any = true;
          resume(i);
          release_warp(i, count);
        }
      if (!any) any = release_block(count);
    }
  }

  void resume(unsigned i) {
    thread = {i, 0, 0};
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fibres_[i].stack.get(), kStack);
    swapcontext(&scheduler_, &fibres_[i].context);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
    swapcontext(&scheduler_, &fibres_[i].context);
#endif
  }

  // Back to the scheduler, until it resumes this fibre, if ever.
  void pause(bool for_good = false) {
    Fibre& fibre = fibres_[thread.x];
    (void)for_good;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fibre.fake_stack, scheduler_stack_,
                                   scheduler_size_);
    swapcontext(&fibre.context, &scheduler_);
    __sanitizer_finish_switch_fiber(fibre.fake_stack, &scheduler_stack_, &scheduler_size_);
#else
    swapcontext(&fibre.context, &scheduler_);
#endif
  }

  static void begin();
  void run_fibre() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack_, &scheduler_size_);
#endif
    kernel_();
    fibres_[thread.x].state = State::kDone;
    pause(true);
  }

  void wait(State state, uint32_t mask, const char* file, int line, bool orders) {
    Fibre& fibre = fibres_[thread.x];
    fibre.state = state, fibre.mask = mask, fibre.file = file, fibre.line = line,
    fibre.orders = orders;
    unsigned me = thread.x;
    pause();
    thread = {me, 0, 0};
  }

  static bool same_place(const Fibre& a, const Fibre& b) {
    return a.state == b.state && a.mask == b.mask && a.line == b.line && a.file == b.file;
  }

  // If all lanes of the mask that thread i waits with are there, they go on.
  void release_warp(unsigned i, int count) {
    const Fibre& first = fibres_[i];
    if (first.state != State::kAtWarpBarrier) return;
    unsigned base = i / 32 * 32;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (first.mask >> lane & 1 &&
          (base + lane >= unsigned(count) || !same_place(fibres_[base + lane], first)))
        return;
    bool orders = first.orders;
    uint32_t mask = first.mask;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (mask >> lane & 1) {
        Fibre& fibre = fibres_[base + lane];
        slots_[1][base + lane] = slots_[0][base + lane];
        fibre.state = State::kReady, fibre.octet_sync += orders,
        fibre.warp_sync += orders && mask == 0xffffffff;
      }
  }

  // When no thread can go on: all are at one barrier, or done, or it is an error. True if they go
  // on.
  bool release_block(int count) {
    const Fibre& first = fibres_[0];
    for (int i = 0; i < count; ++i) {
      const Fibre& fibre = fibres_[i];
      if (fibre.state == State::kAtWarpBarrier || !same_place(fibre, first)) {
        if (first.state == State::kDone && fibre.state == State::kDone) continue;
        const Fibre& stuck = fibre.state == State::kDone ? first : fibre;
        fail("a barrier in divergent code: not all threads come to it", stuck.file, stuck.line,
             false);
        return false;
      }
    }
    if (first.state == State::kDone) return false;
    for (int i = 0; i < count; ++i) fibres_[i].state = State::kReady, ++fibres_[i].sync;
    return true;
  }

  void fail(const char* what, const char* file = "", int line = 0, bool in_fibre = true) {
    if (wrong_.empty())
      wrong_ = std::string(what) + " (" + file + ":" + std::to_string(line) + ", block " +
               std::to_string(block.x) + ", thread " + std::to_string(thread.x) + ")";
    if (in_fibre) pause();
  }

  ucontext_t scheduler_;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_size_ = 0;
  std::vector<Fibre> fibres_;
  struct alignas(16) Slot {
    char bytes[32];
  };
  std::vector<Slot> slots_[2];
  Order order_ = Order::kForward;
  uint64_t state_ = 0;
  unsigned serial_ = 0;
  std::function<void()> kernel_;
  std::string wrong_;
};

inline Machine& machine() {
  static Machine the_machine;
  return the_machine;
}

inline void Machine::begin() { machine().run_fibre(); }

template <class T>
T shuffle(uint32_t mask, T value, int step, const char* file, int line) {
  machine().exchange(mask, &value, sizeof value, file, line);
  std::memcpy(&value, machine().given_by(int(machine().thread.x % 32) ^ step), sizeof value);
  return value;
}

}  // namespace emulation

#define threadIdx (::emulation::machine().thread)
#define blockIdx (::emulation::machine().block)
#define gridDim (::emulation::machine().blocks)

// --- arithmetic, compiled without fused products
// ----------------------------------------------------------

inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline double __longlong_as_double(long long bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline long long __double_as_longlong(double value) {
  long long bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
using std::fmax;
using std::fmin;

template <class T, class V>
T atomicAdd(T* at, V value) {
  T old = *at;
  *at = old + value;
  return old;
}
template <class T>
T atomicMax(T* at, T value) {
  T old = *at;
  *at = std::max(old, value);
  return old;
}

namespace tfkm {

using ::Bfloat16;
using ::Float16;

template <class T, int count>
struct Shared {
  using Access = emulation::Machine::Access;
  T values[count];
  mutable emulation::Cell cells[count];

  T& at(int i, Access access) const {
    if (i < 0 || i >= count)
      std::fprintf(stderr, "shared memory: place %d of %d\n", i, count), std::abort();
    emulation::machine().touch(cells[i], access);
    return const_cast<Shared*>(this)->values[i];
  }
  T get(int i) const { return at(i, Access::kRead); }
  void set(int i, T value) { at(i, Access::kWrite) = value; }
  template <class Pack>
  Pack get_pack(int i) const {
    check_alignment<Pack>(i);
    Pack pack;
    for (size_t p = 0; p < sizeof(Pack) / sizeof(T); ++p) {
      T value = get(i + int(p));
      std::memcpy(reinterpret_cast<char*>(&pack) + p * sizeof(T), &value, sizeof(T));
    }
    return pack;
  }
  template <class Pack>
  void set_pack(int i, Pack pack) {
    check_alignment<Pack>(i);
    for (size_t p = 0; p < sizeof(Pack) / sizeof(T); ++p) {
      T value;
      std::memcpy(&value, reinterpret_cast<char*>(&pack) + p * sizeof(T), sizeof(T));
      set(i + int(p), value);
    }
  }
  T atomic_add(int i, T value) { return atomicAdd(&at(i, Access::kAtomic), value); }
  T atomic_or(int i, T value) {
    T& there = at(i, Access::kAtomic);
    T old = there;
    there = old | value;
    return old;
  }
  T atomic_exchange(int i, T value) { return std::exchange(at(i, Access::kAtomic), value); }
  T atomic_compare_and_swap(int i, T expected, T value) {
    T& there = at(i, Access::kAtomic);
    T old = there;
    if (old == expected) there = value;
    return old;
  }

 private:
  template <class Pack>
  static void check_alignment(int i) {
    if (i * sizeof(T) % sizeof(Pack))
      std::fprintf(stderr, "shared memory: a pack at place %d\n", i), std::abort();
  }
};

inline uint32_t as_bfloat16s(float low, float high) {
  auto rounded = [](float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return std::isnan(x) ? 0x7fffu : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  };
  return rounded(high) << 16 | rounded(low);
}

// sums (16, 8) += a (16, 16) · b (16, 8). Lane 4g + q has of a the pairs (g, 2q), (g + 8, 2q), (g,
// 2q + 8), (g + 8, 2q + 8), of b (2q, g), (2q + 8, g), of the sums (g, 2q), (g, 2q + 1) and the
// same of row g + 8. The products are exact; the order of their sum and what a card takes for a
// rounding are its own, here float with truncation.
inline void multiply_fragments(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Given {
    uint32_t a[4], b[2];
  };
  auto& machine = emulation::machine();
  const int g = int(threadIdx.x % 32) / 4, q = int(threadIdx.x % 4);
  Given mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  machine.exchange(0xffffffff, &mine, sizeof mine, __FILE__, __LINE__);
  uint32_t rows[2][8],
      column[2][8];  // pairs of features of rows g and g + 8 of a, of columns 2q and 2q + 1 of b
  for (int p = 0; p < 4; ++p)
    for (int i = 0; i < 4; ++i) {
      Given of_row, of_column;
      std::memcpy(&of_row, machine.given_by(4 * g + p), sizeof of_row);
      rows[i % 2][p + i / 2 * 4] = of_row.a[i];
      std::memcpy(&of_column, machine.given_by(4 * (2 * q + i % 2) + p), sizeof of_column);
      column[i % 2][p + i / 2 * 4] = of_column.b[i / 2];
    }
  for (int r : {0, 1})
    for (int c : {0, 1}) {
      double sum = sums[r * 2 + c];
      for (int p = 0; p < 8; ++p)
        for (int half : {0, 16})
          sum += double(__uint_as_float(rows[r][p] >> half << 16)) *
                 double(__uint_as_float(column[c][p] >> half << 16));
      float nearest = float(sum);
      if (std::fabs(double(nearest)) > std::fabs(sum)) nearest = std::nextafter(nearest, 0.0f);
      sums[r * 2 + c] = nearest;
    }
}

}  // namespace tfkm
