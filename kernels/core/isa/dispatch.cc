// The only place that knows which instruction sets there are, and which of them the processor has.
#include <cstdlib>
#include <cstring>
#include <new>

#include "core.h"
#include "subnormals.h"
#include "tiny.h"

namespace tfkm {

// Those of accumulate.cc, seed.cc and distances.cc, which are compiled once for each level.
#define TFKM_DECLARE(level)                               \
  namespace level {                                       \
  void accumulate(const Job&, const ParallelFor&);        \
  void seed(const Seeding&, const ParallelFor&);          \
  void distances(const Distances&, const ParallelFor&);   \
  void magnitudes(const Magnitudes&, const ParallelFor&); \
  }
TFKM_DECLARE(base)
TFKM_DECLARE(avx2)
TFKM_DECLARE(avx512)
TFKM_DECLARE(avx512bf16)

const Level* levels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                               __builtin_cpu_supports("f16c");
  static const bool has_avx512 =
      has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  static const bool has_avx512bf16 = has_avx512 && __builtin_cpu_supports("avx512bf16");
  // bfloat16 is of use to an assignment alone.
  static const Level all[] = {
      {"avx512bf16", avx512bf16::accumulate, avx512::seed, avx512::distances, avx512::magnitudes,
       has_avx512bf16},
      {"avx512", avx512::accumulate, avx512::seed, avx512::distances, avx512::magnitudes,
       has_avx512},
      {"avx2", avx2::accumulate, avx2::seed, avx2::distances, avx2::magnitudes, has_avx2},
      {"base", base::accumulate, base::seed, base::distances, base::magnitudes, true},
      {}};
#else
  static const Level all[] = {
      {"base", base::accumulate, base::seed, base::distances, base::magnitudes, true}, {}};
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

// 0, or 1 if there was no memory for `call`. Subnormal numbers are as they are meanwhile.
template <class Call>
int run(const Call& call) {
  Subnormals as_they_are;
  try {
    call();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // namespace

int accumulate(const Job& job, const ParallelFor& parallel_for, const Level& level) {
  return run([&] {
    if (job.n == 0) return;
    if (squares_underflow(job))
      accumulate_tiny(job, parallel_for);
    else
      level.accumulate(job, parallel_for);
  });
}

int accumulate(const Job& job, const ParallelFor& parallel_for) {
  return accumulate(job, parallel_for, level());
}

int seed(const Seeding& seeding, const ParallelFor& parallel_for) {
  return run([&] { level().seed(seeding, parallel_for); });
}

int distances(const Distances& call, const ParallelFor& parallel_for) {
  return run([&] { level().distances(call, parallel_for); });
}

int magnitudes(const Magnitudes& call, const ParallelFor& parallel_for) {
  return run([&] { level().magnitudes(call, parallel_for); });
}

const char* instruction_set() { return level().name; }

}  // namespace tfkm
