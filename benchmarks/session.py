"""One ``netcompress run``: what was asked, what data there are, the plan, and its progress."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.benchmark import Scale
from benchmarks.datasets import digests, each_once, ensure, find_dataset
from benchmarks.job import Limits, Plan, plan
from benchmarks.schedule import Options, RunProgress, RunSummary, dask_executor, run_all
from benchmarks.store import Store, default_folder, published_store
from registry.baselines import BASELINES
from registry.catalog import load_catalog
from registry.errors import UserError
from registry.vocabulary import Vocabulary

SPEAK_EVERY_SECONDS = 10.0
"""Where standard error is no terminal, a line this often."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; None for the default."""

    papers: tuple[str, ...] = ()
    """Ids, or ``baselines``; everything where empty."""
    scale: Scale = "quick"
    seeds: int | None = None
    workers: int | None = None
    timeout_seconds: float | None = None
    memory_bytes: int | None = None
    device: str = "cpu"
    folder: Path | None = None
    keep: Path | None = None
    publish: bool = False
    force: bool = False
    retry_failed: bool = False
    executor: Literal["local", "dask"] = "local"


@dataclass(frozen=True)
class Session:
    """What came of it."""

    papers: tuple[str, ...]
    """Ids; without the baselines."""
    summary: RunSummary
    hindered: int = 0
    """Runs that no job was made of, for a reason that the user can mend, such as missing data."""
    baselines: bool = False
    """Whether plain baselines were run too."""


def remark(text: str) -> None:
    """For people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def run_session(request: Request, say: Callable[[str], None] = remark) -> Session:
    """Plan and run, with progress on standard error.

    Raises:
        UserError: an unknown paper, ``--publish`` below full scale, no CUDA device, no Dask, or
            results that cannot be written.
    """
    if request.publish and request.scale != "full":
        raise UserError("only full-scale results are published: add --scale full")
    if request.device == "cuda":
        _require_cuda()
    catalog = load_catalog()
    owners = catalog.owners(request.papers)
    available = _Available(say)
    limits = Limits(request.timeout_seconds, request.memory_bytes, request.device)
    made = plan(
        owners, catalog.vocabulary, request.scale, available, seeds=request.seeds, limits=limits
    )
    for left in made.left_out:
        say(f"{left.paper}, {left.run}: not run: {left.reason}")
    papers = [one for one in owners if one.owner != BASELINES]
    idle = [paper for paper in papers if not paper.runs]
    if idle:
        say(f"{len(idle)} of {len(papers)} papers have no method that runs yet: not run")
    if request.publish:
        _refuse_fallbacks(made, catalog.vocabulary)
    store = published_store() if request.publish else Store(request.folder or default_folder())
    options = Options(
        force=request.force,
        retry_failed=request.retry_failed,
        publish=request.publish,
        keep=request.keep,
    )
    executor: Executor | None = dask_executor() if request.executor == "dask" else None
    progress = _Display(len(made.jobs), say)
    with progress:
        summary = run_all(
            made.jobs,
            store,
            executor=executor,
            workers=request.workers,
            options=options,
            on_progress=progress.show,
        )
    say(
        f"{summary.done} jobs done, {summary.failed} failed, "
        f"{summary.skipped} were there already"
        + (f" ({summary.failed_before} of them failed before)" if summary.failed_before else "")
        + (f", {summary.unsuitable} not suitable" if summary.unsuitable else "")
    )
    hindered = sum(not left.is_planned for left in made.left_out)
    ids = tuple(paper.owner for paper in papers)
    return Session(ids, summary, hindered, len(papers) < len(owners))


def run_papers(
    papers: str | Sequence[str] = (),
    *,
    scale: Scale = "quick",
    seeds: int | None = None,
    results: Path | None = None,
    device: str = "cpu",
) -> RunSummary:
    """``netcompress run`` as a function: runs what is missing; the summary names the results.

    Args:
        papers: ids or ``baselines``, or one of them; everything where empty.
        results: the folder; ``default_folder()`` where None.

    Raises:
        UserError: as `run_session`.
    """
    ids = (papers,) if isinstance(papers, str) else tuple(papers)
    request = Request(papers=ids, scale=scale, seeds=seeds, folder=results, device=device)
    return run_session(request).summary


def _refuse_fallbacks(made: Plan, vocabulary: Vocabulary) -> None:
    """What is published is measured on the data that the benchmark is about."""
    for job in made.jobs:
        entry = vocabulary.benchmarks.get(job.identity.benchmark)
        if entry is not None and entry.data and job.identity.data != entry.data[0]:
            raise UserError(
                f"--publish: {job.title} would run on {job.identity.data}, and results on it never "
                f"count: get {entry.data[0]} first (`netcompress data fetch {entry.data[0]}`)"
            )


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UserError(
            "--device cuda: torch sees no CUDA device here; leave the option out to use the CPU"
        )


class _Available:
    """Tells the plan which data sets can be had, fetching them on the way, each tried once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known: dict[str, Mapping[str, str] | None] = {}

    def __call__(self, name: str) -> Mapping[str, str] | None:
        if name not in self._known:
            self._known[name] = self._fetch(name)
        return self._known[name]

    def _fetch(self, name: str) -> Mapping[str, str] | None:
        try:
            ensure(name, each_once(self._say))
        except UserError as error:
            self._say(str(error))
            return None
        dataset = find_dataset(name)
        if dataset.caution:
            self._say(f"This run uses {dataset.title}, and {dataset.caution}.")
        return digests(name)


class _Display:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._say = say
        self._spoken = 0.0
        self._bar: object | None = None
        self._total = total

    def __enter__(self) -> "_Display":
        if sys.stderr.isatty() and self._total:
            from rich.console import Console
            from rich.status import Status

            status = Status("starting", console=Console(stderr=True))
            status.start()
            self._bar = status
        return self

    def __exit__(self, *exception: object) -> None:
        stop = getattr(self._bar, "stop", None)
        if stop is not None:
            stop()

    def show(self, progress: RunProgress) -> None:
        """Told by the schedule when a job ends and twice a second."""
        ended = progress.ended
        if ended is not None:
            words = ended.outcome if ended.reason is None else f"{ended.outcome}: {ended.reason}"
            one = ended.identity
            seconds = ended.provenance.seconds
            self._say(f"{one.paper} {one.run} seed {one.seed}: {words} ({seconds:.0f} s)")
        text = _sentence(progress)
        update = getattr(self._bar, "update", None)
        if update is not None:
            from rich.markup import escape

            update(escape(text))
        elif progress.running and time.monotonic() - self._spoken > SPEAK_EVERY_SECONDS:
            self._spoken = time.monotonic()
            self._say(text)


def _sentence(progress: RunProgress) -> str:
    left = (
        "" if progress.seconds_left is None else f", about {_duration(progress.seconds_left)} left"
    )
    running = "; ".join(progress.running)
    return f"{progress.finished} of {progress.total} jobs{left}: {running}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
