"""The long steps of a fit, noted as they are done, so that a fit that goes on does not do them again.

A fit is the same sequence of steps each time, so their number alone says which is which.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfkm.saving import fields

Arrays = dict[str, np.ndarray]
Check = Callable[[Arrays], None]  # raises ValueError unless the arrays are what a step gives

_GENERATOR = ("rng_key", "rng_rest")  # noted beside what a step gives, if it may draw
_WHOLE = "whole"


class Journal:
    """entries: what the steps gave, in order, and what the generator was like then.

    Each method takes a check of what its step gives, for entries that come from a file.
    """

    def __init__(
        self,
        entries: list[Arrays] | None = None,
        on_step: Callable[[], None] | None = None,
        path: str = "",
    ) -> None:
        """entries: of the fit that goes on, from the file at `path`.

        on_step: called after each step that was not among these.
        """
        self.entries = entries or []
        self._at, self._of_file, self._path = 0, len(self.entries), path
        self._on_step = on_step

    def step(
        self, do: Callable[[], Arrays], check: Check, rng: np.random.RandomState | None = None
    ) -> Arrays:
        """What `do` gives, which may draw from rng; or gave."""
        if self._at == len(self.entries):
            self._note(do(), rng)
        return self._next(check, rng)

    def whole(
        self, do: Callable[[], Arrays], check: Check, rng: np.random.RandomState | None = None
    ) -> Arrays:
        """The same for what is made of steps, which are forgotten when it is done."""
        first = self._at
        if first == len(self.entries) or _WHOLE not in self.entries[first]:
            result = do()
            del self.entries[first:]
            self._at = first
            self._of_file = min(self._of_file, first)
            self._note(result | {_WHOLE: np.array(True)}, rng)
        return self._next(check, rng)

    def _note(self, result: Arrays, rng: np.random.RandomState | None) -> None:
        if self._on_step is None:  # nobody will go on
            self.entries.append(result)
            return
        if rng is not None:
            _, key, *rest = rng.get_state(legacy=True)
            drawn: Arrays = {"rng_key": np.array(key), "rng_rest": np.array(rest, np.float64)}
            result = result | drawn
        self.entries.append(result)
        self._on_step()

    def _next(self, check: Check, rng: np.random.RandomState | None) -> Arrays:
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
    """What `set_state` takes, of the generator that was noted."""
    fields.names(entry, *_GENERATOR, others=True)
    rest = fields.array("rng_rest", entry["rng_rest"], "float64", 3).tolist()
    whole = rest[:2] == [int(x) for x in rest[:2]]
    fields.check(whole, "rng_rest", "a position and a flag, both integers, and a number")
    return fields.random_state("rng", entry["rng_key"], int(rest[0]), int(rest[1]), rest[2])
