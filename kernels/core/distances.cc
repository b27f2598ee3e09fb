// Compiled once for each instruction set.
#include "distances.h"
#include "magnitudes.h"

namespace tfkm::TFKM_LEVEL {
void distances(const Distances& call, const ParallelFor& parallel_for) {
  call.wide ? all_distances<double>(call, parallel_for) : all_distances<float>(call, parallel_for);
}
void magnitudes(const Magnitudes& call, const ParallelFor& parallel_for) {
  call.points.dtype == Dtype::kFloat64 ? all_magnitudes<double>(call, parallel_for)
                                       : all_magnitudes<float>(call, parallel_for);
}
}  // namespace tfkm::TFKM_LEVEL
