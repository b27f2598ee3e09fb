// The part of the CUDA driver's interface that is used, declared here and found when it is first
// wanted: where there is no driver, what needs it says so.
#pragma once

#include <dlfcn.h>

#include <type_traits>

namespace tfkm {
namespace cuda {

struct Driver {
  using Status = int;  // 0 is success
  Status (*cuInit)(unsigned flags);
  Status (*cuGetErrorString)(Status, const char**);
  Status (*cuLibraryLoadData)(void** library, const void* code, void*, void*, unsigned, void*,
                              void*, unsigned);
  Status (*cuLibraryGetKernel)(void** kernel, void* library, const char* name);
  Status (*cuLaunchKernel)(void* kernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                           unsigned shared, void* stream, void** arguments, void** extra);
  Status (*cuStreamGetCtx)(void* stream, void** context);
  Status (*cuCtxPushCurrent)(void* context);
  Status (*cuCtxPopCurrent)(void** context);
  Status (*cuCtxGetDevice)(int* device);
  Status (*cuDeviceGetAttribute)(int* value, int attribute, int device);

  static constexpr int kProcessors = 16;  // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT

  // Null if there is none, or one before CUDA 12.
  static const Driver* get() {
    static const Driver* driver = open();
    return driver;
  }

  const char* error(Status status) const {
    const char* text = nullptr;
    return cuGetErrorString(status, &text) == 0 && text ? text : "an error without a name";
  }

 private:
  static const Driver* open() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (!library) return nullptr;
    static Driver driver;
    bool all = true;
    auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      all = all && function;
    };
    find(driver.cuInit, "cuInit");
    find(driver.cuGetErrorString, "cuGetErrorString");
    find(driver.cuLibraryLoadData, "cuLibraryLoadData");
    find(driver.cuLibraryGetKernel, "cuLibraryGetKernel");
    find(driver.cuLaunchKernel, "cuLaunchKernel");
    find(driver.cuStreamGetCtx, "cuStreamGetCtx");
    find(driver.cuCtxPushCurrent, "cuCtxPushCurrent_v2");
    find(driver.cuCtxPopCurrent, "cuCtxPopCurrent_v2");
    find(driver.cuCtxGetDevice, "cuCtxGetDevice");
    find(driver.cuDeviceGetAttribute, "cuDeviceGetAttribute");
    return all && driver.cuInit(0) == 0 ? &driver : nullptr;
  }
};

}  // namespace cuda
}  // namespace tfkm
