"""The card that TensorFlow computes on: how much of its memory is free, and points that go there.

Points in host memory that a card has room for are copied to it once and stay there for all passes.
Others go in blocks, of which one is worked on while the next is copied.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import tensorflow as tf

from tfkm.tensorflow_private import list_local_devices

_STAY = 2  # points stay if they take no more than this part of what is free
_BLOCK = 8  # else a block takes this part of it, and two are there at a time
_Item = TypeVar("_Item")


class Gpu(NamedTuple):
    """name: "/device:GPU:0". free: bytes of its memory that nobody had taken when it was first asked."""

    name: str
    free: int

    def keeps(self, nbytes: int) -> bool:
        """Whether points of so many bytes stay on it."""
        return nbytes <= self.free // _STAY

    @property
    def block_bytes(self) -> int:
        """Of points that do not."""
        return max(1, self.free // _BLOCK)


@functools.cache
def card() -> Gpu | None:
    """The first GPU, None where there is none. Asked once, so that sizes, hence programs, stay the same."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return None
    name = gpus[0].name
    limits = {device.name: device.memory_limit for device in list_local_devices()}
    return Gpu(name, limits[name] - tf.config.experimental.get_memory_info(name[8:])["current"])


def copied(tensor: tf.Tensor, card: Gpu) -> tf.Tensor:
    """On the card."""
    with tf.device(card.name):
        return tf.identity(tensor)


def copied_ahead(items: Iterable[_Item], copy: Callable[[_Item], _Item]) -> Iterator[_Item]:
    """copy(item) of each, begun while the one before it is worked on."""
    with ThreadPoolExecutor(1, "tfkm copies") as thread:
        ahead = None
        for item in items:
            following = thread.submit(copy, item)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
