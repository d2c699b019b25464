"""A board whose every text is a payload, and what becomes of it. Not a test module."""

import hashlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmarks.benchmark import Measurement
from benchmarks.board import Board
from benchmarks.grey_picture import GreyPicture
from benchmarks.result import Identity, Provenance, Result
from benchmarks.standing import standings
from benchmarks.store import Stored
from registry.catalog import Catalog, load_catalog
from registry.record import Paper
from registry.units import to_base

MARK = "pwned"
PAYLOADS = [
    f"<script>{MARK}()</script>",
    f"</script><script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f'"><img src=x onerror={MARK}()>',
    f"' onmouseover='{MARK}()",
    f'" onfocus="{MARK}()" autofocus="',
    f"<svg onload={MARK}()>",
    f"<svg><script>{MARK}()</script></svg>",
    f"<iframe srcdoc='<script>{MARK}()</script>'></iframe>",
    f"<base href=//{MARK}.example/>",
    f"<meta http-equiv=refresh content='0;url=//{MARK}.example'>",
    f"<style>@import '//{MARK}.example';</style>",
    f"<link rel=stylesheet href=//{MARK}.example/a.css>",
    f"<object data=//{MARK}.example></object>",
    f"<form action=//{MARK}.example><input></form>",
    f"[x](javascript:{MARK}())",
    f"[x](JaVaScRiPt:{MARK}())",
    f"[x](java&#x73;cript:{MARK}())",
    f"[x]: javascript:{MARK}()",
    f"![x](//{MARK}.example/a.png)",
    f"![x](https://{MARK}.example/a.png)",
    f"<javascript:{MARK}()>",
    f"<https://{MARK}.example>",
    f"# x {{onclick={MARK}()}}",
    f"x {{: onclick={MARK}() }}",
    f"{{ .x onclick={MARK}() }}",
    f'--8<-- "mkdocs.yml" {MARK}',
    f"--8<-- {MARK}",
    f"--- title: {MARK}",
    f"!!! note {MARK}",
    f"``` {MARK}",
    f"`{MARK}` <b>{MARK}",
    f"<!-- {MARK}",
    f"--> <script>{MARK}()</script>",
    f"]]> <script>{MARK}()</script>",
    f"{{{{ {MARK} }}}} {{% {MARK} %}}",
    f"| x | <td onclick={MARK}()> |",
    f'<a href="javascript:{MARK}()">x</a>',
    f'<div markdown="1" onclick="{MARK}()">',
    f"</table></div><script>{MARK}()</script><details open ontoggle={MARK}()>",
    f"&lt;script&gt;{MARK}()&lt;/script&gt;",
]
CLOSED = frozenset({
    "id", "kind", "url", "moved_from", "commit", "type", "key", "check", "evidence", "unit",
    "reported", "counting", "benchmark", "run", "metric", "layer", "table", "row", "column",
    "name", "method", "year", "network_type", "list", "flag", "relation", "minuend", "subtrahend",
    "bound", "value", "pixels", "platforms", "techniques", "benchmarks", "configuration", "quick",
})  # fmt: skip
"""Fields of closed alphabets, which no payload passes; all others are text."""
TEMPLATE = "2016-deep-compression"
PICTURE = GreyPicture.of(b"abcdef", 3, "a title", "a caption")


def poisoned(value: Any, payload: str) -> Any:
    """``value`` with every text field replaced, past all validation."""
    if isinstance(value, BaseModel):
        changed = {
            name: poisoned(getattr(value, name), payload)
            for name in type(value).model_fields
            if name not in CLOSED
        }
        return value.model_copy(update=changed)
    if isinstance(value, tuple):
        return tuple(poisoned(item, payload) for item in value)
    if isinstance(value, dict):
        return {name: poisoned(item, payload) for name, item in value.items()}
    return payload if isinstance(value, str) else value


def made_up(paper: Paper, catalog: Catalog, payload: str, seeds: int = 3) -> list[Stored]:
    """Results that measure what the paper claims; never written anywhere."""
    stored = []
    for run in paper.runs:
        entry = catalog.vocabulary.benchmarks[run.benchmark]
        claims = [c for c in paper.claims if paper.run_of(c) == run and c.reported and c.metric]
        for seed in range(seeds):
            metrics = {
                str(claim.measured_as): Measurement(
                    value=(1 + seed / 500) * _base(claim), unit=entry.metrics[claim.metric].unit,
                    n=10_000,
                )
                for claim in claims if claim.metric
            }  # fmt: skip
            digest = hashlib.sha256(f"{paper.id} {run.name} {seed}".encode()).hexdigest()
            result = Result(
                identity=Identity(
                    paper=paper.id, benchmark=run.benchmark, run=run.name, scale="full", seed=seed,
                    data=entry.data[0] if entry.data else "",
                ),
                fingerprint=digest, configuration={"x": payload}, method_revision=1,
                benchmark_revision=1, data_digests={}, outcome="done", metrics=metrics,
                size_bytes={f"{payload}/{payload}": 10, "ip1/codes": 7},
                remarks=(payload,), log=payload, pictures=(poisoned(PICTURE, payload),),
                provenance=Provenance(
                    commit="a" * 40, dirty=False, packages={payload: payload}, python=payload,
                    cpu=payload, threads=1, started="2026-01-01T00:00:00Z", seconds=1.0,
                    source_digest=digest,
                ),
            )  # fmt: skip
            stored.append(Stored(result, Path("nowhere"), "published"))
    return stored


def _base(claim: Any) -> float:
    return float(to_base(Decimal(claim.reported), claim.unit))


def board_of(catalog: Catalog, stored: list[Stored]) -> Board:
    found = standings(catalog, [one.result for one in stored])
    return Board(catalog, tuple(stored), (), tuple(found), frozenset())


def small_catalog() -> Catalog:
    """One paper with a few claims of every kind and two tables."""
    whole = load_catalog()
    paper = whole.get(TEMPLATE)
    kept = [c for c in paper.claims if c.run == "paper"][:8] + [
        next(c for c in paper.claims if c.check == check) for check in ("analogue", "out-of-reach")
    ]
    small = paper.model_copy(update={"claims": tuple(kept), "tables": paper.tables[:2]})
    return replace(whole, papers=(small,))


def hostile_board(catalog: Catalog, measured_every: int = 8) -> Board:
    """A paper for each payload, which stands in every text of it; every n-th one has results."""
    papers, stored = [], []
    for index, payload in enumerate(PAYLOADS):
        paper = poisoned(catalog.papers[0], payload)
        paper = paper.model_copy(update={"id": f"2016-p{index}"})
        papers.append(paper)
        if index % measured_every == 0:
            stored += made_up(paper, catalog, payload)
    return board_of(replace(catalog, papers=tuple(papers)), stored)
