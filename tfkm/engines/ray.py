"""Workers of Ray, each of which reads its own shards: pip install 'tfkm[ray]'."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

from tfkm import checks, threads
from tfkm.engines.ordered import in_order
from tfkm.seeding.draws import Shard
from tfkm.streams import Source, Stream
from tfkm.streams.stream import OneProcess, Task

_TRIES = 4  # for a shard whose worker is lost, since the shard may be the cause


class Ray:
    """Fit on workers of Ray, on one machine or many; the `engine` of a fit.

    Ray starts a worker again that was killed, and its shard is computed again with the same bits,
    because the result of a shard depends on the shard alone. If a node is lost, its workers start
    elsewhere; those without room join when a node does. Only results of shards travel, of size k·d.
    Centroids go once to each node.

    The points have to be NumPy or Parquet files that all workers can read, or a
    `tfkm.streams.Source` that can be pickled and knows its length, because a worker begins in the
    middle. An array goes once to each node; one that maps a whole NumPy file goes by its path.

    Args:
        workers: How many actors, each with its own reader; None for one for each CPU of the
            cluster, counted before each pass.
        cpus: How many CPUs each worker has and computes with.
        gpus: How many GPUs each worker has; name a backend that uses them.
        address: Of a cluster that runs already; None for the one that is connected, or else one
            that Ray starts on this machine with room for all workers.
        wait: How many seconds to wait for a result, or for the first worker, before the fit ends
            with an error; None to wait as long as it takes.

    Raises:
        ImportError: Ray is not installed.

    Examples:
        >>> import tfkm
        >>> tfkm.KMeans(8, init="k-means||", engine=tfkm.Ray(workers=4))
        KMeans(engine=Ray(workers=4), init='k-means||')
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        cpus: int = 1,
        gpus: float = 0,
        address: str | None = None,
        wait: float | None = 600,
    ) -> None:
        if workers is not None:
            checks.check_number("workers", workers, Integral, 1, " or None")
        checks.check_number("cpus", cpus, Integral, 1)
        checks.check_number("gpus", gpus, Real, 0)
        self.workers, self.cpus, self.gpus, self.address, self.wait = (
            workers,
            cpus,
            gpus,
            address,
            wait,
        )

    def __repr__(self) -> str:
        default = dict(workers=None, cpus=1, gpus=0, address=None, wait=600)
        given = {name: value for name, value in vars(self).items() if value != default[name]}
        return f"Ray({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def __call__(self, stream: Stream) -> _Workers:
        """Return the engine for a stream.

        Raises:
            ImportError: Ray is not installed.
            ValueError: Workers could not read the stream.
        """
        try:
            import ray
        except ImportError as error:
            raise ImportError("engine: Ray is not installed: pip install 'tfkm[ray]'") from error
        stream.check_shareable()
        if not ray.is_initialized():
            room: dict[str, Any] = {}
            # Ray will start a new cluster.
            if self.address is None and "RAY_ADDRESS" not in os.environ:
                wanted = (self.workers or 1) * self.cpus
                room = {"num_cpus": max(os.cpu_count() or 1, wanted)}
            ray.init(address=self.address, log_to_driver=False, include_dashboard=False, **room)
        return _Workers(stream, self)


