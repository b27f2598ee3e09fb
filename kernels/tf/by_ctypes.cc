// What tfkm/ops/native.py calls by ctypes: work on NumPy's arrays where they lie, which a tensor could only hold aligned,
// and without the 20 µs that TensorFlow takes to call an op.
#include <thread>

#include "core.h"
#include "pool.h"

namespace {

tfkm::ParallelFor pool(int threads) {
  static const int all = int(std::thread::hardware_concurrency());  // which asks the system, 6 µs
  return tfkm::pool(threads > 0 ? threads : all);
}

}  // namespace

// What tells a build from other sources: out (3,).
extern "C" __attribute__((visibility("default"))) void tfkm_abi(int64_t* out) {
  out[0] = tfkm::kAbi, out[1] = sizeof(tfkm::Batch), out[2] = sizeof(tfkm::Seeding);
}

extern "C" __attribute__((visibility("default"))) int tfkm_seed(const tfkm::Seeding* seedings, int64_t count,
                                                                int threads) {
  return tfkm::seed(seedings, count, pool(threads));
}

extern "C" __attribute__((visibility("default"))) int tfkm_accumulate(const tfkm::Batch* batch, int threads) {
  return tfkm::accumulate(*batch, pool(threads));
}

extern "C" __attribute__((visibility("default"))) int tfkm_passes(const tfkm::Batch* first, const tfkm::Passes* passes,
                                                                  int threads) {
  return tfkm::accumulate(*first, *passes, pool(threads));
}
