"""A paper's second page: its tables cell by cell with ours beneath, and every result."""

from collections.abc import Sequence
from decimal import Decimal

from benchmarks.board import Board
from benchmarks.claim_table import EVIDENCE_WORDS, commit_text
from benchmarks.escape import html
from benchmarks.markup import (
    data_links,
    details,
    front_matter,
    heading,
    inner_link,
    page,
    paper_label,
    paragraph,
    small,
    table,
)
from benchmarks.measured_runs import MeasuredRun, measured_runs, other_results
from benchmarks.numbers import bytes_, in_unit, interval, significant, with_symbol
from benchmarks.report import COUNTING_WORDS
from benchmarks.store import Stored
from registry.record import Column, Paper, Row, Table
from registry.units import SYMBOLS, Unit, rounding_range, to_base

SHOWN_AS: dict[Unit, Unit] = {"fraction": "percent", "joules": "microjoules"}
SHARES: frozenset[Unit] = frozenset({"fraction", "percent", "percentage_points"})
"""Units whose deviation is told in points: in per cent it would be misread as a difference."""


def result_page(board: Board, paper: Paper) -> str:
    """Left out of the search: it is large, and the paper's own page is found instead."""
    runs = measured_runs(board, paper)
    label = paper_label(paper)
    others = other_results(board, paper, runs)
    return page(
        front_matter(f"Tables and results, {label}", searched=False),
        [
            heading(f"Tables and results: {paper.title}"),
            paragraph(inner_link(f"Back to {label}", f"../papers/{paper.id}.html")),
            "## The paper's tables" if paper.tables else "",
            *(block for one in paper.tables for block in _reported(paper, one, runs)),
            data_links(f"{paper.id}/tables", root="../", words="All these tables in one file")
            if paper.tables
            else "",
            "## What was measured" if runs else "",
            *(block for one in runs for block in _measured(one)),
            data_links(f"{paper.id}/measured", root="../", words="These measurements as data")
            if runs
            else "",
            "## Every result",
            _results(board, [one for run in runs for one in run.stored] + others),
            data_links(f"{paper.id}/results", root="../", words="These results as data"),
            data_links(
                f"{paper.id}/measurements", root="../", words="Every measurement of each of them"
            ),
        ],
    )


def _reported(paper: Paper, reported: Table, runs: Sequence[MeasuredRun]) -> list[str]:
    run = next((one for one in runs if one.run.name == reported.run), None)
    headers = ["", *(_column_title(column) for column in reported.columns)]
    rows = []
    for row in reported.rows:
        cells = [
            _cell(printed, column, row, run)
            for printed, column in zip(row.cells, reported.columns, strict=True)
        ]
        rows.append([html(row.label or row.id) + small(html(row.remark or "")), *cells])
    how = EVIDENCE_WORDS[reported.evidence]
    how = f"{how} {reported.quoted_from}" if reported.quoted_from else how
    counted = COUNTING_WORDS.get(reported.counting or "", "")
    remarks = [how, f"counted by {counted}" if counted else "", _state(reported, run)]
    caption = f"{reported.where}: {reported.title}"
    return [
        table(headers, rows, label=caption, align="l" + "r" * len(reported.columns),
              caption=caption),
        paragraph(html(_sentence(remarks)), "nc-note"),
        paragraph(html(reported.remark), "nc-note") if reported.remark else "",
        data_links(f"{paper.id}/table-{reported.id}", root="../"),
    ]  # fmt: skip


def _state(reported: Table, run: MeasuredRun | None) -> str:
    if run is None:
        return "" if reported.run is None else "not run"
    if run.done:
        return (
            f"beneath each cell ours, the mean of {run.status}, and its deviation where it does "
            "not round to the printed number"
        )
    return run.status


def _column_title(column: Column) -> str:
    symbol = SYMBOLS[column.unit] if column.unit else ""
    return html(column.title) + small(html(symbol))


def _cell(printed: str | None, column: Column, row: Row, run: MeasuredRun | None) -> str:
    shown = "–" if printed is None else html(printed)
    if run is None or column.metric is None or column.unit is None:
        return shown
    layer = row.layer or (None if row.id == "total" else row.id)
    key = f"{column.metric}.{layer}" if layer else column.metric
    found = run.estimate(key)
    if found is None:
        return shown
    ours = html(in_unit(found.value, column.unit))
    return f'{shown}<span class="nc-ours">{ours}</span>{deviation(printed, found.value, column)}'


