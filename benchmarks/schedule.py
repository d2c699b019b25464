"""Runs many jobs: only what is missing, side by side, with the time left, until done or stopped."""

import contextlib
import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.job import Job
from benchmarks.result import Result
from benchmarks.runner import JobStopped, Stop, check_publishable, run_job
from benchmarks.store import Store, StoredResults, merged, published_store, read_result
from registry.errors import UserError

TICK_SECONDS = 0.5


@dataclass(frozen=True)
class RunProgress:
    """Where a run stands."""

    finished: int
    total: int
    running: tuple[str, ...]
    """Each job in flight: its title, share and what it does."""
    seconds_left: float | None
    """None while nothing is known of how long such jobs take."""
    ended: Result | None = None
    """The job that has just ended, if one has."""


@dataclass
class RunSummary:
    """What a run did."""

    done: int = 0
    failed: int = 0
    """Ended in this run otherwise than done or unsuitable."""
    unsuitable: int = 0
    """The method cannot take the network: outcome ``skipped``."""
    skipped: int = 0
    """Not run, because the result was there."""
    failed_before: int = 0
    """Of those skipped: failures, which ``retry_failed`` runs again."""
    results: list[Path] = field(default_factory=list)
    """Of all jobs, those that were there included, in the jobs' order."""
    interrupted: bool = False


@dataclass(frozen=True)
class Options:
    """How a run goes about it."""

    force: bool = False
    """Run also what is there."""
    retry_failed: bool = False
    publish: bool = False
    keep: Path | None = None


def default_workers() -> int:
    return min(2, os.cpu_count() or 1)


def run_all(
    jobs: Sequence[Job],
    store: Store,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    options: Options | None = None,
    on_progress: Callable[[RunProgress], None] | None = None,
) -> RunSummary:
    """Run the jobs whose results are in neither store, and write each as it ends.

    Args:
        executor: where jobs are started; by default threads of this process, which is enough
            since each job is a subprocess.
        workers: how many side by side; for the default executor, and to tell the time left.
        on_progress: called from this thread when a job ends and twice a second.

    Ctrl-C stops cleanly: jobs in flight are ended, what has finished is kept, nothing temporary
    is left, and the summary says ``interrupted``. A second one ends the jobs at once.

    Raises:
        UserError: results cannot be written, or publishing is not possible here.
    """
    options = options or Options()
    if options.publish:
        _check_publish(jobs)
    store.sweep()
    present = merged(published_store(), store)
    run = _Run(store, options, present, workers or default_workers(), on_progress)
    missing = run.missing(jobs)
    with store.in_use(), _ctrl_c(run.stop):
        if executor is not None:
            run.through(executor, missing, local=False)
        else:
            with ThreadPoolExecutor(run.workers, "job") as threads:
                run.through(threads, missing, local=True)
    run.summary.results = [run.paths[j.fingerprint] for j in jobs if j.fingerprint in run.paths]
    return run.summary


