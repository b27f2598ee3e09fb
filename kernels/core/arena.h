// Scratch memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace {

constexpr int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// One piece of memory for the arrays of a call. Objects ask for arrays while they are constructed,
// and get them when `allocate` lays all of them out. Until then they must not be moved; arrays last
// as long as the arena.
class Arena {
 public:
  Arena() { asked_.reserve(64); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { std::free(memory_); }

  // Asks for `count` elements, aligned to kAlignment, whose address goes to *array.
  template <class T>
  void take(T** array, int64_t count) {
    asked_.push_back({static_cast<void*>(array), bytes_});
    bytes_ += round_up(count * int64_t(sizeof(T)), kAlignment);
  }

  // Throws std::bad_alloc.
  void allocate() {
    if (posix_memalign(&memory_, kAlignment, size_t(bytes_ ? bytes_ : kAlignment)) != 0)
      throw std::bad_alloc();
    for (const Asked& asked : asked_) {
      char* here = static_cast<char*>(memory_) + asked.offset;
      std::memcpy(asked.array, static_cast<const void*>(&here), sizeof here);
    }
  }

 private:
  static constexpr int64_t kAlignment = 64;
  struct Asked {
    void* array;  // a pointer to a pointer
    int64_t offset;
  };

  std::vector<Asked> asked_;
  int64_t bytes_ = 0;
  void* memory_ = nullptr;
};

}  // namespace