def deviation(printed: str | None, ours: float, column: Column) -> str:
    """Ours from the printed number, in per cent of it; nothing where it rounds to that number.

    Shares differ by points.
    """
    if printed is None or column.unit is None:
        return ""
    try:
        reported = float(to_base(Decimal(printed), column.unit))
    except ArithmeticError:  # words beside the number, or none
        return ""
    rounding = rounding_range(printed, column.unit)
    if rounding.low <= ours <= rounding.high:
        return ""
    if column.unit in SHARES:
        points = significant(100 * (ours - reported), 2)
        told = f"{points} points" if points.startswith("-") else f"+{points} points"
    elif reported == 0:
        return ""
    else:
        told = f"{100 * (ours / reported - 1):+.1f} %"
    return f'<span class="nc-deviation">{html(told)}</span>'


def _measured(one: MeasuredRun) -> list[str]:
    """The run's metrics, each way of counting in a table of its own."""
    blocks = [
        paragraph(
            f"Run <code>{html(one.run.name)}</code>, {html(one.run.title)}: {html(one.status)}.",
            "nc-run",
        )
    ]
    grouped: dict[str, list[list[str]]] = {}
    for key in one.metric_keys():
        metric, found = one.metric(key), one.estimate(key)
        if metric is None or found is None:
            continue
        unit = SHOWN_AS.get(metric.unit, metric.unit)
        low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
        value = (
            bytes_(found.value)
            if unit == "bytes"
            else with_symbol(in_unit(found.value, unit), unit)
        )
        cases = f", n = {found.n:,}" if found.n is not None else ""
        row = [
            f"<code>{html(key)}</code>",
            html(metric.title),
            html(value),
            html(interval(low, high, unit)),
            html(f"{found.seeds}{cases}"),
        ]
        grouped.setdefault(COUNTING_WORDS.get(metric.counting or "", ""), []).append(row)
    for counted, rows in grouped.items():
        caption = f"counted by {counted}" if counted else "not sizes"
        headers = ["Metric", "What", "Ours", "95 % interval", "Seeds"]
        blocks.append(
            table(headers, rows, label=f"{one.run.name}, {caption}", align="llrrr",
                  caption=f"{one.run.name}, {caption}")
        )  # fmt: skip
    return blocks


def _results(board: Board, stored: Sequence[Stored]) -> str:
    if not stored:
        return paragraph("None yet: not run.")
    rows = [_result_row(one, one.result.fingerprint in board.stale) for one in stored]
    headers = ["Run", "Whose", "Seed", "Outcome", "When and where", "Packages"]
    return table(headers, rows, label="Every result", align="llrlll")


def _result_row(one: Stored, stale: bool) -> list[str]:
    result, identity, made = one.result, one.result.identity, one.result.provenance
    outcome = html(result.outcome + (" (stale)" if stale else ""))
    outcome += small(html(result.reason or ""))
    outcome += "".join(small(html(remark)) for remark in result.remarks)
    if result.log:
        log = "\n".join(html(line) for line in result.log.split("\n"))
        outcome += details("The end of its log", f"<pre>{log}</pre>")
    packages = ", ".join(f"{name} {version}" for name, version in made.packages.items())
    place = f"{made.cpu}, {made.threads} thread{'s' if made.threads != 1 else ''}, {made.device}"
    revisions = f"method revision {result.method_revision}, benchmark {result.benchmark_revision}"
    return [
        html(identity.run) + small(html(f"{identity.benchmark}, {identity.data or 'no data'}")),
        html(one.origin) + small(html(f"{identity.scale} scale")),
        str(identity.seed),
        outcome,
        html(made.started)
        + small(html(f"{made.seconds:,.0f} s; {commit_text(made.commit, made.dirty)}"))
        + small(html(place)),
        html(f"Python {made.python}; {packages}")
        + small(html(f"{revisions}; fingerprint {result.fingerprint[:12]}")),
    ]


def _sentence(remarks: Sequence[str]) -> str:
    text = "; ".join(remark for remark in remarks if remark)
    return f"{text[:1].upper()}{text[1:]}."
