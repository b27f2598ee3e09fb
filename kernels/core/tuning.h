// Which form for which shape, as data. benchmarks/sweep_forms.py measures it anew.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "isa/simd.h"

namespace {

enum class Form {
  kRegisters,  // lanes are points, which stay in registers while the centroids pass
  kBlocks,     // lanes are points, a tile of centroids' sums in registers
  kPanels,     // lanes are centroids, a batch of points' sums in registers
  kBfloat16,   // the same behind a screen in bfloat16
  kDots,       // lanes are features, the sums of all of few centroids in registers
};

struct Rule {
  int64_t least_d, most_d, least_k, most_k;  // the first rule that all hold for is taken
  Form form;
  int64_t
      point_bytes;  // of a group of packed points, which stays in cache while the centroids pass
  // Whether neighbouring centroids are put together without a look at whether it pays.
  bool ordered = false;
};

constexpr int64_t kAny = INT64_MAX;
constexpr int64_t kMostInRegisters = 8;
constexpr Rule kDotsRule = {32, kAny, 1, 16, Form::kDots, 64 << 10};
constexpr Rule kRules[] = {
    {1, kAny, 2048, kAny, Form::kBfloat16, 512 << 10},
    {8, kAny, 1024, kAny, Form::kBfloat16, 512 << 10},
    {1, kMostInRegisters, 1, kAny, Form::kRegisters, 16 << 10},
    {640, kAny, 13, 16, Form::kBlocks,
     512 << 10},  // as dots the centroids would not stay in the first-level cache
    kDotsRule,
    {16, kAny, 256, kAny, Form::kBfloat16, 512 << 10},
    {1, 95, 1, kAny, Form::kBlocks, 512 << 10},
    {1, kAny, 1, kAny, Form::kPanels, 512 << 10},
};

// Of the screen in bfloat16: a block of points is three vectors against eight centroids.
constexpr int kPairVectors = 3, kPairBlock = 16 * kPairVectors, kPairRows = 8;

constexpr int64_t kMostRows = 4096;
constexpr int64_t kCentroidBytes = 32 << 10;  // of tiles that pass a block of points at a time

template <class T>
constexpr bool kInBfloat16 = Isa::kProductsOfPairs && sizeof(T) == 4;

// TFKM_FORM in the environment forces one, for the sweep and the tests; "ordered" is bfloat16 with
// centroids in order.
template <class T>
Rule rule_for(int64_t d, int64_t k, int lanes) {
  const char* forced = std::getenv("TFKM_FORM");
  const char* names[] = {"registers", "blocks", "panels", "bfloat16", "dots"};
  auto possible = [&](Form form) {
    return (form != Form::kRegisters || d <= kMostInRegisters) &&
           (form != Form::kDots || k <= lanes) && (form != Form::kBfloat16 || kInBfloat16<T>);
  };
  if (forced && std::strcmp(forced, "ordered") == 0 && possible(Form::kBfloat16))
    return {1, kAny, 1, kAny, Form::kBfloat16, 512 << 10, true};
  for (const Rule& rule : kRules)
    if (forced && std::strcmp(forced, names[int(rule.form)]) == 0 && possible(rule.form))
      return rule;
  for (const Rule& rule : kRules)
    if (d >= rule.least_d && d <= rule.most_d && k >= rule.least_k && k <= rule.most_k &&
        possible(rule.form))
      return rule;
  return kRules[sizeof(kRules) / sizeof(Rule) - 1];
}

}  // namespace
