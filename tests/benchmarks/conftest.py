"""Jobs over the benchmarks of ``bad_and_good.py``, and a look at what processes are left."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.job import Job, make_job
from benchmarks.result import Identity

OUTSIDE = Path(__file__).with_name("bad_and_good.py")
MakeJob = Callable[..., Job]


@pytest.fixture
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
