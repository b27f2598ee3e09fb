// Many jobs in one call against each of them alone, bit for bit, on each instruction set of this
// processor. `test_batch [N]` takes every N-th of the cases.
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"
#include "spec.h"

namespace {

using tfkm::Before;
using tfkm::Wanted;

template <class V>
bool same(const std::vector<V>& a, const std::vector<V>& b) {
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0;
}

template <class S, class T>
struct Problems {
  Dtype dtype;
  int64_t count, n, k, d, gap, next, sets = 3;
  bool sums, weighted, counted, goes_on, bounded;
  std::vector<S> points;
  std::vector<T> centroids, moved;
  std::vector<double> weights, grid_sums, grid;
  std::vector<int64_t> own, rows;

  Problems(Draw& draw, Dtype dtype, bool large)
      : dtype(dtype),
        count(draw.below(large ? 4 : 40)),
        n(large ? 4000 : draw.below(60)),
        k(large ? 70 : 1 + draw.below(20)),
        d(large ? 64 : 1 + draw.below(20)),
        gap(draw.below(3)),
        next((n + draw.below(3)) * (d + gap)),
        sums(draw.one_in(2)),
        weighted(draw.one_in(2)),
        counted(draw.one_in(2)) {
    for (int64_t i = 0; i < sets * next + 1; ++i) points.push_back(cast<S>(8 * draw.unit()));
    for (int64_t i = 0; i < sets * k * d; ++i) centroids.push_back(T(8 * draw.unit()));
    for (int64_t i = 0; i < sets * n; ++i) weights.push_back(draw.unit() + 1);
    for (int64_t i = 0; i < 3 * count; ++i) own.push_back(draw.below(sets));
    for (int64_t i = 0; i < count; ++i) rows.push_back(draw.below(n + 1));
    goes_on = sums && draw.one_in(2), bounded = sums && draw.one_in(2);
    for (T c : centroids) moved.push_back(draw.one_in(2) ? c : c + T(draw.unit() / 4));
    grid_sums.assign(count * d, 0x1p20);
    for (int64_t i = 0; i < count; ++i)
      grid.insert(grid.end(), {0x1p20, std::ldexp(1, int(13 + i % 3))});
  }

  struct Results {
    std::vector<int32_t> labels;
    std::vector<T> distances;
    std::vector<double> words[5];
    std::vector<int64_t> changed;
    Results(const Problems& p)
        : labels(p.count * p.n, -1), distances(p.count * p.n, T(0)), changed(p.count) {
      const int64_t sizes[] = {p.k * p.d, p.k, p.k * p.d, p.k, tfkm::kDigits};
      for (int i = 0; i < 5; ++i) words[i].assign(p.count * sizes[i], 0);
    }
    bool operator==(const Results& other) const {
      bool equal = same(labels, other.labels) && same(distances, other.distances) &&
                   same(changed, other.changed);
      for (int i = 0; i < 5; ++i) equal = equal && same(words[i], other.words[i]);
      return equal;
    }
  };

  // One pass, or if they go on one after it with the centroids moved.
  Results together(const tfkm::ParallelFor& parallel_for, int* failed) const {
    Results out(*this);
    std::fill(out.labels.begin(), out.labels.end(), 7);
    if (!bounded) std::fill(out.distances.begin(), out.distances.end(), T(7));
    std::vector<T> margins(count * n), from;
    std::vector<double> spent(count * k);
    tfkm::Batch batch{count,
                      n,
                      k,
                      d,
                      lie(0),
                      next * int64_t(sizeof(S)),
                      centroids.data(),
                      sizeof(T) == 8,
                      bounded ? Wanted::kSumsAndBounds
                      : sums  ? Wanted::kDistancesAndSums
                              : Wanted::kDistances,
                      Before::kNothing,
                      weighted ? weights.data() : nullptr,
                      grid_sums.data(),
                      grid.data(),
                      own.data(),
                      counted ? rows.data() : nullptr,
                      out.labels.data(),
                      out.distances.data(),
                      {},
                      {},
                      out.words[4].data(),
                      nullptr,
                      nullptr,
                      nullptr,
                      nullptr};
    if (bounded) batch.margins = margins.data(), batch.spent = spent.data();
    if (sums) {
      batch.high = {out.words[0].data(), out.words[1].data()};
      batch.low = {out.words[2].data(), out.words[3].data()};
    }
    *failed = tfkm::accumulate(batch, parallel_for);
    if (!goes_on) return out;
    for (int64_t i = 0; i < count; ++i)
      from.insert(from.end(), &centroids[own[3 * i + 1] * k * d],
                  &centroids[own[3 * i + 1] * k * d] + k * d);
    std::fill(out.words[4].begin(), out.words[4].end(), 0);
    batch.centroids = moved.data(), batch.changed = out.changed.data(),
    batch.moved_from = from.data();
    batch.before = bounded ? Before::kBounds : Before::kLabels;
    *failed += tfkm::accumulate(batch, parallel_for);
    return out;
  }

