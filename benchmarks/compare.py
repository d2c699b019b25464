"""Two folders of results, claim by claim."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.benchmark import Scale
from benchmarks.result import Result
from benchmarks.store import Store
from registry.errors import Fault, UserError
from registry.record import Claim, Paper
from registry.units import Unit, base_unit


@dataclass(frozen=True)
class Row:
    """One claim at one scale in both folders; values are means over seeds, in the base unit."""

    paper: str
    claim: str
    metric: str
    unit: Unit
    scale: Scale
    data: str
    a: float | None
    b: float | None
    difference: float | None
    """``b - a``."""
    seeds_a: int
    seeds_b: int
    same_configuration: bool | None
    """Whether both ran the same: configuration, revisions, data and seeds. None where one ran
    nothing."""


@dataclass(frozen=True)
class Comparison:
    """The rows, in the order of the records, and what in the folders is no result."""

    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]


BySeed = Mapping[int, Result]


def compare(a: Path, b: Path, papers: Iterable[Paper]) -> Comparison:
    """Every claim that at least one of the two folders has a measurement for.

    Raises:
        UserError: one of them is no folder.
    """
    for folder in (a, b):
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder of results")
    read_a, read_b = Store(a).read_all(), Store(b).read_all()
    runs_a = _by_run(stored.result for stored in read_a.results)
    runs_b = _by_run(stored.result for stored in read_b.results)
    rows: list[Row] = []
    scales: tuple[Scale, ...] = ("full", "quick")
    data_sets = sorted({key[-1] for key in (*runs_a, *runs_b)})
    for paper in papers:
        for claim in paper.claims:
            run = paper.run_of(claim)
            for scale, data in product(scales, data_sets) if run and claim.benchmark else ():
                assert run is not None
                key = (paper.id, run.benchmark, run.name, scale, data)
                row = _row(paper, claim, scale, data, runs_a.get(key, {}), runs_b.get(key, {}))
                rows += [row] if row is not None else []
    return Comparison(tuple(rows), read_a.faults + read_b.faults)


RunKey = tuple[str, str, str, Scale, str]
"""Paper, benchmark, run, scale and data set."""


def _by_run(results: Iterable[Result]) -> dict[RunKey, dict[int, Result]]:
    """Done results by run and seed: the newest where there are several."""
    found: dict[RunKey, dict[int, Result]] = {}
    for result in sorted(results, key=lambda one: one.provenance.started):
        one = result.identity
        if result.outcome == "done":
            key = (one.paper, one.benchmark, one.run, one.scale, one.data)
            found.setdefault(key, {})[one.seed] = result
    return found


def _row(paper: Paper, claim: Claim, scale: Scale, data: str, a: BySeed, b: BySeed) -> Row | None:
    values_a, values_b = _values(claim, a), _values(claim, b)
    if not values_a and not values_b:
        return None
    mean_a, mean_b = _mean(values_a), _mean(values_b)
    both = mean_a is not None and mean_b is not None
    ordering = claim.ordering
    return Row(
        paper=paper.id,
        claim=claim.id,
        metric=f"{ordering.minuend} - {ordering.subtrahend}"
        if ordering is not None
        else claim.measured_as or "",
        unit=base_unit(claim.unit),
        scale=scale,
        data=data,
        a=mean_a,
        b=mean_b,
        difference=mean_b - mean_a if mean_a is not None and mean_b is not None else None,
        seeds_a=len(values_a),
        seeds_b=len(values_b),
        same_configuration=_fingerprints(a) == _fingerprints(b) if both else None,
    )


def _values(claim: Claim, results: BySeed) -> list[float]:
    """One value a seed; for an ordering the difference within that seed's own result."""
    suffix = f".{claim.layer}" if claim.layer else ""
    names = (
        [claim.ordering.minuend + suffix, claim.ordering.subtrahend + suffix]
        if claim.ordering is not None
        else [claim.measured_as or ""]
    )
    found: list[float] = []
    for result in results.values():
        measured = [result.metrics[name].value for name in names if name in result.metrics]
        if len(measured) == len(names):
            found.append(measured[0] - (measured[1] if len(names) == 2 else 0))
    return found


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _fingerprints(results: BySeed) -> set[str]:
    return {result.fingerprint for result in results.values()}
