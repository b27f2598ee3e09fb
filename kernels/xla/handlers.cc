// XLA's face of the core: buffers in, one call, buffers out. tfkm/ops/xla_call.py emits the calls.
#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "core.h"
#include "ffi_abi.h"
#include "pool.h"

namespace {

enum Argument { kPoints, kCentroids, kWeights, kGridSums, kGrid };
enum Result { kLabels, kSqDistances, kHigh, kLow = kHigh + 3 };

XLA_FFI_Error* error(const XLA_FFI_Api* api, XLA_FFI_Error_Code code, const char* message) {
  XLA_FFI_Error_Create_Args args{XLA_FFI_SIZE(XLA_FFI_Error_Create_Args, code), nullptr, message, code};
  return api->Error_Create(&args);
}

bool is(const XLA_FFI_Buffer& buffer, XLA_FFI_DataType dtype, std::initializer_list<int64_t> dims) {
  return buffer.dtype == dtype && buffer.rank == int64_t(dims.size()) &&
         std::equal(dims.begin(), dims.end(), buffer.dims);
}

bool read_dtype(XLA_FFI_DataType dtype, tfkm::Dtype* out) {
  switch (dtype) {
    case XLA_FFI_F32: return *out = tfkm::Dtype::kFloat32, true;
    case XLA_FFI_F64: return *out = tfkm::Dtype::kFloat64, true;
    case XLA_FFI_F16: return *out = tfkm::Dtype::kFloat16, true;
    case XLA_FFI_BF16: return *out = tfkm::Dtype::kBfloat16, true;
    case XLA_FFI_S8: return *out = tfkm::Dtype::kInt8, true;
    case XLA_FFI_U8: return *out = tfkm::Dtype::kUint8, true;
    default: return false;
  }
}

double* doubles(const XLA_FFI_Buffer& buffer) { return static_cast<double*>(buffer.data); }

// --- the handlers ----------------------------------------------------------------------------------------

// False if the buffers are not what xla_call.py hands over.
template <bool with_sums>
bool read(const XLA_FFI_CallFrame& frame, tfkm::Job* job) {
  if (frame.args.size != (with_sums ? 5 : 2) || frame.rets.size != (with_sums ? 8 : 2)) return false;
  auto in = [&](int i) -> const XLA_FFI_Buffer& { return *frame.args.buffers[i]; };
  auto out = [&](int i) -> const XLA_FFI_Buffer& { return *frame.rets.buffers[i]; };
  const XLA_FFI_Buffer &points = in(kPoints), &centroids = in(kCentroids);
  if (points.rank != 2 || centroids.rank != 2) return false;
  int64_t n = points.dims[0], d = points.dims[1], k = centroids.dims[0];
  job->n = n, job->d = job->stride = d, job->k = k;
  job->points = points.data, job->centroids = centroids.data, job->wide = centroids.dtype == XLA_FFI_F64;
  if (!read_dtype(points.dtype, &job->dtype) || k < 1 || k > INT32_MAX || d < 1 ||
      !is(centroids, job->wide || points.dtype == XLA_FFI_F64 ? XLA_FFI_F64 : XLA_FFI_F32, {k, d}) ||
      !is(out(kLabels), XLA_FFI_S32, {n}) || !is(out(kSqDistances), job->wide ? XLA_FFI_F64 : XLA_FFI_F32, {n}))
    return false;
  job->labels = static_cast<int32_t*>(out(kLabels).data), job->sq_distances = out(kSqDistances).data;
  if (!with_sums) return true;

  bool given = !is(in(kWeights), XLA_FFI_F64, {0});
  if ((given && !is(in(kWeights), XLA_FFI_F64, {n})) || !is(in(kGridSums), XLA_FFI_F64, {d}) ||
      !is(in(kGrid), XLA_FFI_F64, {3}))
    return false;
  const double* grid = doubles(in(kGrid));
  job->weights = given ? doubles(in(kWeights)) : nullptr;
  job->grid = {doubles(in(kGridSums)), grid[0], grid[1], grid[2]};
  for (int word : {kHigh, kLow}) {
    if (!is(out(word), XLA_FFI_F64, {k, d}) || !is(out(word + 1), XLA_FFI_F64, {k}) ||
        !is(out(word + 2), XLA_FFI_F64, {}))
      return false;
    tfkm::Words words{doubles(out(word)), doubles(out(word + 1)), doubles(out(word + 2))};
    std::memset(words.sums, 0, size_t(k * d) * sizeof(double));
    std::memset(words.weights, 0, size_t(k) * sizeof(double));
    *words.inertia = 0;
    (word == kHigh ? job->high : job->low) = words;
  }
  return true;
}

template <bool with_sums>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  if (frame->extensions && frame->extensions->type == 1) {
    XLA_FFI_Metadata* metadata = reinterpret_cast<XLA_FFI_Metadata_Extension*>(frame->extensions)->metadata;
    metadata->api_version = {XLA_FFI_SIZE(XLA_FFI_Api_Version, minor_version), nullptr, 0, 1};
    metadata->traits = 0;
    return nullptr;
  }
  tfkm::Job job{};
  if (!read<with_sums>(*frame, &job))
    return error(frame->api, XLA_FFI_INVALID_ARGUMENT, "tfkm: shapes or dtypes that it does not take");
  tfkm::XlaPool pool(frame->api, frame->context);
  if (tfkm::accumulate(job, pool.parallel_for()))
    return error(frame->api, XLA_FFI_RESOURCE_EXHAUSTED, "tfkm: no memory for k·d of scratch");
  return nullptr;
}

const char* register_handler(const XLA_FFI_Api* api, const char* name, XLA_FFI_Handler* handler) {
  XLA_FFI_Handler_Register_Args args{XLA_FFI_SIZE(XLA_FFI_Handler_Register_Args, traits),
                                     nullptr,
                                     {name, std::strlen(name)},
                                     {"Host", 4},
                                     nullptr,
                                     nullptr,
                                     nullptr,
                                     handler,
                                     0};
  XLA_FFI_Error* error = api->Handler_Register(&args);
  if (!error) return nullptr;
  // Left alive, as its message is handed on. Newer versions may write one more field behind it.
  struct : XLA_FFI_Error_GetMessage_Args {
    int64_t room;
  } get{};
  get.struct_size = XLA_FFI_SIZE(XLA_FFI_Error_GetMessage_Args, message), get.error = error;
  api->Error_GetMessage(&get);
  return get.message ? get.message : "for no reason that it tells";
}

}  // namespace

// Null if XLA has taken the handlers, else why it has not.
extern "C" __attribute__((visibility("default"))) const char* tfkm_register_ffi(const XLA_FFI_Api* api) {
  if (api->version.major_version != 0 || api->struct_size < sizeof(XLA_FFI_Api))
    return "its version is not one that the library was made for";
  const char* why = register_handler(api, "tfkm_assign", handle<false>);
  return why ? why : register_handler(api, "tfkm_accumulate", handle<true>);
}
