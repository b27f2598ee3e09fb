// Threads of our own, since TensorFlow's C API does not hand out its pool.
#pragma once

#include "core.h"

namespace tfkm {

// A ParallelFor over at most `workers` threads, the calling one among them. While another call has
// the threads, or in a call from one of them, it runs on the caller alone: nested and concurrent use does not
// oversubscribe. Threads start at first use, and anew in a forked child.
ParallelFor pool(int workers);

}  // namespace tfkm
