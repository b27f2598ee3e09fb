// Greedy k-means++ against its definition, on points and weights of small integers: there every sum
// is exact in any order. On each instruction set of this processor; `test_seed [N]` takes every
// N-th of the cases.
#include <algorithm>

#include "pool.h"
#include "spec.h"

namespace {

struct Problem {
  int64_t n, k, d, gap;
  bool weighted, around;                          // point 0, which is there already
  std::vector<double> points, weights, uniforms;  // (n, d), (n,), (k − 1, trials)
  int trials;

  // far: two groups, so far apart that products round and so near that distances do not.
  Problem(Draw& draw, bool far)
      : n(1 + draw.below(draw.one_in(4) ? 3000 : 80)),
        k(1 + draw.below(20)),
        d(1 + draw.below(far || draw.one_in(4) ? 100 : 9)),
        gap(draw.one_in(2) ? draw.below(20) : 0),
        weighted(draw.one_in(2)),
        around(draw.one_in(3)),
        trials(1 + int(draw.below(20))) {
    int64_t values = 1 + draw.below(draw.one_in(2) ? 6 : 60);
    for (int64_t i = 0; i < n * d; ++i) points.push_back(double(draw.below(values)));
    if (draw.one_in(2)) std::sort(points.begin(), points.end());  // so that neighbours lie together
    for (int64_t i = 0; far && i < n; ++i) points[i * d] += draw.one_in(2) ? 2048 : 0;
    for (int64_t i = 0; i < n; ++i) weights.push_back(i ? double(draw.below(4)) : 1);
    for (int64_t i = 0; i < (k - 1) * trials; ++i)
      uniforms.push_back(double(draw.below(1 << 20)) * 0x1p-20);
  }

  std::vector<int64_t> definition() const {
    std::vector<double> nearest(n, INFINITY);
    std::vector<int64_t> chosen(k, -1);
    auto cost = [&](const std::vector<double>& sq_distances, int64_t i) {
      return (weighted ? weights[i] : 1) * sq_distances[i];
    };
    auto total = [&](const std::vector<double>& sq_distances) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += cost(sq_distances, i);
      return sum;
    };
    auto with = [&](int64_t candidate) {
      std::vector<double> after = nearest;
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < d; ++j)
          sum += std::pow(points[i * d + j] - points[candidate * d + j], 2);
        after[i] = std::fmin(after[i], sum);
      }
      return after;
    };
    chosen[0] = 0, nearest = with(0);
    for (int64_t round = 1; round < k && total(nearest) > 0; ++round) {
      std::vector<double> best;
      for (int t = 0; t < trials; ++t) {
        double target = uniforms[(round - 1) * trials + t] * total(nearest), sum = 0;
        int64_t candidate = 0;
        while ((sum += cost(nearest, candidate)) <= target) ++candidate;
        std::vector<double> after = with(candidate);
        if (best.empty() || total(after) < total(best)) best = after, chosen[round] = candidate;
      }
      nearest = best;
    }
    return chosen;
  }

  template <class S>
  std::vector<int64_t> run(const tfkm::Level& level, Dtype dtype, bool wide,
                           const tfkm::ParallelFor& parallel_for) const {
    std::vector<S> x((n - 1) * (d + gap) + d, cast<S>(100));
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < d; ++j) x[i * (d + gap) + j] = cast<S>(points[i * d + j]);
    std::vector<int64_t> chosen(k);
    tfkm::Seeding seeding{n,
                          k,
                          d,
                          {x.data(), (d + gap) * int64_t(sizeof(S)), sizeof(S), dtype},
                          wide,
                          weighted ? weights.data() : nullptr,
                          nullptr,
                          0,
                          trials,
                          uniforms.data(),
                          chosen.data()};
    std::vector<double> known;
    for (int64_t i = 0; i < n; ++i) {
      known.push_back(0);
      for (int64_t j = 0; j < d; ++j) known[i] += std::pow(points[i * d + j] - points[j], 2);
    }
    std::vector<float> narrow(known.begin(), known.end());
    if (around) {
      seeding.sq_distances = wide ? static_cast<const void*>(known.data()) : narrow.data();
      --seeding.k, ++seeding.chosen, chosen[0] = 0;
    }
    level.seed(seeding, parallel_for);
    return chosen;
  }
};

}  // namespace

int main(int argc, char** argv) {
  int64_t every = argc > 1 ? std::atoll(argv[1]) : 1, failed = 0, passed = 0;
  const std::vector<tfkm::Level> levels = tested_levels();
  Draw draw{5};
  for (int64_t number = 0; number < 2000; ++number) {
    Dtype dtype = Dtype(draw.below(6));
    Problem problem(draw, (dtype == Dtype::kFloat32 || dtype == Dtype::kFloat64) && draw.one_in(2));
    Threads threads{1 + int(draw.below(7)), draw.one_in(8), uint64_t(number)};
    bool wide = dtype == Dtype::kFloat64 || draw.one_in(2), pool = draw.one_in(8);
    if (number % every) continue;
    const std::vector<int64_t> right = problem.definition();
    tfkm::Pool three(3);
    for (const tfkm::Level& level : levels) {
      std::vector<int64_t> chosen = with_type(dtype, [&](auto s) {
        return problem.run<decltype(s)>(level, dtype, wide,
                                        pool ? three.parallel_for() : threads.parallel_for());
      });
      ++(chosen == right ? passed : failed);
      if (chosen == right || failed > 10) continue;
      std::printf("wrong on %s: number=%lld n=%lld k=%lld d=%lld trials=%d dtype=%d wide=%d\n",
                  level.name, (long long)number, (long long)problem.n, (long long)problem.k,
                  (long long)problem.d, problem.trials, int(dtype), wide);
    }
  }
  std::printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
  return failed || levels.empty() ? 1 : 0;
}
