// XLA's handlers for a card, with a table of functions in place of XLA's and fake_driver.cc in
// place of the driver.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "by_ctypes.h"
#include "ffi_abi.h"

extern "C" void tfkm_cuda_use(int32_t device, int32_t dtype, int32_t wide, void* kernels);
extern "C" const char* tfkm_register_cuda(const XLA_FFI_Api* api);

namespace {

int failed = 0, passed = 0;
void expect(bool right, const char* what) {
  right ? ++passed : ++failed;
  if (!right) std::printf("wrong: %s\n", what);
}

// --- XLA's side
// ------------------------------------------------------------------------------------------

std::string error_text;
std::vector<std::pair<std::string, XLA_FFI_Handler*>> handlers;
size_t allocated = 0, given_back = 0;

XLA_FFI_Error* create_error(XLA_FFI_Error_Create_Args* args) {
  error_text = args->message;
  return reinterpret_cast<XLA_FFI_Error*>(&error_text);
}
XLA_FFI_Error* register_handler(XLA_FFI_Handler_Register_Args* args) {
  expect(std::string(args->platform.data, args->platform.size) == "CUDA", "platform");
  handlers.emplace_back(std::string(args->name.data, args->name.size), args->execute);
  return nullptr;
}
XLA_FFI_Error* get_stream(XLA_FFI_Stream_Get_Args* args) {
  return args->stream = &handlers, nullptr;
}
XLA_FFI_Error* allocate(XLA_FFI_DeviceMemory_Allocate_Args* args) {
  expect(args->alignment <= 16, "XLA grants an alignment of 16");
  allocated += args->size;
  args->data = std::aligned_alloc(
      args->alignment, (args->size + args->alignment) / args->alignment * args->alignment);
  return nullptr;
}
XLA_FFI_Error* give_back(XLA_FFI_DeviceMemory_Free_Args* args) {
  given_back += args->size;
  std::free(args->data);
  return nullptr;
}

XLA_FFI_Api table() {
  XLA_FFI_Api api{};
  api.struct_size = sizeof api, api.version = {sizeof api.version, nullptr, 0, 1};
  api.Error_Create = create_error, api.Handler_Register = register_handler,
  api.Stream_Get = get_stream;
  api.DeviceMemory_Allocate = allocate, api.DeviceMemory_Free = give_back;
  return api;
}

// --- a call
// ----------------------------------------------------------------------------------------------

struct Array {
  std::vector<int64_t> dims;
  XLA_FFI_Buffer buffer;
  template <class T>
  Array(XLA_FFI_DataType dtype, std::vector<T>& data, std::vector<int64_t> shape)
      : dims(std::move(shape)) {
    buffer = {sizeof buffer, nullptr, dtype, data.data(), int64_t(dims.size()), dims.data()};
  }
};

struct Frame {
  XLA_FFI_CallFrame frame{};
  std::vector<XLA_FFI_Buffer*> in, out;
  std::vector<int> types = std::vector<int>(8, 1);
  Frame(const XLA_FFI_Api* api, std::vector<Array*> arguments, std::vector<Array*> results) {
    for (Array* a : arguments) in.push_back(&a->buffer);
    for (Array* r : results) out.push_back(&r->buffer);
    frame.struct_size = sizeof frame, frame.api = api;
    frame.args = {sizeof frame.args, nullptr, int64_t(in.size()), types.data(), in.data()};
    frame.rets = {sizeof frame.rets, nullptr, int64_t(out.size()), types.data(), out.data()};
  }
};

}  // namespace

