"""Callbacks: the events that a fit reports while it runs, and how to stop it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from tfkm.types import Pass, Result, Tell

__all__ = ["Callback", "Progress", "Seeded", "ShardDone", "Step"]


class Seeded(NamedTuple):
    """What `Callback.on_seed` is told when a restart has its first centroids.

    Attributes:
        start: The number of the restart, from 0.
        seconds: Time since the fit began.

    Examples:
        >>> from tfkm.callbacks import Seeded
        >>> Seeded(start=0, seconds=0.25)
        Seeded(start=0, seconds=0.25)
    """

    start: int
    seconds: float


class ShardDone(NamedTuple):
    """What `Callback.on_shard` is told when a part of a pass over a stream is done.

    Attributes:
        phase: "scan" (the first pass), "seed", "pass", or "farthest" (the search for points to give
            to empty clusters).
        shard: The number of the shard, from 0.
        shards: How many shards there are; None if that is not known yet.
        done: How many points of this pass are done.
        points: How many points the stream has; None if that is not known yet.
        seconds: Time since the pass began, or since it went on from a checkpoint.
        before: How many points were done when it went on from a checkpoint.

    Examples:
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
        """Return the rate of this pass so far."""
        return (self.done - self.before) / self.seconds if self.seconds else float("inf")

    @property
    def seconds_left(self) -> float | None:
        """Return the time left of this pass at this rate; None if its length is not known."""
        return None if self.points is None else (self.points - self.done) / self.points_per_second


class Step(NamedTuple):
    """What `Callback.on_step` is told, some twenty times a second, of how far a phase is.

    Attributes:
        phase: As in `ShardDone`.
        done: How many units are done.
        total: How many units there are; None if that is not known.
        unit: "points", "centroids" (chosen by a seeding), "rounds" (of k-means‖) or "steps".
        start: The number of the restart, from 0; None where several share a pass.
        starts: How many restarts there are; None where several share a pass.
        before: How many points were done when the pass went on from a checkpoint.

    Examples:
        >>> from tfkm.callbacks import Step
        >>> Step("seed", 50, 200, "centroids", start=0, starts=10).share
        0.25
    """

    phase: str
    done: int
    total: int | None
    unit: str
    start: int | None = None
    starts: int | None = None
    before: int = 0

    @property
    def share(self) -> float | None:
        """Return the share of the phase that is done, 0 to 1; None if its length is not known."""
        return self.done / self.total if self.total else None


class Callback:
    """Told what a fit does. Derive from it and define the methods that you want to hear.

    No method can change the result, with one exception: if `on_shard` or `on_pass` returns True,
    the restart ends after that pass with `Status.STOPPED`. An exception in a method ends the fit.

    Examples:
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
        """Hear that a restart has its first centroids."""

    def on_step(self, done: Step) -> None:
        """Hear that a phase has come a little further.

        The same progress may be told twice, and some of it may be left out. While the compiled
        k-means++ runs, this is called on a thread of its own.
        """

    def on_shard(self, done: ShardDone) -> bool | None:
        """Hear that a part of a pass over a stream is done. Return True to stop after this pass."""

    def on_pass(self, done: Pass) -> bool | None:
        """Hear that a restart has made a pass. Return True to stop after it."""

    def on_end(self, result: Result) -> None:
        """Hear that the fit is done. It is not called if the fit failed."""

    def close(self) -> None:
        """Hear, last of all, that the fit is over; it may have failed."""


class Callbacks:
    """Several callbacks as one."""

    def __init__(self, callbacks: Iterable[Callback] | Callback | None = ()) -> None:
        """Check the callbacks.

        Args:
            callbacks: Several callbacks, a single one, or None.

        Raises:
            TypeError: One is not a `Callback`.
        """
        if callbacks is None:
            callbacks = ()
        several = not isinstance(callbacks, str) and isinstance(callbacks, Iterable)
        self._all: list[Any] = list(callbacks) if several else [callbacks]  # type: ignore[arg-type]
        for one in self._all:
            if isinstance(one, type) and issubclass(one, Callback):
                raise TypeError(
                    f"callbacks: the class {one.__name__}; it needs an instance: {one.__name__}()"
                )
            if not isinstance(one, Callback):
                raise TypeError(f"callbacks: {one!r}; each has to be a tfkm.Callback")
        self._stopping, self._began = False, time.perf_counter()

    def __bool__(self) -> bool:
        return bool(self._all)

    def on_seed(self, start: int) -> None:
        for one in self._all:
            one.on_seed(Seeded(start, time.perf_counter() - self._began))

    def on_step(self, done: Step) -> None:
        for one in self._all:
            one.on_step(done)

    def seeding(self, start: int, starts: int) -> Tell | None:
        """Return a function that reports the progress of seeding a restart; None if nobody listens."""
        if not self._all:
            return None

        def tell(done: int, total: int | None, unit: str) -> None:
            self.on_step(Step("seed", done, total, unit, start, starts))

        tell(0, None, "steps")
        return tell

    def on_shard(self, done: ShardDone) -> None:
        for one in self._all:
            self._stopping |= bool(one.on_shard(done))

    def on_pass(self, done: Pass) -> bool:
        """Report a pass, and return whether a callback wants to stop."""
        for one in self._all:
            self._stopping |= bool(one.on_pass(done))
        stopping, self._stopping = self._stopping, False
        return stopping

    def on_end(self, result: Result) -> None:
        for one in self._all:
            one.on_end(result)

    def close(self) -> None:
        for one in self._all:
            one.close()


class Progress(Callback):
    """Show how far a fit is as a bar of tqdm, in a terminal or a notebook.

    The bar names the phase (scan, seeding, pass) and the restart. It shows the share of the phase
    that is done, the time taken and the time left, and inertia and shift of the pass before. It
    stays when the fit is done and then shows the result. Without a terminal or a notebook it is
    silent.

    Args:
        **options: Options of `tqdm.tqdm`, such as `file`, `disable` and `leave`.

    Examples:
        >>> import tfkm
        >>> model = tfkm.KMeans(8, callbacks=[tfkm.Progress()])
    """

    def __init__(self, **options) -> None:
        self._leave = options.pop("leave", True)
        self._options: dict[str, Any] = options
        self._reset()

    def on_step(self, done: Step) -> None:
        self._take(done)

    def _take(self, done: Step, shard: str | None = None) -> None:
        """Show a step, unless the bar already shows progress in a better unit."""
        if done.starts is not None:
            self._start, self._starts = done.start or 0, done.starts
        shown = self._unit if self._phase == "seed" else ""
        if done.phase == "seed" and done.unit == "rounds":
            self._round = f", round {done.done + 1} of {done.total}"
            if done.done == done.total:
                self._round = ", weighing candidates"
            if shown == "points":  # points say more than the number of the round
                return
        elif done.phase == "seed" and done.unit == "points" and shown == "centroids":
            return  # the share of all centroids says more than the points read for one of them
        elif done.unit != "points":
            self._round = ""
        self._show(done, shard)

    def on_shard(self, done: ShardDone) -> None:
        shards = "?" if done.shards is None else f"{done.shards:,}"
        shard = None if done.shards == 1 else f"shard {done.shard + 1:,} of {shards}"
        self._take(Step(done.phase, done.done, done.points, "points", before=done.before), shard)

    def on_seed(self, done: Seeded) -> None:
        self._round = ""
        if done.start + 1 == self._starts:
            self._start = 0
            self._show(Step("pass", 0, None, "passes"))

    def on_pass(self, done: Pass) -> None:
        self._start, self._pass = done.start, done.iteration
        self._ended += done.status is not None
        self._found = f"inertia {done.inertia:.6g}, shift {done.shift:.3g}"
        if self._unit == "points":  # points of the next pass get a bar of their own
            self._describe()
            self._renewed = True
        else:
            done_before = self._bar.n if self._phase == "pass" else 0
            self._show(Step("pass", done_before + 1, None, "passes"))

    def on_end(self, result: Result) -> None:
        if self._bar is not None:
            self._bar.leave = self._leave
            self._bar.set_description_str("done", refresh=False)
            said = f"{result.n_iter} passes, inertia {result.inertia:.6g}"
            self._bar.set_postfix_str(said, refresh=False)
            self._finish()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._reset()

    def _reset(self) -> None:
        self._bar: Any = None
        self._phase, self._unit, self._renewed = "", "", False  # describe the bar
        self._round, self._shard, self._found = "", "", ""  # texts beside the bar
        self._start, self._starts, self._pass = 0, 1, 0
        self._ended: int = 0

    def _show(self, step: Step, shard: str | None = None) -> None:
        """Move the bar to a step; start a new bar for another phase, unit or pass."""
        bar, same = self._bar, (step.phase, step.unit) == (self._phase, self._unit)
        self._phase, self._unit = step.phase, step.unit
        if bar is None or not same or self._renewed or bar.total != step.total or step.done < bar.n:
            self._shard = ""
            bar = self._begin(step)
        self._renewed = False
        self._shard = self._shard if shard is None else shard
        self._describe()
        bar.update(step.done - bar.n)

    def _begin(self, step: Step) -> Any:
        """The bar for a phase: that of the phase before, since a notebook keeps a line for each bar."""
        description, bar = self._description(), self._bar
        units = dict(unit=f" {step.unit}", unit_scale=step.unit == "points") | {
            name: self._options[name] for name in ("unit", "unit_scale") if name in self._options
        }
        if bar is None:
            options = {"miniters": 1} | _where() | self._options | units
            about = dict(desc=description, total=step.total, initial=step.before, leave=False)
            self._bar = _tqdm()(**options, **about)
            return self._bar
        vars(bar).update(units, initial=step.before, total=None)
        bar.set_description_str(description, refresh=False)
        bar.set_postfix_str("", refresh=False)
        bar.reset(step.total)
        bar.n = step.before
        if step.total is None and hasattr(bar, "container"):
            filled = bar.container.children[1]  # as tqdm makes it where there is no total
            filled.max, filled.bar_style, filled.layout.width = 1, "info", "20px"
        return bar

    def _describe(self) -> None:
        self._bar.set_description_str(self._description(), refresh=False)
        shard = self._shard if self._unit == "points" else ""
        self._bar.set_postfix_str(", ".join(filter(None, (self._found, shard))), refresh=False)

    def _description(self) -> str:
        if self._phase == "scan":
            return "scan"
        name = {"seed": f"seeding{self._round}", "farthest": "filling empty clusters"}.get(
            self._phase, f"pass {self._pass + 1}"
        )
        if self._phase == "pass" and self._ended == self._starts:
            name = "inertia of the result"
        return f"start {self._start + 1} of {self._starts}, {name}" if self._starts > 1 else name

    def _finish(self) -> None:
        """Complete and close the bar, if there is one."""
        if self._bar is not None:
            if self._bar.total is not None:
                self._bar.update(self._bar.total - self._bar.n)
            self._bar.close()
        self._bar = None


def _tqdm() -> Any:
    """Return tqdm's class for a terminal or a notebook."""
    from tqdm.auto import tqdm

    return tqdm


def _where() -> dict[str, Any]:
    """Return options that show a bar only in a terminal and in a notebook.

    The output stream of a notebook is no terminal, so IPython is asked.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return {"disable": False if hasattr(shell, "kernel") else None}
