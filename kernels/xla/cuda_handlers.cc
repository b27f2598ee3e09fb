// XLA's face of the CUDA kernels: as handlers.cc, on XLA's own stream, with scratch of XLA's own
// allocator.
#include <map>
#include <mutex>
#include <tuple>

#include "buffers.h"
#include "by_ctypes.h"
#include "driver.h"

namespace {

using tfkm::cuda::Call;
using tfkm::cuda::Driver;

// The kernels for a device, a type of points and the type computed in; tfkm/ops/cuda.py has them
// compiled before it calls. Never destroyed: XLA's threads may still ask while the process ends.
std::mutex mutex;
auto& loaded = *new std::map<std::tuple<int, int, bool>, void*>;

// The device of a stream and its processors; false if the driver does not tell.
bool ask(const Driver& driver, void* stream, int* device, int* processors) {
  void* context = nullptr;
  if (driver.cuStreamGetCtx(stream, &context) || driver.cuCtxPushCurrent(context)) return false;
  bool told = driver.cuCtxGetDevice(device) == 0 &&
              driver.cuDeviceGetAttribute(processors, Driver::kProcessors, *device) == 0;
  driver.cuCtxPopCurrent(&context);
  return told;
}

void* kernels_for(int device, tfkm::Dtype dtype, bool wide) {
  std::lock_guard<std::mutex> lock(mutex);
  auto found = loaded.find({device, int(dtype), wide});
  return found == loaded.end() ? nullptr : found->second;
}

Call call_on(const tfkm::Buffers& buffers) {
  Call call{};
  call.n = buffers.n, call.k = buffers.k, call.d = call.stride = buffers.d;
  call.points = buffers.points, call.dtype = buffers.dtype, call.wide = buffers.wide,
  call.centroids = buffers.centroids;
  call.weights = buffers.weights, call.grid_sums = buffers.grid_sums, call.grid = buffers.grid;
  call.labels = buffers.labels, call.sq_distances = buffers.sq_distances;
  call.high = {buffers.high.sums, buffers.high.weights},
  call.low = {buffers.low.sums, buffers.low.weights};
  call.inertia = static_cast<unsigned long long*>(buffers.inertia);
  return call;
}

template <bool with_sums>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  if (tfkm::answer_metadata(*frame)) return nullptr;
  auto refuse = [&](const char* why, XLA_FFI_Error_Code code = XLA_FFI_INVALID_ARGUMENT) {
    return tfkm::ffi_error(frame->api, code, why);
  };
  tfkm::Buffers buffers;
  if (!buffers.read<with_sums>(*frame, XLA_FFI_S64, tfkm::kDigits + 1))
    return refuse("tfkm: shapes or dtypes that it does not take");
  XLA_FFI_Stream_Get_Args get{XLA_FFI_SIZE(XLA_FFI_Stream_Get_Args, stream), nullptr,
                              frame->context, nullptr};
  if (XLA_FFI_Error* error = frame->api->Stream_Get(&get)) return error;
  const Driver* driver = Driver::get();
  int device = 0, processors = 0;
  if (!driver || !ask(*driver, get.stream, &device, &processors))
    return refuse("tfkm: no CUDA driver, or no stream of its");
  void* kernels = kernels_for(device, buffers.dtype, buffers.wide);
  if (!kernels) return refuse("tfkm: the CUDA kernels of this dtype have not been compiled");

  Call call = call_on(buffers);
  int64_t bytes = tfkm_cuda_scratch_bytes(&call, processors);
  if (bytes < 0) return refuse("tfkm: sizes that the CUDA kernels do not take");
  XLA_FFI_DeviceMemory_Allocate_Args room{XLA_FFI_SIZE(XLA_FFI_DeviceMemory_Allocate_Args, data),
                                          nullptr,
                                          frame->context,
                                          size_t(bytes),
                                          16,
                                          nullptr};  // XLA grants no more
  if (XLA_FFI_Error* error = frame->api->DeviceMemory_Allocate(&room)) return error;
  call.scratch = room.data;
  const char* why = tfkm_cuda_accumulate(kernels, get.stream, &call, processors);
  // Given back in the order of the stream: what comes next on it may use this memory, after the
  // kernels.
  XLA_FFI_DeviceMemory_Free_Args free{XLA_FFI_SIZE(XLA_FFI_DeviceMemory_Free_Args, data), nullptr,
                                      frame->context, size_t(bytes), room.data};
  if (XLA_FFI_Error* error = frame->api->DeviceMemory_Free(&free)) return error;
  return why ? refuse(why) : nullptr;
}

}  // namespace

// Kernels that calls on a device are to use. dtype: tfkm::Dtype.
extern "C" __attribute__((visibility("default"))) void tfkm_cuda_use(int32_t device, int32_t dtype,
                                                                     int32_t wide, void* kernels) {
  std::lock_guard<std::mutex> lock(mutex);
  loaded[{device, dtype, wide != 0}] = kernels;
}

// Null if XLA has taken the handlers, else why it has not.
extern "C" __attribute__((visibility("default"))) const char* tfkm_register_cuda(
    const XLA_FFI_Api* api) {
  const char* why = tfkm::register_handler(api, "CUDA", "tfkm_assign", handle<false>);
  return why ? why : tfkm::register_handler(api, "CUDA", "tfkm_accumulate", handle<true>);
}