  // A pass of its own for each, with the last of the centroids.
  Results alone() const {
    if (!goes_on) return alone(centroids);
    Results before = alone(centroids), out = alone(moved);
    for (int64_t i = 0; i < count * n; ++i) out.changed[i / n] += before.labels[i] != out.labels[i];
    return out;
  }
  tfkm::Points lie(int64_t set) const {
    return {points.data() + set * next, (d + gap) * int64_t(sizeof(S)), sizeof(S), dtype};
  }
  Results alone(const std::vector<T>& centroids) const {
    Results out(*this);
    Threads threads{1, false, 0};
    for (int64_t i = 0; i < count; ++i) {
      tfkm::Job job{};
      job.n = counted ? rows[i] : n, job.k = k, job.d = d;
      job.points = lie(own[3 * i]), job.wide = sizeof(T) == 8;
      job.centroids = centroids.data() + own[3 * i + 1] * k * d;
      job.labels = out.labels.data() + i * n, job.sq_distances = out.distances.data() + i * n;
      if (sums) {
        job.wanted = Wanted::kDistancesAndSums;
        if (weighted) job.weights = weights.data() + own[3 * i + 2] * n;
        job.grid = {grid_sums.data() + i * d, grid[2 * i], grid[2 * i + 1]};
        job.high = {out.words[0].data() + i * k * d, out.words[1].data() + i * k};
        job.low = {out.words[2].data() + i * k * d, out.words[3].data() + i * k};
        job.inertia = out.words[4].data() + i * tfkm::kDigits;
      }
      tfkm::accumulate(job, threads.parallel_for());
    }
    if (bounded) std::fill(out.words[4].begin(), out.words[4].end(), 0);  // which is left out
    if (bounded) std::fill(out.distances.begin(), out.distances.end(), T(0));
    return out;
  }

  bool seeds_alike(const tfkm::ParallelFor& parallel_for, Draw& draw) const {
    if (!n) return true;
    std::vector<double> uniforms;
    for (int64_t i = 0; i < count * (k - 1) * 3; ++i) uniforms.push_back((draw.unit() + 1) / 2);
    std::vector<int64_t> together(count * k), each(count * k);
    Threads one{1, false, 0};
    std::vector<tfkm::Seeding> seedings;
    for (int64_t i = 0; i < count; ++i)
      seedings.push_back({n, k, d, lie(own[3 * i]), sizeof(T) == 8,
                          weighted ? weights.data() : nullptr, nullptr, draw.below(n), 3,
                          uniforms.data() + i * (k - 1) * 3, together.data() + i * k});
    if (tfkm::seed(seedings.data(), count, parallel_for)) return false;
    for (int64_t i = 0; i < count; ++i) {
      seedings[i].chosen = each.data() + i * k;
      tfkm::seed(seedings[i], one.parallel_for());
    }
    return same(together, each);
  }

