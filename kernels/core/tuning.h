// Which kernel for which shape, as data. benchmarks/sweep_forms.py measures it anew.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

enum class Form {
  kRegisters,  // lanes are points, which stay in registers while the centroids pass
  kBlocks,     // lanes are points, a tile of centroids' sums in registers
  kPanels,     // lanes are centroids, a batch of points' sums in registers
  kDots,       // lanes are features, the sums of all of few centroids in registers
};

struct Rule {
  int64_t most_d, most_k;  // the first rule that holds both is taken
  Form form;
  int64_t point_bytes;  // of a group of packed points, which stays in cache while the centroids pass
};

constexpr int64_t kAny = INT64_MAX;
constexpr int64_t kMostInRegisters = 8;
constexpr Rule kRules[] = {
    {kMostInRegisters, kAny, Form::kRegisters, 16 << 10},
    {kAny, 16, Form::kDots, 64 << 10},
    {512, kAny, Form::kBlocks, 512 << 10},
    {kAny, kAny, Form::kPanels, 512 << 10},
};

constexpr int64_t kMostRows = 4096;
constexpr int64_t kCentroidBytes = 32 << 10;  // of tiles that pass a block of points at a time

// TFKM_FORM in the environment forces one, for the sweep and the tests. `lanes` of the type computed in.
inline Rule rule_for(int64_t d, int64_t k, int lanes) {
  const char* forced = std::getenv("TFKM_FORM");
  const char* names[] = {"registers", "blocks", "panels", "dots"};
  auto possible = [&](Form form) {
    return (form != Form::kRegisters || d <= kMostInRegisters) && (form != Form::kDots || k <= lanes);
  };
  for (const Rule& rule : kRules)
    if (forced && std::strcmp(forced, names[int(rule.form)]) == 0 && possible(rule.form)) return rule;
  for (const Rule& rule : kRules)
    if (d <= rule.most_d && k <= rule.most_k && possible(rule.form)) return rule;
  return kRules[3];
}

}  // namespace
