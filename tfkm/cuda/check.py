"""Whether the kernels do on a card what they promise: nasty points against float64 on the processor.

Kernels that fail `run` are not used. After an address that is none a process cannot use its card any more,
and a kernel may never end: so they run in a process of their own first, by `apart`, which is `main`.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfkm.cuda import driver, nvrtc

# (n, k, d) for which the rules of kernels/cuda/tuning.h take each of the tiles, with tails in all
# three.
SHAPES = {
    "wide": (4200, 150, 9),
    "even": (200, 60, 33),
    "slim": (600, 17, 50),
    "halves": (300, 300, 40),
}
# Points among which a card's blocks have more than one turn, and no need to share out centroids: more than
# 148 processors · 2 blocks · 256 rows.
MANY = 80_000


class CheckCase(NamedTuple):
    """points (n, d), whose values the dtype of points has; centroids (k, d); weights (n,) or None."""

    name: str
    points: np.ndarray
    centroids: np.ndarray
    weights: np.ndarray | None

    def repeated(self, n: int) -> CheckCase:
        """Its points one after the other, again and again, until there are n."""
        x, w = self.points, self.weights
        return self._replace(
            points=np.resize(x, (n, x.shape[1])), weights=w if w is None else np.resize(w, n)
        )


# points, centroids, weights or None, a grid or None -> labels, sq_distances and, with a grid, high and low
# words of the sums, (k, d) and (k,), and the inertia. `driver.Answer` is one.
Solve = Callable[..., tuple]


def run(solve: Solve, points: str = "float32", wide: bool = False) -> str:
    """What is wrong with `solve` for a dtype of points, in float64 if `wide`; empty if nothing is."""
    for case in cases(points, wide):
        x, c = (a.astype(np.float64) for a in case[1:3])
        exact = np.stack([np.square(x - centroid).sum(1) for centroid in c], axis=1)
        for with_sums in False, True:
            sums = grid(case.points, case.weights) if with_sums else None
            labels, sq_distances, *words = solve(*case[1:], sums)
            wrong = _judge(case, exact, labels, sq_distances)
            if with_sums and not wrong:
                wrong = _judge_sums(case, labels, *words)
            if not wrong and case.name.startswith("noise"):
                wrong = _judge_many(solve, case, labels, sq_distances, with_sums)
            if wrong:
                return f"a self-check ({case.name}) gave {wrong}"
    return ""


def grid(points: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """As tfkm.exact.grid, which needs TensorFlow."""

    def above(x):
        return np.ldexp(1.0, np.frexp(np.maximum(x, 2.0**-800))[1])

    count = above(float(len(points)))
    most = np.abs(points).max(0).astype(np.float64)
    weight = count * above(1.0 if weights is None else weights.max())
    return weight * above(most), np.array([weight, count])


def cases(points: str, wide: bool) -> Iterator[CheckCase]:
    """For every tile noise, exact ties and, where the dtype has them, groups far from each other; for
    tensor cores near ties as well, so that gaps lie on both sides of their margin."""
    rng = np.random.default_rng(0)
    real = np.float64 if wide else np.float32
    for tile, (n, k, d) in SHAPES.items():
        kinds = [("noise", d), ("ties", d)]
        if points in ("float32", "float64"):
            kinds.append(("far groups", d))
            if tile == "halves":
                kinds += [("near ties", d), ("near ties", 1000)]
        for name, d in kinds:
            x, centroids = (_some(name, rng, shape) for shape in ((n, d), (k, d)))
            x = _in_dtype(_between(rng, centroids, n) if name == "near ties" else x, points)
            weights = None if name == "ties" else rng.integers(0, 4, n).astype(np.float64)
            yield CheckCase(f"{name}, {tile}", x.astype(real), centroids.astype(real), weights)


def _in_dtype(x: np.ndarray, points: str) -> np.ndarray:
    """Values that the dtype has: sixteenths fit in the narrow floats, naturals in all integers."""
    if points in ("float32", "float64"):
        return x.astype(points)
    return np.abs(np.rint(x * 16)) / (16 if "float" in points else 1)


def _some(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    if name == "ties":
        return rng.integers(-1, 2, shape).astype(np.float64)
    far = np.where(np.arange(shape[0]) % 2, 1e3, -1e3)[:, None] if name == "far groups" else 0.0
    return far + rng.standard_normal(shape)


def _between(rng: np.random.Generator, centroids: np.ndarray, n: int) -> np.ndarray:
    """Points on the way from a centroid to its nearest, off the middle by 2⁻⁴ … 2⁻²⁴ of it."""
    one = rng.integers(0, len(centroids), n)
    apart = np.stack([np.square(centroids - c).sum(1) for c in centroids])
    np.fill_diagonal(apart, np.inf)
    t = (0.5 + rng.choice([-1, 1], n) * 2.0 ** -rng.uniform(4, 24, n))[:, None]
    return centroids[one] * t + centroids[apart.argmin(1)[one]] * (1 - t)


def _judge_many(
    solve: Solve, case: CheckCase, labels: np.ndarray, sq_distances: np.ndarray, with_sums: bool
) -> str:
    """Of the same points again and again: by then each has been in other blocks, in a later turn."""
    many = case.repeated(MANY)
    again, sq_again, *words = solve(
        *many[1:], grid(many.points, many.weights) if with_sums else None
    )
    if not np.array_equal(again, np.resize(labels, MANY)):
        return "other labels to the same points"
    if not np.array_equal(sq_again, np.resize(sq_distances, MANY)):
        return "other distances to the same points"
    if not with_sums:
        return ""
    times = np.bincount(np.arange(MANY) % len(labels), minlength=len(labels))
    weights = times if case.weights is None else times * case.weights
    return _judge_sums(case._replace(weights=weights), labels, *words)


def _judge(case: CheckCase, exact: np.ndarray, labels: np.ndarray, sq_distances: np.ndarray) -> str:
    rows = np.arange(len(exact))
    if labels.min() < 0 or labels.max() >= exact.shape[1]:
        return "labels outside 0 … k − 1"
    # NumPy adds in another order, so what is equal up to rounding may be either; sums of small
    # integers are exact.
    best = exact.min(1)
    near = exact <= best[:, None] * (1 + 1e-12)
    clear = near.sum(1) == 1 if not case.name.startswith("ties") else np.full(len(exact), True)
    wrong = np.where(clear, labels != exact.argmin(1), ~near[rows, labels])
    if wrong.any():
        i = int(wrong.argmax())
        return f"label {labels[i]} instead of {exact[i].argmin()} for row {i}"
    if not np.allclose(sq_distances, best, rtol=1e-6, atol=1e-30):
        return "wrong distances"
    return ""


def _judge_sums(
    case: CheckCase, labels: np.ndarray, high: tuple, low: tuple, inertia: float
) -> str:
    """Of the clusters that these labels make; sums are right to the last bits, whatever cancels."""
    x = case.points.astype(np.longdouble)
    own = case.centroids[labels].astype(np.longdouble)
    weights = np.ones(len(x)) if case.weights is None else case.weights
    terms = weights[:, None] * x
    right, most = (np.zeros(case.centroids.shape, np.longdouble) for _ in range(2))
    np.add.at(right, labels, terms)
    np.add.at(most, labels, np.abs(terms))
    sums, weight = map(np.add, high, low)
    if not (np.abs(sums - right) <= 2.0**-50 * most).all():
        return "wrong sums"
    if not np.array_equal(weight, np.bincount(labels, weights, len(right))):
        return "wrong weights"
    if not np.isclose(float(inertia), float((weights * np.square(x - own).sum(1)).sum()), 1e-12, 0):
        return "a wrong inertia"
    return ""


# --- in a process of its own
# -----------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "tfkm.cuda.check"]
LIMIT = 120.0  # seconds, for what takes some
_WRONG = 3  # not 1 or 2, with which Python ends


def apart(points: str, wide: bool, card: int, cubin: bytes, name: str) -> str:
    """As `run`, in another process, for a cubin on the card of this number and name. Empty, too, if there
    is no verdict: no memory for it, or no second process may use the card. Else it is kept, for as long as
    cubin, card and driver are these.
    """
    key = hashlib.sha256(cubin + repr((name, driver.version())).encode())
    path = nvrtc.folder() / f"{key.hexdigest()[:32]}.verdict"
    if not path.exists():
        verdict = _of_a_child([*COMMAND, points, str(int(wide)), str(card)])
        if verdict is None:
            return ""
        nvrtc.keep(path, verdict.encode())
    else:
        verdict = path.read_bytes().decode()
    return verdict and f"{verdict} (as {path} has it)"


def _of_a_child(command: list[str]) -> str | None:
    here = Path(__file__).parents[2]  # Python looks for packages there first: this one, not another
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"a self-check took more than {LIMIT:g} s"
    except OSError:
        return None
    if done.returncode == _WRONG:
        return done.stdout.strip()
    if done.returncode < 0 and -done.returncode != signal.SIGKILL:  # which wins back memory
        return f"a self-check ended by {signal.Signals(-done.returncode).name}"
    return "" if done.returncode == 0 else None


def main(arguments: list[str] | None = None, load: Callable[..., None] | None = None) -> int:
    """An error before the kernels run is no verdict on them, nor is a lack of memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("points", choices=nvrtc.TYPES)
    parser.add_argument("wide", type=int, choices=(0, 1), help="whether computed in float64")
    parser.add_argument("card", type=int, nargs="?", default=0, help="its number")
    options = parser.parse_args(arguments)
    if options.points == "bfloat16":
        import ml_dtypes  # noqa: F401  # NumPy knows the name by it
    card = driver.Card(options.card)
    (load or driver.load_compiled)(card, options.points, bool(options.wide))
    solve = functools.partial(driver.solve, card, options.points)
    try:
        wrong = run(solve, options.points, bool(options.wide))
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise
        wrong = f"a self-check gave {error}"
    print(wrong)
    return _WRONG if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
