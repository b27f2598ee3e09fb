// Reads rows of points in the type computed in, whatever their own type and layout. So all other
// code is compiled for two types and not for eleven pairs of types.
//
// Points of that type are read where they lie if their features are side by side. Others are
// widened, which is exact, or gathered, a few rows at a time, into scratch that stays in cache.
#pragma once

#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "arena.h"
#include "core.h"
#include "direct.h"

namespace {

// Points are fetched so many bytes ahead of their use.
constexpr int64_t kAhead = 32 << 10;

template <class T>
struct Rows {
  const T* x;
  int64_t stride;
  const T* row(int64_t i) const { return x + i * stride; }
};

// Copies (count,) values of type S as T.
template <class S, class T>
void widen(const void* values, int64_t count, T* out) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = kLanesOf<Vector>;
  const S* x = static_cast<const S*>(values);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    __builtin_prefetch(reinterpret_cast<const char*>(x + i) + kAhead);
    store(out + i, widened<Vector>(x + i));
  }
  for (; i < count; ++i) out[i] = T(x[i]);
}

// Copies (count, d) values of type S as T, from memory where they may lie in any way.
template <class S, class T>
void gather(const char* first, int64_t row, int64_t feature, int64_t count, int64_t d, T* out) {
  auto take = [&](int64_t i, int64_t j) {
    S value;
    std::memcpy(&value, first + i * row + j * feature, sizeof value);
    out[i * d + j] = T(value);
  };
  if (std::llabs(feature) > std::llabs(row)) {  // column by column, as which they lie
    for (int64_t j = 0; j < d; ++j)
      for (int64_t i = 0; i < count; ++i) take(i, j);
  } else {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < d; ++j) take(i, j);
  }
}

template <class T>
class Source {
 public:
  // All values are multiplied by `scale`.
  Source(const tfkm::Points& points, int64_t d, double scale = 1)
      : points_(points), d_(d), scale_(T(scale)) {
    with_stored([&](auto stored) {
      using S = decltype(stored);
      const bool in_rows = points.feature == int64_t(sizeof(S)) &&
                           points.row % int64_t(sizeof(S)) == 0 &&
                           reinterpret_cast<uintptr_t>(points.data) % sizeof(S) == 0;
      if (!in_rows)
        gather_ = gather<S, T>;
      else if (!std::is_same_v<S, T> || scale != 1)
        widen_ = widen<S, T>;
    });
  }

  // Returns how many numbers of scratch so many rows need.
  int64_t scratch(int64_t rows) const { return widen_ || gather_ ? rows * d_ : 0; }

  // Returns rows first, first + step, …, in place or in `scratch`, which holds them until it is
  // used again.
  Rows<T> rows(int64_t first, int64_t count, T* scratch, int64_t step = 1) const {
    if (!widen_ && !gather_)
      return {static_cast<const T*>(at(first)), points_.row * step / int64_t(sizeof(T))};
    read(first, count, step, scratch);
    return {scratch, d_};
  }

  void copy(int64_t row, T* out) const {
    if (widen_ || gather_)
      read(row, 1, 1, out);
    else
      std::memcpy(out, at(row), d_ * sizeof(T));
  }

 private:
  const void* at(int64_t row) const {
    return static_cast<const char*>(points_.data) + row * points_.row;
  }

  void read(int64_t first, int64_t count, int64_t step, T* out) const {
    if (gather_)
      gather_(static_cast<const char*>(at(first)), points_.row * step, points_.feature, count, d_,
              out);
    else if (step == 1 && points_.row == d_ * points_.feature)
      widen_(at(first), count * d_, out);
    else
      for (int64_t i = 0; i < count; ++i) widen_(at(first + i * step), d_, out + i * d_);
    for (int64_t i = 0; i < count * d_ && scale_ != 1; ++i) out[i] *= scale_;
  }

  // Calls function(a value of the type stored), for the types that are computed in T.
  template <class Function>
  void with_stored(const Function& function) {
    using tfkm::Dtype;
    // NOLINTBEGIN(bugprone-branch-clone): the types differ, not the text.
    switch (points_.dtype) {
      case Dtype::kFloat64:
        if constexpr (sizeof(T) == 8) function(double());
        break;
      case Dtype::kFloat32: return function(float());
      case Dtype::kFloat16: return function(Float16());
      case Dtype::kBfloat16: return function(Bfloat16());
      case Dtype::kInt8: return function(int8_t());
      case Dtype::kUint8: return function(uint8_t());
    }
    // NOLINTEND(bugprone-branch-clone)
  }

  tfkm::Points points_;
  int64_t d_;
  T scale_;
  void (*widen_)(const void*, int64_t, T*) = nullptr;
  void (*gather_)(const char*, int64_t, int64_t, int64_t, int64_t, T*) = nullptr;
};

}  // namespace
