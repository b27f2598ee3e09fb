"""What tfkm takes of TensorFlow that is not public, with the reason of each and what would replace it.

No other module of tfkm names a private module of TensorFlow. Importing this one loads no TensorFlow: a
name is looked up when it is taken from here, so a TensorFlow without it fails only where it is needed.
"""

from __future__ import annotations

import ctypes
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

NAMES = {
    # Whether a tape or a forward accumulator listens to tensors: without one, derivatives are left out.
    # To replace it: `tf.custom_gradient` around every call, which takes longer than one point.
    "should_record_backprop": "tensorflow.python.eager.record:should_record_backprop",
    # Whether XLA compiles a graph: there are other ops for it, no size may vary, and nothing can raise.
    # To replace it: nothing public tells.
    "in_xla_context": "tensorflow.python.ops.control_flow_util:GraphOrParentsInXlaContext",
    # How much memory of a card TensorFlow may take: points stay on it if they fit.
    # To replace it: `tf.config.experimental.get_memory_info`, if it told the limit beside what is taken.
    "list_local_devices": "tensorflow.python.client.device_lib:list_local_devices",
    # XLA's own ops: products of a given precision, rounding to TF32, a write into a part of a tensor.
    # To replace them: `tf.matmul` with a precision of its own instead of the global switch;
    # `tf.bitcast` and a mask; `tf.tensor_scatter_nd_update`, which takes longer.
    "tf2xla": "tensorflow.compiler.tf2xla.python.xla",
    # The arguments of these products: precision, and which dimensions are contracted.
    "xla_data": "tensorflow.compiler.xla.xla_data_pb2",
    # A call of the compiled kernels in a program that XLA compiles (`tfkm.ops.xla_call`).
    # To replace it: `tf.raw_ops.XlaCallModule`, which is missing there, or a C API by which an op says
    # how XLA is to compile it.
    "xla_call_module": "tensorflow.compiler.tf2xla.ops.gen_xla_ops:xla_call_module",
    # Ends a call of TensorFlow that is under way, so that Ctrl-C is heard within a pass.
    # To replace them: nothing public cancels eager operations.
    "CancellationManager": "tensorflow.python.eager.cancellation:CancellationManager",
    "CancellationManagerContext": "tensorflow.python.eager.cancellation:CancellationManagerContext",
    # The device scope of this thread, to be entered on another one.
    # To replace it: nothing public tells the scope that one is in.
    "eager_context": "tensorflow.python.eager.context:context",
}


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return pkgutil.resolve_name(NAMES[name])


def has_begun() -> bool:
    """Return whether TensorFlow is loaded and has made its threads.

    From then on its settings are fixed, and a forked child lacks the threads. Nothing public tells without
    making them: `tf.config.list_logical_devices` and its like do.
    """
    context = sys.modules.get("tensorflow.python.eager.context")
    made = getattr(context, "_context", None)
    return made is not None and getattr(made, "_context_handle", None) is not None


# xla::ffi::GetXlaFfiApi(). To replace it: a function of TensorFlow's C API that hands this table out.
FFI_API = "_ZN3xla3ffi12GetXlaFfiApiEv"


def xla_ffi_api() -> int:
    """Return the address of XLA's table of C functions, by which handlers of calls are registered.

    Raises:
        RuntimeError: None of TensorFlow's libraries shows it.
    """
    import tensorflow as tf

    for path in sorted(Path(tf.sysconfig.get_lib()).glob("libtensorflow_*")):
        try:
            # RTLD_NOLOAD: one that TensorFlow itself has not loaded is no concern of ours.
            function = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)[FFI_API]
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_void_p
        return int(function())
    raise RuntimeError("this TensorFlow shows no XLA FFI")
