// AVX-512 as x86-64-v4 has it.
#pragma once

#include "avx512_vectors.h"

namespace {

struct Isa {
  static constexpr int kVectorBytes = 64, kRegisters = 32;
  static constexpr bool kWidens = true, kProductsOfPairs = false;
};

}  // namespace
