// Rows of points in the type computed in, whatever type they are stored in, so that all that follows is compiled for
// two types and not for eleven pairs of them. Points of that type are read where they lie. Others are widened, exactly,
// a few rows at a time into scratch that stays in cache.
#pragma once

#include <cstring>

#include "arena.h"
#include "core.h"
#include "direct.h"

namespace {

// Points are fetched so far ahead of their use.
constexpr int64_t kAhead = 32 << 10;

template <class T>
struct Rows {
  const T* x;
  int64_t stride;
  const T* row(int64_t i) const { return x + i * stride; }
};

// (count,) values of type S as T.
template <class S, class T>
void widen(const void* values, int64_t first, int64_t count, T* out) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = kLanesOf<Vector>;
  const S* x = static_cast<const S*>(values) + first;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    __builtin_prefetch(x + i + kAhead / sizeof(S));
    store(out + i, widened<Vector>(x + i));
  }
  for (; i < count; ++i) out[i] = T(x[i]);
}

template <class T>
class Source {
 public:
  // scale: what all values are multiplied by.
  Source(const void* points, tfkm::Dtype dtype, int64_t stride, int64_t d, double scale = 1)
      : points_(points), stride_(stride), d_(d), scale_(T(scale)), widen_(widen_for(dtype)) {
    if (scale != 1 && !widen_) widen_ = widen<T, T>;
  }

  // Numbers of scratch for so many rows.
  int64_t scratch(int64_t rows) const { return widen_ ? rows * d_ : 0; }

  // Rows first, first + step, …, in place or in `scratch`, which holds them until it is used again.
  Rows<T> rows(int64_t first, int64_t count, T* scratch, int64_t step = 1) const {
    int64_t stride = stride_ * step;
    if (!widen_) return {static_cast<const T*>(points_) + first * stride_, stride};
    if (stride == d_)
      read(first * stride, count * d_, scratch);
    else
      for (int64_t i = 0; i < count; ++i) read(first * stride_ + i * stride, d_, scratch + i * d_);
    return {scratch, d_};
  }

  void copy(int64_t row, T* out) const {
    if (widen_)
      read(row * stride_, d_, out);
    else
      std::memcpy(out, static_cast<const T*>(points_) + row * stride_, d_ * sizeof(T));
  }

 private:
  using Widen = void (*)(const void*, int64_t, int64_t, T*);

  void read(int64_t first, int64_t count, T* out) const {
    widen_(points_, first, count, out);
    for (int64_t i = 0; i < count && scale_ != 1; ++i) out[i] *= scale_;
  }

  // Null for T itself.
  static Widen widen_for(tfkm::Dtype dtype) {
    using tfkm::Dtype;
    switch (dtype) {
      case Dtype::kFloat64: return nullptr;
      case Dtype::kFloat32: return sizeof(T) == 4 ? nullptr : widen<float, T>;
      case Dtype::kFloat16: return widen<Float16, T>;
      case Dtype::kBfloat16: return widen<Bfloat16, T>;
      case Dtype::kInt8: return widen<int8_t, T>;
      case Dtype::kUint8: return widen<uint8_t, T>;
    }
    return nullptr;
  }

  const void* points_;
  int64_t stride_, d_;
  T scale_;
  Widen widen_;
};

}  // namespace
