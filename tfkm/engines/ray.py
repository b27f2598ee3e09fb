"""Workers of Ray, each of which reads its own shards: pip install 'tfkm[ray]'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

from tfkm.engines.ordered import in_order
from tfkm.ops import validate
from tfkm.seeding.draws import Shard
from tfkm.streams import Source, Stream
from tfkm.streams.stream import Task


class Ray:
    """An engine for `tfkm.kmeans` and `KMeans`: actors of Ray on one machine or many.

    A worker that is killed is started again by Ray, and what it was at is done again, with the same
    bits: a shard's result depends on the shard alone. Only results of shards travel, of size k·d;
    centroids go once to each node.

    Args:
      workers: how many actors, each with its own reader; None for one for each CPU of the cluster.
      cpus: of each worker, which it also computes with.
      address: of a cluster that runs already; None for one that Ray starts on this machine, or that is
        connected.
      wait: seconds for a result before the fit ends with an error: Ray starts lost workers again, but
        waits for lost nodes. None to wait as long as it takes.

    The points have to be files (.npy, Parquet) that all workers can read, or a `Source` of yours that
    can be pickled and that knows its length: a worker begins in the middle.

    Raises: ImportError if Ray is not installed.

    >>> import tfkm
    >>> tfkm.KMeans(8, init="k-means||", engine=tfkm.Ray(workers=4))
    KMeans(engine=Ray(workers=4), init='k-means||')
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        cpus: int = 1,
        address: str | None = None,
        wait: float | None = None,
    ) -> None:
        if workers is not None:
            validate.check_number("workers", workers, Integral, 1, " or None")
        validate.check_number("cpus", cpus, Integral, 1)
        self.workers, self.cpus, self.address, self.wait = workers, cpus, address, wait

    def __repr__(self) -> str:
        default = dict(workers=None, cpus=1, address=None, wait=None)
        given = {name: value for name, value in vars(self).items() if value != default[name]}
        return f"Ray({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def __call__(self, stream: Stream) -> _Workers:
        """The workers. Raises: ValueError if they could not read the stream."""
        try:
            import ray
        except ImportError as error:
            raise ImportError("engine: Ray is not installed: pip install 'tfkm[ray]'") from error
        stream.check_shareable()
        if not ray.is_initialized():
            ray.init(address=self.address, log_to_driver=False, include_dashboard=False)
        count = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // self.cpus)
        return _Workers(stream, count, self.cpus, self.wait)


class _Workers:
    """An `Engine`."""

    leads = True

    def __init__(self, stream: Stream, count: int, cpus: int, wait: float | None) -> None:
        import ray

        remote: Any = ray.remote(num_cpus=cpus, max_restarts=-1, max_task_retries=-1)(_Worker)
        self._actors = [remote.remote(stream.source, stream.chunk, cpus) for _ in range(count)]
        self._wait = wait

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """As `Engine.run`: the worker with the fewest shards takes the next one, some shards ahead."""
        import ray

        task_once = ray.put(task)

        def submit(worker: int, shard: Shard) -> Any:
            return self._actors[worker].run.remote(task_once, shard)

        for shard, _, pending in in_order(shards, len(self._actors), submit):
            try:
                result = ray.get(pending, timeout=self._wait)
            except ray.exceptions.GetTimeoutError as error:
                raise TimeoutError(
                    f"engine: shard {shard.number} is not done after {self._wait} s of waiting for it"
                ) from error
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error  # what the source or the task raised there
            yield shard, result


class _Worker:
    """In a process of its own."""

    def __init__(self, source: Source, chunk: int, cpus: int) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(cpus)
        self._stream = Stream(source, chunk)

    def run(self, task: Task, shard: Shard) -> Any:
        return self._stream.done(task, shard)
