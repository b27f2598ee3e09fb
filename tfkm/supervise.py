"""A supervisor for programs on `tfkm.MultiWorker` on one host, which restarts all when one dies.

python -m tfkm.supervise -n 4 fit.py --options of fit.py
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

_LOOK = 0.05  # seconds between two checks of the processes


def supervise(command: Sequence[str], workers: int, restarts: int = 3) -> int:
    """Run the command in several processes, with TF_CONFIG set, until all have ended well.

    If one fails, the others cannot go on without it. So they are killed, and all are started again;
    a fit with `checkpoint_dir` continues. If this call raises, the processes are killed, too.

    Args:
        command: A program and its arguments. It makes its strategy from TF_CONFIG.
        workers: How many processes.
        restarts: The most restarts.

    Returns:
        0, or after the last restart the code of the first process that failed, as `subprocess`
            gives it.

    Examples:
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
    """Return the code of the first process that fails, or 0 when all have ended well."""
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
            # Killed at once: a process that waits for a lost one ignores a request to end.
            process.kill()
        for process in processes:
            process.wait()


def _free_addresses(count: int) -> list[str]:
    # Another program may take an address before TensorFlow does. Then that process fails, and all
    # get new ones.
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("-n", "--workers", type=click.IntRange(1), required=True, help="How many processes.")
@click.option("--restarts", type=click.IntRange(0), default=3, show_default=True, help="At most.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(workers: int, restarts: int, script: str, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT in several processes, and restart all when one dies."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    code = supervise([sys.executable, script, *arguments], workers, restarts)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
