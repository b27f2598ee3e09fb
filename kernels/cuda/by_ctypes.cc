#include "by_ctypes.h"

#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "driver.h"

#define TFKM_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using tfkm::cuda::Call;
using tfkm::cuda::Device;
using tfkm::cuda::Driver;
using tfkm::cuda::Job;
using tfkm::cuda::Plan;

thread_local std::string message;

const char* failed(const Driver& driver, const char* what, int status) {
  message = std::string(what) + ": " + driver.error(status);
  return message.c_str();
}

// A library of the driver is for all devices and contexts.
class Kernels {
 public:
  explicit Kernels(void* library) : library_(library) {}
  int find(const Driver& driver, const char* name, void** kernel) {
    std::lock_guard<std::mutex> lock(mutex_);
    void*& known = known_[name];
    int status = known ? 0 : driver.cuLibraryGetKernel(&known, library_, name);
    *kernel = known;
    return status;
  }

 private:
  void* library_;
  std::mutex mutex_;
  std::map<std::string, void*> known_;
};

struct Launcher {
  const Driver& driver;
  Kernels& kernels;
  void* stream;

  static int launch(void* self, const char* name, unsigned blocks, unsigned splits,
                    unsigned threads, const Job& job) {
    auto& mine = *static_cast<Launcher*>(self);
    void* kernel = nullptr;
    if (int status = mine.kernels.find(mine.driver, name, &kernel)) return status;
    void* arguments[] = {const_cast<Job*>(&job)};
    return mine.driver.cuLaunchKernel(kernel, blocks, splits, 1, threads, 1, 1, 0, mine.stream,
                                      arguments, nullptr);
  }
};

Device device_of(Launcher* launcher, int processors) {
  return {launcher,           Launcher::launch,
          processors,         tfkm::cuda::kMostRows,
          tfkm::cuda::kTiles, int(std::size(tfkm::cuda::kTiles))};
}

}  // namespace

TFKM_EXPORT const char* tfkm_cuda_load(const void* image, void** kernels) {
  const Driver* driver = Driver::get();
  if (!driver) return "no CUDA driver, or one older than CUDA 12";
  void* library = nullptr;
  int status = driver->cuLibraryLoadData(&library, image, nullptr, nullptr, 0, nullptr, nullptr, 0);
  if (status) return failed(*driver, "the driver does not take the kernels", status);
  *kernels = new Kernels(library);
  return nullptr;
}

TFKM_EXPORT int64_t tfkm_cuda_scratch_bytes(const Call* call, int32_t processors) {
  Plan plan(*call, device_of(nullptr, processors));
  return plan.possible() ? plan.scratch_bytes() : -1;
}

TFKM_EXPORT const char* tfkm_cuda_accumulate(void* kernels, void* stream, const Call* call,
                                             int32_t processors) {
  const Driver* driver = Driver::get();
  if (!driver) return "no CUDA driver, or one older than CUDA 12";
  Launcher launcher{*driver, *static_cast<Kernels*>(kernels), stream};
  Device device = device_of(&launcher, processors);
  int status = Plan(*call, device).run(*call, device);
  if (status == tfkm::cuda::kRefused) return "sizes or types that the kernels do not take";
  return status ? failed(*driver, "a kernel could not be launched", status) : nullptr;
}
