// What one call of an op holds, and gives back however it ends.
#pragma once

#include <cstring>
#include <thread>
#include <vector>

#include "abi.h"
#include "core.h"

namespace {

class Call {
 public:
  explicit Call(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  ~Call() {
    for (int i = 0; i < held_; ++i) TF_DeleteTensor(tensors_[i]);
    if (TF_GetCode(status_) != TF_OK) TF_OpKernelContext_Failure(context_, status_);
    TF_DeleteStatus(status_);
  }
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  bool check(bool fine, const char* message, TF_Code code = TF_INVALID_ARGUMENT) {
    if (ok() && !fine) TF_SetStatus(status_, code, message);
    return ok();
  }
  TF_Tensor* input(int i) {
    TF_Tensor* tensor = nullptr;
    if (ok()) TF_GetInput(context_, i, &tensor, status_);
    return hold(tensor);
  }
  template <class T>
  T* output(int i, TF_DataType type, const std::vector<int64_t>& dims) {
    if (!ok()) return nullptr;
    size_t bytes = sizeof(T);
    for (int64_t dim : dims) bytes *= size_t(dim);
    TF_Tensor* tensor =
        hold(TF_AllocateOutput(context_, i, type, dims.data(), int(dims.size()), bytes, status_));
    return ok() ? static_cast<T*>(TF_TensorData(tensor)) : nullptr;
  }
  double* zeros(int i, const std::vector<int64_t>& dims) {
    double* out = output<double>(i, TF_DOUBLE, dims);
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    if (ok()) std::memset(out, 0, size_t(count) * sizeof(double));
    return out;
  }
  // Outputs `first` and the next: (…, k, d) and (…, k), all 0.
  tfkm::Words words(int first, std::vector<int64_t> dims, int64_t k, int64_t d) {
    dims.push_back(k);
    double* weights = zeros(first + 1, dims);
    dims.push_back(d);
    return {zeros(first, dims), weights};
  }

 private:
  TF_Tensor* hold(TF_Tensor* tensor) {
    if (tensor) tensors_[held_++] = tensor;
    return tensor;
  }
  TF_OpKernelContext* context_;
  TF_Status* status_;
  TF_Tensor* tensors_[16];
  int held_ = 0;
};

inline tfkm::Dtype dtype_of(const TF_Tensor* tensor) {
  switch (TF_TensorType(tensor)) {
    case TF_DOUBLE: return tfkm::Dtype::kFloat64;
    case TF_HALF: return tfkm::Dtype::kFloat16;
    case TF_BFLOAT16: return tfkm::Dtype::kBfloat16;
    case TF_INT8: return tfkm::Dtype::kInt8;
    case TF_UINT8: return tfkm::Dtype::kUint8;
    default: return tfkm::Dtype::kFloat32;
  }
}

inline const double* doubles(const TF_Tensor* tensor) {
  return static_cast<const double*>(TF_TensorData(tensor));
}

// What a job has from the shapes and types of the points and centroids, behind `leading` batch
// dimensions.
inline tfkm::Job sized_job(Call& call, const TF_Tensor* points, const TF_Tensor* centroids,
                           int leading) {
  tfkm::Job job{};
  if (!call.check(TF_NumDims(points) == leading + 2 && TF_NumDims(centroids) == leading + 2,
                  leading ? "points, centroids: need rank 3" : "points, centroids: need rank 2"))
    return job;
  job.n = TF_Dim(points, leading), job.d = TF_Dim(points, leading + 1),
  job.k = TF_Dim(centroids, leading);
  job.points = tfkm::packed(nullptr, dtype_of(points), job.d),
  job.wide = TF_TensorType(centroids) == TF_DOUBLE;
  call.check(job.k >= 1 && job.d >= 1, "centroids: need at least one row and one feature");
  call.check(TF_Dim(centroids, leading + 1) == job.d,
             "centroids: need as many features as points have");
  call.check(job.k <= INT32_MAX, "centroids: more rows than an int32 label can name");
  call.check(job.wide || job.points.dtype != tfkm::Dtype::kFloat64,
             "centroids: need float64 for float64 points");
  return job;
}

inline void* distances_of(Call& call, int i, bool wide, const std::vector<int64_t>& dims) {
  if (wide) return call.output<double>(i, TF_DOUBLE, dims);
  return call.output<float>(i, TF_FLOAT, dims);
}

constexpr const char* kNoMemory = "no memory for k·d of scratch";

struct Kernel {
  int64_t threads;
  bool with_sums;
};

template <bool with_sums>
void* create(TF_OpKernelConstruction* construction) {
  TF_Status* status = TF_NewStatus();
  auto* kernel = new Kernel{0, with_sums};
  TF_OpKernelConstruction_GetAttrInt64(construction, "threads", &kernel->threads, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  // Once for all calls: it asks the system, which takes 6 µs.
  if (kernel->threads <= 0) kernel->threads = std::thread::hardware_concurrency();
  TF_DeleteStatus(status);
  return kernel;
}

inline void destroy(void* kernel) { delete static_cast<Kernel*>(kernel); }

// Starts the definition of an op on points and centroids; the caller adds outputs and gives it to
// register_op.
inline TF_OpDefinitionBuilder* new_op_of_distances(const char* name) {
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder(name);
  TF_OpDefinitionBuilderAddAttr(op, "S: {float, double, half, bfloat16, int8, uint8}");
  TF_OpDefinitionBuilderAddAttr(op, "T: {float, double}");
  TF_OpDefinitionBuilderAddAttr(op, "threads: int = 0");
  TF_OpDefinitionBuilderAddInput(op, "points: S");
  TF_OpDefinitionBuilderAddInput(op, "centroids: T");
  return op;
}

// And one that assigns; the caller adds inputs of its own.
inline TF_OpDefinitionBuilder* new_op(const char* name) {
  TF_OpDefinitionBuilder* op = new_op_of_distances(name);
  TF_OpDefinitionBuilderAddOutput(op, "labels: int32");
  TF_OpDefinitionBuilderAddOutput(op, "sq_distances: T");
  return op;
}

using Shapes = void (*)(TF_ShapeInferenceContext*, TF_Status*);
using Compute = void (*)(void*, TF_OpKernelContext*);

// TensorFlow takes as this library's the ops that are registered while it is being loaded. A
// failure shows as an op that is missing, which tfkm/ops/native.py reports.
template <bool with_sums>
bool register_op(const char* name, TF_OpDefinitionBuilder* op, Shapes shapes, Compute compute) {
  if (with_sums) {
    for (const char* input : {"weights: double", "grid_sums: double", "grid: double"})
      TF_OpDefinitionBuilderAddInput(op, input);
    for (const char* output : {"high_sums: double", "high_weights: double", "low_sums: double",
                               "low_weights: double", "inertia: double"})
      TF_OpDefinitionBuilderAddOutput(op, output);
  }
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, shapes);
  TF_Status* status = TF_NewStatus();
  TF_RegisterOpDefinition(op, status);
  if (TF_GetCode(status) == TF_OK)
    TF_RegisterKernelBuilder(
        name, TF_NewKernelBuilder(name, "CPU", create<with_sums>, compute, destroy), status);
  bool fine = TF_GetCode(status) == TF_OK;
  TF_DeleteStatus(status);
  return fine;
}

}  // namespace
