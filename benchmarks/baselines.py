"""Plain baselines beside the papers' runs on the same network: what the tables and pages show.

A baseline is nobody's claim, so there is no verdict here: only numbers, measured alike.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.board import Board
from benchmarks.measured_runs import MeasuredRun, measured_runs
from benchmarks.numbers import bytes_, in_unit, interval, with_symbol
from benchmarks.result import Result
from benchmarks.standing import same_configuration
from benchmarks.verdict import Estimate, estimate
from registry.baselines import Baseline
from registry.record import Paper
from registry.units import Unit

FIGURES: tuple[tuple[str, str, Unit], ...] = (
    ("file_bytes", "Bytes on disk", "bytes"),
    ("file_ratio", "Ratio", "ratio"),
    ("error", "Error", "percent"),
    ("error_increase", "Increase", "percentage_points"),
    ("agreement", "Same decisions", "percent"),
    ("mean_difference", "Mean change", "percentage_points"),
)
"""Metric, heading and the unit that it is shown in; a table has those of its benchmark."""
SHORT = ("file_ratio", "error", "agreement")
"""What of the user's own numbers stands in one cell."""
ABOUT = (
    "Plain methods that anybody would try before reading a paper. No paper claims them, so they "
    "have no verdict: they are what a claim is worth comparing with. Ratio: float32 bytes of the "
    "uncompressed network over bytes of the file on disk, everything counted. Error: of the "
    "network read back from the file, on the test split. Increase: in percentage points, over the "
    "uncompressed network of the same seed."
)
BESIDE = "for comparison"


@dataclass(frozen=True)
class ComparedRun:
    """A row: a baseline's run, or a paper's run on the same network."""

    owner: Baseline | Paper
    measured: MeasuredRun
    yours: tuple[Result, ...]
    """The user's own newest set, one result a seed: of full scale where there is any."""

    @property
    def is_baseline(self) -> bool:
        return isinstance(self.owner, Baseline)

    @property
    def configuration(self) -> str:
        """What the run sets: ``bits = 4, granularity = "group"``."""
        own = self.measured.run.configuration
        return ", ".join(f"{name} = {json.dumps(value)}" for name, value in own.items())

    def published(self, key: str) -> Estimate | None:
        """Of the published set, where it is whole."""
        return self.measured.estimate(key)

    def own(self, key: str) -> Estimate | None:
        """Of the user's own set."""
        metric = self.measured.metric(key)
        if metric is None or not self.yours or any(key not in r.metrics for r in self.yours):
            return None
        return estimate([result.metrics[key] for result in self.yours], metric)


def figures_of(runs: Sequence[ComparedRun]) -> tuple[tuple[str, str, Unit], ...]:
    """Those of ``FIGURES`` that the benchmark of these runs measures."""
    known = {name for one in runs if one.measured.entry for name in one.measured.entry.metrics}
    return tuple(figure for figure in FIGURES if figure[0] in known)


def compared_runs(board: Board) -> dict[str, list[ComparedRun]]:
    """By benchmark: the runs of all baselines, then those of papers."""
    found: dict[str, list[ComparedRun]] = {}
    for baseline in board.catalog.baselines:
        for one in measured_runs(board, baseline):
            found.setdefault(one.run.benchmark, []).append(_compared(board, baseline, one))
    for paper in board.catalog.papers:
        for one in measured_runs(board, paper):
            if one.run.benchmark in found:
                found[one.run.benchmark].append(_compared(board, paper, one))
    return found


def _compared(board: Board, owner: Baseline | Paper, one: MeasuredRun) -> ComparedRun:
    own = [
        stored.result
        for stored in one.stored
        if stored.origin == "yours"
        and stored.result.outcome == "done"
        and stored.result.fingerprint not in board.stale
    ]
    if not own:
        return ComparedRun(owner, one, ())
    newest = max(own, key=lambda r: (r.identity.scale == "full", r.provenance.started))
    return ComparedRun(owner, one, tuple(same_configuration(newest, own)))


def figure_text(found: Estimate | None, unit: Unit) -> str:
    """``27,623 B``, ``12.3×``, ``1.64 %``; an en dash where nothing is measured."""
    if found is None:
        return "–"
    if unit == "bytes":
        return bytes_(found.value)
    return with_symbol(in_unit(found.value, unit), unit)


def interval_text(found: Estimate | None, unit: Unit) -> str:
    """The 95 % interval, or nothing where it cannot be told or has no width."""
    if found is None or found.interval is None:
        return ""
    if unit == "bytes":
        ends = [f"{end:,.0f}" for end in (found.interval.low, found.interval.high)]
        return f"[{ends[0]}, {ends[1]}]" if ends[0] != ends[1] else ""
    text = interval(found.interval.low, found.interval.high, unit)
    return text if text.startswith("[") else ""


def uncompressed_text(runs: Sequence[ComparedRun]) -> str:
    """Size and error of the network that all rows start from, of the first whole set."""
    for one in runs:
        size, error = one.published("reference_bytes"), one.published("reference_error")
        if size is not None:
            ends = f"{figure_text(error, 'percent')} {interval_text(error, 'percent')}"
            words = "" if error is None else f", error {ends}"
            return f"Uncompressed: {figure_text(size, 'bytes')}{words}."
    return "Uncompressed: not run."


def own_text(one: ComparedRun) -> str:
    """The user's own numbers with their scale, or an en dash."""
    figures = [(one.own(key), unit) for key, _, unit in figures_of([one]) if key in SHORT]
    if not one.yours or any(found is None for found, _ in figures):
        return "–"
    identity = one.yours[0].identity
    remark = (
        identity.scale if identity.data in ("", "mnist") else f"{identity.scale}, {identity.data}"
    )
    return f"{', '.join(figure_text(found, unit) for found, unit in figures)} ({remark})"


def baseline_row(benchmark: str, one: ComparedRun) -> dict[str, object]:
    """One run for scripts, its numbers in base units; ``baseline`` is null in a paper's row."""
    run = one.measured.run
    return {
        "benchmark": benchmark,
        "kind": "baseline" if one.is_baseline else "paper",
        "baseline": one.owner.id if one.is_baseline else None,
        "paper": None if one.is_baseline else one.owner.id,
        "method": one.owner.method,
        "run": run.name,
        "title": run.title,
        "configuration": dict(run.configuration),
        "status": one.measured.status,
        "seeds": len(one.measured.done),
        **{key: _numbers(one.published(key)) for key, _, _ in FIGURES},
        "yours": {
            "scale": one.yours[0].identity.scale,
            "data": one.yours[0].identity.data,
            "seeds": len(one.yours),
            **{key: _numbers(one.own(key)) for key, _, _ in FIGURES},
        }
        if one.yours
        else None,
    }


def _numbers(found: Estimate | None) -> Mapping[str, float | int | None]:
    if found is None:
        return {"value": None, "low": None, "high": None, "n": None}
    ends = found.interval
    return {
        "value": found.value,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
        "n": found.n,
    }


def baseline_rows(board: Board) -> list[dict[str, object]]:
    """Every row of every table, in order."""
    return [
        baseline_row(benchmark, one)
        for benchmark, runs in compared_runs(board).items()
        for one in runs
    ]
