// The launcher: sizes and pointers in, a few launches on a stream out. No CUDA header and no
// framework: kernels are launched by a function that is handed in (driver.h has the driver's,
// kernels/tests the emulation's).
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core.h"
#include "job.h"
#include "tuning.h"

namespace tfkm {
namespace cuda {

// What is to be done: as Job of kernels/core/core.h, with pointers of the device. By ctypes as
// well: plain words only.
struct Call {
  int64_t n, k, d;
  const void* points;
  int64_t stride;  // a row of points begins so many values after the last
  Dtype dtype;
  int32_t wide;  // centroids, distances and arithmetic are double, else float
  const void* centroids;
  const double *weights, *grid_sums, *grid;  // (n,) or null; (d,); (2,): weights, count
  int32_t* labels;
  void* sq_distances;
  Words high, low;  // out, set to 0 first, or high.sums null for no sums
  unsigned long long*
      inertia;       // (67,) 64-bit integers: 66 digits of sums.h, and whether a term was no number
  void* scratch;     // scratch_bytes(call) bytes, aligned to 16
  const char* tile;  // a name from tuning.h, or null for the one that its rules take
};

struct Device {
  void* self;
  // 0, or what the driver says.
  int (*launch)(void* self, const char* kernel, unsigned blocks, unsigned splits, unsigned threads,
                const Job& job);
  int processors;     // streaming multiprocessors
  int64_t most_rows;  // in one launch: what the list of doubtful points has room for
  const TileSize* tiles;
  int tile_count;
};

constexpr int64_t kMostRows = 1 << 22, kMostFeatures = 1 << 21;
constexpr int kRefused = -1;  // a call that the kernels cannot do

// What the launches of a call have in common.
class Plan {
 public:
  Plan(const Call& call, const Device& device) : tile_(tile_for(call, device)) {
    if (!tile_ || call.n < 0 || call.k < 1 || call.k > INT32_MAX || call.d < 1 ||
        call.d > kMostFeatures)
      return;
    possible_ = true;
    int64_t real = call.wide ? 8 : 4;
    rows_ = std::min(call.n, device.most_rows);
    launches_ = rows_ ? (call.n + rows_ - 1) / rows_ : 0;
    padded_k_ = round_up(call.k, std::max(tile_->columns, 4)), padded_d_ = round_up(call.d, 32);
    int64_t row_tiles = (rows_ + tile_->rows - 1) / tile_->rows,
            column_tiles = padded_k_ / tile_->columns;
    blocks_ = std::min<int64_t>(row_tiles, int64_t(device.processors) * tile_->blocks);
    // As many blocks as there is room for, if the points alone do not make so many.
    splits_ = launches_ == 1 ? std::min(column_tiles, int64_t(device.processors) * tile_->blocks /
                                                          std::max<int64_t>(blocks_, 1))
                             : 1;
    splits_ = std::max<int64_t>(splits_, 1);
    auto room = [&](int64_t bytes) {
      int64_t at = bytes_;
      bytes_ += round_up(bytes, 256);
      return at;
    };
    offset_ = room(padded_d_ * real), factors_ = room(padded_d_ * padded_k_ * real),
    sq_norms_ = room(padded_k_ * real);
    halves_ = room(tile_->halves ? padded_k_ * padded_d_ * 2 : 0);
    extremes_ = room(2 * 8), doubts_ = room(launches_ * 4), doubtful_ = room(rows_ * 4),
    bounds_ = room(rows_ * real);
    int64_t shares = splits_ > 1 ? splits_ * rows_ : 0;
    best_ = room(shares * real), second_ = room(shares * real), nearest_ = room(shares * 4);
    reach_ = room(shares ? 2 * rows_ * real : 0);
  }

  bool possible() const { return possible_; }
  int64_t scratch_bytes() const { return bytes_; }

