"""What a fit of a stream has done so far, as arrays and back: what a checkpoint holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfkm.iteration import End, State
from tfkm.streams.passes import Partial, Passes, Unfinished
from tfkm.types import ExactStatistics, Status, Words

Arrays = dict[str, np.ndarray]


class Loop(NamedTuple):
    """The loop over one group of starts, of which `first` is the first.

    best: of the groups before. before: labels of the last pass, of `runs` (a,), see `Passes`.
    """

    first: int
    best: list[End]
    state: State
    runs: np.ndarray
    before: np.ndarray | None
    unfinished: Unfinished | None

    @classmethod
    def of(cls, first: int, best: list[End], state: State, passes: Passes, unfinished=None) -> Loop:
        return cls(first, best, state, passes.runs, passes.before, unfinished)

    def hand_to(self, passes: Passes) -> None:
        """So that they go on."""
        passes.runs, passes.before, passes.unfinished = self.runs, self.before, self.unfinished


def to_arrays(entries: list[Arrays], loop: Loop | None) -> Arrays:
    """entries: of the journal."""
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


def from_arrays(arrays: Arrays) -> tuple[list[Arrays], Loop | None]:
    """What `to_arrays` was given."""
    steps = _grouped(arrays, "step/")
    entries = [steps[str(i)] for i in range(len(steps))]
    if "loop/first" not in arrays:
        return entries, None
    ends = {
        int(number): End(
            end["centroids"],
            None,
            float(end["inertia"]),
            int(end["n_iter"]),
            Status[str(end["status"])],
        )
        for number, end in _grouped(arrays, "end/").items()
    }
    state = State(
        arrays["loop/passes"],
        arrays["loop/going"],
        arrays["loop/centroids"],
        {number: end for number, end in ends.items() if number >= 0},
    )
    unfinished = None
    if "part/shards" in arrays:
        high, low = (
            Words(*(arrays[f"part/{word}/{name}"] for name in Words._fields))
            for word in ("high", "low")
        )
        statistics = ExactStatistics(high, low, arrays["part/inertia"])
        partial = Partial(statistics, [arrays["part/labels"]])
        unfinished = Unfinished(int(arrays["part/shards"]), partial)
    best = [end for number, end in ends.items() if number < 0]
    before = arrays.get("loop/before")
    loop = Loop(int(arrays["loop/first"]), best, state, arrays["loop/runs"], before, unfinished)
    return entries, loop


def _grouped(arrays: Arrays, prefix: str) -> dict[str, Arrays]:
    groups: dict[str, Arrays] = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            key, _, field = name.removeprefix(prefix).partition("/")
            groups.setdefault(key, {})[field] = array
    return groups
