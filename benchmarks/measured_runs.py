"""The results of each of a paper's runs, sorted out for its pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.board import Board
from benchmarks.result import Result
from benchmarks.store import Stored
from benchmarks.verdict import Estimate, counts, estimate
from registry.record import Paper
from registry.runs import Run, RunOwner
from registry.vocabulary import BenchmarkEntry, Metric


@dataclass(frozen=True)
class MeasuredRun:
    """A run and every result of it."""

    run: Run
    entry: BenchmarkEntry | None
    stored: tuple[Stored, ...]
    counted: tuple[Result, ...]
    """Published, current, at full scale, on the wanted data: what verdicts count."""

    @property
    def is_built(self) -> bool:
        return self.entry is not None and self.entry.status == "built"

    @property
    def done(self) -> tuple[Result, ...]:
        """All counted results, or none while seeds failed or lack: no mean over a partial set."""
        whole = all(result.outcome == "done" for result in self.counted)
        return self.counted if whole and len(self.counted) >= self.run.seeds else ()

    @property
    def status(self) -> str:
        """In words: ``3 seeds published``, ``not run``..."""
        if self.counted:
            done = [result for result in self.counted if result.outcome == "done"]
            wanted = max(len(self.counted), self.run.seeds)
            if len(done) < wanted:
                return f"{len(done)} of {wanted} seeds done"
            return f"{len(done)} seed{'s' if len(done) != 1 else ''} published"
        if not self.is_built:
            return "not run: the benchmark is planned"
        return "not run at full scale"

    def metric(self, key: str) -> Metric | None:
        """The vocabulary's metric of ``metric`` or ``metric.layer``."""
        return self.entry.metrics.get(key.split(".", 1)[0]) if self.entry else None

    def estimate(self, key: str) -> Estimate | None:
        """Over all seeds, where each of them has it."""
        metric = self.metric(key)
        if metric is None or not self.done or any(key not in r.metrics for r in self.done):
            return None
        return estimate([result.metrics[key] for result in self.done], metric)

    def metric_keys(self) -> list[str]:
        """The measured metrics that every seed has, in the results' order."""
        if not self.done:
            return []
        return [key for key in self.done[0].metrics if all(key in r.metrics for r in self.done)]

    def sizes(self) -> Mapping[str, Mapping[str, float]]:
        """Bytes on disk, the mean over seeds, by layer and part."""
        sizes: dict[str, dict[str, float]] = {}
        for key in self.done[0].size_bytes if self.done else ():
            layer, _, part = key.partition("/")
            values = [result.size_bytes.get(key, 0) for result in self.done]
            sizes.setdefault(layer, {})[part or "whole"] = sum(values) / len(values)
        return sizes


def measured_runs(board: Board, owner: RunOwner) -> list[MeasuredRun]:
    """The runs of a paper or baseline in its order."""
    return [_measured(board, owner, run) for run in owner.runs]


def other_results(board: Board, paper: Paper, runs: Sequence[MeasuredRun]) -> list[Stored]:
    """Results of runs that the record does not name any more."""
    known = {one.path for run in runs for one in run.stored}
    return [
        one
        for one in board.stored
        if one.result.identity.paper == paper.id and one.path not in known
    ]


def _measured(board: Board, owner: RunOwner, run: Run) -> MeasuredRun:
    entry = board.catalog.vocabulary.benchmarks.get(run.benchmark)
    wanted = entry.data[0] if entry and entry.data else ""
    stored = tuple(
        one
        for one in board.stored
        if one.result.identity.paper == owner.owner
        and one.result.identity.benchmark == run.benchmark
        and one.result.identity.run == run.name
    )
    counted = tuple(
        one.result
        for one in stored
        if one.origin == "published"
        and one.result.fingerprint not in board.stale
        and counts(one.result, wanted)
    )
    return MeasuredRun(run, entry, stored, counted)
