// The same as ops.cc for many problems in one call.
//
// points (P, n, d), centroids (C, k, d), weights (W, n) or empty; problems (B, 3): for each
// problem, which of them are its own; rows (B,) or empty: how many of its points count. Results (B,
// n), label −1 and distance 0 for the points that do not, and (B, k, d), (B, k), (B, kDigits).
#include "call.h"
#include "pool.h"

namespace {

enum Input { kPoints, kCentroids, kProblems, kRows, kWeights, kGridSums, kGrid };
enum Output { kLabels = 0, kSqDistances = 1, kHigh = 2, kLow = 4, kInertia = 6 };

const int64_t* integers(const TF_Tensor* tensor) {
  return static_cast<const int64_t*>(TF_TensorData(tensor));
}

bool within(const int64_t* values, int64_t count, int64_t step, int64_t end) {
  for (int64_t i = 0; i < count; ++i)
    if (values[i * step] < 0 || values[i * step] >= end) return false;
  return true;
}

void read_problems(Call& call, int64_t points, int64_t centroids, tfkm::Batch& batch) {
  TF_Tensor *problems = call.input(kProblems), *rows = call.input(kRows);
  if (!call.ok()) return;
  int64_t count = batch.count = TF_Dim(problems, 0);
  call.check(TF_Dim(problems, 1) == 3, "problems: needs shape (B, 3)");
  call.check(TF_Dim(rows, 0) == 0 || TF_Dim(rows, 0) == count,
             "rows: one is needed for each problem, or none at all");
  if (!call.ok()) return;
  batch.problems = integers(problems), batch.rows = TF_Dim(rows, 0) ? integers(rows) : nullptr;
  call.check(within(batch.problems, count, 3, points), "problems: there are no such points");
  call.check(within(batch.problems + 1, count, 3, centroids),
             "problems: there are no such centroids");
  call.check(!batch.rows || within(batch.rows, count, 1, batch.n + 1),
             "rows: more than there are points");
}

void read_sums(Call& call, tfkm::Batch& batch) {
  TF_Tensor *weights = call.input(kWeights), *sums = call.input(kGridSums),
            *grid = call.input(kGrid);
  if (!call.ok()) return;
  bool given = TF_Dim(weights, 0) != 0;
  int64_t count = batch.count;
  call.check(!given || TF_Dim(weights, 1) == batch.n,
             "weights: one is needed for each point, or none at all");
  call.check(!given || within(batch.problems + 2, count, 3, TF_Dim(weights, 0)),
             "problems: there are no such weights");
  call.check(TF_Dim(sums, 0) == count && TF_Dim(sums, 1) == batch.d,
             "grid_sums: needs shape (B, d)");
  if (!call.check(TF_Dim(grid, 0) == count && TF_Dim(grid, 1) == 2, "grid: needs shape (B, 2)"))
    return;
  batch.weights = given ? doubles(weights) : nullptr, batch.grid_sums = doubles(sums),
  batch.grid = doubles(grid);
  batch.high = call.words(kHigh, {count}, batch.k, batch.d);
  batch.low = call.words(kLow, {count}, batch.k, batch.d);
  batch.inertia = call.zeros(kInertia, {count, tfkm::kDigits});
}

void compute(void* opaque, TF_OpKernelContext* context) {
  const Kernel& kernel = *static_cast<Kernel*>(opaque);
  Call call(context);
  TF_Tensor *points = call.input(kPoints), *centroids = call.input(kCentroids);
  if (!call.ok()) return;
  tfkm::Job job = sized_job(call, points, centroids, 1);
  if (!call.ok()) return;
  tfkm::Batch batch{};
  batch.n = job.n, batch.k = job.k, batch.d = job.d;
  batch.points = tfkm::packed(TF_TensorData(points), job.points.dtype, job.d),
  batch.next = job.n * batch.points.row;
  batch.centroids = TF_TensorData(centroids), batch.wide = job.wide;
  read_problems(call, TF_Dim(points, 0), TF_Dim(centroids, 0), batch);
  batch.labels = call.output<int32_t>(kLabels, TF_INT32, {batch.count, batch.n});
  batch.sq_distances = distances_of(call, kSqDistances, batch.wide, {batch.count, batch.n});
  if (kernel.with_sums) batch.wanted = tfkm::Wanted::kDistancesAndSums, read_sums(call, batch);
  if (!call.ok()) return;
  call.check(tfkm::accumulate(batch, tfkm::Pool(int(kernel.threads)).parallel_for()) == 0,
             kNoMemory, TF_RESOURCE_EXHAUSTED);
}

// (B, n), and for sums (B, k, d), (B, k), (B, kDigits).
template <bool with_sums>
void shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle *count = TF_NewShapeHandle(), *other = TF_NewShapeHandle(),
                 *joined = TF_NewShapeHandle();
  auto fine = [&] { return TF_GetCode(status) == TF_OK; };
  auto part = [&](int i, int rank, int64_t begin, int64_t end, TF_ShapeHandle* shape) {
    if (fine()) TF_ShapeInferenceContextGetInput(context, i, shape, status);
    if (fine()) TF_ShapeInferenceContextWithRank(context, shape, rank, shape, status);
    if (fine()) TF_ShapeInferenceContextSubshape(context, shape, begin, end, shape, status);
  };
  auto set = [&](int first, int second) {
    if (fine()) TF_ShapeInferenceContextConcatenateShapes(context, count, other, joined, status);
    for (int i : {first, second})
      if (fine()) TF_ShapeInferenceContextSetOutput(context, i, joined, status);
  };
  part(kProblems, 2, 0, 1, count);
  part(kPoints, 3, 1, 2, other);
  set(kLabels, kSqDistances);
  for (int i = 0; with_sums && i < 2; ++i) {
    part(kCentroids, 3, 1, 3 - i, other);
    set(kHigh + i, kLow + i);
  }
  TF_ShapeHandle* digits = TF_ShapeInferenceContextVectorFromSize(context, tfkm::kDigits);
  if (with_sums && fine())
    TF_ShapeInferenceContextConcatenateShapes(context, count, digits, joined, status);
  if (with_sums && fine()) TF_ShapeInferenceContextSetOutput(context, kInertia, joined, status);
  for (TF_ShapeHandle* shape : {count, other, joined, digits}) TF_DeleteShapeHandle(shape);
}

template <bool with_sums>
bool register_batch(const char* name) {
  TF_OpDefinitionBuilder* op = new_op(name);
  TF_OpDefinitionBuilderAddInput(op, "problems: int64");
  TF_OpDefinitionBuilderAddInput(op, "rows: int64");
  return register_op<with_sums>(name, op, shapes<with_sums>, compute);
}

[[maybe_unused]] const bool registered =
    register_batch<false>("Tfkm>AssignBatch") && register_batch<true>("Tfkm>AccumulateBatch");

}  // namespace
