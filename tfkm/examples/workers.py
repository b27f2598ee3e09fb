"""Shares a fit among four workers of Ray, and finds the bits of a fit alone.

    python -m tfkm.examples.workers                   # needs Ray: pip install 'tfkm[ray]'

It shows that the result does not depend on who adds what, since sums are exact. It shows no gain in speed:
the workers run on this machine, whose cores one process uses all by itself. With `tfkm.Ray(address=…)` they
run on those of a cluster, where each reads its own part of the files.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
import numpy as np

import tfkm
from tfkm import cli

PROGRAM = "python -m tfkm.examples.workers"
CLUSTERS, FEATURES, FILES = 50, 32, 8


@click.command()
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True)
@click.option("--points", type=click.IntRange(1000), default=2_000_000, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(workers, points, seed) -> None:
    """Share a fit among workers of Ray."""
    cli.import_quietly()
    with tempfile.TemporaryDirectory() as folder:
        click.echo(
            f"{points:,} points in {FILES} files, {CLUSTERS} clusters: shared among {workers} workers "
            "of Ray on this machine,\nthen by one process. Are the results the same, to the bit?\n"
        )
        pattern = make(Path(folder), points, seed)
        together = fit(pattern, seed, f"{workers} workers", tfkm.Ray(workers=workers))
        alone = fit(pattern, seed, "alone", None)
    same = all(
        np.array_equal(getattr(together, name), getattr(alone, name))
        for name in ("cluster_centers_", "inertia_")
    )
    if not same:
        raise RuntimeError("not the same bits: this is a fault of tfkm, please report it")
    click.echo("\nthe same bits: centres and inertia do not depend on who adds what")


def make(folder: Path, n: int, seed: int) -> str:
    """The pattern of FILES .npy files with n points."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((CLUSTERS, FEATURES), np.float32)
    for i, rows in enumerate(np.array_split(np.arange(n), FILES)):
        noise = rng.standard_normal((len(rows), FEATURES), np.float32)
        np.save(folder / f"{i}.npy", centres[rng.integers(CLUSTERS, size=len(rows))] + noise)
    return str(folder / "*.npy")


def fit(pattern: str, seed: int, name: str, engine: tfkm.Ray | None) -> tfkm.KMeans:
    """A fit, with a line about it."""
    began = time.perf_counter()
    model = tfkm.KMeans(
        CLUSTERS,
        init="k-means||",
        random_state=seed,
        engine=engine,
        callbacks=[tfkm.Progress(leave=False)],
    ).fit(pattern)
    seconds = time.perf_counter() - began
    click.echo(
        f"{name:<12}inertia {model.inertia_:,.3f} after {model.n_iter_} passes, {seconds:.1f} s"
    )
    return model


if __name__ == "__main__":
    cli.run(command, PROGRAM)
