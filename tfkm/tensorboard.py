"""TensorBoard: the curves of a running fit, and points in the projector. Needs `tfkm[tensorboard]`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from tfkm import checks
from tfkm.callbacks import Callback, Seeded
from tfkm.data import whole_files
from tfkm.types import Pass, Result


class TensorBoard(Callback):
    """Write the curves of a fit as it goes, as one run of TensorBoard for each restart.

    The scalars are, for each pass, inertia, shift, empty clusters, seconds and points per second;
    at step 0, the seconds until the restart had its first centroids.

    Args:
        folder: Where the runs `start_0`, `start_1` and so on are written.

    Raises:
        ImportError: TensorBoard is not installed.

    Examples:
        >>> import numpy as np, tempfile, tfkm
        >>> folder, x = tempfile.mkdtemp(), np.random.default_rng(0).random((100, 2))
        >>> model = tfkm.KMeans(3, callbacks=[tfkm.tensorboard.TensorBoard(folder)]).fit(x)
        >>> os.listdir(folder)
        ['start_0']
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        _needs_tensorboard()
        self._folder = checks.path("folder", folder)
        self._writers: dict[int, Any] = {}

    def on_seed(self, done: Seeded) -> None:
        self._write(done.start, 0, {"seconds until seeded": done.seconds})

    def on_pass(self, done: Pass) -> None:
        values = {
            "inertia": done.inertia,
            "shift": done.shift,
            "empty clusters": done.empty,
            "seconds": done.seconds,
            "points per second": done.points / done.seconds,
        }
        self._write(done.start, done.iteration, values)

    def on_end(self, result: Result) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _write(self, start: int, step: int, values: dict[str, float]) -> None:
        if start not in self._writers:
            path = str(self._folder / f"start_{start}")
            self._writers[start] = tf.summary.create_file_writer(path)
        with self._writers[start].as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)


def write_projector(
    folder: str | os.PathLike,
    points,
    labels,
    *,
    centroids=None,
    names=None,
) -> None:
    """Write points with their labels for the embedding projector of TensorBoard.

    Args:
        folder: TensorBoard's `--logdir`, which is made if there is none. Three files in it are
            replaced: `points.tsv`, `points_labels.tsv` and `projector_config.pbtxt`.
        points: (n, d) real numbers; the projector is made for some ten thousand rows at most.
        labels: (n,) integers.
        centroids: (k, d), shown among the points; None for none.
        names: (n,) names of the points; None for their indices.

    Raises:
        ImportError: TensorBoard is not installed.
        ValueError: The lengths differ.

    Examples:
        >>> import numpy as np, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> write_projector(folder, np.eye(3), [0, 0, 1])
        >>> open(folder + "/points_labels.tsv").readlines()[-1].split()
        ['2', '1']
    """
    _needs_tensorboard()
    from tensorboard.plugins import projector

    points, labels = np.asarray(points), np.asarray(labels)
    names = list(range(len(points)) if names is None else names)
    if points.ndim != 2 or labels.shape != points.shape[:1] or len(names) != len(points):
        raise ValueError(
            f"labels: shape {labels.shape}, {len(names)} names; points of shape {points.shape} need one of "
            "each for a row"
        )
    lines = [f"{_one_line(name)}\t{label}" for name, label in zip(names, labels, strict=True)]
    if centroids is not None:
        points = np.concatenate([points, np.asarray(centroids)])
        lines += [f"centroid {j}\t{j}" for j in range(len(centroids))]
    folder = checks.path("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    with whole_files.replacing(folder / "points.tsv", force=True) as file:
        np.savetxt(file, points, fmt="%.9g", delimiter="\t")
    with whole_files.replacing(folder / "points_labels.tsv", force=True) as file:
        file.write("\n".join(["name\tlabel", *lines, ""]).encode())
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "points"
    embedding.tensor_path, embedding.metadata_path = "points.tsv", "points_labels.tsv"
    projector.visualize_embeddings(str(folder), config)


def _one_line(name: Any) -> str:
    return " ".join(str(name).split())


def _needs_tensorboard() -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "tfkm.tensorboard needs TensorBoard: pip install 'tfkm[tensorboard]'"
        ) from error
