// A wait of some cycles in a loop that asks again and again.
#pragma once

namespace {

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace
