"""What a fit tells while it runs, and how to stop it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from tfkm.types import Pass, Result

__all__ = ["Callback", "Progress", "Seeded", "ShardDone"]


class Seeded(NamedTuple):
    """What `Callback.on_seed` is told: a start has its first centroids.

    start: its number, from 0. seconds: since the fit began.

    >>> from tfkm.callbacks import Seeded
    >>> Seeded(start=0, seconds=0.25)
    Seeded(start=0, seconds=0.25)
    """

    start: int
    seconds: float


class ShardDone(NamedTuple):
    """What `Callback.on_shard` is told: a part of a pass over a stream is done.

    phase: "scan" (the first pass), "seed", "pass" or "farthest" (points for empty clusters). shard: its
    number, from 0. shards, points: of the whole, None if not known yet. done: points of this pass so
    far. seconds: since the pass began, or went on behind the first `before` points.

    >>> from tfkm.callbacks import ShardDone
    >>> done = ShardDone("pass", shard=0, shards=4, done=100, points=400, seconds=2.0)
    >>> done.points_per_second, done.seconds_left
    (50.0, 6.0)
    """

    phase: str
    shard: int
    shards: int | None
    done: int
    points: int | None
    seconds: float
    before: int = 0

    @property
    def points_per_second(self) -> float:
        """Of this pass, so far."""
        return (self.done - self.before) / self.seconds if self.seconds else float("inf")

    @property
    def seconds_left(self) -> float | None:
        """Of this pass, at the rate so far; None if its length is not known."""
        return None if self.points is None else (self.points - self.done) / self.points_per_second


class Callback:
    """Told what a fit does; derive from it and define what you want to hear.

    Nothing that a method does shows in the result, but that a True from `on_shard` or `on_pass` ends the
    start after that pass, as `Status.STOPPED`. An exception ends the fit.

    >>> import numpy as np, tfkm
    >>> class Enough(tfkm.Callback):
    ...     def on_pass(self, done):
    ...         return done.inertia < 30
    >>> x = np.random.default_rng(0).random((200, 2))
    >>> tfkm.kmeans(x, 3, random_state=0, callbacks=[Enough()]).status.name
    'STOPPED'
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def on_seed(self, done: Seeded) -> None:
        """A start has its first centroids."""

    def on_shard(self, done: ShardDone) -> bool | None:
        """A part of a pass over a stream is done."""

    def on_pass(self, done: Pass) -> bool | None:
        """A start has made a pass."""

    def on_end(self, result: Result) -> None:
        """The fit is done; not called if it failed."""


class Callbacks:
    """Several as one. stopping: whether one has asked for an end since the last pass."""

    def __init__(self, callbacks: Iterable[Callback] | Callback | None = ()) -> None:
        """callbacks: several, one alone, or None for none. Raises: TypeError if one is no `Callback`."""
        if callbacks is None:
            callbacks = ()
        self._all: list[Any] = [*callbacks] if isinstance(callbacks, Iterable) else [callbacks]
        for one in self._all:
            if isinstance(one, type) and issubclass(one, Callback):
                raise TypeError(
                    f"callbacks: the class {one.__name__}; it needs one made: {one.__name__}()"
                )
            if not isinstance(one, Callback):
                raise TypeError(f"callbacks: {one!r}; each has to be a tfkm.Callback")
        self._stopping, self._began = False, time.perf_counter()

    def __bool__(self) -> bool:
        return bool(self._all)

    def on_seed(self, start: int) -> None:
        for one in self._all:
            one.on_seed(Seeded(start, time.perf_counter() - self._began))

    def on_shard(self, done: ShardDone) -> None:
        for one in self._all:
            self._stopping |= bool(one.on_shard(done))

    def on_pass(self, done: Pass) -> bool:
        """Whether to stop."""
        for one in self._all:
            self._stopping |= bool(one.on_pass(done))
        stopping, self._stopping = self._stopping, False
        return stopping

    def on_end(self, result: Result) -> None:
        for one in self._all:
            one.on_end(result)


class Progress(Callback):
    """A line on the terminal, by tqdm: the pass, its points and the time left of it, points/s, inertia.

    Args:
      options: of `tqdm.tqdm`, as `file` and `disable`; without a terminal it is silent.

    >>> import tfkm
    >>> model = tfkm.KMeans(8, callbacks=[tfkm.Progress()])
    """

    def __init__(self, **options) -> None:
        defaults = dict(unit=" points", unit_scale=True, leave=False, disable=None)
        self._options: dict[str, Any] = defaults | options
        self._bar: Any = None
        self._phase, self._passes, self._inertia = "", 0, ""

    def on_shard(self, done: ShardDone) -> None:
        if done.shard == 0 or self._bar is None or done.phase != self._phase:
            self._close()
            from tqdm import tqdm

            self._phase = done.phase
            self._bar = tqdm(total=done.points, initial=done.before, **self._options)
            name = f"pass {self._passes + 1}" if done.phase == "pass" else done.phase
            self._bar.set_description(f"{name}{self._inertia}", refresh=False)
        shards = "?" if done.shards is None else f"{done.shards:,}"
        self._bar.set_postfix_str(f"shard {done.shard + 1:,} of {shards}", refresh=False)
        self._bar.update(done.done - self._bar.n)

    def on_pass(self, done: Pass) -> None:
        self._passes, self._inertia = done.iteration, f", inertia {done.inertia:.6g}"

    def on_end(self, result: Result) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
