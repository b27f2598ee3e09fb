"""The processes of a tf.distribute cluster, each of which reads its own shards."""

from __future__ import annotations

import functools
import itertools
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from tfkm.seeding.draws import Shard
from tfkm.streams import Stream
from tfkm.streams.stream import Task

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class MultiWorker:
    """Fit on the processes of a `MultiWorkerMirroredStrategy`; the `engine` of a fit.

    All processes make the same call and get the same result, that of the seed and settings of the
    first one. Each of W processes takes every W-th shard. All gather what the shards give, W·k·d·16
    bytes. Each process has its own callbacks; if one of them stops the fit, all stop.

    If a process is lost, the others end with a RuntimeError that names it: when its connection
    breaks (the page on streams has figures), or when TensorFlow misses its heartbeat after some 10
    s. They cannot go on without it. With `checkpoint_dir`, which the first process reads and
    writes, the same command goes on, with as many processes as there are then; `python -m
    tfkm.supervise` does so on one host.

    The points have to be NumPy or Parquet files that all processes can read, or a
    `tfkm.streams.Source` that knows its length.

    Args:
        strategy: Made as the first thing in the program, as TensorFlow wants it.

    Raises:
        TypeError: The strategy is of another kind.
        ValueError: The processes cannot share the points; from the fit.
        RuntimeError: A process was lost; from the fit.

    Examples:
        >>> import tensorflow as tf, tfkm
        >>> tfkm.MultiWorker(tf.distribute.OneDeviceStrategy("cpu:0"))
        Traceback (most recent call last):
          ...
        TypeError: strategy: <...OneDeviceStrategy object...>; it has to be a MultiWorker...
        >>> strategy = tf.distribute.MultiWorkerMirroredStrategy()  # doctest: +SKIP
        >>> engine = tfkm.MultiWorker(strategy)  # doctest: +SKIP
        >>> tfkm.KMeans(8, init="k-means||", engine=engine).fit("points/*.npy")  # doctest: +SKIP
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise TypeError(f"strategy: {strategy!r}; it has to be a MultiWorkerMirroredStrategy")
        self.strategy = strategy

    def __call__(self, stream: Stream) -> _Processes:
        """Return the engine for a stream.

        Raises:
            ValueError: The stream cannot be read from its middle.
        """
        stream.check_shareable()
        return _Processes(stream, self.strategy)


class _Processes:
    """An `Engine` of the processes of a cluster."""

    local = False

    def __init__(self, stream: Stream, strategy: tf.distribute.Strategy) -> None:
        self._stream, self._strategy = stream, strategy
        resolver = strategy.cluster_resolver
        spec = resolver.cluster_spec().as_dict() if resolver.cluster_spec() else {}
        names = [(kind, i) for kind in ("chief", "worker") for i in range(len(spec.get(kind, [])))]
        own = (resolver.task_type, resolver.task_id)
        self._rank = names.index(own) if own in names else 0
        self._count = max(1, len(names))
        self._others = {
            f"{kind} {i} ({spec[kind][i]})": spec[kind][i] for kind, i in names if (kind, i) != own
        }
        self.leads = self._rank == 0
        any_words = tf.TensorSpec([1, None], tf.int64)
        self._gather = tf.function(self._gather_in_graph, input_signature=[any_words])

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """Run the task on one shard for each process at a time, see `Engine.run`."""
        left = iter(shards)
        while some := list(itertools.islice(left, self._count)):
            results = self.gathered(functools.partial(self._own, task, some))
            yield from zip(some, results, strict=False)

    def _own(self, task: Task, some: list[Shard]) -> Any:
        """Return the result of this process's shard; None if there is no shard left for it."""
        return self._stream.done(task, some[self._rank]) if self._rank < len(some) else None

    def close(self) -> None:
        """Do nothing: the processes end with their programs."""

    def gathered(self, do: Callable[[], Any]) -> list[Any]:
        """Return the results of all processes, see `Engine.gathered`."""
        try:
            own = pickle.dumps(do())
        # Raised in all processes; otherwise the others would wait for this one.
        except Exception as error:
            own = pickle.dumps(_portable(error))
        results = self._all_of(own)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def _all_of(self, own: bytes) -> list[Any]:
        """Return the objects pickled by all processes, in their order."""
        own += bytes(-len(own) % 8)  # pickle ignores bytes after its end
        words = np.frombuffer(own, np.int64)
        try:
            most = self._all(np.array([[words.size]])).max()
            padded = np.zeros((1, most), np.int64)
            padded[0, : words.size] = words
            return [pickle.loads(part.tobytes()) for part in self._all(padded)]
        except _LOST as error:
            raise RuntimeError(
                f"engine: a process of the {self._count} was lost: {self._lost(error)}; start all of them "
                "again; a fit with checkpoint_dir continues"
            ) from error

    def _lost(self, error: tf.errors.OpError) -> str:
        """Return the names of the processes that do not answer, or else what TensorFlow reports.

        TensorFlow also notices a process that accepts connections but hangs.
        """
        with ThreadPoolExecutor(max(1, len(self._others))) as asking:
            answers = asking.map(_answers, self._others.values())
            gone = [
                name for name, is_there in zip(self._others, answers, strict=True) if not is_there
            ]
        said = [line.strip() for line in error.message.splitlines() if "/task:" in line]
        return ", ".join(gone) or "; ".join(said) or error.message.partition("\n")[0]

    def _all(self, own: np.ndarray) -> np.ndarray:
        """Return (count, …), the arrays (1, …) of all processes together."""
        parts = self._gather(tf.constant(own))
        return self._strategy.experimental_local_results(parts)[0].numpy()

    def _gather_in_graph(self, own: tf.Tensor):
        def one(value: tf.Tensor) -> tf.Tensor:
            # Without the identity, all_gather of a bare argument fails: "destinations can not be
            # empty".
            return tf.distribute.get_replica_context().all_gather(tf.identity(value), axis=0)

        return self._strategy.run(one, args=(own,))


def _portable(error: Exception) -> Exception:
    """Return the error, or a RuntimeError with its text if it cannot be pickled."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error))


def _answers(address: str) -> bool:
    """Return whether something accepts connections at this address."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True
