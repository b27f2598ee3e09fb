"""The options of a fit: one object, checked once, made by every public function and passed on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from tfkm import checks, seeding
from tfkm.callbacks import Callback
from tfkm.lloyd import spherical
from tfkm.ops import backends
from tfkm.ops.backend import Backend
from tfkm.types import Pass

if TYPE_CHECKING:
    from tfkm.streams import Opener


@dataclass(frozen=True, eq=False)
class FitOptions:
    """The options of a fit: everything but its points and their weights.

    `tfkm.kmeans` explains each field. After the checks, `n_init` is a number and `selected` is the
    chosen backend.

    Raises:
        ValueError, TypeError: An option is not allowed; the message names the first one.
        RuntimeError: The named backend cannot be used here.
    """

    n_clusters: int
    init: seeding.Init = "k-means++"
    n_init: Any = "auto"  # an int after the checks
    max_iter: int = 300
    tol: float = 1e-4
    random_state: Any = None
    metric: str = "euclidean"
    backend: str | None = None
    copy: bool = True
    size_min: int | None = None
    size_max: int | None = None
    on_pass: Callable[[Pass], bool | None] | None = None
    callbacks: Iterable[Callback] | Callback | None = ()
    checkpoint_dir: str | os.PathLike | None = None
    engine: Opener | None = None
    selected: Backend = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checks.check_number("n_clusters", self.n_clusters, Integral, 1)
        checks.check_number("max_iter", self.max_iter, Integral, 1)
        checks.check_number("tol", self.tol, Real, 0)
        if self.n_init != "auto":
            checks.check_number("n_init", self.n_init, Integral, 1, " or 'auto'")
        if self.metric not in spherical.METRICS:
            raise ValueError(f"metric: {self.metric!r}; allowed are 'euclidean' and 'cosine'")
        if isinstance(self.init, str) and self.init not in seeding.NAMES:
            names = ", ".join(map(repr, seeding.NAMES))
            raise ValueError(
                f"init: {self.init!r}; allowed are {names}, an array (k, d), or a callable"
            )
        if self.on_pass is not None and not callable(self.on_pass):
            raise TypeError(
                f"on_pass: {self.on_pass!r}; it needs a function of a tfkm.Pass, or None"
            )
        if self.engine is not None and not callable(self.engine):
            raise TypeError(f"engine: {self.engine!r}; it needs an engine, as tfkm.Ray(), or None")
        if not isinstance(self.copy, bool | np.bool_):
            raise TypeError(f"copy: {self.copy!r}; it needs True or False")
        self._become("n_init", self._starts())
        self._become("selected", backends.select(self.backend))

    def _become(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # how a frozen dataclass sets its own fields

    def _starts(self) -> int:
        """Return the number of restarts: 1 for an array of centroids, whatever `n_init` asks for."""
        if not seeding.is_array(self.init):
            return seeding.default_starts(self.init) if self.n_init == "auto" else int(self.n_init)
        if self.n_init not in ("auto", 1):
            warnings.warn(
                "Explicit initial center position passed: performing only one init instead of "
                f"n_init={self.n_init}.",
                RuntimeWarning,
                stacklevel=5,
            )
        return 1
