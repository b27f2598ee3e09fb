// The same as ops.cc for many problems in one call.
//
// points (P, n, d), centroids (C, k, d), weights (W, n) or empty; problems (B, 3): for each problem, which of them
// are its own; rows (B,) or empty: how many of its points count. Results (B, n), label −1 and distance 0 for the
// points that do not, and (B, k, d), (B, k), (B,).
#include <algorithm>

#include "call.h"
#include "pool.h"

namespace {

enum Input { kPoints, kCentroids, kProblems, kRows, kWeights, kGridSums, kGrid };
enum Output { kLabels, kSqDistances, kHigh, kLow = kHigh + 3 };

const int64_t* integers(const TF_Tensor* tensor) { return static_cast<const int64_t*>(TF_TensorData(tensor)); }

struct Problems {
  tfkm::Job alike;  // what they have in common
  int64_t value_size, centroid_size;
  const char *points, *centroids;
  const double *weights, *grid_sums, *grid;
  const int64_t *problems, *rows;
  int32_t* labels;
  char* sq_distances;
  tfkm::Words high, low;

  tfkm::Job job(int64_t index) const {
    const int64_t n = alike.n, k = alike.k, d = alike.d, *own = problems + 3 * index;
    tfkm::Job job = alike;
    job.n = rows ? rows[index] : n;
    job.points = points + own[0] * n * d * value_size;
    job.centroids = centroids + own[1] * k * d * centroid_size;
    job.labels = labels + index * n;
    job.sq_distances = sq_distances + index * n * centroid_size;
    if (!grid) return job;
    job.weights = weights ? weights + own[2] * n : nullptr;
    job.grid = {grid_sums + index * d, grid[3 * index], grid[3 * index + 1], grid[3 * index + 2]};
    job.high = {high.sums + index * k * d, high.weights + index * k, high.inertia + index};
    job.low = {low.sums + index * k * d, low.weights + index * k, low.inertia + index};
    return job;
  }

  void clear_other_rows(int64_t count) const {
    const int64_t n = alike.n;
    for (int64_t i = 0; rows && i < count; ++i) {
      std::fill(labels + i * n + rows[i], labels + (i + 1) * n, -1);
      std::memset(sq_distances + (i * n + rows[i]) * centroid_size, 0, size_t((n - rows[i]) * centroid_size));
    }
  }
};

bool within(const int64_t* values, int64_t count, int64_t step, int64_t end) {
  for (int64_t i = 0; i < count; ++i)
    if (values[i * step] < 0 || values[i * step] >= end) return false;
  return true;
}

// How many there are.
int64_t read_problems(Call& call, int64_t points, int64_t centroids, Problems& all) {
  TF_Tensor *problems = call.input(kProblems), *rows = call.input(kRows);
  if (!call.ok()) return 0;
  int64_t count = TF_Dim(problems, 0);
  call.check(TF_Dim(problems, 1) == 3, "problems: needs shape (B, 3)");
  call.check(TF_Dim(rows, 0) == 0 || TF_Dim(rows, 0) == count, "rows: one is needed for each problem, or none at all");
  if (!call.ok()) return 0;
  all.problems = integers(problems), all.rows = TF_Dim(rows, 0) ? integers(rows) : nullptr;
  call.check(within(all.problems, count, 3, points), "problems: there are no such points");
  call.check(within(all.problems + 1, count, 3, centroids), "problems: there are no such centroids");
  call.check(!all.rows || within(all.rows, count, 1, all.alike.n + 1), "rows: more than there are points");
  return count;
}

void read_sums(Call& call, int64_t count, Problems& all) {
  TF_Tensor *weights = call.input(kWeights), *sums = call.input(kGridSums), *grid = call.input(kGrid);
  if (!call.ok()) return;
  bool given = TF_Dim(weights, 0) != 0;
  call.check(!given || TF_Dim(weights, 1) == all.alike.n, "weights: one is needed for each point, or none at all");
  call.check(!given || within(all.problems + 2, count, 3, TF_Dim(weights, 0)), "problems: there are no such weights");
  call.check(TF_Dim(sums, 0) == count && TF_Dim(sums, 1) == all.alike.d, "grid_sums: needs shape (B, d)");
  if (!call.check(TF_Dim(grid, 0) == count && TF_Dim(grid, 1) == 3, "grid: needs shape (B, 3)")) return;
  all.weights = given ? doubles(weights) : nullptr, all.grid_sums = doubles(sums), all.grid = doubles(grid);
  all.high = call.words(kHigh, {count}, all.alike.k, all.alike.d);
  all.low = call.words(kLow, {count}, all.alike.k, all.alike.d);
}

void compute(void* opaque, TF_OpKernelContext* context) {
  const Kernel& kernel = *static_cast<Kernel*>(opaque);
  Call call(context);
  TF_Tensor *points = call.input(kPoints), *centroids = call.input(kCentroids);
  if (!call.ok()) return;
  Problems all{};
  tfkm::Job& alike = all.alike = sized_job(call, points, centroids, 1);
  if (!call.ok()) return;
  all.points = static_cast<const char*>(TF_TensorData(points));
  all.centroids = static_cast<const char*>(TF_TensorData(centroids));
  all.value_size = size_of(alike.dtype), all.centroid_size = alike.wide ? 8 : 4;
  int64_t count = read_problems(call, TF_Dim(points, 0), TF_Dim(centroids, 0), all);
  all.labels = call.output<int32_t>(kLabels, TF_INT32, {count, alike.n});
  all.sq_distances = static_cast<char*>(distances_of(call, kSqDistances, alike.wide, {count, alike.n}));
  if (kernel.with_sums) read_sums(call, count, all);
  if (!call.ok()) return;
  all.clear_other_rows(count);
  auto get = [](const void* arg, int64_t index) { return static_cast<const Problems*>(arg)->job(index); };
  tfkm::Jobs jobs{count, alike.n, alike.k, alike.d, get, &all};
  call.check(tfkm::accumulate(jobs, tfkm::pool(int(kernel.threads))) == 0, kNoMemory, TF_RESOURCE_EXHAUSTED);
}

// (B, n), and for sums (B, k, d), (B, k), (B,).
template <bool with_sums>
void shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle *count = TF_NewShapeHandle(), *other = TF_NewShapeHandle(), *joined = TF_NewShapeHandle();
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
  for (int i = 0; with_sums && i < 3; ++i) {
    part(kCentroids, 3, 1, 3 - i, other);
    set(kHigh + i, kLow + i);
  }
  for (TF_ShapeHandle* shape : {count, other, joined}) TF_DeleteShapeHandle(shape);
}

template <bool with_sums>
void register_op(const char* name, TF_Status* status) {
  TF_OpDefinitionBuilder* op = new_op(name);
  TF_OpDefinitionBuilderAddInput(op, "problems: int64");
  TF_OpDefinitionBuilderAddInput(op, "rows: int64");
  if (with_sums) add_sums(op);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, shapes<with_sums>);
  TF_RegisterOpDefinition(op, status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_RegisterKernelBuilder(
      name, TF_NewKernelBuilder(name, "CPU", create<with_sums>, compute, destroy), status);
}

// As in ops.cc.
[[maybe_unused]] const bool registered = [] {
  TF_Status* status = TF_NewStatus();
  register_op<false>("Tfkm>AssignBatch", status);
  if (TF_GetCode(status) == TF_OK) register_op<true>("Tfkm>AccumulateBatch", status);
  bool fine = TF_GetCode(status) == TF_OK;
  TF_DeleteStatus(status);
  return fine;
}();

}  // namespace
