#include "distances.h"
#include "magnitudes.h"

namespace tfkm {
int distances_avx2(const Distances& call, const ParallelFor& parallel_for) { return distances_here(call, parallel_for); }
int magnitudes_avx2(const Magnitudes& call, const ParallelFor& parallel_for) { return magnitudes_here(call, parallel_for); }
}  // namespace tfkm
