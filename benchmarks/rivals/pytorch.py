"""What one writes in PyTorch at first: ‖c‖² − 2 c·x by `torch.addmm`, and its argmin, in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.rivals import Outcome
from benchmarks.rivals.numpy import BLOCK_BYTES


class There:
    """A tensor that stays on its device until somebody wants an array of it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.tensor.cpu(), dtype)


class PyTorch:
    name = "PyTorch"
    version = torch.__version__
    dtypes = ("float32", "float64")
    device = "cpu"

    @classmethod
    def assign(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """On tensors of its device, as ours; back when the labels are there."""
        x, c = cls._there(points), cls._there(centroids)

        def run() -> Outcome:
            labels = nearest(x, c)
            cls._wait()
            return Outcome(There(labels), centroids)

        return run

    @classmethod
    def accumulate(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """The new centroids by `index_add_`."""
        x, c = cls._there(points), cls._there(centroids)

        def run() -> Outcome:
            labels = nearest(x, c)
            sums = torch.zeros_like(c).index_add_(0, labels, x)
            counts = torch.bincount(labels, minlength=len(c)).clamp(min=1)
            updated = sums / counts[:, None]
            cls._wait()
            return Outcome(There(labels), centroids, updated=There(updated))

        return run

    step = accumulate

    @classmethod
    def predict(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """From NumPy to NumPy."""
        c = cls._there(centroids)
        return lambda: Outcome(nearest(cls._there(points), c).cpu().numpy(), centroids)

    assign_with_copies = predict

    @classmethod
    def _there(cls, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(cls.device)

    @classmethod
    def _wait(cls) -> None:
        """For a device that computes on its own."""

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        return ""


def nearest(points: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """(n,) labels, in the precision of the arguments."""
    rows = max(1, BLOCK_BYTES // (centroids.element_size() * len(centroids)))
    norms = centroids.square().sum(dim=1)
    blocks = [
        torch.addmm(norms, block, centroids.T, alpha=-2).argmin(dim=1)
        for block in points.split(rows)
    ]
    return torch.cat(blocks)
