"""plot: the pictures hold the figures they are given, and their absence is told in a sentence."""

import sys

import numpy as np
import pytest
from matplotlib import pyplot

import tfkm


@pytest.fixture(autouse=True)
def close():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_a_curve_is_drawn():
    curve = tfkm.metrics.inertia_curve(np.random.default_rng(0).random((60, 2)), [1, 2, 5])
    ax = tfkm.plot.inertia_curve(curve)
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 5])
    np.testing.assert_array_equal(line.get_ydata(), curve.inertias)
    assert ax.get_ylim()[0] == 0
    assert tfkm.plot.inertia_curve(curve, ax=ax) is ax and len(ax.lines) == 2


def test_silhouettes_are_drawn_sorted_by_cluster():
    values = np.array([0.5, -0.25, 0.75, 0.1])
    ax = tfkm.plot.silhouettes(values, np.array([4, 2, 4, 4]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2", "4"]
    ends = [bars.get_paths()[0].get_extents().intervalx.tolist() for bars in ax.collections]
    assert ends == [[-0.25, 0.0], [0.0, 0.75]]
    assert ax.lines[0].get_xdata()[0] == pytest.approx(values.mean())
    areas = [bars.get_paths()[0].get_extents().height for bars in ax.collections]
    assert areas == [1, 3]


def test_many_clusters_are_not_all_named():
    labels = np.arange(900) % 300
    ax = tfkm.plot.silhouettes(np.ones(900), labels)
    assert len(ax.collections) == 300 and len(ax.get_yticklabels()) == 25


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"labels: shape \(2,\); values have shape \(3,\)"):
        tfkm.plot.silhouettes(np.ones(3), [0, 1])


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ImportError, match=r"tfkm.plot needs matplotlib: pip install 'tfkm\[plot\]'"
    ):
        tfkm.plot.silhouettes([1.0], [0])
