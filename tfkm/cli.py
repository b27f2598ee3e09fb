"""The commands `fit`, `predict` and `backends`, and `run` for other command lines.

A command imports TensorFlow only when it computes, so `--help` and wrong options are fast.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
import numpy as np

import tfkm
from tfkm._version import __version__
from tfkm.data import files, formats, whole_files
from tfkm.ops.backends import NAMES, why_not
from tfkm.saving import model_files

_FAILURES = (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError)

_FILE = click.Path(path_type=Path)
_TABLE = (
    click.option("--array", metavar="NAME", help="The array to take from an .npz of several."),
    click.option(
        "--columns",
        metavar="NAMES",
        help="The features in a .csv or .parquet, parted by commas; names, or numbers from 0.  "
        "[default: all but the id column]",
    ),
    click.option(
        "--id-column", metavar="NAME", help="A column that names the points, and is no feature."
    ),
    click.option(
        "--header/--no-header",
        default=None,
        help="Whether the first line of a .csv holds names.  [default: it does if a field is no "
        "number, or if it counts the columns, 0,1,2,…, above numbers that are not all integers]",
    ),
    click.option(
        "--delimiter", metavar="CHARACTER", help="What parts the columns of a .csv.  [default: ,]"
    ),
)
_backend = click.option(
    "--backend", metavar="NAME", help="One that `tfkm backends` lists.  [default: the fastest]"
)
_force = click.option("--force", is_flag=True, help="Overwrite OUT if it exists.")


class _Seedings(click.Choice):
    """The names of all seedings, looked up when they are needed, which imports them."""

    def __init__(self) -> None:
        self.case_sensitive = True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        from tfkm import seeding

        return tuple(seeding.NAMES)


def _reads_data(command: Callable) -> Callable:
    """Add the options that say how to read DATA, and pass them to the command as `reading`."""

    @functools.wraps(command)
    def own(*, array, columns, id_column, header, delimiter, **options):
        features = None if columns is None else next(csv.reader([columns]), [])
        delimiter = "\t" if delimiter == r"\t" else delimiter
        reading = files.TableOptions(features, id_column, header, delimiter, array)
        command(reading=reading, **options)

    return functools.reduce(lambda decorated, option: option(decorated), reversed(_TABLE), own)


def run(command: click.Command, name: str) -> NoReturn:
    """Run the command on this process's arguments and exit.

    The exit status is 0 if all is done, 1 for bad data or failed work, with one line on stderr, 2
    for wrong usage, and 130 if interrupted.
    """
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(f"{name}: interrupted", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Exception as error:
        if not isinstance(error, _FAILURES) and not _is_of_tensorflow(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        click.echo(f"{name}: error: {reason}", err=True)
        code = 1
    sys.exit(code)


def import_quietly(*, tensorflow: bool = False) -> None:
    """Import tfkm without TensorFlow's log lines; call this before using either.

    TensorFlow 2.21 writes its oneDNN line before any log level applies. So the process's standard
    error is held back until the import is done.

    Args:
        tensorflow: Whether to import TensorFlow, too, if it is installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _stderr_held_back():
        from tfkm import kmeans  # noqa: F401

        if tensorflow and importlib.util.find_spec("tensorflow") is not None:
            import tensorflow as tf  # noqa: F401


@click.group(name="tfkm")
@click.version_option(__version__, package_name="tfkm", message="%(prog)s %(version)s")
def tfkm_command() -> None:
    """Exact k-means for NumPy and TensorFlow."""


@tfkm_command.command()
@click.argument("data", type=_FILE)
@click.option("-k", "--clusters", type=click.IntRange(1), required=True, help="How many clusters.")
@click.option("-o", "--out", type=_FILE, help="The model.  [default: DATA's name + .tfkm.npz]")
@_reads_data
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--init",
    type=_Seedings(),
    default="k-means++",
    show_default=True,
    help="How the first centroids are chosen.",
)
@click.option(
    "--n-init",
    type=click.IntRange(1),
    help="Restarts; the best is kept.  [default: 1; 10 with --init random]",
)
@click.option("--max-iter", type=click.IntRange(1), default=300, show_default=True)
@click.option(
    "--tol",
    type=click.FloatRange(0),
    default=1e-4,
    show_default=True,
    help="Stop at Σ‖shift‖² ≤ tol · mean variance; 0: when no label changes.",
)
@_backend
@_force
def fit(data, clusters, out, seed, init, n_init, max_iter, tol, backend, force, reading) -> None:  # noqa: PLR0913 - a user's arguments
    """Cluster the points of DATA and write a model.

    DATA is a .npy, .npz, .csv or .parquet file with one point a row.
    """
    out = out or data.with_suffix(".tfkm.npz")
    whole_files.check_target(out, force=force)
    points, _ = files.read_named(data, reading)
    import_quietly(tensorflow=_needs_tensorflow(backend))
    began = time.perf_counter()
    result = tfkm.kmeans(
        points,
        clusters,
        init=init,
        n_init=n_init or "auto",
        max_iter=max_iter,
        tol=tol,
        random_state=seed,
        backend=backend,
        callbacks=[tfkm.Progress(leave=False)],
    )
    seconds = time.perf_counter() - began
    model = tfkm.KMeans(
        clusters,
        init=init,
        n_init=n_init or "auto",
        max_iter=max_iter,
        tol=tol,
        random_state=seed,
        backend=backend,
    )
    model.cluster_centers_ = np.asarray(result.centroids)
    model.inertia_, model.n_iter_ = result.inertia, result.n_iter
    model.n_features_in_ = points.shape[1]
    model.save(out, force=force)
    _show("points", _described(data, points))
    _show("clusters", f"{clusters:,}; {_sizes(np.asarray(result.labels), clusters)}")
    _show("inertia", f"{result.inertia:.9g}")
    _show("passes", f"{result.n_iter:,} in the best start; all starts took {seconds:.1f} s")
    _show("stopped", result.status.value)
    _show("backend", backend or _fastest())
    _show("model", out)


