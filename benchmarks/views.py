"""Rows for scripts: what ``--json`` and ``--csv`` print. Numbers are in base units."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from benchmarks.compare import Comparison
from benchmarks.escape import csv_cell
from benchmarks.result import Result
from benchmarks.standing import Standing, count_verdicts
from registry.record import Paper
from registry.units import base_unit, to_base

Row = dict[str, Any]


def paper_rows(papers: Iterable[Paper], found: Sequence[Standing]) -> list[Row]:
    """One row a paper: the contract of ``netcompress papers --json``."""
    by_paper: dict[str, list[Standing]] = {}
    for standing in found:
        by_paper.setdefault(standing.paper.id, []).append(standing)
    return [
        {
            "id": paper.id,
            "title": paper.title,
            "year": paper.year,
            "authors": list(paper.authors),
            "techniques": list(paper.techniques),
            "platforms": list(paper.platforms),
            "network_type": paper.network_type,
            "method": paper.method,
            "claims": [claim.id for claim in paper.claims],
            "verdicts": dict(count_verdicts(by_paper.get(paper.id, []))),
        }
        for paper in papers
    ]


def claim_row(standing: Standing) -> Row:
    """One claim: the contract of ``netcompress claims --json``.

    ``reported``, ``measured``, ``low``, ``high``, ``gap`` and ``yours`` are in ``unit``;
    ``printed`` and ``printed_unit`` are the paper's. For an ordering, ``reported`` is the bound
    of the difference and ``measured`` the difference.
    """
    claim, judged, yours = standing.claim, standing.judgement, standing.yours
    printed = claim.reported or (claim.ordering.bound if claim.ordering else None)
    return {
        "paper": standing.paper.id,
        "claim": claim.id,
        "statement": claim.statement,
        "check": claim.check,
        "evidence": claim.evidence,
        "headline": claim.headline,
        "by_construction": claim.by_construction,
        "benchmark": claim.benchmark,
        "run": claim.run,
        "metric": claim.measured_as
        or (f"{claim.ordering.minuend} - {claim.ordering.subtrahend}" if claim.ordering else None),
        "counting": claim.counting,
        "relation": claim.ordering.relation if claim.ordering else None,
        "unit": base_unit(claim.unit),
        "printed": printed,
        "printed_unit": claim.unit,
        "reported": float(to_base(Decimal(printed), claim.unit)) if printed else None,
        "measured": judged.measured,
        "low": judged.low,
        "high": judged.high,
        "n": judged.n,
        "seeds": judged.seeds,
        "scale": "full" if judged.seeds else None,
        "verdict": judged.verdict,
        "gap": judged.gap,
        "tolerance": claim.tolerance.model_dump() if claim.tolerance else None,
        "where": standing.paper.place(claim),
        "reason": judged.reason or claim.reason,
        "yours": None
        if yours is None
        else {
            "value": yours.value,
            "low": yours.low,
            "high": yours.high,
            "scale": yours.scale,
            "started": yours.started,
            "seeds": yours.seeds,
            "data": yours.data,
        },
    }


def result_row(result: Result, origin: str, stale: bool) -> Row:
    """One result: the contract of ``netcompress results --json``."""
    identity, provenance = result.identity, result.provenance
    return {
        "paper": identity.paper,
        "benchmark": identity.benchmark,
        "run": identity.run,
        "scale": identity.scale,
        "seed": identity.seed,
        "data": identity.data,
        "origin": origin,
        "stale": stale,
        "outcome": result.outcome,
        "reason": result.reason,
        "metrics": {name: m.model_dump(mode="json") for name, m in result.metrics.items()},
        "size_bytes": dict(result.size_bytes),
        "configuration": dict(result.configuration),
        "fingerprint": result.fingerprint,
        "commit": provenance.commit,
        "dirty": provenance.dirty,
        "started": provenance.started,
        "seconds": provenance.seconds,
        "cpu": provenance.cpu,
        "threads": provenance.threads,
        "packages": dict(provenance.packages),
    }


def measurement_rows(result: Result, origin: str, stale: bool) -> list[Row]:
    """One row a measurement of a result: what ``metrics`` of ``result_row`` holds, unfolded."""
    identity = result.identity
    return [
        {
            "paper": identity.paper,
            "benchmark": identity.benchmark,
            "run": identity.run,
            "scale": identity.scale,
            "seed": identity.seed,
            "data": identity.data,
            "origin": origin,
            "stale": stale,
            "metric": name,
            "value": measured.value,
            "unit": measured.unit,
            "low": measured.low,
            "high": measured.high,
            "n": measured.n,
            "fingerprint": result.fingerprint,
        }
        for name, measured in result.metrics.items()
    ]


def comparison_rows(comparison: Comparison) -> list[Row]:
    """One row a claim and scale that either folder measured."""
    return [asdict(row) for row in comparison.rows]


def to_csv(rows: Iterable[Mapping[str, Any]], *, raw: bool = False) -> str:
    """Rows as CSV with a header; lists joined by ``; ``, nested objects flattened by a dot.

    Cells that a spreadsheet would run as a formula begin with an apostrophe unless ``raw``.
    """
    flat = [_flatten(row) for row in rows]
    names = _names(flat)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in flat:
        writer.writerow([_cell(row.get(name), raw) for name in names])
    return out.getvalue()


def _names(flat: Sequence[Row]) -> list[str]:
    """All columns; one that is an object in some rows and nothing in the others is only spread."""
    held: dict[str, bool] = {}
    for row in flat:
        for name, value in row.items():
            held[name] = held.get(name, False) or value is not None
    spread: dict[str, list[str]] = {}
    for name in held:
        for place, letter in enumerate(name):
            if letter == ".":
                spread.setdefault(name[:place], []).append(name)
    names: dict[str, None] = {}
    for name in held:
        names.update(dict.fromkeys([name] if held[name] or name not in spread else spread[name]))
    return list(names)


def _flatten(row: Mapping[str, Any], prefix: str = "") -> Row:
    flat: Row = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _cell(value: Any, raw: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        value = "; ".join(str(item) for item in value)
    return csv_cell(str(value), raw=raw)
