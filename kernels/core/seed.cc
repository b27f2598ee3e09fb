// Compiled once for each instruction set.
#include "seed.h"

namespace tfkm::TFKM_LEVEL {
void seed(const Seeding& seeding, const ParallelFor& parallel_for) {
  seeding.wide ? choose<double>(seeding, parallel_for) : choose<float>(seeding, parallel_for);
}
}  // namespace tfkm::TFKM_LEVEL
