"""Lloyd's k-means of a stream: `lloyd.iteration` over points that are read again in each pass."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from tfkm import checks, seeding
from tfkm._version import __version__
from tfkm.callbacks import Callbacks
from tfkm.lloyd.iteration import End, State, iterate
from tfkm.lloyd.stopping import mean_variances
from tfkm.options import FitOptions
from tfkm.saving import fields
from tfkm.streams import progress
from tfkm.streams import seeding as stream_seeding
from tfkm.streams.checkpoint import Checkpoints, Loaded
from tfkm.streams.journal import Journal
from tfkm.streams.passes import StreamPasses, Unfinished, sums
from tfkm.streams.scan import Scan, scan
from tfkm.streams.sources import Source
from tfkm.streams.stream import Engine, Here, Stream, Watched
from tfkm.types import Pass, Tell

# Bytes of centroids and sums of restarts that run together; each number of a centroid takes 64.
_TOGETHER_BYTES = 2**28
_CHECKPOINT_SECONDS = 20.0  # between two checkpoints within a pass


def fit(
    source: Source,
    options: FitOptions,
    callbacks: Callbacks,
    on_pass: Callable[[Pass], bool | None] | None = None,
) -> End:
    """Return the result of the best restart, with the bits that the same points in memory would give.

    Raises:
        ValueError: An argument or a point is wrong; the message names it.
        Exception: Any error that the source raises.
    """
    stream = Stream(source)
    init = stream_seeding.checked(options.init, stream, options.n_clusters)
    options = replace(options, init=init)
    rng = check_random_state(options.random_state)
    with closing((options.engine or Here)(stream)) as engine:
        stream_seeding.check_engine(init, engine)
        if callbacks:
            engine = Watched(engine, stream, callbacks)
        # All processes use the options and the generator state of the leading process.
        given = _shared(options), rng.get_state(), options.checkpoint_dir is not None
        shared, state, kept = engine.gathered(lambda: given)[0]
        options = replace(options, **shared)
        rng.set_state(state)
        name = _name(options, rng)
        found = scan(stream, engine, digested=kept)
        checks.check_clusters(options.n_clusters, found.n)
        checkpoints = None
        # Only the leading process reads and writes checkpoints.
        if options.checkpoint_dir is not None and engine.leads:
            checkpoints = Checkpoints(options.checkpoint_dir, {**_data(stream, found), **name})
        saved = engine.gathered(lambda: checkpoints and checkpoints.load())[0]

        def stops(done: Pass) -> bool:
            """Return whether any process wants to stop; then all of them do."""
            return any(engine.gathered(lambda: on_pass is not None and bool(on_pass(done))))

        return _Fit(stream, found, engine, options, rng, callbacks, stops, checkpoints, saved).end()


@dataclass
class _Fit:
    """The steps of a fit, each entered in the journal when it is done."""

    stream: Stream
    found: Scan
    engine: Engine
    options: FitOptions
    rng: np.random.RandomState
    callbacks: Callbacks
    on_pass: Callable[[Pass], bool]
    checkpoints: Checkpoints | None  # None except in the leading process
    saved: Loaded | None  # the checkpoint to continue from

    def __post_init__(self) -> None:
        self._loop: progress.Loop | None = None
        entries, path = [], ""
        if self.saved is not None:
            path = f"checkpoint_dir: {self.saved.path}"
            with fields.of(f"{path}: "):
                entries = progress.steps_of(self.saved.arrays)
        self._journal = Journal(entries, None if self.checkpoints is None else self._save, path)
        self._written = time.monotonic()
        self._tell: Tell | None = None  # called with the progress of a seeding

    def end(self) -> End:
        """Run all steps, and return the result of the best restart."""
        options = self.options
        threshold = 0.0
        if options.tol > 0:
            variance = self._journal.step(self._variance, _check_variance)["variance"]
            threshold = options.tol * float(variance[0])
        seeds = []
        for start in range(options.n_init):
            self._tell = self.callbacks.seeding(start, options.n_init)
            step = self._journal.whole(self._seed, self._check_seeds, self.rng)
            seeds.append(step["centroids"])
            self.callbacks.on_seed(start)
        together = max(1, _TOGETHER_BYTES // (64 * seeds[0].size))
        firsts = range(0, len(seeds), together)
        self._loop = self._saved_loop(firsts)
        best: list[End] = []
        for first in firsts:
            if self._loop is not None and first < self._loop.first:
                continue
            best = self._group(first, np.stack(seeds[first : first + together]), threshold, best)
        return best[0]

    def _group(self, first: int, seeds: np.ndarray, threshold: float, best: list[End]) -> list[End]:
        """Return the best result among these restarts, which run together, and the earlier ones."""
        passes = StreamPasses(
            self.stream, self.found, self.engine, seeds, self.options.selected.name
        )
        loop, self._loop = self._loop, None
        if loop is not None:
            best = loop.best
            loop.hand_to(passes)
        self._loop = going = loop or progress.Loop.of(first, best, State.first(seeds), passes)

        def on_shard(unfinished: Unfinished) -> None:
            if time.monotonic() - self._written > _CHECKPOINT_SECONDS:
                assert self._loop is not None
                self._save(self._loop._replace(unfinished=unfinished))

        def on_state(state: State) -> None:
            self._loop = progress.Loop.of(first, best, state, passes)
            self._save()

        if self.checkpoints is not None:
            passes.on_shard = on_shard
        ends = iterate(
            passes,
            going.state,
            np.full(len(seeds), threshold),
            self.options.max_iter,
            self.on_pass,
            None if self.checkpoints is None else on_state,
            first,
        )
        self._loop = None
        return [min(best + ends, key=lambda end: end.inertia)]

    def _saved_loop(self, firsts: range) -> progress.Loop | None:
        """Return the loop in the checkpoint, after checking all of it."""
        if self.saved is None:
            return None
        options, found, stream = self.options, self.found, self.stream
        expected = progress.Expected(
            firsts,
            options.n_init,
            options.n_clusters,
            stream.d,
            stream.compute,
            options.max_iter,
            sum(1 for _ in stream.shards()),
            found.n * found.heaviest,
            found.largest,
        )
        with fields.of(f"checkpoint_dir: {self.saved.path}: "):
            return expected.loop(self.saved.arrays)

    def _check_seeds(self, step: dict[str, np.ndarray]) -> None:
        fields.names(step, "centroids")
        shape = self.options.n_clusters, self.stream.d
        fields.rows("centroids", step["centroids"], self.stream.compute.name, *shape)

    def _save(self, loop: progress.Loop | None = None) -> None:
        assert self.checkpoints is not None
        self.checkpoints.save(progress.to_arrays(self._journal.entries, loop or self._loop))
        self._written = time.monotonic()

    def _variance(self) -> dict[str, np.ndarray]:
        first = self.found.first[None]
        statistics = sums(self.stream, self.found, self.engine, first, self.options.selected.name)
        return {"variance": mean_variances(statistics, first, self.found.n)}

    def _seed(self) -> dict[str, np.ndarray]:
        options = self.options
        backend = options.selected
        points = stream_seeding.StreamPoints(
            self.stream, self.found, self.engine, backend.name, self._journal
        )
        centroids = seeding.seed(
            points, options.n_clusters, options.init, self.rng, backend=backend, tell=self._tell
        )
        return {"centroids": centroids}


def _check_variance(step: dict[str, np.ndarray]) -> None:
    fields.names(step, "variance")
    variance = fields.array("variance", step["variance"], "float64", 1)
    fields.within("variance", variance, 0, np.inf, "a number ≥ 0")


def _data(stream: Stream, found: Scan) -> dict[str, str | int | float]:
    """Return values that tell these points from others."""
    return {"data": found.digest, "n": found.n, "d": stream.d, "dtype": str(stream.dtype)}


def _shared(options: FitOptions) -> dict[str, Any]:
    """Return the options that all processes of a fit must share."""
    names = "n_clusters", "init", "n_init", "max_iter", "tol", "random_state"
    return {name: getattr(options, name) for name in names} | {"backend": options.selected.name}


def _name(options: FitOptions, rng: np.random.RandomState) -> dict[str, str | int | float]:
    """Return values that tell this fit from others of the same points."""
    init, seed = options.init, None
    if not isinstance(init, str):
        init = _digest(np.asarray(init)) if not callable(init) else _described(init)
    if options.random_state is not None:  # with None the fit continues with whatever was drawn
        _, key, *rest = rng.get_state(legacy=True)
        seed = _digest(np.append(np.array(key, np.float64), np.array(rest, np.float64)))
    return {
        "k": int(options.n_clusters),
        "init": str(init),
        "n_init": options.n_init,
        "max_iter": int(options.max_iter),
        "tol": float(options.tol),
        "backend": options.selected.name,
        "seed": str(seed),
        "version": __version__,
    }


def _described(init: Callable) -> str:
    """Return a text for a seeding of this package and its settings."""
    if not isinstance(init, functools.partial):
        return init.__name__
    parts = [
        f"{k}={_digest(np.asarray(v)) if k == 'given' else v}" for k, v in init.keywords.items()
    ]
    return f"{init.func.__name__}({', '.join(sorted(parts))})"


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
