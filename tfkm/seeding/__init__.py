"""Seeding: the first centroids, from a named method, an array, or a callable."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfkm import checks
from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.ops.backend import Backend
from tfkm.seeding import by_weight, mcmc, parallel, plusplus
from tfkm.seeding.by_weight import random_points as random_points
from tfkm.seeding.mcmc import afk_mc2 as afk_mc2
from tfkm.seeding.parallel import kmeans_parallel as kmeans_parallel
from tfkm.seeding.plusplus import choose_batch as choose_batch
from tfkm.seeding.plusplus import kmeans_plusplus as kmeans_plusplus
from tfkm.seeding.problem import Choose, SeedingProblem, given_centroids
from tfkm.traces import traced
from tfkm.types import Tell

Init = str | np.ndarray | Callable


class Seeding(NamedTuple):
    """A seeding that `init` can name.

    Attributes:
        function: The public function.
        chooser: Makes a `Choose` of the settings, which are the function's arguments besides those of a
            fit.
        starts: The number that `n_init="auto"` means.
        per_point: Whether it holds a number for each point, so that workers cannot share it.
    """

    function: Callable
    chooser: Callable[..., Choose]
    starts: int = 1
    per_point: bool = False


# To add one, write a module with a public function and a `chooser`, add a line here, and export the
# function from `tfkm`.
SEEDINGS: dict[str, Seeding] = {
    "k-means++": Seeding(kmeans_plusplus, plusplus.chooser, per_point=True),
    "k-means||": Seeding(kmeans_parallel, parallel.chooser),
    "afk-mc2": Seeding(afk_mc2, mcmc.chooser, per_point=True),
    "random": Seeding(random_points, by_weight.chooser, starts=10),
}
NAMES = SEEDINGS.keys()  # a view, which shows what is registered later
# Arguments that the fit sets; a functools.partial of a seeding must not set them.
_OF_THE_FIT = ("points", "n_clusters", "weights", "random_state", "backend")


def checked(init: Init, points: Points, k: int) -> Init:
    """Return `init` in the form that `seed` takes, with an array checked as centroids.

    Raises:
        ValueError, TypeError: `init` or one of its settings is not allowed.
    """
    if is_array(init):
        return array(init, points, k)
    _chooser(init, points, k)
    if callable(init) and not is_own(init):
        check_callable(init)
    return init


def is_array(init: Init) -> bool:
    """Return whether `init` gives the centroids themselves."""
    return not isinstance(init, str) and not callable(init)


def check_callable(init: Callable) -> None:
    """Raise TypeError if a user's function cannot be called as a seeding is."""
    try:
        signature = inspect.signature(init)
    except ValueError:  # some that are built in have none to look at
        return
    try:
        signature.bind(None, 2, random_state=None)
    except TypeError as error:
        raise TypeError(
            f"init: {init!r} cannot be called ({error}); it needs (points, k, random_state=…)"
        ) from error


def with_given(
    init: Init, function: Callable[[np.ndarray], np.ndarray], points: Points, k: int
) -> Init:
    """Return `init` with its setting `given`, if it has one, replaced by `function(given)`."""
    if not (is_own(init) and isinstance(init, functools.partial) and "given" in init.keywords):
        return init
    given = given_centroids(init.keywords["given"], points, k)
    return functools.partial(init, given=function(given) if len(given) else None)


def is_own(init: Init) -> bool:
    """Return whether `init` is a seeding of this package, by name or as a function."""
    return name_of(init) is not None


def default_starts(init: Init) -> int:
    """Return the number that `n_init="auto"` means, as in scikit-learn: 10 for a user's callable."""
    name = name_of(init)
    return 10 if name is None else SEEDINGS[name].starts


@traced("tfkm: seed")
def seed(
    points: Points,
    k: int,
    init: Init,
    rng: np.random.RandomState,
    *,
    weights: np.ndarray | None = None,
    original=None,
    backend: Backend,
    tell: Tell | None = None,
) -> np.ndarray:
    """Return centroids (k, d) in the dtype to compute in.

    Args:
        points: n ≥ k points.
        k: How many centroids to choose.
        init: A name in NAMES; a function of this package, or a `functools.partial` of one with
            settings; an array (k, d); or a callable (X, k, random_state=rng) -> (k, d).
        rng: Source of all random numbers.
        weights: (n,) float64 or None. Points of weight zero are never chosen.
        original: Passed to a user's callable as X.
        backend: The backend that computes.
        tell: Called with the progress.

    Raises:
        ValueError, TypeError: `init` or one of its settings is not allowed.
    """
    if (own := _chooser(init, points, k)) is not None:
        choose, given = own
        problem = SeedingProblem(points, weights, given, k - len(given), rng, backend, tell)
        chosen = points[choose(problem)]
        return np.concatenate([given, chosen]) if len(given) else chosen
    source = "init"
    if callable(init):
        init, source = init(original, k, random_state=rng), "init(…)"
    return array(init, points, k, source)


def array(init, points: Points, k: int, name: str = "init") -> np.ndarray:
    """Return the given centroids (k, d), checked and in the dtype to compute in."""
    centroids = checks.packed(checks.real_numbers(name, arrays.taken(name, init)), points.compute)
    if centroids.shape != (k, points.d):
        raise ValueError(f"{name}: shape {centroids.shape}; it needs shape ({k}, {points.d})")
    return checks.finite_rows(name, centroids, points.compute)


def name_of(init: Init) -> str | None:
    """Return the name of a seeding of this package, or None for any other `init`."""
    if isinstance(init, str):
        return init
    function = init.func if isinstance(init, functools.partial) else init
    return next((name for name, own in SEEDINGS.items() if own.function is function), None)


def function_of(name: str) -> Callable:
    """Return the seeding function of this name.

    Raises:
        KeyError: There is none.
    """
    return SEEDINGS[name].function


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Check that the seeding of this name has all of these settings.

    Raises:
        ValueError: It lacks one.
    """
    known = set(inspect.signature(function_of(name)).parameters) - set(_OF_THE_FIT)
    if unknown := sorted(set(settings) - known):
        raise ValueError(f"init: {name!r} has no setting {unknown[0]!r}; it has {sorted(known)}")


def _chooser(init: Init, points: Points, k: int) -> tuple[Choose, np.ndarray] | None:
    """Return how a seeding of this package chooses, and its given centroids; None for any other `init`."""
    name = name_of(init)
    if name is None:
        return None
    settings = {}
    if isinstance(init, functools.partial):
        settings = dict(init.keywords)
        wrong = ["a positional argument"] * len(init.args)
        wrong += [setting for setting in _OF_THE_FIT if setting in settings]
        if wrong:
            function = init.func.__name__
            raise TypeError(f"init: {function} with {wrong[0]}, which only the fit sets")
    given = given_centroids(settings.pop("given", None), points, k)
    return SEEDINGS[name].chooser(**settings), given
