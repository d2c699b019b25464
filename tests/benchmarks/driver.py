"""Runs jobs as ``netcompress run`` does, so that tests can interrupt or kill it. Not a test module.

    python driver.py JOBS.jsonl STORE [KILL_AT_BYTE [careless]]

Prints ``ready``, then the counts done, failed and skipped; exit code 130 where it was interrupted.
With KILL_AT_BYTE it kills itself and all that it started once it has written so many bytes of
results; ``careless`` writes them without the temporary file, so that a test can show what it sees.
"""

import os
import signal
import sys
from io import FileIO
from pathlib import Path
from typing import Any

import benchmarks.store
from benchmarks.job import Job
from benchmarks.schedule import run_all
from benchmarks.store import Store
from benchmarks.supervisor import descendants


def kill_at(byte: int) -> None:
    """Have files opened for writing bytes written so far, and no further."""
    left = byte
    usual = Path.open

    class Counted(FileIO):
        def write(self, data: Any) -> int:
            nonlocal left
            if len(data) > left:
                super().write(data[:left])
                for pid in [*descendants(os.getpid()), os.getpid()]:
                    os.kill(pid, signal.SIGKILL)
            left -= len(data)
            return super().write(data)

    def opened(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        if mode in ("xb", "wb"):
            return Counted(path, mode[0])
        return usual(path, mode, *more, **options)

    Path.open = opened  # type: ignore[method-assign,assignment]


def carelessly(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def main(jobs_file: str, store: str, *killing: str) -> int:
    jobs = [Job.model_validate_json(line) for line in Path(jobs_file).read_text().splitlines()]
    if killing:
        kill_at(int(killing[0]))
    if "careless" in killing:
        benchmarks.store.write_atomically = carelessly
    print("ready", flush=True)
    summary = run_all(jobs, Store(Path(store)), workers=2)
    print(summary.done, summary.failed, summary.skipped, flush=True)
    return 130 if summary.interrupted else 0


if __name__ == "__main__":
    # Where tests are started in the background, SIGINT comes ignored: ask for it back.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = main(*sys.argv[1:])
    except KeyboardInterrupt:  # before the first job
        print(0, 0, 0, flush=True)
        code = 130
    # All is done: while the interpreter ends, it gives SIGINT back to the system, which would kill.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
