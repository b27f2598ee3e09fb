"""Shards shared out among workers, and what they give in order."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from tfkm.seeding.draws import Shard

_AHEAD = 4  # shards that each worker has at once, the one at work among them


class Submitted(NamedTuple):
    """worker: its number. pending: what `submit` made of it."""

    shard: Shard
    worker: int
    pending: Any


def in_order(
    shards: Iterable[Shard],
    workers: Callable[[], Collection[int]],
    submit: Callable[[int, Shard], Any],
) -> Iterator[Submitted]:
    """Each shard in its turn, as it was submitted: the worker with the fewest takes the next one.

    workers() are those who can take one, asked each time: some may come later, some go.
    submit(worker, shard) begins it. It counts as done when the next one is asked for.
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