class _Workers(OneProcess):
    """An `Engine` of Ray actors.

    A worker gets shards once it has answered. After it was lost it has to answer again.
    """

    local = False

    def __init__(self, stream: Stream, settings: Ray) -> None:
        import ray

        self._settings, self._chunk = settings, stream.chunk
        # Ray's own retries would wait for resources that may never be free.
        actor: Any = ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_restarts=-1, max_task_retries=0
        )
        self._class, self._source = actor(_Worker), ray.put(stream.source)
        self._actors: list[Any] = []
        self._asked: dict[Any, int] = {}  # unanswered calls, with the worker of each

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """Run the task on all workers, see `Engine.run`.

        The worker with the fewest shards takes the next one; each has a few shards in its queue.
        """
        import ray

        self._hire()
        task_once = ray.put(task)

        def submit(worker: int, shard: Shard) -> Any:
            return self._actors[worker].run.remote(task_once, shard)

        for shard, worker, pending in in_order(shards, self._ready, submit):
            for left in reversed(range(_TRIES)):
                try:
                    result = ray.get(pending, timeout=self._settings.wait)
                    break
                except ray.exceptions.GetTimeoutError as error:
                    raise TimeoutError(
                        f"engine: shard {shard.number} is not done after {self._settings.wait} s of "
                        "waiting for it"
                    ) from error
                except ray.exceptions.RayTaskError as error:
                    # The error that the source or the task raised in the worker.
                    raise error.cause from error
                except _lost() as error:
                    if not left:
                        raise RuntimeError(
                            f"engine: shard {shard.number} was lost with its worker {_TRIES} times: "
                            f"{_said(error)}"
                        ) from error
                    self._ask(worker)
                    worker = self._ready()[0]
                    pending = submit(worker, shard)
            yield shard, result

    def close(self) -> None:
        """Kill the workers.

        A worker that is just being restarted would never end, because the objects it starts from
        are freed.
        """
        import ray

        for actor in self._actors:
            ray.kill(actor)

    def _hire(self) -> None:
        """Create workers up to the wanted number; Ray starts each when there is room for it."""
        import ray

        cpus = self._settings.cpus
        count = self._settings.workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)
        for worker in range(len(self._actors), count):
            self._actors.append(self._class.remote(self._source, self._chunk, cpus))
            self._ask(worker)

    def _ask(self, worker: int) -> None:
        """Ask a worker for an answer, unless it has been asked already."""
        if worker not in self._asked.values():
            answer = self._actors[worker].answer.options(max_task_retries=-1).remote()
            self._asked[answer] = worker

    def _ready(self) -> list[int]:
        """Return the workers that have answered; wait for the first one if there is none."""
        import ray

        wait, asked = self._settings.wait, list(self._asked)
        alone = len(asked) == len(self._actors)
        if asked:
            most = 1 if alone else len(asked)
            for answer in ray.wait(asked, num_returns=most, timeout=wait if alone else 0)[0]:
                try:
                    ray.get(answer)
                except ray.exceptions.RayError as error:
                    raise RuntimeError(f"engine: a worker cannot start: {_said(error)}") from error
                del self._asked[answer]
        ready = sorted(set(range(len(self._actors))) - set(self._asked.values()))
        if not ready:
            have = int(ray.cluster_resources().get("CPU", 0))
            raise TimeoutError(
                f"engine: no worker has started after {wait} s; each takes {self._settings.cpus} CPUs and "
                f"{self._settings.gpus} GPUs, the cluster has {have} CPUs"
            )
        return ready


class _Worker:
    """A worker in a process of its own."""

    def __init__(self, source: Source, chunk: int, cpus: int) -> None:
        threads.set_limit(cpus)
        # Read when TensorFlow is loaded, if it ever is.
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(cpus)
        self._stream = Stream(source, chunk)

    def answer(self) -> None:
        """Return, which shows that the worker runs."""

    def run(self, task: Task, shard: Shard) -> Any:
        return self._stream.done(task, shard)


def _lost() -> tuple[type[Exception], ...]:
    """Return the errors of Ray that mean that a worker, its node or its result is lost."""
    from ray import exceptions as e

    return (
        e.RayActorError,
        e.ObjectLostError,
        e.WorkerCrashedError,
        e.NodeDiedError,
        e.OutOfMemoryError,
    )


def _said(error: Exception) -> str:
    """Return the message of an error in one line.

    If a worker failed to start, this is its own error, which is in the last line.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1 if "creation task" in lines[0] else 0] if lines else type(error).__name__
