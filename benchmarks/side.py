"""One of two builds that are compared: a process that times what it is told to, one round at a time.

compare.py starts it as a file, with the build's folder on the path, and talks to it by lines of JSON. It
uses only public names of tfkm that stay, so that builds of different ages can be compared.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfkm


def prepare(op: str, n: int, k: int, d: int) -> Callable[[], object]:
    """A call to be timed, on arrays of its own: where memory happens to lie changes the time."""
    rng = np.random.default_rng([n, k, d])
    points = rng.standard_normal((n, d), np.float32)
    centroids = points[:k].copy()
    if op == "seed":
        return lambda: tfkm.kmeans_plusplus(points, k, random_state=0, backend="native")
    if op == "fit":
        options = dict(init=centroids, n_init=1, max_iter=10, tol=0.0, backend="native")
        return lambda: tfkm.kmeans(points, k, **options)
    function = {"assign": tfkm.assign, "accumulate": tfkm.accumulate}[op]
    x, c = tf.constant(points), tf.constant(centroids)
    return lambda: function(x, c, backend="native")


def seconds_of(call: Callable[[], object], times: int, planted: float) -> list[float]:
    """Of each of so many calls. planted: a busy loop of this share of each call's time."""
    each = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        end = time.perf_counter()
        while time.perf_counter() < end + planted * (end - begin):
            pass
        each.append(time.perf_counter() - begin)
    return each


def main() -> None:
    calls: dict[str, Callable[[], object]] = {}
    print(json.dumps({"tfkm": tfkm.__file__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict = {}
        if "threads" in asked:
            tf.config.threading.set_intra_op_parallelism_threads(asked["threads"])
        elif "times" in asked:
            call, planted = calls[asked["name"]], asked.get("planted", 0.0)
            answer["seconds"] = seconds_of(call, asked["times"], planted)
        else:
            try:
                calls[asked["name"]] = prepare(asked["op"], *asked["shape"])
                calls[asked["name"]]()
            except Exception as error:  # a build that cannot run this case, which the other one may
                answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
