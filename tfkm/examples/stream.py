"""Clusters files that do not fit into the memory that the process may take.

    python -m tfkm.examples.stream --gigabytes 2 --memory 0.5

Makes .npy files in a temporary folder (give --folder to choose the disk), limits the process to so much
more memory than TensorFlow takes by itself, shows that the points cannot be read at once, and fits them all
the same. The limit is that of the operating system (RLIMIT_DATA, which Linux keeps): a process that asks
for more is refused.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import click
import numpy as np

import tfkm
from tfkm import cli

PROGRAM = "python -m tfkm.examples.stream"
GROUPS, FEATURES, ROWS = 20, 32, 2**17  # of points; of a file, 16 MiB


@click.command()
@click.option(
    "--gigabytes", type=click.FloatRange(0.01), default=0.5, show_default=True, help="Of points."
)
@click.option(
    "--memory",
    type=click.FloatRange(0.1),
    default=0.3,
    show_default=True,
    help="Gigabytes that the process may take beyond those at its start.",
)
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False), help="Where to make the files."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
def command(gigabytes, memory, folder, seed) -> None:
    """Cluster files that do not fit into memory."""
    cli.import_quietly()
    tfkm.KMeans(2).fit(
        np.array([[0], [1]], np.float32)
    )  # what the first fit loads is not of the points
    with tempfile.TemporaryDirectory(dir=folder) as made:
        paths, centres = make(Path(made), int(gigabytes * 2**30), seed)
        size = sum(path.stat().st_size for path in paths)
        limit = in_use() + int(memory * 2**30)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        click.echo(f"points    {size / 2**30:.2f} GiB in {len(paths)} files")
        click.echo(f"memory    {memory:.2f} GiB at most")
        click.echo(f"at once   {at_once(paths)}")
        began, before = time.perf_counter(), in_use()
        pattern = str(Path(made) / "*.npy")
        model = tfkm.KMeans(GROUPS, init="k-means||", random_state=seed).fit(pattern)
        seconds, grown = time.perf_counter() - began, in_use() - before
    miss = np.linalg.norm(centres[:, None] - model.cluster_centers_, axis=2).min(axis=1).max()
    click.echo(f"streamed  {model.n_iter_} passes in {seconds:.1f} s, {grown / 2**20:.0f} MiB more")
    click.echo(f"found     {GROUPS} groups, each within {miss:.3f} of where it was put")


def make(folder: Path, size: int, seed: int) -> tuple[list[Path], np.ndarray]:
    """Files of groups of points of width 1, and the middles (GROUPS, FEATURES) of the groups."""
    rng = np.random.default_rng(seed)
    centres = 10 * rng.standard_normal((GROUPS, FEATURES))
    paths = []
    for i in range(max(1, round(size / (ROWS * FEATURES * 4)))):
        points = rng.standard_normal((ROWS, FEATURES), np.float32)
        points += centres[rng.integers(GROUPS, size=ROWS)].astype(np.float32)
        paths.append(folder / f"{i:05}.npy")
        np.save(paths[-1], points)
    return paths, centres


def at_once(paths: list[Path]) -> str:
    """What comes of reading all the points into one array."""
    try:
        np.concatenate([np.load(path) for path in paths])
    except MemoryError:
        return "MemoryError"
    return "would have fitted: take more --gigabytes or less --memory"


def in_use() -> int:
    """Bytes of memory of this process that count for RLIMIT_DATA."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status: no VmData; this example needs Linux")


if __name__ == "__main__":
    cli.run(command, PROGRAM)
