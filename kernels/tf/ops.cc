// TensorFlow's face of the core: tensors in, checks, one call, tensors out. Registered when loaded.
#include <cstring>
#include <initializer_list>
#include <thread>

#include "abi.h"
#include "core.h"
#include "pool.h"

namespace {

enum Input { kPoints, kCentroids, kWeights, kGridSums, kGrid };
enum Output { kLabels, kSqDistances, kHigh, kLow = kHigh + 3 };

// --- what one call holds, and gives back however it ends ------------------------------------------------

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
  T* output(int i, TF_DataType type, std::initializer_list<int64_t> dims) {
    if (!ok()) return nullptr;
    size_t bytes = sizeof(T);
    for (int64_t dim : dims) bytes *= size_t(dim);
    TF_Tensor* tensor =
        hold(TF_AllocateOutput(context_, i, type, dims.begin(), int(dims.size()), bytes, status_));
    return ok() ? static_cast<T*>(TF_TensorData(tensor)) : nullptr;
  }
  tfkm::Words words(int first, int64_t k, int64_t d) {
    tfkm::Words words{output<double>(first, TF_DOUBLE, {k, d}), output<double>(first + 1, TF_DOUBLE, {k}),
                      output<double>(first + 2, TF_DOUBLE, {})};
    if (ok()) {
      std::memset(words.sums, 0, size_t(k * d) * sizeof(double));
      std::memset(words.weights, 0, size_t(k) * sizeof(double));
      *words.inertia = 0;
    }
    return words;
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

tfkm::Dtype dtype_of(const TF_Tensor* tensor) {
  switch (TF_TensorType(tensor)) {
    case TF_DOUBLE: return tfkm::Dtype::kFloat64;
    case TF_HALF: return tfkm::Dtype::kFloat16;
    case TF_BFLOAT16: return tfkm::Dtype::kBfloat16;
    case TF_INT8: return tfkm::Dtype::kInt8;
    case TF_UINT8: return tfkm::Dtype::kUint8;
    default: return tfkm::Dtype::kFloat32;
  }
}

const double* doubles(const TF_Tensor* tensor) {
  return static_cast<const double*>(TF_TensorData(tensor));
}

// --- the kernels ---------------------------------------------------------------------------------------

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

void destroy(void* kernel) { delete static_cast<Kernel*>(kernel); }

void read_sums(Call& call, tfkm::Job& job) {
  TF_Tensor *weights = call.input(kWeights), *sums = call.input(kGridSums), *rest = call.input(kGrid);
  if (!call.ok()) return;
  bool given = TF_Dim(weights, 0) != 0;
  call.check(!given || TF_Dim(weights, 0) == job.n, "weights: one is needed for each point, or none at all");
  call.check(TF_Dim(sums, 0) == job.d, "grid_sums: one is needed for each feature");
  if (!call.check(TF_Dim(rest, 0) == 3, "grid: needs shape (3,)")) return;
  job.weights = given ? doubles(weights) : nullptr;
  job.grid = {doubles(sums), doubles(rest)[0], doubles(rest)[1], doubles(rest)[2]};
  job.high = call.words(kHigh, job.k, job.d);
  job.low = call.words(kLow, job.k, job.d);
}

void compute(void* opaque, TF_OpKernelContext* context) {
  const Kernel& kernel = *static_cast<Kernel*>(opaque);
  Call call(context);
  TF_Tensor *points = call.input(kPoints), *centroids = call.input(kCentroids);
  if (!call.ok()) return;
  if (!call.check(TF_NumDims(points) == 2 && TF_NumDims(centroids) == 2, "points, centroids: need rank 2"))
    return;
  tfkm::Job job{};
  job.n = TF_Dim(points, 0), job.d = TF_Dim(points, 1), job.k = TF_Dim(centroids, 0);
  call.check(job.k >= 1 && job.d >= 1, "centroids: need at least one row and one feature");
  call.check(TF_Dim(centroids, 1) == job.d, "centroids: need as many features as points have");
  call.check(job.k <= INT32_MAX, "centroids: more rows than an int32 label can name");
  if (!call.ok()) return;
  job.points = TF_TensorData(points), job.stride = job.d, job.dtype = dtype_of(points);
  job.centroids = TF_TensorData(centroids), job.wide = TF_TensorType(centroids) == TF_DOUBLE;
  call.check(job.wide || job.dtype != tfkm::Dtype::kFloat64, "centroids: need float64 for float64 points");
  job.labels = call.output<int32_t>(kLabels, TF_INT32, {job.n});
  job.sq_distances = job.wide ? static_cast<void*>(call.output<double>(kSqDistances, TF_DOUBLE, {job.n}))
                              : static_cast<void*>(call.output<float>(kSqDistances, TF_FLOAT, {job.n}));
  if (kernel.with_sums) read_sums(call, job);
  if (!call.ok()) return;
  call.check(tfkm::accumulate(job, tfkm::pool(int(kernel.threads))) == 0, "no memory for k·d of scratch",
             TF_RESOURCE_EXHAUSTED);
}

// --- shapes --------------------------------------------------------------------------------------------

// Outputs 0 and 1 are (n,); the sums, if any, are as the centroids (k, d), (k,), ().
template <bool with_sums>
void shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle *points = TF_NewShapeHandle(), *centroids = TF_NewShapeHandle(), *rows = TF_NewShapeHandle();
  TF_ShapeHandle* scalar = TF_ShapeInferenceContextScalar(context);
  auto fine = [&] { return TF_GetCode(status) == TF_OK; };
  auto get = [&](int i, TF_ShapeHandle* shape) {
    if (fine()) TF_ShapeInferenceContextGetInput(context, i, shape, status);
    if (fine()) TF_ShapeInferenceContextWithRank(context, shape, 2, shape, status);
  };
  auto set = [&](int i, TF_ShapeHandle* shape) {
    if (fine()) TF_ShapeInferenceContextSetOutput(context, i, shape, status);
  };
  get(kPoints, points);
  get(kCentroids, centroids);
  if (fine()) TF_ShapeInferenceContextSubshape(context, points, 0, 1, rows, status);
  set(kLabels, rows);
  set(kSqDistances, rows);
  if (with_sums) {
    if (fine()) TF_ShapeInferenceContextSubshape(context, centroids, 0, 1, rows, status);
    for (int word : {kHigh, kLow}) {
      set(word, centroids);
      set(word + 1, rows);
      set(word + 2, scalar);
    }
  }
  for (TF_ShapeHandle* shape : {points, centroids, rows, scalar}) TF_DeleteShapeHandle(shape);
}

// --- registration ----------------------------------------------------------------------------------------

template <bool with_sums>
void register_op(const char* name, TF_Status* status) {
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder(name);
  TF_OpDefinitionBuilderAddAttr(op, "S: {float, double, half, bfloat16, int8, uint8}");
  TF_OpDefinitionBuilderAddAttr(op, "T: {float, double}");
  TF_OpDefinitionBuilderAddAttr(op, "threads: int = 0");
  TF_OpDefinitionBuilderAddInput(op, "points: S");
  TF_OpDefinitionBuilderAddInput(op, "centroids: T");
  TF_OpDefinitionBuilderAddOutput(op, "labels: int32");
  TF_OpDefinitionBuilderAddOutput(op, "sq_distances: T");
  if (with_sums) {
    for (const char* input : {"weights: double", "grid_sums: double", "grid: double"})
      TF_OpDefinitionBuilderAddInput(op, input);
    for (const char* output : {"high_sums: double", "high_weights: double", "high_inertia: double",
                               "low_sums: double", "low_weights: double", "low_inertia: double"})
      TF_OpDefinitionBuilderAddOutput(op, output);
  }
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, shapes<with_sums>);
  TF_RegisterOpDefinition(op, status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_RegisterKernelBuilder(
      name, TF_NewKernelBuilder(name, "CPU", create<with_sums>, compute, destroy), status);
}

// TensorFlow takes as this library's the ops that are registered while it is being loaded. A failure
// shows as an op that is missing, which tfkm/ops/native.py reports.
[[maybe_unused]] const bool registered = [] {
  TF_Status* status = TF_NewStatus();
  register_op<false>("Tfkm>Assign", status);
  if (TF_GetCode(status) == TF_OK) register_op<true>("Tfkm>Accumulate", status);
  bool fine = TF_GetCode(status) == TF_OK;
  TF_DeleteStatus(status);
  return fine;
}();

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* tfkm_instruction_set() {
  return tfkm::instruction_set();
}
