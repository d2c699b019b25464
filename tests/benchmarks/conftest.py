"""Jobs over the benchmarks of ``bad_and_good.py``, and a look at what processes are left."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.job import Job, make_job
from benchmarks.provenance import child_environment
from benchmarks.result import Identity
from benchmarks.store import RUNNING

OUTSIDE = Path(__file__).with_name("bad_and_good.py")
DRIVER = Path(__file__).with_name("driver.py")
MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def fake_job() -> MakeJob:
    """Makes a job of a class of ``bad_and_good.py``."""

    def make(cls: str = "Good", seed: int = 0, limit: float = 60.0, **more: Any) -> Job:
        configuration = more.pop("configuration", {})
        return make_job(
            Identity(
                paper="2016-fake-paper",
                benchmark="fake",
                run=cls.lower(),
                scale="quick",
                seed=seed,
                data="",
            ),
            configuration,
            method=None,
            method_revision=None,
            benchmark_revision=1,
            data_digests={},
            benchmark_class=f"{OUTSIDE}:{cls}",
            time_limit_seconds=limit,
            **more,
        )

    return make


@pytest.fixture
def processes_of() -> Callable[[Path], list[str]]:
    """Finds living processes that work in a folder or were told of it (Linux)."""

    def find(folder: Path) -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                place = str((entry / "cwd").readlink())
            except OSError:
                continue  # it ended, is a zombie, or is not ours
            mine = entry.name == str(os.getpid())
            named = str(folder) in command or place.startswith(str(folder))
            if named and not mine:
                found.append(f"{entry.name} {command}")
        return found

    return find


@pytest.fixture
def gone(processes_of: Callable[[Path], list[str]]) -> Callable[[Path], list[str]]:
    """Waits until no process works in a folder; those that still do after 8 seconds."""

    def wait(folder: Path) -> list[str]:
        until = time.monotonic() + 8
        while time.monotonic() < until and processes_of(folder):
            time.sleep(0.05)
        return processes_of(folder)

    return wait


@pytest.fixture(scope="session")
def start_driver() -> Callable[..., "subprocess.Popen[str]"]:
    """Starts ``driver.py`` on jobs and ``folder/store``, and waits until it is ready."""

    def start(jobs: Iterable[Job], folder: Path, *killing: str) -> "subprocess.Popen[str]":
        folder.mkdir(exist_ok=True)
        job_file = folder / "jobs.jsonl"
        job_file.write_text("".join(f"{job.model_dump_json()}\n" for job in jobs))
        process = subprocess.Popen(
            [sys.executable, "-P", str(DRIVER), str(job_file), str(folder / "store"), *killing],
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start


@pytest.fixture
def stored_files() -> Callable[[Path], dict[str, int]]:
    """The result files of a store with their times, by which a second writing shows."""
    return lambda store: {str(p): p.stat().st_mtime_ns for p in store.glob("2*/*/*.json")}


@pytest.fixture
def leftovers() -> Callable[[Path], list[str]]:
    """What lies in a store and is no result."""
    return lambda store: [
        *(str(p) for p in store.rglob("*") if p.is_file() and p.suffix != ".json"),
        *(str(p) for p in (store / RUNNING).rglob("*")),
    ]
