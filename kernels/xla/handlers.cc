// XLA's face of the core: buffers in, one call, buffers out. tfkm/ops/xla_call.py emits the calls.
#include "buffers.h"
#include "pool.h"

namespace {

template <bool with_sums>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  if (tfkm::answer_metadata(*frame)) return nullptr;
  tfkm::Buffers buffers;
  if (!buffers.read<with_sums>(*frame))
    return tfkm::ffi_error(frame->api, XLA_FFI_INVALID_ARGUMENT,
                           "tfkm: shapes or dtypes that it does not take");
  tfkm::Job job{};
  job.n = buffers.n, job.k = buffers.k, job.d = buffers.d;
  job.points = tfkm::packed(buffers.points, buffers.dtype, buffers.d),
  job.centroids = buffers.centroids, job.wide = buffers.wide;
  job.labels = buffers.labels, job.sq_distances = buffers.sq_distances;
  if (with_sums) {
    job.wanted = tfkm::Wanted::kDistancesAndSums;
    job.weights = buffers.weights;
    job.grid = {buffers.grid_sums, buffers.grid[0], buffers.grid[1]};
    job.high = buffers.high, job.low = buffers.low,
    job.inertia = static_cast<double*>(buffers.inertia);
    std::memset(job.inertia, 0, tfkm::kDigits * sizeof(double));
    for (tfkm::Words* words : {&job.high, &job.low}) {
      std::memset(words->sums, 0, size_t(job.k * job.d) * sizeof(double));
      std::memset(words->weights, 0, size_t(job.k) * sizeof(double));
    }
  }
  tfkm::XlaPool pool(frame->api, frame->context);
  if (tfkm::accumulate(job, pool.parallel_for()))
    return tfkm::ffi_error(frame->api, XLA_FFI_RESOURCE_EXHAUSTED,
                           "tfkm: no memory for k·d of scratch");
  return nullptr;
}

XLA_FFI_Error* handle_distances(XLA_FFI_CallFrame* frame) {
  if (tfkm::answer_metadata(*frame)) return nullptr;
  tfkm::Buffers b;
  if (!b.read_distances(*frame))
    return tfkm::ffi_error(frame->api, XLA_FFI_INVALID_ARGUMENT,
                           "tfkm: shapes or dtypes that it does not take");
  tfkm::Distances call{b.n,         b.k,    b.d,           tfkm::packed(b.points, b.dtype, b.d),
                       b.centroids, b.wide, b.sq_distances};
  tfkm::XlaPool pool(frame->api, frame->context);
  if (tfkm::distances(call, pool.parallel_for()))
    return tfkm::ffi_error(frame->api, XLA_FFI_RESOURCE_EXHAUSTED,
                           "tfkm: no memory for k·d of scratch");
  return nullptr;
}

}  // namespace

// Null if XLA has taken the handlers, else why it has not.
extern "C" __attribute__((visibility("default"))) const char* tfkm_register_ffi(
    const XLA_FFI_Api* api) {
  const char* why = tfkm::register_handler(api, "Host", "tfkm_assign", handle<false>);
  if (!why) why = tfkm::register_handler(api, "Host", "tfkm_accumulate", handle<true>);
  return why ? why : tfkm::register_handler(api, "Host", "tfkm_distances", handle_distances);
}
