"""The progress of a fit of a stream, converted to the arrays of a checkpoint and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfkm import exact
from tfkm.lloyd.iteration import End, State
from tfkm.saving import fields
from tfkm.streams.passes import Partial, StreamPasses, Unfinished
from tfkm.types import ExactStatistics, Status, Words

Arrays = dict[str, np.ndarray]


class Loop(NamedTuple):
    """The state of the loop over one group of restarts, which run together.

    Attributes:
        first: The number of the group's first restart.
        best: The best result of the earlier groups, in a list, which is empty for the first group.
        state: The state between two passes.
        runs: (a,) the runs that made the last pass.
        before: (a, …) their labels in it, see `StreamPasses`; None before the first pass.
        unfinished: The part of the next pass that is done, or None.
    """

    first: int
    best: list[End]
    state: State
    runs: np.ndarray
    before: np.ndarray | None
    unfinished: Unfinished | None

    @classmethod
    def of(
        cls, first: int, best: list[End], state: State, passes: StreamPasses, unfinished=None
    ) -> Loop:
        """Return the loop with the labels that `passes` holds."""
        return cls(first, best, state, passes.runs, passes.before, unfinished)

    def hand_to(self, passes: StreamPasses) -> None:
        """Give the labels and the unfinished pass to `passes`, which continues from there."""
        passes.runs, passes.before, passes.unfinished = self.runs, self.before, self.unfinished


def to_arrays(entries: list[Arrays], loop: Loop | None) -> Arrays:
    """Return the arrays of a checkpoint, from the entries of the journal and the loop."""
    arrays = {f"step/{i}/{name}": a for i, entry in enumerate(entries) for name, a in entry.items()}
    if loop is None:
        return arrays
    state, ends = loop.state, dict(loop.state.ends) | {-1 - i: e for i, e in enumerate(loop.best)}
    arrays |= {
        "loop/first": np.array(loop.first),
        "loop/passes": state.passes,
        "loop/going": state.runs,
        "loop/centroids": state.centroids,
        "loop/runs": loop.runs,
    }
    if loop.before is not None:
        arrays["loop/before"] = loop.before
    for number, end in ends.items():
        arrays[f"end/{number}/centroids"] = end.centroids
        arrays[f"end/{number}/inertia"] = np.array(end.inertia)
        arrays[f"end/{number}/n_iter"] = np.array(end.n_iter)
        arrays[f"end/{number}/status"] = np.array(end.status.name)
    if loop.unfinished is not None:
        shards, partial = loop.unfinished
        arrays |= {"part/shards": np.array(shards), "part/labels": partial.labels}
        for word in ("high", "low"):
            own = getattr(partial.statistics, word)._asdict()
            arrays |= {f"part/{word}/{name}": array for name, array in own.items()}
        arrays["part/inertia"] = partial.statistics.inertia
    return arrays


def steps_of(arrays: Arrays) -> list[Arrays]:
    """Return the journal's entries from the arrays of a checkpoint."""
    steps = _grouped(arrays, "step/")
    fields.names(steps, *map(str, range(len(steps))))
    return [steps[str(i)] for i in range(len(steps))]


