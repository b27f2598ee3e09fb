"""The devices of one host, each of which reads and computes its own shards."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from tfkm.engines.ordered import in_order
from tfkm.seeding.draws import Shard
from tfkm.streams import Stream
from tfkm.streams.stream import OneProcess, Task


class Mirrored:
    """Fit on the devices of a `MirroredStrategy`; the `engine` of a fit.

    Each device has a thread and a reader of its own, and takes one shard of the points after the
    other. What shards give adds up exactly, so the result has the same bits as on one device.
    Devices compute by the backend that is chosen, which has to be one for their kind: "xla" or
    "cuda" for GPUs.

    The points have to be an array, NumPy or Parquet files, or a `tfkm.streams.Source` that knows
    its length, because a device begins in the middle. It has been run on logical CPUs, not yet on
    several GPUs.

    Args:
        strategy: Names the devices to use; made without arguments, all of this host.

    Raises:
        TypeError: The strategy is of another kind.

    Examples:
        >>> import numpy as np, tensorflow as tf, tfkm
        >>> x = np.float32([[0], [1], [10], [11]])
        >>> engine = tfkm.Mirrored(tf.distribute.MirroredStrategy(["CPU:0"]))
        >>> float(tfkm.kmeans(x, 2, random_state=0, engine=engine, backend="xla").inertia)
        1.0
        >>> tfkm.Mirrored(tf.distribute.OneDeviceStrategy("cpu:0"))
        Traceback (most recent call last):
          ...
        TypeError: strategy: <...OneDeviceStrategy object...>; it has to be a MirroredStrategy
    """

    def __init__(self, strategy: tf.distribute.MirroredStrategy) -> None:
        if not isinstance(strategy, tf.distribute.MirroredStrategy):
            raise TypeError(f"strategy: {strategy!r}; it has to be a MirroredStrategy")
        self.strategy = strategy

    def __call__(self, stream: Stream) -> _Devices:
        """Return the engine for a stream.

        Raises:
            ValueError: The stream cannot be read from its middle.
        """
        stream.check_shareable()
        return _Devices(stream, self.strategy.extended.worker_devices)


class _Devices(OneProcess):
    """An `Engine` with one thread for each device.

    `strategy.run` was not used: outside of a graph its replicas run one after the other.
    """

    def __init__(self, stream: Stream, names: Iterable[str]) -> None:
        self._stream, self._names = stream, tuple(names)

    def run(self, task: Task, shards: Iterable[Shard]) -> Generator[tuple[Shard, Any], None, None]:
        """Run the task on all devices at once, see `Engine.run`."""
        threads = [ThreadPoolExecutor(1, f"tfkm on {name}") for name in self._names]

        def submit(worker: int, shard: Shard) -> Future:
            return threads[worker].submit(self._done, self._names[worker], task, shard)

        try:
            for shard, _, pending in in_order(shards, lambda: range(len(threads)), submit):
                yield shard, pending.result()
        finally:
            for thread in threads:
                thread.shutdown(cancel_futures=True)

    def _done(self, name: str, task: Task, shard: Shard) -> Any:
        with tf.device(name):
            return self._stream.done(task, shard)
