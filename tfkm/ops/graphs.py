"""Functions as graphs of TensorFlow, to a type checker as they were written; none has a Python loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile by XLA, once for each set of dtypes and sizes."""
    program: _Function = tf.function(function, jit_compile=True, autograph=False)
    return program


def for_any_rows(function: _Function) -> _Function:
    """Trace once for all numbers of points, which forgets what sizes are the same in all calls."""
    program: _Function = tf.function(function, reduce_retracing=True, autograph=False)
    return program