@tfkm_command.command()
@click.argument("model", type=_FILE)
@click.argument("data", type=_FILE)
@click.option(
    "-o",
    "--out",
    type=_FILE,
    help="The labels.  [default: DATA's name + .labels.npy, or .labels.csv with --id-column]",
)
@_reads_data
@_backend
@_force
def predict(model, data, out, backend, force, reading) -> None:
    """Write the cluster of each point of DATA, an .npy of int32.

    MODEL is a file that `tfkm fit`, or an estimator's save, wrote. DATA is as for `tfkm fit`. An OUT
    that ends in .csv or .parquet becomes a table, with the id column before the labels; one that ends
    in .tfrecord, a tf.train.Example for each point.
    """
    named = reading.id_column is not None
    out = out or data.with_suffix(".labels.csv" if named else ".labels.npy")
    whole_files.check_target(out, force=force)
    if format := formats.of(out, "write_labels"):
        format.needs()
    model_files.read(model)  # checked before the slow import
    points, ids = files.read_named(data, reading)
    import_quietly(tensorflow=_needs_tensorflow(backend))
    estimator = tfkm.load(model)
    k, d = estimator.cluster_centers_.shape
    if points.shape[1] != d:
        raise ValueError(
            f"{data}: its points have {points.shape[1]} features; the model {model} is of {d}"
        )
    if backend is not None:
        estimator.set_params(backend=backend)
    try:
        labels = estimator.predict(points)
    except ValueError as error:
        raise ValueError(f"{data}: {error}") from error
    files.write_labels(out, [labels], ids, force=force)
    _show("points", _described(data, points))
    _show("clusters", f"{k:,}; {_sizes(labels, k)}")
    _show("labels", out)


@tfkm_command.command()
def backends() -> None:
    """List the backends, the fastest first: which is the default, and why one cannot be used."""
    import_quietly(tensorflow=True)
    states, lines = tfkm.backends(), []
    default = next((name for name in NAMES if name in states and states[name].usable), None)
    for name, state in states.items():
        can = "is the default" if name == default else "can be used"
        lines.append((name, f"{can if state.usable else 'cannot be used'}: {state.why}."))
    formatter = click.HelpFormatter(width=shutil.get_terminal_size().columns)
    formatter.write_text("A backend computes the distances. All give the same labels.")
    formatter.write_paragraph()
    formatter.write_dl(lines)
    formatter.write_paragraph()
    formatter.write_text("To choose one: --backend NAME, or backend='NAME' in Python.")
    click.echo(formatter.getvalue(), nl=False)


def _show(name: str, value: object) -> None:
    click.echo(f"{name:<9} {value}")


def _described(data: Path, points: np.ndarray) -> str:
    n, d = points.shape
    return f"{n:,} × {d:,} {points.dtype} from {data}"


def _sizes(labels: np.ndarray, k: int) -> str:
    sizes = np.bincount(labels, minlength=k)
    return f"sizes from {sizes.min():,} to {sizes.max():,}, median {np.median(sizes):,.0f}"


def _needs_tensorflow(backend: str | None) -> bool:
    return backend != "native" and (backend is not None or why_not("native") != "")


def _fastest() -> str:
    from tfkm.ops import backends

    return backends.select(None).name


def _is_of_tensorflow(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "tensorflow"


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back what the block writes to file descriptor 2, and show it only if the block raises."""
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        try:
            os.dup2(held.fileno(), 2)
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            shutil.copyfileobj(held, sys.stderr.buffer)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
