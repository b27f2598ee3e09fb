// The core against its specification, on all instruction sets that the processor has and by any
// form that the shape admits, for jobs drawn from a fuzzer's bytes. With clang and
// TFKM_SANITIZE=fuzzer,… it is libFuzzer's; else main() below feeds it random bytes from fixed
// seeds, without guidance by coverage: fuzz_accumulate [--inputs N] [--first I].
#include "spec.h"

namespace {

Case draw_case(Draw& draw) {
  const Dtype dtypes[] = {Dtype::kFloat32,  Dtype::kFloat64, Dtype::kFloat16,
                          Dtype::kBfloat16, Dtype::kInt8,    Dtype::kUint8};
  Case c{};
  c.dtype = dtypes[draw.below(6)];
  c.wide = draw.one_in(2) || c.dtype == Dtype::kFloat64;
  auto size = [&](int64_t few, int64_t many) {
    return 1 + draw.below(draw.one_in(4) ? many : few);
  };
  c.n = size(8, 70), c.k = size(8, 70), c.d = size(9, 140);
  while (c.n * c.k * c.d > 8192) c.n = (c.n + 1) / 2, c.k = (c.k + 1) / 2;
  if (draw.one_in(256)) c.n += 60, c.k = 1 + draw.below(3), c.d += 3000;  // several groups
  if (draw.one_in(128)) c.k += 256, c.d += 16;  // where a screen in bfloat16 is taken
  c.draw_rest(draw);
  return c;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Draw draw{0, data, size};
  Case c = draw_case(draw);
  static const std::vector<tfkm::Level> levels = tested_levels();
  const char* forms[] = {"", "registers", "blocks", "panels", "bfloat16", "ordered", "dots"};
  const char* form = forms[draw.below(sizeof forms / sizeof *forms)];
  setenv("TFKM_FORM", form, 1);
  Trial trial(c, draw);
  for (const tfkm::Level& level : levels) {
    const char* wrong = trial.run(accumulate_on(level));
    if (!wrong) wrong = trial.run_labels(accumulate_on(level));
    if (!wrong && c.sums && !c.bad_rows && draw.one_in(4))
      wrong = trial.run_on(accumulate_on(level), draw);
    if (!wrong) continue;
    std::printf("wrong %s on %s, form \"%s\":\n", wrong, level.name, form);
    c.print();
    std::fflush(stdout);
    std::abort();
  }
  return 0;
}

#ifndef TFKM_LIBFUZZER
int main(int argc, char** argv) {
  int64_t inputs = 20000, first = 0;
  for (int i = 1; i + 1 < argc; i += 2)
    (std::strcmp(argv[i], "--first") ? inputs : first) = std::atoll(argv[i + 1]);
  uint8_t bytes[256];
  for (int64_t input = first; input < first + inputs; ++input) {
    Draw draw{uint64_t(input) << 32};
    size_t size = 16 + size_t(draw.below(sizeof bytes - 16));
    for (size_t i = 0; i < size; ++i) bytes[i] = uint8_t(draw.bits());
    if (input % 100000 == 0) std::printf("input %lld\n", (long long)input), std::fflush(stdout);
    LLVMFuzzerTestOneInput(bytes, size);
  }
  std::printf("%lld passed, 0 failed\n", (long long)inputs);
}
#endif
