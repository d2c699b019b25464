"""Promises 5 and 8 at their full size: two hundred kills, twenty Ctrl-C, and nothing lost.

A run of twenty tiny jobs is killed, resumed and killed again until it is done; then the next run
starts, until all kills are spent. Each run's results are compared with those of an undisturbed one.
SIGKILL ends processes and leaves the system's cache alone: it is no power loss.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.store import Store, StoredResults
from benchmarks.supervisor import descendants

pytestmark = [
    pytest.mark.trust,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and death signals"),
    pytest.mark.timeout(1200),
]
JOBS = 20
KILLS = 50
"""In each of four rounds: three at moments, one at numbers of written bytes."""
INTERRUPTIONS = 20
LONGEST_SECONDS = 1.5
MOST_BYTES = 2500
"""Some two results."""
NOTHING_LOST = {"half-written": 0, "lost": 0, "run twice": 0, "duplicates": 0, "left": 0}


@pytest.fixture(scope="module")
def jobs(fake_job):
    return [fake_job("Noting", seed, configuration={"seconds": 0.02}) for seed in range(JOBS)]


def contents(read: StoredResults) -> dict[str, object]:
    """All of each result that does not tell when and on which machine state it was made."""
    return {
        one.result.fingerprint: one.result.model_dump(exclude={"provenance"})
        for one in read.results
    }


class Watched:
    """A run's folder, and what was wrong in it after each interruption."""

    def __init__(self, folder: Path, stored_files, leftovers) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.stored_files = stored_files
        self.leftovers = leftovers
        self.before: dict[str, int] = {}
        self.faults = Counter(NOTHING_LOST)
        self.swept = 0
        folder.mkdir()

    def finished(self) -> set[int]:
        return {one.result.identity.seed for one in Store(self.store).read_all().results}

    def started(self) -> set[int]:
        """Seeds of the jobs that were started since the last look."""
        notes = self.folder / "started"
        text = notes.read_text() if notes.exists() else ""
        notes.unlink(missing_ok=True)
        return {int(line) for line in text.split()}

    def look(self, finished_before: set[int]) -> None:
        """Hold the store against what it held when the process started."""
        now = self.stored_files(self.store)
        self.faults["half-written"] += len(Store(self.store).read_all().faults)
        self.faults["lost"] += len(self.before.items() - now.items())
        self.faults["run twice"] += len(self.started() & finished_before)
        self.before = now
        self.swept += len([one for one in self.leftovers(self.store) if one.endswith(".tmp")])

    def look_at_the_end(self, undisturbed: dict[str, object]) -> None:
        read = Store(self.store).read_all()
        self.faults["left"] += len(self.leftovers(self.store))
        self.faults["duplicates"] += len(read.results) - len(contents(read))
        assert contents(read) == undisturbed


@pytest.fixture(scope="module")
def undisturbed(jobs, start_driver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    output, _ = start_driver(jobs, folder).communicate(timeout=200)
    assert output.split() == [str(JOBS), "0", "0"]
    return contents(Store(folder / "store").read_all())


def kill_all(process) -> bool:
    """SIGKILL to the process and all that it started; False where it had ended by itself."""
    if process.poll() is not None:
        return False
    for pid in [*descendants(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended meanwhile
    return process.wait(timeout=20) == -signal.SIGKILL


@pytest.mark.parametrize("round_", [1, 2, 3, 4])
def test_two_hundred_kills_lose_nothing(
    round_, jobs, undisturbed, start_driver, stored_files, leftovers, gone, record_property,
    tmp_path,
):  # fmt: skip
    chance = random.Random(round_)
    by_bytes = round_ == 4
    kills = runs = swept = 0
    faults: Counter[str] = Counter(NOTHING_LOST)
    while kills < KILLS:
        runs += 1
        run = Watched(tmp_path / f"run-{runs}", stored_files, leftovers)
        while kills < KILLS and len(run.before) < JOBS:
            finished = run.finished()
            if by_bytes:
                process = start_driver(jobs, run.folder, str(chance.randrange(MOST_BYTES)))
                process.communicate(timeout=200)
                kills += process.returncode == -signal.SIGKILL
            else:
                process = start_driver(jobs, run.folder)
                time.sleep(chance.uniform(0, LONGEST_SECONDS))
                kills += kill_all(process)
                process.communicate(timeout=20)
            run.look(finished)
        finished = run.finished()
        output, _ = start_driver(jobs, run.folder).communicate(timeout=200)
        assert output.split() == [str(JOBS - len(finished)), "0", str(len(finished))]
        run.look(finished)
        run.look_at_the_end(undisturbed)
        faults.update(run.faults)
        swept += run.swept
    record_property("kills", kills)
    record_property("runs", runs)
    record_property("temporary_files_swept", swept)
    assert dict(faults) == NOTHING_LOST
    assert gone(tmp_path) == []


def test_a_careless_writer_would_be_seen(jobs, start_driver, stored_files, leftovers, tmp_path):
    run = Watched(tmp_path / "careless", stored_files, leftovers)
    start_driver(jobs, run.folder, "500", "careless").communicate(timeout=200)
    run.look(set())
    assert run.faults["half-written"] == 1


def test_a_job_that_is_run_twice_would_be_seen(
    jobs, start_driver, stored_files, leftovers, tmp_path
):
    run = Watched(tmp_path / "twice", stored_files, leftovers)
    start_driver(jobs[:2], run.folder).communicate(timeout=200)
    run.look(set())
    next(run.store.glob("2*/*/*.json")).unlink()
    start_driver(jobs[:2], run.folder).communicate(timeout=200)
    run.look({0, 1})
    assert (run.faults["lost"], run.faults["run twice"]) == (1, 1)


def test_twenty_interruptions_and_no_job_is_run_twice(
    jobs, undisturbed, start_driver, stored_files, leftovers, processes_of, record_property,
    tmp_path,
):  # fmt: skip
    chance = random.Random(8)
    interruptions = runs = 0
    slowest = 0.0
    while interruptions < INTERRUPTIONS:
        runs += 1
        run = Watched(tmp_path / f"run-{runs}", stored_files, leftovers)
        while interruptions < INTERRUPTIONS and len(run.before) < JOBS:
            finished = run.finished()
            process = start_driver(jobs, run.folder)
            time.sleep(chance.uniform(0, 2 * LONGEST_SECONDS))
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            start = time.monotonic()
            output, _ = process.communicate(timeout=60)
            slowest = max(slowest, time.monotonic() - start)
            interruptions += process.returncode == 130
            assert process.returncode in (0, 130)
            run.look(finished)
            assert output.split() == [
                str(len(run.before) - len(finished)),
                "0",
                *output.split()[2:],
            ]
            assert leftovers(run.store) == []
            assert processes_of(run.store) == []
        finished = run.finished()
        output, _ = start_driver(jobs, run.folder).communicate(timeout=200)
        assert output.split() == [str(JOBS - len(finished)), "0", str(len(finished))]
        run.look(finished)
        run.look_at_the_end(undisturbed)
        assert dict(run.faults) == NOTHING_LOST
    record_property("interruptions", interruptions)
    record_property("slowest_seconds", round(slowest, 2))
