// Scratch memory.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace {

constexpr int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// One piece of memory, cut into aligned arrays; each constructor of a scratch is run twice, first to measure.
class Arena {
 public:
  Arena() = default;
  explicit Arena(char* memory) : base_(memory), owned_(false) {}  // of which there is enough
  Arena(const Arena&) = delete;
  ~Arena() {
    if (owned_) std::free(base_);
  }
  template <class T>
  T* take(int64_t count) {
    T* here = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += round_up(count * int64_t(sizeof(T)), 64);
    return here;
  }
  bool allocate() {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, used_ ? used_ : 64) != 0) return false;
    base_ = static_cast<char*>(memory);
    used_ = 0;
    return true;
  }


  int64_t used() const { return used_; }

 private:
  char* base_ = nullptr;
  bool owned_ = true;
  int64_t used_ = 0;
};

}  // namespace
