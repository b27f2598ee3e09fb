// TensorFlow's face of the core: tensors in, checks, one call, tensors out. Registered when loaded.
#include "call.h"
#include "pool.h"

namespace {

enum Input { kPoints, kCentroids, kWeights, kGridSums, kGrid };
enum Output { kLabels = 0, kSqDistances = 1, kHigh = 2, kLow = 4, kInertia = 6 };

// --- the kernels
// ---------------------------------------------------------------------------------------

void read_sums(Call& call, tfkm::Job& job) {
  TF_Tensor *weights = call.input(kWeights), *sums = call.input(kGridSums),
            *rest = call.input(kGrid);
  if (!call.ok()) return;
  bool given = TF_Dim(weights, 0) != 0;
  call.check(!given || TF_Dim(weights, 0) == job.n,
             "weights: one is needed for each point, or none at all");
  call.check(TF_Dim(sums, 0) == job.d, "grid_sums: one is needed for each feature");
  if (!call.check(TF_Dim(rest, 0) == 2, "grid: needs shape (2,)")) return;
  job.weights = given ? doubles(weights) : nullptr;
  job.grid = {doubles(sums), doubles(rest)[0], doubles(rest)[1]};
  job.high = call.words(kHigh, {}, job.k, job.d);
  job.low = call.words(kLow, {}, job.k, job.d);
  job.inertia = call.zeros(kInertia, {tfkm::kDigits});
}

void compute(void* opaque, TF_OpKernelContext* context) {
  const Kernel& kernel = *static_cast<Kernel*>(opaque);
  Call call(context);
  TF_Tensor *points = call.input(kPoints), *centroids = call.input(kCentroids);
  if (!call.ok()) return;
  tfkm::Job job = sized_job(call, points, centroids, 0);
  if (!call.ok()) return;
  job.points.data = TF_TensorData(points), job.centroids = TF_TensorData(centroids);
  job.labels = call.output<int32_t>(kLabels, TF_INT32, {job.n});
  job.sq_distances = distances_of(call, kSqDistances, job.wide, {job.n});
  if (kernel.with_sums) job.wanted = tfkm::Wanted::kDistancesAndSums, read_sums(call, job);
  if (!call.ok()) return;
  call.check(tfkm::accumulate(job, tfkm::Pool(int(kernel.threads)).parallel_for()) == 0, kNoMemory,
             TF_RESOURCE_EXHAUSTED);
}

void compute_distances(void* opaque, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *points = call.input(kPoints), *centroids = call.input(kCentroids);
  if (!call.ok()) return;
  tfkm::Job job = sized_job(call, points, centroids, 0);
  if (!call.ok()) return;
  job.points.data = TF_TensorData(points);
  void* out = distances_of(call, 0, job.wide, {job.n, job.k});
  if (!call.ok()) return;
  tfkm::Distances distances{job.n,    job.k, job.d, job.points, TF_TensorData(centroids),
                            job.wide, out};
  tfkm::Pool pool(int(static_cast<const Kernel*>(opaque)->threads));
  call.check(tfkm::distances(distances, pool.parallel_for()) == 0, kNoMemory,
             TF_RESOURCE_EXHAUSTED);
}

// --- shapes
// --------------------------------------------------------------------------------------------

// Outputs 0 and 1 are (n,); the sums, if any, are as the centroids (k, d), (k,), and the digits of
// the inertia.
template <bool with_sums>
void shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle *points = TF_NewShapeHandle(), *centroids = TF_NewShapeHandle(),
                 *rows = TF_NewShapeHandle();
  TF_ShapeHandle* digits = TF_ShapeInferenceContextVectorFromSize(context, tfkm::kDigits);
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
    }
    set(kInertia, digits);
  }
  for (TF_ShapeHandle* shape : {points, centroids, rows, digits}) TF_DeleteShapeHandle(shape);
}

// (n, k).
void distances_shape(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* parts[2] = {TF_NewShapeHandle(), TF_NewShapeHandle()};
  TF_ShapeHandle* both = TF_NewShapeHandle();
  auto fine = [&] { return TF_GetCode(status) == TF_OK; };
  for (int i : {kPoints, kCentroids}) {
    if (fine()) TF_ShapeInferenceContextGetInput(context, i, parts[i], status);
    if (fine()) TF_ShapeInferenceContextWithRank(context, parts[i], 2, parts[i], status);
    if (fine()) TF_ShapeInferenceContextSubshape(context, parts[i], 0, 1, parts[i], status);
  }
  if (fine()) TF_ShapeInferenceContextConcatenateShapes(context, parts[0], parts[1], both, status);
  if (fine()) TF_ShapeInferenceContextSetOutput(context, 0, both, status);
  for (TF_ShapeHandle* shape : {parts[0], parts[1], both}) TF_DeleteShapeHandle(shape);
}

TF_OpDefinitionBuilder* op_of_distances() {
  TF_OpDefinitionBuilder* op = new_op_of_distances("Tfkm>Distances");
  TF_OpDefinitionBuilderAddOutput(op, "sq_distances: T");
  return op;
}

// --- registration
// ----------------------------------------------------------------------------------------

[[maybe_unused]] const bool registered =
    register_op<false>("Tfkm>Assign", new_op("Tfkm>Assign"), shapes<false>, compute) &&
    register_op<true>("Tfkm>Accumulate", new_op("Tfkm>Accumulate"), shapes<true>, compute) &&
    register_op<false>("Tfkm>Distances", op_of_distances(), distances_shape, compute_distances);

}  // namespace
