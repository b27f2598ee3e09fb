// Puts centroids beside their neighbours, so that the nearest ones of a point are in few tiles.
// Takes halves of halves, each cut across the direction from the mean to the centroid farthest from
// it. Any order gives the same results.
#pragma once

#include <algorithm>

#include "direct.h"

namespace {

template <class T>
struct Neighbours {
  const T* centroids;  // (k, d)
  int64_t d, tile;
  int32_t* order;  // (k,)
  T *mean, *keys;  // (d,), (k,) scratch

  // Orders places first … last − 1 among themselves.
  void split(int64_t first, int64_t last) const {
    int64_t count = last - first;
    if (count <= tile) return;
    for (int64_t j = 0; j < d; ++j) mean[j] = 0;
    for (int64_t p = first; p < last; ++p)
      for (int64_t j = 0; j < d; ++j) mean[j] += row(p)[j] / T(count);
    const T* farthest = row(first);
    T most = -1;
    for (int64_t p = first; p < last; ++p) {
      T& key = keys[order[p]] = narrow_sq_distance(row(p), mean, d);
      if (key > most) most = key, farthest = row(p);
    }
    // (c − mean) · (farthest − mean), but for what is the same for all
    for (int64_t p = first; p < last; ++p)
      keys[order[p]] -= narrow_sq_distance(row(p), farthest, d);
    int64_t middle = first + (count / 2 + tile - 1) / tile * tile;
    std::nth_element(order + first, order + middle, order + last,
                     [this](int32_t a, int32_t b) { return keys[a] < keys[b]; });
    split(first, middle);
    split(middle, last);
  }

 private:
  const T* row(int64_t p) const { return centroids + int64_t(order[p]) * d; }
};

}  // namespace
