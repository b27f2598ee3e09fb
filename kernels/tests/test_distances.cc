// All distances and the largest magnitudes against their definitions, on each instruction set of
// this processor; and a call that is told to stop.
#include "pool.h"
#include "spec.h"

namespace {

int64_t failed = 0, passed = 0;

void expect(bool fine, const char* what, const char* level, int64_t number) {
  ++(fine ? passed : failed);
  if (!fine && failed < 10)
    std::printf("%s wrong on %s: number=%lld\n", what, level, (long long)number);
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

template <class S, class T>
void try_one(Draw& draw, Dtype dtype, const tfkm::Level& level, int64_t number) {
  const int64_t n = draw.below(draw.one_in(4) ? 3000 : 70), k = 1 + draw.below(9),
                d = 1 + draw.below(draw.one_in(3) ? 300 : 20), size = sizeof(S);
  // Rows side by side, with gaps, features side by side, from the last to the first, or aligned to
  // nothing.
  const int64_t kind = draw.below(5), gap = kind == 1   ? size * (1 + draw.below(5))
                                            : kind == 4 ? 1 + draw.below(9)
                                                        : 0;
  int64_t row = d * size + gap, feature = size, begin = kind == 4 ? draw.below(2) : 0;
  if (kind == 2) feature = n * size, row = size;
  if (kind == 3) begin = n ? (n - 1) * row : 0, row = -row;
  std::vector<char> memory(size_t(n * (d * size + gap) + 16), 100);
  auto place = [&](int64_t i, int64_t j) { return memory.data() + begin + i * row + j * feature; };
  auto x = [&](int64_t i, int64_t j) {
    S value;
    std::memcpy(&value, place(i, j), size);
    return double(value);
  };
  auto set = [&](int64_t i, int64_t j, double value) {
    S stored = cast<S>(value);
    std::memcpy(place(i, j), &stored, size);
  };
  std::vector<T> c(size_t(k * d));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j)
      set(i, j, double(draw.below(127)) - (dtype == Dtype::kUint8 ? 0 : 63));
  for (T& value : c) value = T(draw.below(63));
  const bool bad = n && dtype != Dtype::kInt8 && dtype != Dtype::kUint8 && draw.one_in(3);
  if (bad) set(draw.below(n), draw.below(d), draw.one_in(2) ? NAN : -INFINITY);
  const tfkm::Points lie{place(0, 0), row, feature, dtype};

  Threads threads{1 + int(draw.below(5)), draw.one_in(8), uint64_t(number)};
  std::vector<T> out(size_t(n * k), T(-1));
  tfkm::Distances distances{n, k, d, lie, c.data(), sizeof(T) == 8, out.data()};
  level.distances(distances, threads.parallel_for());
  bool fine = true;
  std::vector<double> largest(size_t(d), 0.0), found(size_t(d), -1.0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j) {
      double value = std::fabs(x(i, j));
      if (!(largest[j] >= value) && !std::isnan(largest[j])) largest[j] = value;
    }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < k; ++l) {
      double sum = 0;
      for (int64_t j = 0; j < d; ++j) sum += std::pow(x(i, j) - double(c[l * d + j]), 2);
      fine &= same(out[i * k + l], T(sum));
    }
  expect(fine, "distances", level.name, number);
  tfkm::Magnitudes magnitudes{n, d, lie, found.data()};
  level.magnitudes(magnitudes, threads.parallel_for());
  fine = true;
  for (int64_t j = 0; j < d; ++j) fine &= same(largest[j], found[j]);
  expect(fine, "magnitudes", level.name, number);
}

// The third time it is asked, it says so.
bool third(void* asked) { return ++*static_cast<int*>(asked) == 3; }

void stop() {
  const int64_t n = 1 << 15, k = 1 << 10, d = 64;
  std::vector<float> x(n * d, 1), c(k * d, 2), out(size_t(n) * k);
  tfkm::Distances call{n,        k,     d,         tfkm::packed(x.data(), Dtype::kFloat32, d),
                       c.data(), false, out.data()};
  for (int workers : {1, 3}) {
    int asked = 0;
    tfkm::Pool pool(workers, {third, &asked});
    bool interrupted = false;
    for (int again = 0; again < 50 && !interrupted; ++again) try {
        tfkm::distances(call, pool.parallel_for());
      } catch (const tfkm::Interrupted&) {
        interrupted = true;
      }
    expect(interrupted && asked == 3, "a stop", tfkm::instruction_set(), workers);
  }
}

}  // namespace

int main(int argc, char** argv) {
  int64_t every = argc > 1 ? std::atoll(argv[1]) : 1;
  Draw draw{7};
  for (int64_t number = 0; number < 1200; ++number) {
    Dtype dtype = Dtype(draw.below(6));
    bool wide = dtype == Dtype::kFloat64 || draw.one_in(2);
    uint64_t seed = draw.bits();
    if (number % every) continue;
    for (const tfkm::Level& level : tested_levels())
      with_type(dtype, [&](auto s) {
        Draw own{seed};
        wide ? try_one<decltype(s), double>(own, dtype, level, number)
             : try_one<decltype(s), float>(own, dtype, level, number);
      });
  }
  stop();
  std::printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
  return failed != 0 || passed == 0;
}
