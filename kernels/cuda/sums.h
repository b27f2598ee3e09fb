// Exact sums: each term is cut into two words on a grid of powers of two (tfkm/exact.py), so that
// no addition rounds and any order, block size and number of blocks gives the same bits: those of
// kernels/core/exact.h.
#pragma once

#include "warp.h"

namespace tfkm {
namespace cuda {

// As the Splitter of kernels/core/exact.h.
struct Splitter {
  double coarse, fine;
  __device__ Splitter(double bound, double count)
      : coarse(1.5 * bound), fine(0.75 * bound * count * 0x1p-52) {}
};

struct TwoWords {
  double high = 0, low = 0;

  __device__ void add(double term, const Splitter& by) {
    double most = __dsub_rn(__dadd_rn(term, by.coarse), by.coarse);
    high = __dadd_rn(high, most);
    low = __dadd_rn(low, __dsub_rn(__dadd_rn(__dsub_rn(term, most), by.fine), by.fine));
  }
};

// An exact sum of terms ≥ 0 of any size, in the digits of kernels/core/exact.h but as integers of
// 64 bits. The last says that a term was no number.
using BlockDigits = Shared<unsigned long long, kDigits + 1>;

__device__ inline void add_to_digits(BlockDigits& digits, double x) {
  long long bits = __double_as_longlong(x), exponent = bits >> 52 & 0x7ff;
  unsigned long long mantissa = bits & 0xfffffffffffffll;
  if (exponent) mantissa |= 1ull << 52, --exponent;
  if (!mantissa) return;
  const int shift = exponent % kDigitBits, digit = exponent / kDigitBits;
  // As three parts of 32 bits, the lowest first.
  unsigned long long low = (mantissa & 0xffffffffull) << shift, high = (mantissa >> 32) << shift;
  unsigned long long parts[3] = {low & 0xffffffffull, (low >> 32) + (high & 0xffffffffull),
                                 high >> 32};
#pragma unroll
  for (int i = 0; i < 3; ++i)
    if (parts[i]) digits.atomic_add(digit + i, bits < 0 ? 0ull - parts[i] : parts[i]);
}

// Rounds x to a multiple of a step, if shift = 1.5 · 2⁵² of it.
__device__ inline double cut(double x, double shift) {
  return __dsub_rn(__dadd_rn(x, shift), shift);
}

// By a whole warp, a term of each lane. Terms are cut at two steps below the largest, so that the
// warp adds them exactly and atomic additions are few: what is left over, of terms 2³⁹ times
// smaller, is rare.
__device__ inline void add_inertia(BlockDigits& digits, double term) {
  constexpr long long kBits = 46;  // of a cut: 32 of them have 51
  if (!(term < 0x1p1000)) {
    if (term < infinity<double>())
      add_to_digits(digits, term);
    else
      digits.atomic_add(kDigits, 1ull);
    term = 0;
  }
  long long exponent = __double_as_longlong(warp_max(term)) >> 52;
  exponent = exponent < 2 * kBits + 2 ? 2 * kBits + 2 : exponent;
  double coarse = cut(term, 1.5 * __longlong_as_double((exponent + 53 - kBits) << 52)),
         rest = __dsub_rn(term, coarse);
  double fine = cut(rest, 1.5 * __longlong_as_double((exponent + 53 - 2 * kBits) << 52));
  if (rest != fine) add_to_digits(digits, __dsub_rn(rest, fine));
  coarse = warp_sum(coarse), fine = warp_sum(fine);
  if (threadIdx.x % 32 == 0) add_to_digits(digits, coarse), add_to_digits(digits, fine);
}

template <int threads>
__device__ void clear(BlockDigits& digits) {
  for (int i = threadIdx.x; i <= kDigits; i += threads) digits.set(i, 0ull);
}

// The block's digits into the card's, by all threads.
template <int threads>
__device__ void leave_inertia(const Job& job, const BlockDigits& digits) {
  if (!job.high.sums) return;
  __syncthreads();
  for (int i = threadIdx.x; i <= kDigits; i += threads)
    if (unsigned long long digit = digits.get(i)) atomicAdd(job.inertia + i, digit);
}

// The points of a tile by cluster: each part of the tile has a hash table of the labels in it, with
// a list of the points of each.
template <int rows>
struct Group {
  static constexpr int kPart = rows < 64 ? rows : 64, kSlots = 2 * kPart;
  static constexpr uint32_t kNone = 0xffffffff;
  Shared<uint32_t, 2 * rows> labels;  // or kNone
  Shared<uint32_t, 2 * rows> heads;   // the point that came last
  Shared<uint32_t, rows> next;        // the one that came before, or kNone
  Shared<uint32_t, rows> lists;       // slots in use
  Shared<uint32_t, 1> count;          // of them

  __device__ void add(int i, uint32_t label) {
    const uint32_t table = i / kPart * kSlots;
    uint32_t slot = label * 0x9e3779b1u >> 16, there;
    for (;; ++slot) {
      there = labels.atomic_compare_and_swap(table + slot % kSlots, kNone, label);
      if (there == kNone || there == label) break;
    }
    slot = table + slot % kSlots;
    if (there == kNone) lists.set(count.atomic_add(0, 1u), slot);
    next.set(i, heads.atomic_exchange(slot, uint32_t(i)));
  }
};

// Adds the points that have a label. A list's terms are added by one thread for each feature and go
// to memory as one sum, so that few atomic additions meet, and what meets is exact.
template <class S, int threads, int rows, class Rows, class Labels>
__device__ void add_points(const Job& job, const Rows& rows_of, const Labels& labels,
                           Group<rows>& group) {
  using G = Group<rows>;
  for (int i = threadIdx.x; i < 2 * rows; i += threads)
    group.labels.set(i, G::kNone), group.heads.set(i, G::kNone);
  if (threadIdx.x == 0) group.count.set(0, 0u);
  __syncthreads();
  for (int i = threadIdx.x; i < rows; i += threads)
    if (labels.get(i) >= 0) group.add(i, labels.get(i));
  __syncthreads();
  const double count = job.grid[1];
  const uint32_t features = uint32_t(job.d) + 1,
                 items = features * group.count.get(0);  // the last is the weight
  for (uint32_t item = threadIdx.x; item < items; item += threads) {
    const uint32_t j = item % features;
    uint32_t i = group.heads.get(group.lists.get(item / features));
    const int64_t label = labels.get(i);
    const bool weight = j == job.d;
    const Splitter splitter(weight ? job.grid[0] : job.grid_sums[j], count);
    const S* points = static_cast<const S*>(job.points) + j;
    TwoWords words;
    for (; i != G::kNone; i = group.next.get(i)) {
      int64_t row = rows_of.get(i);
      double value = weight ? 1.0 : widened<double>(points[row * job.stride]);
      words.add(job.weights ? __dmul_rn(value, job.weights[row]) : value, splitter);
    }
    // A word is often 0: the low one where weights are 1 or values have few bits, the high one of
    // zeros. NaN is not.
    if (words.high != 0)
      atomicAdd(weight ? job.high.weights + label : job.high.sums + label * job.d + j, words.high);
    if (words.low != 0)
      atomicAdd(weight ? job.low.weights + label : job.low.sums + label * job.d + j, words.low);
  }
  __syncthreads();
}

}  // namespace cuda
}  // namespace tfkm
