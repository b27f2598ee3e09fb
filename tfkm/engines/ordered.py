"""Shards distributed among workers, and their results in the order of the shards."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from tfkm.seeding.draws import Shard

_AHEAD = 4  # shards submitted to each worker at a time, including the one it works on


class Submitted(NamedTuple):
    """A shard that was given to a worker.

    Attributes:
        shard: The shard.
        worker: The worker's number.
        pending: What `submit` returned.
    """

    shard: Shard
    worker: int
    pending: Any


def in_order(
    shards: Iterable[Shard],
    workers: Callable[[], Collection[int]],
    submit: Callable[[int, Shard], Any],
) -> Iterator[Submitted]:
    """Submit each shard to the worker with the fewest shards, and yield them in order.

    A shard counts as done when the next one is asked for.

    Args:
        shards: The shards, in order.
        workers: Returns the workers that can take a shard. It is called each time, since workers
            may join or leave.
        submit: Called as submit(worker, shard) to begin the work.
    """
    left, loads, coming = iter(shards), Counter[int](), deque[Submitted]()

    def begin() -> None:
        those = workers()
        for shard in itertools.islice(left, max(0, _AHEAD * len(those) - len(coming))):
            worker = min(those, key=loads.__getitem__)
            loads[worker] += 1
            coming.append(Submitted(shard, worker, submit(worker, shard)))

    begin()
    while coming:
        yield coming[0]
        loads[coming.popleft().worker] -= 1
        begin()