  // Passes of each job that follow one another in one call, and one by one; of jobs with centroids
  // of their own.
  struct Passes {
    Results results;
    std::vector<T> last;
    std::vector<int64_t> done;
    bool operator==(const Passes& other) const {
      return results == other.results && same(last, other.last) && same(done, other.done);
    }
  };
  Passes passes(const tfkm::ParallelFor& parallel_for, const std::vector<double>& thresholds,
                const std::vector<int64_t>& most, bool from_another, bool at_once) const {
    Passes out{Results(*this), {}, std::vector<int64_t>(count, 1)};
    std::vector<int64_t> table = own;
    std::vector<T> start, margins(count * n);
    std::vector<double> spent(count * k);
    int64_t size = k * d;
    for (int64_t i = 0; i < count; ++i) {
      table[3 * i + 1] = i;
      start.insert(start.end(), &centroids[own[3 * i + 1] * size],
                   &centroids[own[3 * i + 1] * size] + size);
    }
    auto& words = out.results.words;
    tfkm::Batch batch{count,
                      n,
                      k,
                      d,
                      lie(0),
                      next * int64_t(sizeof(S)),
                      start.data(),
                      sizeof(T) == 8,
                      Wanted::kSumsAndBounds,
                      Before::kNothing,
                      weighted ? weights.data() : nullptr,
                      grid_sums.data(),
                      grid.data(),
                      table.data(),
                      counted ? rows.data() : nullptr,
                      out.results.labels.data(),
                      nullptr,
                      {words[0].data(), words[1].data()},
                      {words[2].data(), words[3].data()},
                      words[4].data(),
                      nullptr,
                      margins.data(),
                      spent.data(),
                      nullptr};
    if (from_another) tfkm::accumulate(batch, parallel_for);
    batch.changed = out.results.changed.data();
    if (from_another) batch.moved_from = batch.centroids, batch.before = Before::kBounds;
    std::vector<T> moved = start;
    for (T& value : moved) value += T(0.25);
    batch.centroids = moved.data();
    if (at_once) {
      out.last.resize(2 * count * size);
      std::vector<T> distances(count * n);
      tfkm::Passes passes{thresholds.data(), most.data(), out.last.data(), out.done.data(),
                          distances.data()};
      tfkm::iterate(batch, passes, parallel_for);
      out.last.resize(count * size);
      return out;
    }
    out.last = moved;
    for (int64_t i = 0; i < count; ++i) {  // a batch of this job alone
      tfkm::Batch one = batch;
      one.count = 1;
      one.problems += 3 * i, one.grid_sums += i * d, one.grid += 2 * i;
      if (one.rows) one.rows += i;
      one.labels += i * n;
      one.high = {words[0].data() + i * size, words[1].data() + i * k};
      one.low = {words[2].data() + i * size, words[3].data() + i * k};
      one.inertia += i * tfkm::kDigits;
      one.margins = margins.data() + i * n, one.spent += i * k;
      std::vector<int64_t> alone{table[3 * i], 0, table[3 * i + 2]};
      one.problems = alone.data();
      std::vector<T> before(&start[i * size], &start[i * size] + size),
          now(&moved[i * size], &moved[i * size] + size);
      for (;; ++out.done[i]) {
        bool first = out.done[i] == 1 && !from_another;
        int64_t* changed = out.results.changed.data() + i;
        one.moved_from = before.data(), one.centroids = now.data(), one.changed = changed;
        one.before = first ? Before::kNothing : Before::kBounds;
        *changed = first ? (counted ? rows[i] : n) : 0;
        tfkm::accumulate(one, parallel_for);
        std::copy(now.begin(), now.end(), &out.last[i * size]);
        bool goes_on = out.done[i] < most[i] && *changed;
        std::vector<T> means(size);
        long double shift = 0;
        for (int64_t at = 0; at < size; ++at) {
          double weight = one.high.weights[at / d] + one.low.weights[at / d];
          means[at] = T((one.high.sums[at] + one.low.sums[at]) / weight);
          shift += std::pow((long double)(means[at]) - now[at], 2);
          goes_on = goes_on && weight > 0;
        }
        if (!goes_on || !(shift > thresholds[i])) break;
        before = now, now = means;
      }
      if (out.results.changed[i]) continue;
      std::vector<T> distances(n);
      one.sq_distances = distances.data(), one.wanted = Wanted::kDistancesAndSums,
      one.before = Before::kLabels;
      std::fill_n(one.inertia, tfkm::kDigits, 0.0);
      tfkm::accumulate(one, parallel_for);
    }
    return out;
  }
  bool goes_ahead(const tfkm::ParallelFor& parallel_for, Draw& draw) const {
    std::vector<double> thresholds;
    std::vector<int64_t> most;
    for (int64_t i = 0; i < count; ++i) {
      thresholds.push_back(draw.one_in(2) ? 0 : draw.unit() + 1);
      most.push_back(1 + draw.below(12));
    }
    bool from_another = draw.one_in(2);
    return passes(parallel_for, thresholds, most, from_another, true) ==
           passes(parallel_for, thresholds, most, from_another, false);
  }
};

// The exit status: 0 if all is right.
int run(int64_t every) {
  int64_t failed = 0, passed = 0;
  Draw draw{6};
  for (int64_t number = 0; number < 1200; ++number) {
    Dtype dtype = Dtype(draw.below(6));
    Threads threads{1 + int(draw.below(7)), draw.one_in(8), uint64_t(number)};
    bool wide = dtype == Dtype::kFloat64 || draw.one_in(2), pool = draw.one_in(8),
         large = number % 100 == 0;
    tfkm::Pool three(3);
    auto parallel_for = pool ? three.parallel_for() : threads.parallel_for();
    bool right = with_type(dtype, [&](auto s) {
      auto check = [&](auto t) {
        Problems<decltype(s), decltype(t)> problems(draw, dtype, large);
        if (number % every) return true;
        int lacking = 0;
        bool alike = problems.together(parallel_for, &lacking) == problems.alone();
        return alike && !lacking && problems.seeds_alike(parallel_for, draw) &&
               problems.goes_ahead(parallel_for, draw);
      };
      return wide ? check(double()) : check(float());
    });
    if (right)
      ++passed;
    else if (++failed <= 10)
      std::printf("wrong: number=%lld dtype=%d wide=%d workers=%d\n", (long long)number, int(dtype),
                  wide, threads.workers);
  }
  std::printf("%s: %lld passed, %lld failed\n", tfkm::instruction_set(), (long long)passed,
              (long long)failed);
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t every = argc > 1 ? std::atoll(argv[1]) : 1;
  const std::vector<tfkm::Level> levels = tested_levels();
  bool fine = !levels.empty();
  // A process for each: what TFKM_ISA forces holds for all calls of a process.
  for (const tfkm::Level& level : levels) {
    pid_t child = fork();
    if (child == 0) {
      setenv("TFKM_ISA", level.name, 1);
      int status = run(every);
      std::fflush(stdout);
      _exit(status);
    }
    int status = 1;
    fine &= child > 0 && waitpid(child, &status, 0) == child && status == 0;
  }
  return fine ? 0 : 1;
}
