#include "accumulate_impl.h"

namespace tfkm {
int accumulate_avx512bf16(const Job& job, const ParallelFor& parallel_for) {
  return accumulate_here(job, parallel_for);
}
}  // namespace tfkm
