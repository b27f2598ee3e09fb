// Centroids as the kernel wants them.
#pragma once

#include <cfloat>
#include <cmath>

#include "arena.h"
#include "core.h"
#include "simd.h"

namespace {

using tfkm::Job;

// Accumulators, two vectors of points, one of a centroid's value: 2·kRows + 3 registers of 32 or 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRows = 12;
#else
constexpr int kRows = 6;
#endif
constexpr int kVectors = 2;

template <class T>
struct Frame {
  int64_t k, d, tiles;
  double* exact;  // (k, d)
  double* sums;   // (d,)
  T* offset;      // (d,) the mean
  T* factors;     // (tiles, d, kRows): −2(c − offset)
  T* sq_norms;    // (tiles, kRows): ‖c − offset‖², infinite where there is no centroid
  double largest_norm;

  Frame(const Job& job, Arena& arena) : k(job.k), d(job.d), tiles((job.k + kRows - 1) / kRows) {
    exact = arena.take<double>(k * d);
    sums = arena.take<double>(d);
    offset = arena.take<T>(d);
    factors = arena.take<T>(tiles * d * kRows);
    sq_norms = arena.take<T>(tiles * kRows);
  }

  void pack(const T* centroids) {
    for (int64_t j = 0; j < d; ++j) sums[j] = 0;
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < d; ++j) sums[j] += exact[i * d + j] = double(centroids[i * d + j]);
    for (int64_t j = 0; j < d; ++j) offset[j] = T(sums[j] / double(k));
    double largest = 0;
    for (int64_t i = 0; i < tiles * kRows; ++i) {
      T* column = factors + i / kRows * d * kRows + i % kRows;
      double sq_norm = 0;
      for (int64_t j = 0; j < d; ++j) {
        T c = i < k ? T(centroids[i * d + j] - offset[j]) : T(0);
        column[j * kRows] = -2 * c;
        sq_norm += double(c) * double(c);
      }
      sq_norms[i] = i < k ? T(sq_norm) : T(INFINITY);
      if (i < k && sq_norm > largest) largest = sq_norm;
    }
    largest_norm = std::sqrt(largest);
    set_margin();
  }

  // As xla_kernels._margin: a gap above this is not rounding.
  double margin(double sq_norm) const {
    double norm = std::sqrt(sq_norm), reach = norm + largest_norm;
    return per_product * (2 * norm + largest_norm) + per_square * reach * reach + least_margin;
  }

 private:
  double per_product, per_square, least_margin;

  void set_margin() {
    auto growth = [&](double unit) { return (d + 8) * unit / (1 - (d + 8) * unit); };
    double mine = growth(sizeof(T) == 4 ? 0x1p-24 : 0x1p-53), slack = 1.05 + 4 * mine;
    per_product = slack * 2 * mine * largest_norm;
    per_square = slack * 4 * growth(0x1p-53);
    least_margin = 8 * (d + 8) * (sizeof(T) == 4 ? FLT_MIN : DBL_MIN);
  }
};

}  // namespace
