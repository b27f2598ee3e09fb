// Candidates of k-means++ against blocks of points of few features (d ≤ 8). Lanes are points. The
// direct form in T tells which points a candidate may be nearest to; in double it tells what that
// would take from the total.
//
// Each block lies in a ball. If a candidate's distance from the ball's centre is not below the
// radius plus the greatest D of the block, then by the triangle inequality the candidate is nearest
// to none of its points, and the block is not looked at. That pays where neighbours in memory are
// neighbours in space: 262,144 pixels of china.jpg with k = 256 take 100 ms on one thread instead
// of 121. Shuffled, and on noise, they take the same 180 ms (medians of 9 turns). By products, as
// points of more features are tried, the first took 3 times as long as this, the second 2.5 times.
#pragma once

#include <cmath>

#include "core.h"
#include "rows.h"

namespace {

template <class T>
class Narrow {
  using Vector = typename Simd<T>::Vector;
  static constexpr int kLanes = kLanesOf<Vector>, kVectors = kLanes < 8 ? 8 / kLanes : 1,
                       kStep = kLanes * kVectors;

 public:
  static constexpr int kRows = 32;  // of a block

  using Eights = EightOf<T>;

  // Takes candidates (count, d). Adding `shift` to a cost and taking it away rounds the cost.
  Narrow(const tfkm::Seeding& seeding, double shift, const T* candidates, int count)
      : seeding_(seeding), shift_(shift), candidates_(candidates), count_(count) {}

  // Lowers nearest[first …] to D² to the first candidate.
  template <int d = kMostInRegisters>
  void take(Rows<T> points, int64_t first, int64_t last, T* nearest) {
    if constexpr (d > 1)
      if (seeding_.d < d) return this->template take<d - 1>(points, first, last, nearest);
    transpose<d>(points, last - first);
    for (int u = 0; u < kRows; u += 8) {
      Eights old = load<Eights>(nearest + first + u), distance = distances<d>(u, candidates_);
      store(nearest + first + u, where_less(distance, old, distance, old));
    }
  }

  // Finds a ball around some points: its centre is every `step`-th of (d,). Returns the radius.
  template <int d = kMostInRegisters>
  T enclose(Rows<T> points, int64_t rows, T* centre, int64_t step) {
    if constexpr (d > 1)
      if (seeding_.d < d) return this->template enclose<d - 1>(points, rows, centre, step);
    transpose<d>(points, rows);
    T sums[kRows] = {}, far = 0;
    for (int j = 0; j < d; ++j) {
      T low = points_[j * kRows], high = low;
      for (int r = 1; r < rows; ++r) {
        T x = points_[j * kRows + r];
        low = x < low ? x : low, high = x > high ? x : high;
      }
      T middle = centre[j * step] = low / 2 + high / 2;
      for (int r = 0; r < kRows; ++r)
        sums[r] += (points_[j * kRows + r] - middle) * (points_[j * kRows + r] - middle);
    }
    for (int r = 0; r < rows; ++r) far = sums[r] > far ? sums[r] : far;
    return std::sqrt(far) * (1 + kSlack);
  }

  // Returns a limit: a candidate whose squared distance from the centre is not below it is nearer
  // to no point than nearest[0 … kRows).
  static T limit(T radius, const T* nearest) {
    T far = 0;
    for (int r = 0; r < kRows; ++r) far = nearest[r] > far ? nearest[r] : far;
    T reach = radius + std::sqrt(far);
    return reach * reach * (1 + kSlack) + kLeast;
  }

  // Sets a bit for each candidate that is near enough to a block, for kLanes or more blocks. A
  // centre is every `step`-th of (d,).
  template <int d = kMostInRegisters>
  void near(const T* centres, int64_t step, const T* limits, int blocks, uint64_t* bits) const {
    if constexpr (d > 1)
      if (seeding_.d < d) return this->template near<d - 1>(centres, step, limits, blocks, bits);
    for (int b = 0; b < blocks; ++b) bits[b] = 0;
    for (int b = 0; b < blocks; b += kLanes)
      for (int c = 0; c < count_; ++c) {
        Vector sum = {};
        for (int j = 0; j < d; ++j) {
          Vector difference = load<Vector>(centres + j * step + b) - splat(candidates_ + c * d + j);
          sum = fma(difference, difference, sum);
        }
        for (unsigned lanes = lanes_below(sum, load<Vector>(limits + b)); lanes; lanes &= lanes - 1)
          bits[b + __builtin_ctz(lanes)] |= uint64_t(1) << c;
      }
  }

