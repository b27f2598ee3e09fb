"""What streams and engines cost: throughput beside memory, overhead of a pass, recovery after a kill.

python -m benchmarks.streams [-o FILE.json]

Medians, in turns; beside them the date, the commit, the processor and the load before and after.
benchmarks/planning.py makes the tables of docs/ from the file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import benchmarks.conftest  # noqa: F401  sets the environment before NumPy is loaded

# isort: split
import numpy as np

import tfkm
from benchmarks import machine
from tfkm.streams.stream import Here
from tfkm.supervise import supervise

THROUGHPUT = [(524288, 64, 128), (262144, 1024, 128), (1048576, 256, 32)]
OVERHEAD = [(1024, 128), (65536, 256)]
WORKERS = 2
_UNWATCHED = 20  # passes: what the first two and the last measurement take is to weigh little
_KILLS = 3
RECORD = Path(__file__).parent / "recorded" / "streams.json"


def watched(points: Any, init: np.ndarray, **more: Any) -> list[float]:
    """Seconds of all passes but the first, of which a callback wants the inertia."""
    moments: list[float] = []
    options = dict(init=init, max_iter=5, tol=0, backend="native", **more)
    tfkm.kmeans(
        points, len(init), on_pass=lambda done: moments.append(time.perf_counter()), **options
    )
    return np.diff(moments).tolist()


def unwatched(points: np.ndarray, init: np.ndarray) -> list[float]:
    """The same without a callback: labels that cannot change are passed by, distances not measured."""
    seconds, made = [], []
    for passes in 2, 2 + _UNWATCHED:
        began = time.perf_counter()
        options = dict(init=init, max_iter=passes, tol=0, backend="native")
        made.append(tfkm.kmeans(points, len(init), **options).n_iter)
        seconds.append(time.perf_counter() - began)
    return [(seconds[1] - seconds[0]) / (made[1] - made[0])]


def throughput(n: int, k: int, d: int, folder: str, rounds: int) -> dict[str, Any]:
    """Points/s of a pass: in memory, of the array as a stream, of an .npy file in the page cache."""
    points = np.random.default_rng(d).standard_normal((n, d), np.float32)
    path, init = f"{folder}/{n}x{d}.npy", points[:k].copy()
    np.save(path, points)
    seconds: dict[str, list[float]] = {"memory": [], "npy": [], "array": [], "unwatched": []}
    for _ in range(rounds):
        seconds["memory"] += watched(points, init)
        seconds["npy"] += watched(path, init)
        seconds["array"] += watched(points, init, engine=Here)
        seconds["unwatched"] += unwatched(points, init)
    return {"n": n, "k": k, "d": d, **{way: n / median(each) for way, each in seconds.items()}}


# A few points in each of four shards, so that what a pass takes is the engine's, and the sums'.
_PASSES = """
import json, os, sys, time
import numpy as np, tensorflow as tf
name, k, d, folder, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
config = os.environ.get("TF_CONFIG")
strategy = tf.distribute.MultiWorkerMirroredStrategy() if config else None
import tfkm
from tfkm.streams import Stream, source_of
from tfkm.streams.passes import SumShard, grids
from tfkm.streams.scan import scan
from tfkm.streams.stream import Here
openers = {"none": Here, "Ray": tfkm.Ray(workers=workers)}
openers["MultiWorker"] = strategy and tfkm.MultiWorker(strategy)
stream = Stream(source_of(folder + f"/few{d}.npy"), 4)
engine = openers[name](stream)
found = scan(stream, engine, digested=False)
centroids = np.random.default_rng(0).standard_normal((1, k, d)).astype(np.float32)
task = SumShard(centroids, grids(found, centroids, False), False, "native", rows=64)
seconds = []
for _ in range(5):
    began, total = time.perf_counter(), None
    for _, part in engine.run(task, stream.shards()):
        total = part.owned() if total is None else total.and_next(part)
    seconds.append(time.perf_counter() - began)
