"""Many jobs: only what is missing runs, whatever ended the run before."""

import json
import os
import random
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from benchmarks.runner import run_job
from benchmarks.schedule import Options, RunProgress, dask_executor, run_all
from benchmarks.store import Store
from benchmarks.supervisor import descendants
from registry.errors import UserError

# That the runner dies alone, and its supervisors have to see to the rest, is Linux only.
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and death signals")


@linux
def test_kill_loses_at_most_the_jobs_in_flight(
    fake_job, start_driver, stored_files, leftovers, gone, tmp_path
):
    jobs = [fake_job("Good", seed, configuration={"seconds": 0.1}) for seed in range(12)]
    store = tmp_path / "store"
    moments = random.Random(5)
    before: dict[str, int] = {}
    for kill in range(5):
        process = start_driver(jobs, tmp_path)
        time.sleep(moments.uniform(0.0, 1.2))
        whole_tree = descendants(process.pid) if kill % 2 else set()
        for pid in [process.pid, *whole_tree]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended meanwhile
        process.communicate(timeout=10)
        read = Store(store).read_all()
        assert read.faults == ()
        now = stored_files(store)
        assert before.items() <= now.items(), "a finished result was lost or written again"
        before = now
    assert gone(store) == []
    output, _ = start_driver(jobs, tmp_path).communicate(timeout=60)
    assert output.split() == [str(12 - len(before)), "0", str(len(before))]
    assert before.items() <= stored_files(store).items()
    read = Store(store).read_all()
    assert sorted(one.result.identity.seed for one in read.results) == list(range(12))
    assert {one.result.outcome for one in read.results} == {"done"}
    assert read.faults == ()
    assert leftovers(store) == []


@linux
@pytest.mark.parametrize("moment", [0.0, 0.9])
def test_ctrl_c_stops_cleanly_and_the_rest_runs_later(
    moment, fake_job, start_driver, stored_files, leftovers, processes_of, tmp_path
):
    jobs = [fake_job("Good", seed, configuration={"seconds": 0.3}) for seed in range(6)]
    process = start_driver(jobs, tmp_path)
    time.sleep(moment + 0.1)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - start < 5
    store = tmp_path / "store"
    finished = stored_files(store)
    assert output.split() == [str(len(finished)), "0", "0"]
    assert leftovers(store) == []
    assert processes_of(store) == []
    summary = run_all(jobs, Store(store))
    assert (summary.done, summary.skipped) == (6 - len(finished), len(finished))
    assert finished.items() <= stored_files(store).items()


@linux
def test_a_second_ctrl_c_does_not_wait(fake_job, start_driver, processes_of, tmp_path):
    process = start_driver([fake_job("Deaf")], tmp_path)
    until = time.monotonic() + 30
    while time.monotonic() < until and not list(tmp_path.glob("store/*/*/*/deaf")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - start < 3
    assert processes_of(tmp_path / "store") == []


def test_what_is_there_is_not_run_again(fake_job, stored_files, tmp_path):
    store = Store(tmp_path / "store")
    jobs = [fake_job("Good", 0), fake_job("Raising"), fake_job("Unsuitable"), fake_job("Good", 0)]
    seen: list[RunProgress] = []
    first = run_all(jobs, store, on_progress=seen.append)
    assert (first.done, first.failed, first.unsuitable, first.skipped) == (1, 1, 1, 0)
    assert len(first.results) == 4
    assert all(path.is_file() for path in first.results)
    assert (seen[0].finished, seen[0].total, seen[-1].finished) == (0, 3, 3)
    assert seen[-1].seconds_left == 0.0
    assert {p.ended.outcome for p in seen if p.ended} == {"done", "failed", "skipped"}
    times = stored_files(store.folder)

    second = run_all(jobs, store)
    assert (second.done, second.failed, second.skipped, second.failed_before) == (0, 0, 4, 1)
    assert second.results == first.results
    assert stored_files(store.folder) == times

    third = run_all(jobs, store, options=Options(retry_failed=True))
    assert (third.done, third.failed, third.skipped) == (0, 1, 3)
    fourth = run_all(jobs[:2], store, options=Options(force=True))
    assert (fourth.done, fourth.failed, fourth.skipped) == (1, 1, 0)


def test_keep_runs_again_what_left_no_network(fake_job, tmp_path):
    store, keep = Store(tmp_path / "store"), tmp_path / "kept"
    job = fake_job()
    assert run_all([job], store).done == 1
    assert run_all([job], store, options=Options(keep=keep)).done == 1
    assert (keep / job.kept_name).is_file()
    assert run_all([job], store, options=Options(keep=keep)).skipped == 1


def test_published_results_count_as_there(fake_job, tmp_path, monkeypatch):
    job = fake_job()
    published = Store(tmp_path / "published", "published")
    path = run_job(job, published.folder)
    monkeypatch.setattr("benchmarks.schedule.published_store", lambda: published)
    summary = run_all([job], Store(tmp_path / "mine"))
    assert (summary.skipped, summary.results) == (1, [path])


def test_a_job_that_times_something_runs_alone(fake_job, tmp_path):
    jobs = [fake_job("Good", s, configuration={"seconds": 0.4}) for s in range(3)]
    jobs.insert(1, fake_job("Alone", configuration={"seconds": 0.6}, alone=True))
    together: set[str] = set()

    def watch(progress: RunProgress) -> None:
        if any("alone" in text for text in progress.running):
            together.update(progress.running)

    assert run_all(jobs, Store(tmp_path), workers=3, on_progress=watch).done == 4
    assert together
    assert all("alone" in text for text in together)


def test_any_executor_will_do(fake_job, tmp_path):
    jobs = [fake_job("Good", seed) for seed in range(2)]
    with ProcessPoolExecutor(2) as executor:
        assert run_all(jobs, Store(tmp_path), executor=executor).done == 2
    assert len(Store(tmp_path).read_all().results) == 2


def test_without_dask_its_executor_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"netcompress\[cluster\]"):
        dask_executor()


def test_a_folder_that_cannot_be_written_is_named(fake_job, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        run_all([fake_job()], Store(tmp_path / "file" / "store"))


def test_publishing_is_for_full_scale_and_committed_sources(fake_job, tmp_path, monkeypatch):
    options = Options(publish=True)
    with pytest.raises(UserError, match="full"):
        run_all([fake_job()], Store(tmp_path), options=options)
    for state, message in (((None, None), "source checkout"), (("a" * 40, True), "changes")):
        monkeypatch.setattr("benchmarks.runner.checkout_state", lambda state=state: state)
        with pytest.raises(UserError, match=message):
            run_all([], Store(tmp_path), options=options)
    monkeypatch.setattr("benchmarks.runner.checkout_state", lambda: ("a" * 40, False))
    assert run_all([], Store(tmp_path), options=options).results == []


def test_the_driver_and_its_jobs_travel_as_json(fake_job):
    job = fake_job("Good", 3, configuration={"seconds": 0.5, "layers": ["a", 1, None]})
    assert type(job).model_validate_json(job.model_dump_json()) == job
    changed = json.loads(job.model_dump_json())
    changed["configuration"]["seconds"] = 0.6
    with pytest.raises(ValueError, match="fingerprint"):
        type(job).model_validate_json(json.dumps(changed))
