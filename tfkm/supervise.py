"""Programs on `tfkm.MultiWorker` on one host: all processes, started again when one of them dies.

python -m tfkm.supervise -n 4 fit.py --of its own
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

import click

_LOOK = 0.05  # seconds between looks at the processes


def supervise(command: Sequence[str], workers: int, restarts: int = 3) -> int:
    """Runs the command in so many processes, with TF_CONFIG set, until all have ended well.

    When one ends otherwise, the others are killed, since they cannot go on without it, and all are started
    again: a fit with `checkpoint_dir` goes on. An exception that ends this call ends the processes, too.

    Args:
      command: a program and its arguments, which makes its strategy from TF_CONFIG.
      workers: how many processes.
      restarts: how often at most.

    Returns:
      0, or the code of the process that ended first after the last restart: as `subprocess` gives it.

    >>> import sys
    >>> from tfkm.supervise import supervise
    >>> supervise([sys.executable, "-c", "raise SystemExit(5)"], 2, restarts=1)
    5
    """
    for left in range(restarts, -1, -1):
        code = _once(command, workers)
        if code == 0 or left == 0:
            return code
        what = f"killed by signal {-code}" if code < 0 else f"ended with {code}"
        print(f"supervise: a process was {what}; {left} restarts are left", file=sys.stderr)
    raise ValueError(f"restarts: {restarts}; it has to be 0 or more")


def _once(command: Sequence[str], workers: int) -> int:
    """The first code that is not 0, or 0 when all have ended."""
    addresses = _free_addresses(workers)
    processes = []
    try:
        for index in range(workers):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            environment = {**os.environ, "TF_CONFIG": config}
            processes.append(subprocess.Popen(command, env=environment))
        while True:
            codes = [process.poll() for process in processes]
            if failed := [code for code in codes if code]:
                return failed[0]
            if None not in codes:
                return 0
            time.sleep(_LOOK)
    finally:
        for process in processes:
            process.kill()  # not asked to end: one that waits for a lost one would not
        for process in processes:
            process.wait()


def _free_addresses(count: int) -> list[str]:
    # Another program may take one before TensorFlow does; then that process fails and all get new ones.
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("-n", "--workers", type=click.IntRange(1), required=True, help="How many processes.")
@click.option("--restarts", type=click.IntRange(0), default=3, show_default=True, help="At most.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(workers: int, restarts: int, script: str, arguments: tuple[str, ...]) -> None:
    """Runs SCRIPT in several processes, all started again when one dies."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    code = supervise([sys.executable, script, *arguments], workers, restarts)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