int main() {
  XLA_FFI_Api api = table();
  expect(tfkm_register_cuda(&api) == nullptr, "registration");
  expect(handlers.size() == 2 && handlers[0].first == "tfkm_assign" &&
             handlers[1].first == "tfkm_accumulate",
         "names");

  constexpr int64_t n = 5, k = 3, d = 2;
  std::vector<float> points = {0, 0, 9, 1, 10, 0, 4, 4, 5, 5}, centroids = {0, 0, 10, 0, 5, 5},
                     sq(n);
  std::vector<int32_t> labels(n);
  std::vector<double> weights = {1, 2, 1, 1, 1}, grid_sums = {1024, 1024}, grid = {256, 8},
                      words[2][2];
  std::vector<int64_t> digits(tfkm::kDigits + 1);
  for (auto& word : words) word[0].resize(k * d), word[1].resize(k);
  Array x(XLA_FFI_F32, points, {n, d}), c(XLA_FFI_F32, centroids, {k, d}),
      w(XLA_FFI_F64, weights, {n});
  Array none(XLA_FFI_F64, weights, {0}), g(XLA_FFI_F64, grid_sums, {d}), gs(XLA_FFI_F64, grid, {2}),
      in(XLA_FFI_S64, digits, {tfkm::kDigits + 1});
  Array l(XLA_FFI_S32, labels, {n}), s(XLA_FFI_F32, sq, {n}), short_s(XLA_FFI_F32, sq, {n - 1});
  std::vector<Array> sums;
  for (auto& word : words) {
    sums.emplace_back(XLA_FFI_F64, word[0], std::vector<int64_t>{k, d});
    sums.emplace_back(XLA_FFI_F64, word[1], std::vector<int64_t>{k});
  }
  for (size_t i : {0, 1, 2, 3}) sums[i].buffer.dims = sums[i].dims.data();  // moved with the vector
  Frame assign(&api, {&x, &c}, {&l, &s}), wrong(&api, {&x, &c}, {&l, &short_s});
  Frame accumulate(&api, {&x, &c, &w, &g, &gs},
                   {&l, &s, &sums[0], &sums[1], &sums[2], &sums[3], &in});
  Frame unweighted(&api, {&x, &c, &none, &g, &gs},
                   {&l, &s, &sums[0], &sums[1], &sums[2], &sums[3], &in});

  expect(handlers[0].second(&assign.frame) && error_text.find("compiled") != std::string::npos,
         "no kernels yet");
  void* kernels = nullptr;
  const char* why = tfkm_cuda_load("float32", &kernels);
  if (why) return std::printf("no kernels: %s\n", why), 1;
  tfkm_cuda_use(0, 0, 0, kernels);
  expect(handlers[0].second(&wrong.frame) && error_text.find("shapes") != std::string::npos,
         "wrong shapes");

  expect(handlers[0].second(&assign.frame) == nullptr, "assign");
  expect(
      labels == std::vector<int32_t>({0, 1, 1, 2, 2}) && sq == std::vector<float>({0, 2, 0, 2, 0}),
      "assignment");
  expect(handlers[1].second(&accumulate.frame) == nullptr, "accumulate");
  expect(words[0][0] == std::vector<double>({0, 0, 28, 2, 9, 9}) &&
             words[0][1] == std::vector<double>({1, 3, 2}),
         "sums");
  expect(words[1][0] == std::vector<double>(6), "low words");
  double inertia = 0;
  for (int i = 0; i < tfkm::kDigits; ++i) inertia += std::ldexp(double(digits[i]), 32 * i - 1074);
  expect(inertia == 6 && digits[tfkm::kDigits] == 0, "inertia");
  expect(handlers[1].second(&unweighted.frame) == nullptr, "accumulate without weights");
  expect(words[0][0] == std::vector<double>({0, 0, 19, 1, 9, 9}) &&
             words[0][1] == std::vector<double>({1, 2, 2}),
         "counts");
  expect(allocated > 0 && allocated == given_back, "scratch is given back");

  XLA_FFI_Metadata metadata{};
  XLA_FFI_Metadata_Extension ask{{sizeof ask, 1, nullptr}, &metadata};
  assign.frame.extensions = &ask.base;
  expect(handlers[0].second(&assign.frame) == nullptr && metadata.api_version.minor_version == 1,
         "metadata");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
