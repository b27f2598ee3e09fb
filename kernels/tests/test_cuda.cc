// The CUDA kernels against the core's specification, on the emulation of a card (emulated.h).
// `test_cuda [N]` takes every N-th job.
#include <sys/mman.h>

#include <cstdlib>
#include <string>

#include "spec.h"

#include "emulated_device.h"

namespace {

constexpr int64_t kMostTold = 10;
int64_t every = 1, passed = 0, failed = 0;

void report(const Case& c, const char* wrong) {
  if (!wrong) {
    ++passed;
  } else if (++failed <= kMostTold) {
    std::printf("wrong %s on %s: %s\n", wrong,
                emulated_device.tile ? emulated_device.tile : "the tile of the rules",
                emulated_device.wrong.c_str());
    c.print();
  }
}

void check(Draw& draw, int64_t n, int64_t k, int64_t d, Dtype dtype, bool wide, const char* tile) {
  Case c{n, k, d, dtype, wide};
  c.draw_rest(draw);
  c.before = c.flush = false;  // a card does neither
  if (c.wide && c.values == Values::kTiny)
    c.values = Values::kNoise;  // which tfkm/ops/cuda.py refuses
  EmulatedDevice device;
  device.tile = tile, device.order = emulation::Order(draw.below(3)), device.seed = draw.bits();
  device.processors = 1 + int(draw.below(draw.one_in(2) ? 40 : 3));
  if (draw.one_in(2)) device.most_rows = 1 + draw.below(100);
  if (draw.below(every) || failed >= kMostTold) return;
  emulated_device = device;
  Trial trial(c, draw);
  report(c, trial.run(accumulate_emulated));
}

#if defined(TFKM_TINY)
constexpr Dtype kDtypes[] = {Dtype::kFloat32};
#else
constexpr Dtype kDtypes[] = {Dtype::kFloat32,  Dtype::kFloat64, Dtype::kFloat16,
                             Dtype::kBfloat16, Dtype::kInt8,    Dtype::kUint8};
#endif

// All types, on a tile that has them.
void check_types(Draw& draw, int64_t n, int64_t k, int64_t d, const TileSize& tile) {
  for (Dtype dtype : kDtypes)
    if (tile.doubles || dtype != Dtype::kFloat64)
      check(draw, n, k, d, dtype, tile.doubles, tile.name);
}

// Every tail in all three dimensions of the small tiles.
void check_tails() {
  Draw draw{1};
  for (const TileSize& tile : kEmulatedTiles) {
    if (tile.rows > 32) continue;
    for (int64_t n : {1, 2, 31, 32, 33, 65, 100})
      for (int64_t k : {1, 2, 3, 15, 16, 17, 31, 32, 33, 70}) {
        int64_t d = 1 + draw.below(draw.one_in(3) ? 70 : 20);
        check_types(draw, n, k, d, tile);
      }
  }
}

void check_all_tiles() {
  Draw draw{2};
  for (const TileSize& tile : kEmulatedTiles)
    for (int64_t n : {1, tile.rows - 1, tile.rows, tile.rows + 1})
      for (int64_t k : {1, tile.columns - 1, tile.columns + 1, 2 * tile.columns + 5})
        check_types(draw, n, k < 1 ? 1 : k, 1 + draw.below(20), tile);
}

#if !defined(TFKM_TINY)
// Labels of 19 bits and more.
void check_many_centroids() {
  Draw draw{4};
  check(draw, 2, 270'000, 1, Dtype::kFloat32, false, "tiny");
}

// Where the caller could not refuse them: what comes out does not look good.
void check_bad_centroids() {
  const float points[] = {1, 2}, centroids[] = {NAN, NAN, NAN};
  int32_t labels[2] = {7, 7};
  float sq_distances[2] = {7, 7};
  tfkm::Job job{};
  job.n = 2, job.k = 3, job.d = 1, job.points = tfkm::packed(points, Dtype::kFloat32, 1);
  job.centroids = centroids, job.labels = labels, job.sq_distances = sq_distances;
  emulated_device = {};
  bool right = accumulate_emulated(job, {}) == 0;
  for (int i : {0, 1}) right = right && labels[i] == 0 && std::isnan(sq_distances[i]);
  report({2, 3, 1, Dtype::kFloat32, false}, right ? nullptr : "centroids that are no numbers");
}

// Rows 4 GiB apart, in memory that is reserved and not there but for a page of each: places of
// points need 64 bits.
void check_far_rows() {
  constexpr int64_t n = 3, d = 2, stride = int64_t(1) << 30;
  size_t bytes = size_t((n - 1) * stride + d) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return std::perror("mmap"), void(++failed);
  float* points = static_cast<float*>(memory);
  for (int64_t i = 0; i < n; ++i) points[i * stride] = float(10 * i);
  const float centroids[] = {20, 1, 10, 0, 0, 0};
  int32_t labels[n];
  float sq_distances[n];
  tfkm::Job job{};
  job.n = n, job.k = 3, job.d = d,
  job.points = {points, stride * int64_t(sizeof(float)), sizeof(float), Dtype::kFloat32};
  job.centroids = centroids, job.labels = labels, job.sq_distances = sq_distances;
  emulated_device = {};
  emulated_device.tile = "tiny";
  int status = accumulate_emulated(job, {});
  bool right =
      status == 0 && labels[0] == 2 && labels[1] == 1 && labels[2] == 0 && sq_distances[2] == 1;
  report({n, 3, d, Dtype::kFloat32, false}, right ? nullptr : "far rows");
  munmap(memory, bytes);
}

// What the rules take.
void check_rules() {
  Draw draw{3};
  const int64_t shapes[][3] = {{0, 3, 2},    {300, 10, 100}, {50, 300, 17},
                               {70, 120, 3}, {4100, 100, 1}, {40, 3, 513}};
  for (auto& [n, k, d] : shapes)
    for (Dtype dtype : kDtypes)
      for (bool wide : {false, true})
        if (wide || dtype != Dtype::kFloat64) check(draw, n, k, d, dtype, wide, nullptr);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) every = std::atoll(argv[1]);
  check_tails();
  check_all_tiles();
#if !defined(TFKM_TINY)
  check_rules();
  if (every < 50) every = 1, check_many_centroids();  // half a minute under sanitizers
  check_bad_centroids();
  check_far_rows();
#endif
  std::printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
  return failed ? 1 : 0;
}
