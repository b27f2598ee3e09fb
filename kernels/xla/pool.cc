#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace tfkm {
namespace {

// The caller may itself be on one of the pool's threads, and the others busy with what waits for
// this very call. So it takes work like any other, and waits only for helpers that have begun; one
// that comes late finds the doors closed. It may come when the call is long over: hence shared.
class Round {
 public:
  Round(int64_t count, void (*task)(void*, int64_t, int), void* arg)
      : count_(count), task_(task), arg_(arg) {}

  void work(int worker) {
    for (int64_t i; (i = next_.fetch_add(1)) < count_;) task_(arg_, i, worker);
  }
  void help() {
    int worker;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) return;
      worker = ++helpers_;
      ++running_;
    }
    work(worker);
    std::lock_guard<std::mutex> lock(mutex_);
    if (--running_ == 0) done_.notify_one();
  }
  void close() {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  int64_t count_;
  void (*task_)(void*, int64_t, int);
  void* arg_;
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;
  std::condition_variable done_;
  int helpers_ = 0, running_ = 0;
  bool closed_ = false;
};

}  // namespace

XlaPool::XlaPool(const XLA_FFI_Api* api, XLA_FFI_ExecutionContext* context)
    : api_(api), context_(context) {
  int64_t threads = 1;
  XLA_FFI_ThreadPool_NumThreads_Args args{
      XLA_FFI_SIZE(XLA_FFI_ThreadPool_NumThreads_Args, num_threads), nullptr, context, &threads};
  if (XLA_FFI_Error* error =
          api->ThreadPool_NumThreads(&args)) {  // there is none: on the caller alone
    XLA_FFI_Error_Destroy_Args destroy{XLA_FFI_SIZE(XLA_FFI_Error_Destroy_Args, error), nullptr,
                                       error};
    api->Error_Destroy(&destroy);
  } else if (threads > 1) {
    workers_ = int(threads);
  }
}

bool XlaPool::schedule(void (*task)(void* data), void* data) const {
  XLA_FFI_ThreadPool_Schedule_Args args{XLA_FFI_SIZE(XLA_FFI_ThreadPool_Schedule_Args, data),
                                        nullptr, context_, task, data};
  XLA_FFI_Error* error = api_->ThreadPool_Schedule(&args);
  if (!error) return true;
  XLA_FFI_Error_Destroy_Args destroy{XLA_FFI_SIZE(XLA_FFI_Error_Destroy_Args, error), nullptr,
                                     error};
  api_->Error_Destroy(&destroy);
  return false;
}

void XlaPool::run(void* pool, int64_t count, void (*task)(void*, int64_t, int), void* arg) {
  const auto& self = *static_cast<XlaPool*>(pool);
  auto round = std::make_shared<Round>(count, task, arg);
  for (int helper = 1; helper < self.workers_ && helper < count; ++helper) {
    auto* mine = new std::shared_ptr<Round>(round);
    auto help = [](void* data) {
      std::unique_ptr<std::shared_ptr<Round>> mine(static_cast<std::shared_ptr<Round>*>(data));
      (*mine)->help();
    };
    if (!self.schedule(help, mine)) {
      delete mine;
      break;
    }
  }
  round->work(0);
  round->close();
}

}  // namespace tfkm
