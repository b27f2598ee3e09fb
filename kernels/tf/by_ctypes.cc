// What tfkm/ops/native.py calls by ctypes: work on NumPy's arrays where they lie, which a tensor could only hold aligned.
#include <thread>

#include "core.h"
#include "pool.h"

extern "C" __attribute__((visibility("default"))) int tfkm_seed(const tfkm::Seeding* seeding, int threads) {
  if (threads <= 0) threads = int(std::thread::hardware_concurrency());
  return tfkm::seed(*seeding, tfkm::pool(threads));
}
