// A libcuda.so.1 without a card, for tests: memory is the host's, a stream does all at once, and
// kernels run on the emulation. Its "cubins" are the text "float32" or "float32 in float64".
#include <chrono>
#include <cstdlib>
#include <string>

#include "spec.h"

#include "emulated_device.h"

namespace {

using Status = int;
using Seconds = std::chrono::duration<float>;

struct Image {
  Dtype dtype;
  bool wide;
};
struct Kernel {
  Image image;
  std::string name;
};
using Event = std::chrono::steady_clock::time_point;

std::string what_was_wrong;
int context;

}  // namespace

#define FAKE extern "C" __attribute__((visibility("default"))) Status

FAKE cuInit(unsigned) { return 0; }
FAKE cuDeviceGetCount(int* count) { return *count = 1, 0; }
FAKE cuDeviceGet(int* device, int) { return *device = 0, 0; }
FAKE cuDeviceGetName(char* name, int size, int) {
  return std::snprintf(name, size_t(size), "the emulation"), 0;
}
FAKE cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t(1) << 30, 0; }
FAKE cuDeviceGetAttribute(int* value, int attribute, int) {
  constexpr int kProcessors = 16, kMajor = 75, kMinor = 76;
  *value = attribute == kProcessors ? 3 : attribute == kMajor ? 9 : 0;
  return attribute == kProcessors || attribute == kMajor || attribute == kMinor ? 0 : 1;
}
FAKE cuDevicePrimaryCtxRetain(void** out, int) { return *out = &context, 0; }
FAKE cuCtxSetCurrent(void*) { return 0; }
FAKE cuCtxPushCurrent_v2(void*) { return 0; }
FAKE cuCtxPopCurrent_v2(void**) { return 0; }
FAKE cuCtxGetDevice(int* device) { return *device = 0, 0; }
FAKE cuStreamGetCtx(void*, void** out) { return *out = &context, 0; }
FAKE cuStreamSynchronize(void*) { return 0; }
FAKE cuMemGetInfo_v2(size_t* free, size_t* total) { return *free = *total = size_t(1) << 30, 0; }
// Where a kernel reads too far it meets a NaN.
FAKE cuMemAlloc_v2(void** memory, size_t bytes) {
  size_t room = (bytes / 256 + 2) * 256;
  *memory = std::aligned_alloc(256, room);
  return *memory ? std::memset(*memory, 0xff, room), 0 : 2;
}
FAKE cuMemFree_v2(void* memory) { return std::free(memory), 0; }
FAKE cuMemcpyHtoD_v2(void* to, const void* from, size_t bytes) {
  return std::memcpy(to, from, bytes), 0;
}
FAKE cuMemcpyDtoH_v2(void* to, const void* from, size_t bytes) {
  return std::memcpy(to, from, bytes), 0;
}
FAKE cuEventCreate(Event** event, unsigned) { return *event = new Event, 0; }
FAKE cuEventRecord(Event* event, void*) { return *event = std::chrono::steady_clock::now(), 0; }
FAKE cuEventSynchronize(Event*) { return 0; }
FAKE cuEventElapsedTime_v2(float* ms, const Event* begin, const Event* end) {
  return *ms = 1000 * Seconds(*end - *begin).count(), 0;
}
FAKE cuEventElapsedTime(float* ms, const Event* begin, const Event* end) {
  return cuEventElapsedTime_v2(ms, begin, end);
}
FAKE cuEventDestroy_v2(Event* event) { return delete event, 0; }

FAKE cuGetErrorString(Status, const char** text) { return *text = what_was_wrong.c_str(), 0; }

FAKE cuLibraryLoadData(void** library, const void* code, void*, void*, unsigned, void*, void*,
                       unsigned) {
  const char* names[] = {"float32",  "float64", "float16",
                         "bfloat16", "int8",    "uint8"};  // in the order of Dtype
  std::string text = static_cast<const char*>(code), suffix = " in float64";
  bool wide = text.size() > suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
  if (wide) text.resize(text.size() - suffix.size());
  for (int i = 0; i < 6; ++i)
    if (text == names[i]) return *library = new Image{Dtype(i), wide}, 0;
  what_was_wrong = "the emulation has no kernels for " + text;
  return 200;
}

FAKE cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  return *kernel = new Kernel{*static_cast<Image*>(library), name}, 0;
}

FAKE cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned, unsigned threads, unsigned,
                    unsigned, unsigned, void*, void** arguments, void**) {
  const Kernel& kernel = *static_cast<Kernel*>(function);
  emulated_device.dtype = kernel.image.dtype, emulated_device.wide = kernel.image.wide;
  emulated_device.order = emulation::Order::kShuffled;
  auto device = emulated_device.device();
  const auto& job = *static_cast<const tfkm::cuda::Job*>(arguments[0]);
  if (device.launch(device.self, kernel.name.c_str(), x, y, threads, job) == 0) return 0;
  what_was_wrong = emulated_device.wrong;
  return 700;
}
