"""The compiled kernels as calls in a program that XLA compiles; kernels/xla has the other side.

A library built against TensorFlow's C++ interface, where an op can say how XLA is to compile it, loads
in one minor version only. This way needs C interfaces alone: XlaCallModule, made for JAX, puts a few
lines of StableHLO with a custom call into the graph, and a handler of that name is registered with XLA.
Both are TensorFlow's own affair, so a version may lack them; `why_not` tells.

Measured on 2 Zen 5 cores, TensorFlow 2.21: 8 points in a tf.while_loop take 1.2 µs a turn where XLA
compiles it, 25 µs as an op in a graph; large calls take as long as the op. What it cannot take are
points whose number only shows while the program runs (tf.boolean_mask): XLA says so.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf

from tfkm import tensorflow_private

_DTYPES = {
    tf.float32: "f32", tf.float64: "f64", tf.float16: "f16", tf.bfloat16: "bf16", tf.int8: "i8",
    tf.uint8: "ui8", tf.int32: "i32", tf.int64: "i64",
}  # fmt: skip


class Value(NamedTuple):
    """What is known of an argument or result. shape: None where it is the number of points."""

    dtype: tf.DType
    shape: list[int | None]


def per_point(points: tf.Tensor, centroids: tf.Tensor) -> list[Value]:
    """Return what labels and distances are."""
    return [Value(dtype, [points.shape[0]]) for dtype in (tf.int32, centroids.dtype)]


def call(
    target: str, arguments: list[tf.Tensor], results: list[Value], platform: str = "CPU"
) -> list[tf.Tensor]:
    """Calls the handler `target`, in the graph being built or at once. The points come first."""
    values: list[tf.Tensor] = tensorflow_private.xla_call_module(
        arguments,
        version=9,  # of the conventions between JAX and XlaCallModule; 4 … 10 are taken
        module=_module(target, [Value(a.dtype, a.shape.as_list()) for a in arguments], results),
        platforms=[platform],
        dim_args_spec=[],
        function_list=[],
        disabled_checks=[],
        has_token_input_output=False,
        Sout=[tf.TensorShape(result.shape) for result in results],
        Tout=[result.dtype for result in results],
    )
    return values


def _module(target: str, arguments: list[Value], results: list[Value]) -> str:
    """StableHLO: main(arguments) -> target(arguments).

    XLA compiles anew for each number of points. To fill it in where a shape has `?`, it wants the
    shape of each result as an operand more, which the handler does not get to see.
    """
    names = [f"%{i}" for i in range(len(arguments))]
    shapes = [f"%shape{i}" for i in range(len(results))]
    shape_values = [Value(tf.int64, [len(result.shape)]) for result in results]
    operands = arguments + shape_values
    lines = [_shape(name, result.shape) for name, result in zip(shapes, results, strict=True)]
    where = range(len(arguments), len(operands))
    body = "\n    ".join(lines)
    return f"""
module attributes {{jax.uses_shape_polymorphism = true}} {{
  func.func public @main({_list(f"{n}: {_type(a)}" for n, a in zip(names, arguments, strict=True))})
      -> ({_list(map(_type, results))}) {{
    %size = stablehlo.get_dimension_size %0, dim = 0 : ({_type(arguments[0])}) -> tensor<i32>
    %n = stablehlo.convert %size : (tensor<i32>) -> tensor<i64>
    {body}
    %result:{len(results)} = stablehlo.custom_call @{target}({_list(names + shapes)}) {{
      api_version = 4 : i32,
      backend_config = {{}},
      indices_of_shape_operands = {_dense(where)} : tensor<{len(where)}xi64>,
      operand_layouts = [{_list(map(_row_major, operands))}],
      result_layouts = [{_list(map(_row_major, results))}]
    }} : ({_list(map(_type, operands))}) -> ({_list(map(_type, results))})
    return {_list(f"%result#{i}" for i in range(len(results)))} : {_list(map(_type, results))}
  }}
}}"""


def _shape(name: str, shape: list[int | None]) -> str:
    """A vector of these sizes; a None, the first one, is %n."""
    vector = f"tensor<{len(shape)}xi64>"
    if None not in shape:
        return f"{name} = stablehlo.constant {_dense(shape)} : {vector}"
    if len(shape) == 1:
        return f"{name} = stablehlo.reshape %n : (tensor<i64>) -> {vector}"
    rest = f"tensor<{len(shape) - 1}xi64>"
    return f"""{name}_n = stablehlo.reshape %n : (tensor<i64>) -> tensor<1xi64>
    {name}_rest = stablehlo.constant {_dense(shape[1:])} : {rest}
    {name} = stablehlo.concatenate {name}_n, {name}_rest, dim = 0 : (tensor<1xi64>, {rest}) -> {vector}"""


def _type(value: Value) -> str:
    sizes = "".join(f"{'?' if size is None else size}x" for size in value.shape)
    return f"tensor<{sizes}{_DTYPES[value.dtype]}>"


def _row_major(value: Value) -> str:
    rank = len(value.shape)
    return f"{_dense(reversed(range(rank)))} : tensor<{rank}xindex>"


def _dense(numbers: Iterable[int | None]) -> str:
    listed = list(numbers)
    return f"dense<{listed}>" if listed else "dense<>"


def _list(items: Iterable[str]) -> str:
    return ", ".join(items)


# --- registration --------------------------------------------------------------------------------


@functools.cache
def why_not(library: ctypes.CDLL, register: str = "tfkm_register_ffi") -> str:
    """Registers this library's handlers, by its function `register`. Why they cannot be called;
    empty if they can."""
    try:
        from tfkm.tensorflow_private import xla_call_module  # noqa: F401

        function = getattr(library, register)
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_char_p
        refusal = function(tensorflow_private.xla_ffi_api())
    except Exception as error:  # whatever a foreign TensorFlow may raise is the reason
        return f"{type(error).__name__}: {error}"
    return f"XLA refuses the kernels: {refusal.decode()}" if refusal else ""
