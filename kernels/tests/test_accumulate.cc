// The core against its specification, on each instruction set of this processor, without Python or
// TensorFlow. `test_accumulate [N]` takes every N-th of the jobs: under sanitizers all would take
// minutes.
#include "pool.h"
#include "spec.h"

namespace {

constexpr Dtype kDtypes[] = {Dtype::kFloat32,  Dtype::kFloat64, Dtype::kFloat16,
                             Dtype::kBfloat16, Dtype::kInt8,    Dtype::kUint8};

int64_t every = 1, passed = 0, failed = 0;
std::vector<tfkm::Level> levels;

void report(const Case& c, const char* wrong, const char* level = "no level") {
  if (!wrong) {
    ++passed;
  } else if (++failed <= 10) {
    std::printf("wrong %s on %s:\n", wrong, level);
    c.print();
  }
}

// All types, with the rest drawn anew for each.
void check(Draw& draw, int64_t n, int64_t k, int64_t d) {
  for (Dtype dtype : kDtypes)
    for (bool wide : {false, true}) {
      if (dtype == Dtype::kFloat64 && !wide) continue;
      Case c{n, k, d, dtype, wide};
      c.draw_rest(draw);
      if (draw.below(every)) continue;
      Trial trial(c, draw);
      for (const tfkm::Level& level : levels) {
        report(c, trial.run(accumulate_on(level)), level.name);
        report(c, trial.run_labels(accumulate_on(level)), level.name);
        Draw same = draw;
        if (c.sums && !c.bad_rows) report(c, trial.run_on(accumulate_on(level), same), level.name);
      }
    }
}

// Every tail of every vector, in all three dimensions.
void check_small() {
  Draw draw{1};
  for (int64_t n = 0; n <= 40; ++n)
    for (int64_t k = 1; k <= 17; ++k)
      for (int64_t d = 1; d <= 17; ++d) check(draw, n, k, d);
}

void check_large() {
  const int64_t ns[] = {1, 2, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 100, 257, 1000};
  const int64_t ks[] = {1, 2, 3, 5, 8, 11, 12, 13, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257, 1000};
  const int64_t ds[] = {1,  2,  3,  4,  5,  6,   7,   8,   9,   15,  16,
                        17, 31, 32, 33, 64, 100, 511, 512, 513, 784, 1030};
  Draw draw{2};
  auto any = [&](auto& values) { return values[draw.below(sizeof values / sizeof *values)]; };
  for (int checked = 0; checked < 400;) {
    int64_t n = any(ns), k = any(ks), d = any(ds);
    if (n * k * d > 10'000'000 || n * k * d < 5000) continue;
    check(draw, n, k, d);
    ++checked;
  }
}

// Groups enough for several workers, on threads of the test's own, and on those of the package.
void check_threads() {
  const int64_t shapes[][3] = {{9001, 2, 1},    {9001, 5, 3},   {9001, 17, 8},  {4097, 33, 16},
                               {1000, 16, 100}, {1000, 3, 513}, {257, 33, 784}, {1000, 7, 1030}};
  Draw draw{3};
  for (auto& [n, k, d] : shapes)
    for (Dtype dtype : kDtypes) {
      Case c{n, k, d, dtype, dtype == Dtype::kFloat64};
      c.draw_rest(draw);
      c.sums = true;
      if (draw.below(every)) continue;
      Trial trial(c, draw);
      for (int workers : {1, 2, 4, 7})
        for (uint64_t order : {1, 2}) {
          c.threads = {workers, true, order};
          for (const tfkm::Level& level : levels) {
            report(c, trial.run(accumulate_on(level), c.threads.parallel_for()), level.name);
            report(c, trial.run(accumulate_on(level), tfkm::Pool(workers).parallel_for()),
                   level.name);
          }
        }
    }
}

// The specification's own form, beside one in long double.
void check_direct() {
  Draw draw{4};
  for (int64_t d = 1; d <= 100; ++d) {
    std::vector<float> x(d);
    std::vector<double> c(d + 7);
    long double sum = 0;
    for (int64_t j = 0; j < d; ++j) {
      x[j] = float(draw.unit()), c[j] = draw.unit();
      sum += ((long double)x[j] - c[j]) * ((long double)x[j] - c[j]);
    }
    double error = std::fabs(double(sum - sq_distance(x.data(), c.data(), d)));
    bool close = error <= double(sum) * double(d + 3) * 0x1p-53;
    report({1, 1, d, Dtype::kFloat32, true}, close ? nullptr : "direct form");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) every = std::atoll(argv[1]);
  levels = tested_levels();
  check_direct();
  check_small();
  check_large();
  check_threads();
  for (const tfkm::Level& level : levels) std::printf("%s ", level.name);
  std::printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
  return failed || levels.empty() ? 1 : 0;
}
