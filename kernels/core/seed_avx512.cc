#include "seed.h"

namespace tfkm {
int seed_avx512(const Seeding& seeding, const ParallelFor& parallel_for) {
  return seed_here(seeding, parallel_for);
}
}  // namespace tfkm