  // Adds to `gains` what each of the candidates whose bits are set would take from points [first,
  // last). Their D² are nearest[first …], −1 where there is no point. Returns a bit for each that
  // takes something.
  template <int d = kMostInRegisters>
  uint64_t gains(Rows<T> points, int64_t first, int64_t last, const T* nearest, uint64_t candidates,
                 double* gains) {
    if constexpr (d > 1)
      if (seeding_.d < d)
        return this->template gains<d - 1>(points, first, last, nearest, candidates, gains);
    transpose<d>(points, last - first);
    uint64_t touched = 0;
    for (int r = 0; r < kRows; r += kStep) {
      Vector x[kVectors][d], enough[kVectors];
      for (int m = 0; m < kVectors; ++m) {
        enough[m] = load<Vector>(nearest + first + r + m * kLanes);
        enough[m] += enough[m] * kSlack + kLeast;
#pragma GCC unroll 8
        for (int j = 0; j < d; ++j) x[m][j] = load<Vector>(points_ + j * kRows + r + m * kLanes);
      }
      for (uint64_t left = candidates; left; left &= left - 1) {
        int c = __builtin_ctzll(left);
        unsigned near = 0;
        for (int m = 0; m < kVectors; ++m) {
          Vector sum = {};
#pragma GCC unroll 8
          for (int j = 0; j < d; ++j) {
            Vector difference = x[m][j] - splat(candidates_ + c * d + j);
            sum = fma(difference, difference, sum);
          }
          near |= lanes_below(sum, enough[m]);
        }
        if (__builtin_expect(near == 0, 1)) continue;
        double gain = 0;
        for (int u = r; u < r + kStep; u += 8)
          gain += gain_of<d>(first, last, u, candidates_ + c * d, nearest);
        gains[c] += gain;
        touched |= uint64_t(gain > 0) << c;
      }
    }
    return touched;
  }

 private:
  // What rounding may take from a distance in T, with room: (d + 2) units, and what has no full
  // mantissa.
  static constexpr T kSlack = sizeof(T) == 4 ? T(0x1p-19) : T(0x1p-48);
  static constexpr T kLeast = sizeof(T) == 4 ? T(0x1p-120) : T(0x1p-1000);

  // Transposes rows: p and p + 8 share a vector of 16 lanes, as in pack_narrow. With scalar stores
  // a seeding at (131072, 256, 8) took 182 ms instead of 136.
  template <int d>
  void transpose(Rows<T> points, int64_t rows) {
    if constexpr (kLanes < 8) {
      for (int64_t r = 0; r < kRows; ++r)
        for (int j = 0; j < d; ++j) points_[j * kRows + r] = r < rows ? points.row(r)[j] : T(0);
    } else {
      auto row = [&](int64_t r) { return r < rows ? widened<Eights>(points.row(r), d) : Eights{}; };
      for (int64_t r = 0; r < kRows; r += kLanes) {
        Vector v[8];
#pragma GCC unroll 8
        for (int p = 0; p < 8; ++p) {
          if constexpr (kLanes == 16)
            v[p] = joined(row(r + p), row(r + p + 8));
          else
            v[p] = (Vector)row(r + p);
        }
        turn<T>(v);
#pragma GCC unroll 8
        for (int j = 0; j < d; ++j) store(points_ + j * kRows + r, v[j]);
      }
    }
  }

  // Returns D² to the candidate of eight points from `u` on, with the bits of sq_distance.
  template <int d>
  Eights distances(int u, const T* candidate) const {
    Eight squares[8] = {};
#pragma GCC unroll 8
    for (int j = 0; j < d; ++j) {
      Eight difference = widened<Eight>(points_ + j * kRows + u) - double(candidate[j]);
      squares[j] = difference * difference;
    }
    Eight sum = ((squares[0] + squares[4]) + (squares[2] + squares[6])) +
                ((squares[1] + squares[5]) + (squares[3] + squares[7]));
    return eight_of<Eights>(sum);
  }

  // A block's rows beyond `last` are below zero in `nearest`, so nothing is gained there.
  template <int d>
  double gain_of(int64_t first, int64_t last, int u, const T* candidate, const T* nearest) const {
    Eight after = eight_of<Eight>(distances<d>(u, candidate));
    Eight before = widened<Eight>(nearest + first + u), weights = Eight{} + 1.0;
    const int64_t left = last - first - u;
    if (seeding_.weights)
      weights = left > 0 ? widened<Eight>(seeding_.weights + first + u, left) : Eight{};
    Eight gain = rounded(weights * before) - rounded(weights * after);
    return total(where_less(after, before, gain, Eight{}));
  }
  Eight rounded(Eight costs) const { return (costs + shift_) - shift_; }

  const tfkm::Seeding& seeding_;
  double shift_;
  const T* candidates_;
  int count_;
  alignas(64) T points_[kMostInRegisters * kRows];  // (d, kRows)
};

}  // namespace
