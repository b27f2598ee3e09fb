// The only place that knows which instruction sets there are.
#include <cstdlib>
#include <cstring>
#include <new>

#include "core.h"
#include "subnormals.h"
#include "tiny.h"

namespace tfkm {

int accumulate_base(const Job& job, const ParallelFor& parallel_for);
int accumulate_avx2(const Job& job, const ParallelFor& parallel_for);
int accumulate_avx512(const Job& job, const ParallelFor& parallel_for);
int accumulate_avx512bf16(const Job& job, const ParallelFor& parallel_for);
int seed_base(const Seeding& seeding, const ParallelFor& parallel_for);
int seed_avx2(const Seeding& seeding, const ParallelFor& parallel_for);
int seed_avx512(const Seeding& seeding, const ParallelFor& parallel_for);
int distances_base(const Distances& call, const ParallelFor& parallel_for);
int distances_avx2(const Distances& call, const ParallelFor& parallel_for);
int distances_avx512(const Distances& call, const ParallelFor& parallel_for);
int magnitudes_base(const Magnitudes& call, const ParallelFor& parallel_for);
int magnitudes_avx2(const Magnitudes& call, const ParallelFor& parallel_for);
int magnitudes_avx512(const Magnitudes& call, const ParallelFor& parallel_for);

const Level* levels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  static const bool avx512bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  static const Level all[] = {{"avx512bf16", accumulate_avx512bf16, seed_avx512, distances_avx512, magnitudes_avx512, avx512bf16},
                              {"avx512", accumulate_avx512, seed_avx512, distances_avx512, magnitudes_avx512, avx512},
                              {"avx2", accumulate_avx2, seed_avx2, distances_avx2, magnitudes_avx2, avx2},
                              {"base", accumulate_base, seed_base, distances_base, magnitudes_base, true},
                              {}};
#else
  static const Level all[] = {{"base", accumulate_base, seed_base, distances_base, magnitudes_base, true}, {}};
#endif
  return all;
}

namespace {

const Level& level() {
  static const Level* chosen = [] {
    const char* forced = std::getenv("TFKM_ISA");
    for (const Level* l = levels(); l->name; ++l)
      if (l->usable && forced && std::strcmp(forced, l->name) == 0) return l;
    const Level* best = levels();
    while (!best->usable) ++best;
    return best;
  }();
  return *chosen;
}

}  // namespace

int accumulate(const Job& job, const ParallelFor& parallel_for, const Level& level) {
  Subnormals as_they_are;
  if (job.n == 0) return 0;
  try {
    if (squares_underflow(job)) return accumulate_tiny(job, parallel_for);
  } catch (const std::bad_alloc&) {
    return 1;
  }
  return level.accumulate(job, parallel_for);
}

int accumulate(const Job& job, const ParallelFor& parallel_for) { return accumulate(job, parallel_for, level()); }

int seed(const Seeding& seeding, const ParallelFor& parallel_for) {
  Subnormals as_they_are;
  return level().seed(seeding, parallel_for);
}

int distances(const Distances& call, const ParallelFor& parallel_for) {
  Subnormals as_they_are;
  return level().distances(call, parallel_for);
}

int magnitudes(const Magnitudes& call, const ParallelFor& parallel_for) {
  Subnormals as_they_are;
  return level().magnitudes(call, parallel_for);
}

const char* instruction_set() { return level().name; }

}  // namespace tfkm
