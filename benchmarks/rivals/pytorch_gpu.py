"""The same on a GPU. Untried: no machine of ours has had a GPU."""

from __future__ import annotations

import torch

from benchmarks.rivals.pytorch import PyTorch

if not torch.cuda.is_available():
    raise ImportError("this PyTorch finds no GPU")


class PyTorchGPU(PyTorch):
    name = "PyTorch (GPU)"
    device = "cuda"

    @classmethod
    def _wait(cls) -> None:
        torch.cuda.synchronize()
