"""Calls of TensorFlow that Ctrl-C ends.

Python runs a signal's handler on its main thread only, and not before a call of TensorFlow on that thread
has returned: for a pass over many points that is seconds. So the call goes to a thread of its own, and the
main thread waits where it can hear.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import tensorflow as tf

from tfkm import tensorflow_private

_Result = TypeVar("_Result")

# Multiplications that take no more than some 10 ms, whatever the backend; the thread takes 0.1 ms.
_FEW = 2**21


def run(multiplications: int, function: Callable[[], _Result]) -> _Result:
    """Return what `function` does. Ctrl-C ends it within some 0.1 s.

    It ends between two operations that TensorFlow runs for it. To compile a program is one of XLA's, and
    waited for. What `function` has written stays half done, so let it write to nothing that is kept.

    Args:
        multiplications: How many it makes; for a few it is called directly.
        function: It computes in TensorFlow, in whatever device scope this is, and waits for the results.

    Raises:
        KeyboardInterrupt: Or what the handler of a signal raised.
    """
    if multiplications < _FEW or threading.current_thread() is not threading.main_thread():
        return function()
    cancelling = tensorflow_private.CancellationManager()
    device = tensorflow_private.eager_context().device_name  # which another thread does not see

    def cancellable() -> _Result:
        with tensorflow_private.CancellationManagerContext(cancelling), tf.device(device):
            return function()

    with ThreadPoolExecutor(1, "tfkm call") as thread:
        called = thread.submit(contextvars.copy_context().run, cancellable)
        try:
            return called.result()
        except BaseException:
            cancelling.start_cancel()
            raise
