// The buffers of a call as tfkm/ops/xla_call.py hands them over, for the handlers of a processor
// and of a card.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "core.h"
#include "ffi_abi.h"

namespace tfkm {

// Pointers are the platform's: a card's are not to be followed here.
struct Buffers {
  int64_t n, k, d;
  Dtype dtype;
  bool wide;
  const void *points, *centroids;
  const double *weights, *grid_sums, *grid;  // weights: null for ones
  int32_t* labels;
  void* sq_distances;
  Words high, low;
  void* inertia;

  // False if they are not what the calls have.
  // digits: doubles, or of a card 64-bit integers.
  template <bool with_sums>
  bool read(const XLA_FFI_CallFrame& frame, XLA_FFI_DataType digits = XLA_FFI_F64,
            int64_t count = kDigits) {
    enum Argument { kWeights = 2, kGridSums = 3, kGrid = 4 };
    enum Result { kLabels = 0, kSqDistances = 1, kHigh = 2, kLow = 4, kInertia = 6 };
    if (!read_inputs(frame, with_sums ? 5 : 2) || frame.rets.size != (with_sums ? 7 : 2))
      return false;
    auto in = [&](int i) -> const XLA_FFI_Buffer& { return *frame.args.buffers[i]; };
    auto out = [&](int i) -> const XLA_FFI_Buffer& { return *frame.rets.buffers[i]; };
    if (!is(out(kLabels), XLA_FFI_S32, {n}) || !is(out(kSqDistances), computed(), {n}))
      return false;
    labels = static_cast<int32_t*>(out(kLabels).data), sq_distances = out(kSqDistances).data;
    if (!with_sums) return true;

    bool given = !is(in(kWeights), XLA_FFI_F64, {0});
    if ((given && !is(in(kWeights), XLA_FFI_F64, {n})) || !is(in(kGridSums), XLA_FFI_F64, {d}) ||
        !is(in(kGrid), XLA_FFI_F64, {2}) || !is(out(kInertia), digits, {count}))
      return false;
    weights = given ? doubles(in(kWeights)) : nullptr;
    grid_sums = doubles(in(kGridSums)), grid = doubles(in(kGrid));
    for (int word : {kHigh, kLow}) {
      if (!is(out(word), XLA_FFI_F64, {k, d}) || !is(out(word + 1), XLA_FFI_F64, {k})) return false;
      (word == kHigh ? high : low) = Words{doubles(out(word)), doubles(out(word + 1))};
    }
    inertia = out(kInertia).data;
    return true;
  }

  // Of the call whose only result are all distances, (n, k).
  bool read_distances(const XLA_FFI_CallFrame& frame) {
    if (!read_inputs(frame, 2) || frame.rets.size != 1 ||
        !is(*frame.rets.buffers[0], computed(), {n, k}))
      return false;
    sq_distances = frame.rets.buffers[0]->data;
    return true;
  }

 private:
  // Points and centroids, the first two of so many.
  bool read_inputs(const XLA_FFI_CallFrame& frame, int64_t count) {
    *this = {};
    if (frame.args.size != count) return false;
    const XLA_FFI_Buffer &x = *frame.args.buffers[0], &c = *frame.args.buffers[1];
    if (x.rank != 2 || c.rank != 2) return false;
    n = x.dims[0], d = x.dims[1], k = c.dims[0];
    points = x.data, centroids = c.data, wide = c.dtype == XLA_FFI_F64;
    return read_dtype(x.dtype) && k >= 1 && k <= INT32_MAX && d >= 1 &&
           is(c, dtype == Dtype::kFloat64 ? XLA_FFI_F64 : computed(), {k, d});
  }
  XLA_FFI_DataType computed() const { return wide ? XLA_FFI_F64 : XLA_FFI_F32; }
  static bool is(const XLA_FFI_Buffer& buffer, XLA_FFI_DataType dtype,
                 std::initializer_list<int64_t> dims) {
    return buffer.dtype == dtype && buffer.rank == int64_t(dims.size()) &&
           std::equal(dims.begin(), dims.end(), buffer.dims);
  }
  static double* doubles(const XLA_FFI_Buffer& buffer) { return static_cast<double*>(buffer.data); }

  bool read_dtype(XLA_FFI_DataType of) {
    switch (of) {
      case XLA_FFI_F32: return dtype = Dtype::kFloat32, true;
      case XLA_FFI_F64: return dtype = Dtype::kFloat64, true;
      case XLA_FFI_F16: return dtype = Dtype::kFloat16, true;
      case XLA_FFI_BF16: return dtype = Dtype::kBfloat16, true;
      case XLA_FFI_S8: return dtype = Dtype::kInt8, true;
      case XLA_FFI_U8: return dtype = Dtype::kUint8, true;
      default: return false;
    }
  }
};

inline XLA_FFI_Error* ffi_error(const XLA_FFI_Api* api, XLA_FFI_Error_Code code,
                                const char* message) {
  XLA_FFI_Error_Create_Args args{XLA_FFI_SIZE(XLA_FFI_Error_Create_Args, code), nullptr, message,
                                 code};
  return api->Error_Create(&args);
}

// Whether XLA only asks for the version that a handler was built for, which this answers.
inline bool answer_metadata(const XLA_FFI_CallFrame& frame) {
  if (!frame.extensions || frame.extensions->type != 1) return false;
  XLA_FFI_Metadata* metadata =
      reinterpret_cast<XLA_FFI_Metadata_Extension*>(frame.extensions)->metadata;
  metadata->api_version = {XLA_FFI_SIZE(XLA_FFI_Api_Version, minor_version), nullptr, 0, 1};
  metadata->traits = 0;
  return true;
}

// Null if XLA has taken the handler, else why it has not.
inline const char* register_handler(const XLA_FFI_Api* api, const char* platform, const char* name,
                                    XLA_FFI_Handler* handler) {
  if (api->version.major_version != 0 || api->struct_size < sizeof(XLA_FFI_Api))
    return "its version is not one that the library was made for";
  XLA_FFI_Handler_Register_Args args{XLA_FFI_SIZE(XLA_FFI_Handler_Register_Args, traits),
                                     nullptr,
                                     {name, std::strlen(name)},
                                     {platform, std::strlen(platform)},
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

}  // namespace tfkm