  // 0, kRefused, or what the driver says.
  int run(const Call& call, const Device& device) const {
    if (!possible_) return kRefused;
    Job job = whole(call);
    auto launch = [&](const char* step, int64_t blocks, int64_t splits) {
      char name[64];
      std::snprintf(name, sizeof name, "%s_%s", step, tile_->name);
      return device.launch(device.self, name, unsigned(blocks), unsigned(splits),
                           unsigned(tile_->threads), job);
    };
    const unsigned all = unsigned(device.processors * 2);
    int status = device.launch(device.self, "centre", all, 1, kPackThreads, job);
    if (!status) status = device.launch(device.self, "pack", all, 1, kPackThreads, job);
    const int64_t point_bytes = bytes_of(call.dtype), real = call.wide ? 8 : 4;
    for (int64_t first = 0; first < call.n && !status; first += rows_, ++job.doubts) {
      job.n = std::min(rows_, call.n - first);
      job.points = static_cast<const char*>(call.points) + first * call.stride * point_bytes;
      job.weights = call.weights ? call.weights + first : nullptr;
      job.labels = call.labels + first,
      job.sq_distances = static_cast<char*>(call.sq_distances) + first * real;
      status = launch("screen", blocks_, splits_);
      if (!status && splits_ > 1) status = launch("join", blocks_, 1);
      if (!status) status = launch("settle", blocks_, 1);
    }
    return status;
  }

 private:
  static constexpr unsigned kPackThreads = 256;  // as in pack.h

  static int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }
  static int64_t bytes_of(Dtype dtype) {
    switch (dtype) {
      case Dtype::kFloat64: return 8;
      case Dtype::kFloat16:
      case Dtype::kBfloat16: return 2;
      case Dtype::kInt8:
      case Dtype::kUint8: return 1;
      default: return 4;
    }
  }

  static const TileSize* tile_for(const Call& call, const Device& device) {
    auto named = [&](const char* name) -> const TileSize* {
      for (int i = 0; i < device.tile_count; ++i)
        if (device.tiles[i].doubles == bool(call.wide) && !std::strcmp(device.tiles[i].name, name))
          return &device.tiles[i];
      return nullptr;
    };
    if (call.tile) return named(call.tile);
    for (const Rule& rule : kRules)
      if (call.n >= rule.least_n && call.d >= rule.least_d && call.k >= rule.least_k &&
          call.k <= rule.most_k)
        if (const TileSize* tile = named(rule.tile)) return tile;
    return nullptr;
  }

  Job whole(const Call& call) const {
    char* scratch = static_cast<char*>(call.scratch);
    auto growth = [](double terms, double unit) { return terms * unit / (1 - terms * unit); };
    Job job{};
    job.n = call.n, job.k = call.k, job.d = call.d, job.stride = call.stride;
    job.padded_k = padded_k_, job.padded_d = padded_d_;
    job.points = call.points, job.centroids = call.centroids, job.weights = call.weights;
    job.grid_sums = call.grid_sums, job.grid = call.grid;
    job.labels = call.labels, job.sq_distances = call.sq_distances, job.high = call.high,
    job.low = call.low, job.inertia = call.inertia;
    job.offset = scratch + offset_, job.factors = scratch + factors_,
    job.sq_norms = scratch + sq_norms_;
    job.halves = tile_->halves ? reinterpret_cast<uint16_t*>(scratch + halves_) : nullptr;
    job.extremes = reinterpret_cast<unsigned long long*>(scratch + extremes_);
    job.doubts = reinterpret_cast<uint32_t*>(scratch + doubts_), job.launches = launches_;
    job.doubtful = reinterpret_cast<uint32_t*>(scratch + doubtful_), job.bounds = scratch + bounds_;
    job.splits = int32_t(splits_), job.best = scratch + best_, job.second = scratch + second_;
    job.nearest = reinterpret_cast<int32_t*>(scratch + nearest_), job.reach = scratch + reach_;
    job.growth = growth(double(call.d + 8), call.wide ? 0x1p-53 : 0x1p-24);
    job.growth_exact = growth(double(call.d + 8), 0x1p-53),
    job.growth_halves = growth(double(call.d + 24), 0x1p-22);
    return job;
  }

  const TileSize* tile_;
  bool possible_ = false;
  int64_t rows_ = 0, launches_ = 0, padded_k_ = 0, padded_d_ = 0, blocks_ = 0, splits_ = 1,
          bytes_ = 0;
  int64_t offset_, factors_, sq_norms_, halves_, extremes_, doubts_, doubtful_, bounds_, best_,
      second_, nearest_, reach_;
};

}  // namespace cuda
}  // namespace tfkm