def dask_executor(address: str | None = None) -> Executor:
    """An executor over a Dask cluster: the scheduler at ``address``, or one on this machine.

    The store's folder must be on a file system that all workers see.

    Raises:
        UserError: Dask is not installed, or there is no scheduler at that address.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise UserError(
            "the Dask executor needs the packages dask and distributed: "
            "pip install 'netcompress[cluster]'"
        ) from error
    try:
        client = (
            distributed.Client(address)
            if address
            else distributed.Client(processes=True, threads_per_worker=1)
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address or 'this machine'}: {error}"
        ) from error
    executor: Executor = client.get_executor()
    return executor


@contextlib.contextmanager
def _ctrl_c(stop: Stop) -> Iterator[None]:
    """Ctrl-C asks to stop instead of raising at some line or other; not where it is ignored."""
    usual = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not usual
    ):
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: stop.ask())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _check_publish(jobs: Iterable[Job]) -> None:
    if any(job.identity.scale != "full" for job in jobs):
        raise UserError("--publish is for full-scale results only: add --scale full")
    check_publishable()


class _Run:
    """The state of one ``run_all``."""

    def __init__(
        self,
        store: Store,
        options: Options,
        present: StoredResults,
        workers: int,
        on_progress: Callable[[RunProgress], None] | None,
    ) -> None:
        self.store = store
        self.options = options
        self.present = present.by_fingerprint()
        self.workers = workers
        self.on_progress = on_progress
        self.stop = Stop()
        self.summary = RunSummary()
        self.paths: dict[str, Path] = {}
        self.finished = 0
        self.total = 0
        self.shares: dict[str, tuple[float, float, str]] = {}
        """Fingerprint of a job in flight -> start (monotonic seconds), share, what."""
        self.seconds = _Durations(present)

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """Those to run, each fingerprint once; the others are counted and their paths kept."""
        found: dict[str, Job] = {}
        for job in jobs:
            stored = self.present.get(job.fingerprint)
            if stored is None or self.options.force or self._again(job, stored.result):
                found.setdefault(job.fingerprint, job)
                continue
            self.paths[job.fingerprint] = stored.path
            self.summary.skipped += 1
            self.summary.failed_before += stored.result.outcome not in ("done", "skipped")
        self.total = len(found)
        return list(found.values())

    def _again(self, job: Job, result: Result) -> bool:
        if result.outcome not in ("done", "skipped"):
            return self.options.retry_failed
        keep = self.options.keep
        leaves_network = result.outcome == "done" and bool(result.size_bytes)
        return keep is not None and leaves_network and not (keep / job.kept_name).is_file()

    def through(self, executor: Executor, jobs: list[Job], *, local: bool) -> None:
        """All jobs that may run side by side, then one after another those that time something."""
        groups = [[job for job in jobs if not job.alone], *([job] for job in jobs if job.alone)]
        waiting = list(jobs)
        for group in groups:
            futures: dict[Future[Path], Job] = {}
            try:
                for job in group:
                    futures[self._submit(executor, job, local=local)] = job
                self._collect(futures, waiting)
            except BaseException:
                self.stop.ask()
                self._end(futures, waiting, local=local)
                raise
            if self.stop.asked:
                self.summary.interrupted = True
                self._end(futures, waiting, local=local)
                return

    def _submit(self, executor: Executor, job: Job, *, local: bool) -> "Future[Path]":
        keep, publish = self.options.keep, self.options.publish
        if not local:  # another process: nothing of ours can be shared with it
            return executor.submit(run_job, job, self.store.folder.resolve(), keep, None, publish)
        return executor.submit(self._run_here, job, keep, publish)

    def _run_here(self, job: Job, keep: Path | None, publish: bool) -> Path:
        if self.stop.asked:
            raise JobStopped(f"{job.title} was not started")
        start = time.monotonic()
        self.shares[job.fingerprint] = (start, 0.0, "starting")

        def tell(share: float, what: str) -> None:
            self.shares[job.fingerprint] = (start, share, what)

        try:
            return run_job(job, self.store.folder, keep, tell, publish, self.stop)
        finally:
            self.shares.pop(job.fingerprint, None)

    def _collect(self, futures: "dict[Future[Path], Job]", waiting: list[Job]) -> None:
        """Wait for all of ``futures``, or until stopped; ended jobs leave both collections."""
        self._report(waiting, None)
        while futures and not self.stop.asked:
            ended, _ = wait(futures, TICK_SECONDS, FIRST_COMPLETED)
            for future in ended:
                if self._was_stopped(future):
                    continue
                result = self._take(futures[future], future)
                waiting.remove(futures.pop(future))
                self._report(waiting, result)
            if not ended:
                self._report(waiting, None)

    def _was_stopped(self, future: "Future[Path]") -> bool:
        return self.stop.asked > 0 and (
            future.cancelled() or isinstance(future.exception(), JobStopped)
        )

    def _take(self, job: Job, future: "Future[Path]") -> Result:
        path = future.result()
        result = read_result(path)
        self.paths[job.fingerprint] = path
        self.finished += 1
        self.seconds.add(result)
        if result.outcome == "done":
            self.summary.done += 1
        elif result.outcome == "skipped":
            self.summary.unsuitable += 1
        else:
            self.summary.failed += 1
        return result

    def _end(self, futures: "dict[Future[Path], Job]", waiting: list[Job], *, local: bool) -> None:
        """Start nothing more, wait for what was stopped, count what had finished all the same.

        Jobs that run elsewhere cannot be stopped: asked twice, they are left to themselves.
        """
        for future in futures:
            future.cancel()
        while wait(futures, TICK_SECONDS).not_done:
            if not local and self.stop.asked > 1:
                break
        for future, job in list(futures.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._take(job, future)
                waiting.remove(futures.pop(future))

    def _report(self, waiting: list[Job], ended: Result | None) -> None:
        if self.on_progress is None:
            return
        shares = dict(self.shares)
        titles = {job.fingerprint: job.title for job in waiting}
        running = tuple(
            f"{titles[key]} {share:.0%} {what}"
            for key, (_, share, what) in shares.items()
            if key in titles
        )
        left = self.seconds.left(waiting, shares, self.workers)
        self.on_progress(RunProgress(self.finished, self.total, running, left, ended))


class _Durations:
    """How long jobs take, learnt from earlier results and from those of this run."""

    def __init__(self, present: StoredResults) -> None:
        self._by_kind: dict[tuple[str, ...], list[float]] = {}
        self._of_this_run: list[float] = []
        for stored in present.results:
            self._learn(stored.result)

    def add(self, result: Result) -> None:
        self._learn(result)
        self._of_this_run.append(result.provenance.seconds)

    def _learn(self, result: Result) -> None:
        one = result.identity
        if result.outcome == "done":
            kind = (one.paper, one.benchmark, one.run, one.scale)
            self._by_kind.setdefault(kind, []).append(result.provenance.seconds)

    def _expected(self, job: Job) -> float | None:
        one = job.identity
        known = self._by_kind.get((one.paper, one.benchmark, one.run, one.scale))
        known = known or self._of_this_run
        return sum(known) / len(known) if known else None

    def left(
        self, waiting: Iterable[Job], shares: dict[str, tuple[float, float, str]], workers: int
    ) -> float | None:
        """Seconds until all of ``waiting`` are done, those in flight by the share they tell."""
        total = longest = 0.0
        for job in waiting:
            expected = self._expected(job)
            if job.fingerprint in shares:
                start, share, _ = shares[job.fingerprint]
                elapsed = time.monotonic() - start
                if share > 0.05:
                    expected = elapsed / share
                expected = None if expected is None else max(0.0, expected - elapsed)
            if expected is None:
                return None
            total += expected
            longest = max(longest, expected)
        return max(total / workers, longest)
