"""The long steps of a fit, noted as they are done, so that a fit that goes on does not do them again.

A fit is the same sequence of steps each time, so their number alone says which is which.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


class Journal:
    """entries: what the steps gave, in order, and what the generator was like then."""

    def __init__(
        self, entries: list[Arrays] | None = None, on_step: Callable[[], None] | None = None
    ) -> None:
        """entries: of the fit that goes on. on_step: called after each step that was not among these."""
        self.entries = entries or []
        self._at = 0
        self._on_step = on_step

    def step(self, do: Callable[[], Arrays], rng: np.random.RandomState | None = None) -> Arrays:
        """What `do` gives, which may draw from rng; or gave."""
        if self._at == len(self.entries):
            self._note(do(), rng)
        return self._next(rng)

    def whole(self, do: Callable[[], Arrays], rng: np.random.RandomState | None = None) -> Arrays:
        """The same for what is made of steps, which are forgotten when it is done."""
        first = self._at
        if first == len(self.entries) or "whole" not in self.entries[first]:
            result = do()
            del self.entries[first:]
            self._at = first
            self._note(result | {"whole": np.array(True)}, rng)
        return self._next(rng)

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

    def _next(self, rng: np.random.RandomState | None) -> Arrays:
        entry = self.entries[self._at]
        self._at += 1
        if rng is not None and "rng_key" in entry:
            pos, has_gauss, gauss = entry["rng_rest"]
            rng.set_state(("MT19937", entry["rng_key"], int(pos), int(has_gauss), gauss))
        return entry