if not config or json.loads(config)["task"]["index"] == 0:
    json.dump(seconds[1:], open(folder + "/seconds.json", "w"))
"""

_SHARDS = 4


def overhead(engine: str, k: int, d: int, folder: str) -> dict[str, Any]:
    """Seconds of a pass over four shards of 64 points."""
    points = np.random.default_rng(0).standard_normal((_SHARDS * 64, d), np.float32)
    np.save(f"{folder}/few{d}.npy", points)
    command = [sys.executable, "-c", _PASSES, engine, str(k), str(d), folder, str(WORKERS)]
    if engine == "MultiWorker":
        assert supervise(command, WORKERS, restarts=0) == 0
    else:
        subprocess.run(command, check=True)
    seconds = json.loads(Path(folder, "seconds.json").read_text())
    return {"engine": engine, "k": k, "d": d, "shards": _SHARDS, "seconds": median(seconds)}


# One worker is killed after the third pass; how long until the next one is done.
_KILLED = """
import json, os, signal, sys, time
from pathlib import Path
import tensorflow as tf
name, folder, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
config = os.environ.get("TF_CONFIG")
rank = json.loads(config)["task"]["index"] if config else 0
strategy = tf.distribute.MultiWorkerMirroredStrategy() if config else None
import tfkm
engine = tfkm.MultiWorker(strategy) if config else tfkm.Ray(workers=workers)
killed, found = Path(folder, "killed"), Path(folder, "recovered.json")

def of_ray():
    named = ((int(p.parent.name), p.read_bytes()) for p in Path("/proc").glob("[0-9]*/cmdline"))
    return [pid for pid, name in named if name.startswith(b"ray::_Worker")]

def on_pass(done):
    if killed.exists():
        if rank == 0 and done.iteration > 3 and not found.exists():
            found.write_text(json.dumps(time.time() - float(killed.read_text())))
    elif done.iteration == 3 and rank == workers * bool(config) - bool(config):
        killed.write_text(str(time.time()))
        os.kill(os.getpid() if config else of_ray()[0], signal.SIGKILL)

tfkm.kmeans(folder + "/lost.npy", 64, init="random", n_init=1, random_state=0, max_iter=6, tol=0,
            engine=engine, on_pass=on_pass, checkpoint_dir=folder + "/kept" if config else None)
"""


def recovery(engine: str, folder: str) -> dict[str, Any]:
    """Seconds from the kill of one of two workers to the end of the next pass, of some 0.1 s."""
    samples = [recovered(engine, tempfile.mkdtemp(dir=folder)) for _ in range(_KILLS)]
    return {"engine": engine, "seconds": median(samples), "samples": samples}


def recovered(engine: str, folder: str) -> float:
    """Of one kill."""
    np.save(
        f"{folder}/lost.npy", np.random.default_rng(0).standard_normal((200_000, 32), np.float32)
    )
    command = [sys.executable, "-c", _KILLED, engine, folder, str(WORKERS)]
    if engine == "MultiWorker":
        assert supervise(command, WORKERS, restarts=1) == 0
    else:
        subprocess.run(command, check=True)
    return json.loads(Path(folder, "recovered.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=RECORD)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "commit": machine.commit(),
        "processor": machine.processor(),
        "load": [os.getloadavg()[0]],
        "cores": len(os.sched_getaffinity(0)),
        "workers": WORKERS,
    }
    with tempfile.TemporaryDirectory() as folder:
        found["throughput"] = [throughput(*shape, folder, options.rounds) for shape in THROUGHPUT]
        engines = ("none", "Ray", "MultiWorker")
        found["overhead"] = [overhead(e, *shape, folder) for shape in OVERHEAD for e in engines]
        found["recovery"] = [recovery(e, folder) for e in ("Ray", "MultiWorker")]
    found["load"].append(os.getloadavg()[0])
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(options.output.read_text())


if __name__ == "__main__":
    main()
