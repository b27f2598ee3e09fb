"""A journal of the long steps of a fit, so that a fit that continues does not repeat them.

A fit makes the same sequence of steps each time, so the number of a step identifies it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfkm.saving import fields

Arrays = dict[str, np.ndarray]
Check = Callable[[Arrays], None]  # raises ValueError unless the arrays can be the result of a step

# The generator's state, kept with the result of a step that may draw.
_GENERATOR = ("rng_key", "rng_rest")
_WHOLE = "whole"


class Journal:
    """The results of the steps done so far, each with the state of the generator after it.

    Each method takes a check of the result, for entries that come from a file.

    Attributes:
        entries: The results, in order.
    """

    def __init__(
        self,
        entries: list[Arrays] | None = None,
        on_step: Callable[[], None] | None = None,
        path: str = "",
    ) -> None:
        """Start a journal, or continue one.

        Args:
            entries: The entries of the fit that continues.
            on_step: Called after each step that is not among these entries.
            path: The file that the entries come from.
        """
        self.entries = entries or []
        self._at, self._of_file, self._path = 0, len(self.entries), path
        self._on_step = on_step

    def step(
        self, do: Callable[[], Arrays], check: Check, rng: np.random.RandomState | None = None
    ) -> Arrays:
        """Return the result of `do`, which may draw from `rng`, or the result in the journal."""
        if self._at == len(self.entries):
            self._note(do(), rng)
        return self._next(check, rng)

    def whole(
        self, do: Callable[[], Arrays], check: Check, rng: np.random.RandomState | None = None
    ) -> Arrays:
        """Return the same for a step that consists of other steps.

        The entries of those are dropped when it is done.
        """
        first = self._at
        if first == len(self.entries) or _WHOLE not in self.entries[first]:
            result = do()
            del self.entries[first:]
            self._at = first
            self._of_file = min(self._of_file, first)
            self._note(result | {_WHOLE: np.array(True)}, rng)
        return self._next(check, rng)

    def _note(self, result: Arrays, rng: np.random.RandomState | None) -> None:
        """Append a result, with the state of the generator if the step may draw, and call `on_step`."""
        if self._on_step is None:  # nothing is saved, so the generator's state is not needed
            self.entries.append(result)
            return
        if rng is not None:
            _, key, *rest = rng.get_state(legacy=True)
            drawn: Arrays = {"rng_key": np.array(key), "rng_rest": np.array(rest, np.float64)}
            result = result | drawn
        self.entries.append(result)
        self._on_step()

    def _next(self, check: Check, rng: np.random.RandomState | None) -> Arrays:
        """Return the next entry's result; check it and restore the generator if it comes from a file."""
        at, entry = self._at, self.entries[self._at]
        self._at += 1
        result = {n: a for n, a in entry.items() if n not in (*_GENERATOR, _WHOLE)}
        if at < self._of_file:
            with fields.of(f"{self._path}: step/{at}/"):
                check(result)
                if rng is not None:
                    rng.set_state(_state(entry))
        return result


def _state(entry: Arrays) -> tuple:
    """Return the noted state of the generator, as `set_state` takes it."""
    fields.names(entry, *_GENERATOR, others=True)
    rest = fields.array("rng_rest", entry["rng_rest"], "float64", 3).tolist()
    whole = rest[:2] == [int(x) for x in rest[:2]]
    fields.check(whole, "rng_rest", "a position and a flag, both integers, and a number")
    return fields.random_state("rng", entry["rng_key"], int(rest[0]), int(rest[1]), rest[2])
