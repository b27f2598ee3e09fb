// The part of XLA's FFI C interface that is used, declared here, as kernels/tf/abi.h has
// TensorFlow's. Names and layouts as in xla/ffi/api/c_api.h, version 0.1, that of TensorFlow 2.20.
// A newer XLA takes what was made for an older version (seen: 0.2 in TensorFlow 2.21, 0.4
// in 2.22rc0); an older one refuses.
#pragma once

#include <cstddef>
#include <cstdint>

// What `struct_size` has to say: without the padding at the end. XLA 0.4 takes 84 and refuses 88.
#define XLA_FFI_SIZE(type, last) (offsetof(type, last) + sizeof(type::last))

extern "C" {

struct XLA_FFI_Error;
struct XLA_FFI_ExecutionContext;
struct XLA_FFI_Api;

enum XLA_FFI_Error_Code : int { XLA_FFI_INVALID_ARGUMENT = 3, XLA_FFI_RESOURCE_EXHAUSTED = 8 };
enum XLA_FFI_DataType : int {
  XLA_FFI_S8 = 2,
  XLA_FFI_S32 = 4,
  XLA_FFI_S64 = 5,
  XLA_FFI_U8 = 6,
  XLA_FFI_F16 = 10,
  XLA_FFI_F32 = 11,
  XLA_FFI_F64 = 12,
  XLA_FFI_BF16 = 16
};

struct XLA_FFI_Extension {
  size_t struct_size;
  int type;  // 1: the XLA_FFI_Metadata_Extension below
  XLA_FFI_Extension* next;
};

struct XLA_FFI_Api_Version {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  int major_version, minor_version;
};

// --- what a handler is called with
// -----------------------------------------------------------------------

struct XLA_FFI_Buffer {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_DataType dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct XLA_FFI_Buffers {  // XLA_FFI_Args and XLA_FFI_Rets, which are alike
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  int64_t size;
  int* types;  // 1: a buffer
  XLA_FFI_Buffer** buffers;
};

struct XLA_FFI_CallFrame {  // attributes follow, which we have none of
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  const XLA_FFI_Api* api;
  XLA_FFI_ExecutionContext* context;
  int stage;
  XLA_FFI_Buffers args, rets;
};

// A handler is first asked, by a frame with this extension, for the version it was built for.
struct XLA_FFI_Metadata {  // what newer versions append is not touched
  size_t struct_size;
  XLA_FFI_Api_Version api_version;
  uint32_t traits;
};

struct XLA_FFI_Metadata_Extension {
  XLA_FFI_Extension base;
  XLA_FFI_Metadata* metadata;
};

typedef XLA_FFI_Error* XLA_FFI_Handler(XLA_FFI_CallFrame*);

// --- what we call
// ----------------------------------------------------------------------------------------

struct XLA_FFI_Span {
  const char* data;
  size_t size;
};

struct XLA_FFI_Error_Create_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  const char* message;
  XLA_FFI_Error_Code code;
};

struct XLA_FFI_Error_GetMessage_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_Error* error;
  const char* message;  // out
};

struct XLA_FFI_Error_Destroy_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_Error* error;
};

struct XLA_FFI_Handler_Register_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_Span name, platform;
  XLA_FFI_Handler *instantiate, *prepare, *initialize, *execute;
  uint32_t traits;
};

struct XLA_FFI_Stream_Get_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_ExecutionContext* context;
  void* stream;  // out: a CUstream
};

struct XLA_FFI_DeviceMemory_Allocate_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_ExecutionContext* context;
  size_t size, alignment;
  void* data;  // out
};

struct XLA_FFI_DeviceMemory_Free_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_ExecutionContext* context;
  size_t size;
  void* data;
};

struct XLA_FFI_ThreadPool_Schedule_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_ExecutionContext* context;
  void (*task)(void* data);
  void* data;
};

struct XLA_FFI_ThreadPool_NumThreads_Args {
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_ExecutionContext* context;
  int64_t* num_threads;  // out
};

struct XLA_FFI_Api {  // up to what is used
  size_t struct_size;
  XLA_FFI_Extension* extensions;
  XLA_FFI_Api_Version version;
  const void* internal;
  XLA_FFI_Error* (*Error_Create)(XLA_FFI_Error_Create_Args*);
  void (*Error_GetMessage)(XLA_FFI_Error_GetMessage_Args*);
  void (*Error_Destroy)(XLA_FFI_Error_Destroy_Args*);
  XLA_FFI_Error* (*Handler_Register)(XLA_FFI_Handler_Register_Args*);
  XLA_FFI_Error* (*Stream_Get)(XLA_FFI_Stream_Get_Args*);
  void* unused[4];
  XLA_FFI_Error* (*DeviceMemory_Allocate)(XLA_FFI_DeviceMemory_Allocate_Args*);
  XLA_FFI_Error* (*DeviceMemory_Free)(XLA_FFI_DeviceMemory_Free_Args*);
  XLA_FFI_Error* (*ThreadPool_Schedule)(XLA_FFI_ThreadPool_Schedule_Args*);
  XLA_FFI_Error* (*ThreadPool_NumThreads)(XLA_FFI_ThreadPool_NumThreads_Args*);
};

}  // extern "C"
