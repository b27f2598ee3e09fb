"""Points on a card, which the processor plays: what is copied to it, when, and that no bit shows it."""

import threading

import pytest

from tfkm.ops import devices

FITS = """
    import sys
    import numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    import tfkm
    from tfkm.ops import devices
    points = np.random.default_rng(0).standard_normal((5000, 16)).astype(np.float32)
    many = points[:, :4].copy()

    def fits():
        found = []
        for metric in "euclidean", "cosine":
            for init in "k-means++", "k-means||", "afk-mc2", "random":
                model = tfkm.KMeans(9, init=init, metric=metric, max_iter=4, random_state=0, backend="xla")
                model.fit(points)
                found += [model.cluster_centers_, model.labels_, model.predict(points)]
        return [part.tobytes() for part in found]

    copies, copied = [], devices.copied
    def counted(tensor, card):
        there = copied(tensor, card)
        assert there.device.endswith(card.name), there.device
        copies.append(there.shape[0] * there.shape[1] * there.dtype.size)
        return there
    devices.copied = counted

    alone = fits()
    assert not copies  # there is no card
    card = devices.Card("/device:CPU:1", 2**24)
    devices.card = lambda: card
    assert fits() == alone
    # Once for each fit and each predict; of points of length 1, once more. And the candidates of k-means||.
    few = [size for size in copies if size != points.nbytes]
    assert len(few) == 2 and max(few) < points.nbytes / 10, copies
    assert len(copies) <= 4 * 2 + 4 * 3 + 2, len(copies)
    copies.clear()
    card = devices.Card("/device:CPU:1", 2**18)
    assert fits() == alone
    assert copies and max(copies) <= 2**15 and sum(copies) > 20 * points.nbytes
"""


@pytest.mark.full
def test_points_stay_or_go_in_blocks(python):
    python(FITS)


def test_the_next_block_is_copied_meanwhile():
    begun = [threading.Event() for _ in range(4)]

    def copy(i):
        begun[i].set()
        return 10 * i

    blocks = devices.copied_ahead(range(4), copy)
    for i in range(4):
        assert next(blocks) == 10 * i
        assert i == 3 or begun[i + 1].wait(10)
        assert i >= 2 or not begun[i + 2].is_set()  # two at a time, not more
    assert list(blocks) == []


def test_what_goes_wrong_in_a_copy_is_heard():
    def copy(i):
        if i == 2:
            raise MemoryError("no room")
        return i

    blocks = devices.copied_ahead(range(4), copy)
    assert [next(blocks), next(blocks)] == [0, 1]
    with pytest.raises(MemoryError, match="no room"):
        next(blocks)


def test_no_card_here():
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        card = devices.card()
        assert card is not None and card.free > 0
    else:
        assert devices.card() is None