class Expected(NamedTuple):
    """The limits that a loop read from a checkpoint must keep.

    Attributes:
        firsts: The first restart of each group.
        n_init: Number of restarts.
        k: Number of clusters.
        d: Number of features.
        dtype: The dtype of the centroids.
        max_iter: The most passes of a restart.
        shards: Number of shards of a pass.
        weight: Upper bound of the weight of all points.
        largest: (d,) the greatest magnitude of each feature.
    """

    firsts: range
    n_init: int
    k: int
    d: int
    dtype: np.dtype
    max_iter: int
    shards: int
    weight: float
    largest: np.ndarray

    def loop(self, arrays: Arrays) -> Loop | None:
        """Return the loop from the arrays of a checkpoint, or None if they hold none.

        Raises:
            ValueError: A field is missing, unknown, or not what such a fit leaves; the message
                names it.
        """
        loop = {n: a for n, a in arrays.items() if not n.startswith("step/")}
        if not loop:
            return None
        ends = _grouped(loop, "end/")
        part = {n.removeprefix("part/"): a for n, a in loop.items() if n.startswith("part/")}
        optional = [n for n in loop if n == "loop/before" or n.startswith(("end/", "part/"))]
        wanted = ("first", "passes", "going", "centroids", "runs")
        fields.names(loop, *(f"loop/{name}" for name in wanted), *optional)
        first = fields.count("loop/first", loop["loop/first"])
        fields.check(first in self.firsts, "loop/first", "the first start of a group")
        count = min(self.firsts.step, self.n_init - first)
        going = _runs("loop/going", loop["loop/going"], count)
        passes = fields.array("loop/passes", loop["loop/passes"], "int64", len(going))
        said = f"numbers from 0 to {self.max_iter - 1}"
        fields.within("loop/passes", passes, 0, self.max_iter - 1, said)
        centroids = self._centroids("loop/centroids", loop["loop/centroids"], len(going))
        runs = _runs("loop/runs", loop["loop/runs"], count)
        fields.check(np.isin(going, runs).all(), "loop/runs", "all of loop/going")
        before = loop.get("loop/before")
        if before is not None:
            fields.array("loop/before", before, "int32", len(runs), 4 * self.shards)
        ended = sorted(set(range(count)) - set(going.tolist())) + [-1] * (first > 0)
        fields.names(
            {f"end/{name}": end for name, end in ends.items()}, *(f"end/{i}" for i in ended)
        )
        known = {run: self._end(f"end/{run}", ends[str(run)], run < 0) for run in ended}
        best = [known.pop(-1)] if first > 0 else []
        # Once all runs have ended, the last pass reads those whose inertia is still NaN.
        reading = len(going) or sum(np.isnan(end.inertia) for end in known.values())
        unfinished = self._unfinished(part, reading) if part else None
        return Loop(first, best, State(passes, going, centroids, known), runs, before, unfinished)

    def _centroids(self, name: str, value: Any, *leading: int) -> np.ndarray:
        return fields.rows(name, value, self.dtype.name, *leading, self.k, self.d)

    def _end(self, name: str, end: Arrays, measured: bool) -> End:
        """Return the result of a run; `measured` says that its inertia must be known."""
        with fields.of(f"{name}/"):
            fields.names(end, "centroids", "inertia", "n_iter", "status")
            inertia, status = end["inertia"], str(end["status"])
            is_number = inertia.shape == () and inertia.dtype == np.float64
            fits = is_number and (0 <= inertia < np.inf or (np.isnan(inertia) and not measured))
            fields.check(fits, "inertia", "a float64 ≥ 0" + ", or NaN" * (not measured))
            fields.check(
                status in Status.__members__, "status", "one of " + ", ".join(Status.__members__)
            )
            n_iter = fields.count("n_iter", end["n_iter"], 1, self.max_iter)
            centroids = self._centroids("centroids", end["centroids"])
        return End(centroids, None, float(inertia), n_iter, Status[status])

    def _unfinished(self, part: Arrays, runs: int) -> Unfinished:
        """Return the unfinished pass of this many runs."""
        with fields.of("part/"):
            words = [f"{word}/{name}" for word in ("high", "low") for name in Words._fields]
            fields.names(part, "shards", "labels", "inertia", *words)
            shards = fields.count("shards", part["shards"], 1, self.shards - 1)
            labels = fields.array("labels", part["labels"], "int32", runs, 4 * shards)
            digits = fields.array("inertia", part["inertia"], "float64", runs, exact.DIGITS)
            whole = (digits == np.rint(digits)).all()
            fields.check(
                whole and np.abs(digits).max(initial=0) < 2**53, "inertia", "integers below 2⁵³"
            )
            with np.errstate(over="ignore"):
                total = exact.total(digits)
            room = np.finfo(np.float64).max / 4  # for the shards that are still to be added
            fields.check(((total >= 0) & (total < room)).all(), "inertia", "a sum that is finite")
            high, low = (
                Words(
                    self._sums(
                        f"{word}/sums", part, (runs, self.k, self.d), self.weight * self.largest
                    ),
                    self._sums(f"{word}/weights", part, (runs, self.k), self.weight),
                )
                for word in ("high", "low")
            )
        return Unfinished(shards, Partial(ExactStatistics(high, low, digits), [labels]))

    def _sums(self, name: str, part: Arrays, shape: tuple[int, ...], most: Any) -> np.ndarray:
        """Return an array of sums, none greater in magnitude than the points can give."""
        array = fields.array(name, part[name], "float64", *shape)
        said = "no more than the points add up to"
        return fields.within(name, array, -2 * np.asarray(most), 2 * np.asarray(most), said)


def _runs(name: str, value: Any, count: int) -> np.ndarray:
    """Return (a,) int64, distinct run numbers below `count`, in order."""
    runs = fields.array(name, value, "int64", None)
    said = f"different numbers from 0 to {count - 1}, in order"
    fields.check((np.diff(runs) > 0).all(), name, said)
    return fields.within(name, runs, 0, count - 1, said)


def _grouped(arrays: Arrays, prefix: str) -> dict[str, Arrays]:
    """Return the arrays whose names start with the prefix, grouped by the next part of their names."""
    groups: dict[str, Arrays] = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            key, _, field = name.removeprefix(prefix).partition("/")
            groups.setdefault(key, {})[field] = array
    return groups
