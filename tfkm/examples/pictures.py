"""matplotlib for the examples that draw."""

from __future__ import annotations

from typing import Any


def pyplot() -> Any:
    """`matplotlib.pyplot`, which draws without a display. Raises ImportError without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("--picture needs matplotlib: pip install 'tfkm[plot]'") from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot
