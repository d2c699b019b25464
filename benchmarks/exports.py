"""Every table of the site as files: CSV for spreadsheets, JSON for scripts, BibTeX to cite.

They lie under ``data/``; what their columns are stands in ``columns``. Rows are long: one value a
row with the names that say where it belongs, in the unit beside it. CSV cells that a spreadsheet
would run as a formula begin with an apostrophe; JSON has the text as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from benchmarks.baselines import baseline_rows
from benchmarks.board import Board
from benchmarks.columns import FILES, VIEWS
from benchmarks.escape import script_data
from benchmarks.markup import DATA_FOLDER
from benchmarks.measured_runs import MeasuredRun, measured_runs
from benchmarks.query import rows_of
from benchmarks.survey_page import FLAG_TITLES, our_flag, source_flag
from benchmarks.views import (
    Row,
    claim_row,
    measurement_rows,
    result_row,
    to_csv,
)
from registry.bibtex import to_bibtex
from registry.record import Paper, Table
from registry.survey import read_survey
from registry.units import Unit, from_base

NESTED = frozenset({"metrics", "size_bytes"})
"""Left out of the CSV of results: a column a metric would be thousands. ``measurements`` and
``sizes`` hold them, a row a value; the JSON has them whole."""


def data_files(board: Board) -> dict[str, str]:
    """Every file by its path within the site."""
    everything: dict[str, list[Row]] = {"survey": survey_rows(board), "flags": flag_rows(board)}
    everything |= {"baselines": baseline_rows(board)}
    files: dict[str, str] = {}
    bibliography = []
    for paper in board.catalog.papers:
        own = paper_tables(board, paper)
        for name, rows in own.items():
            everything.setdefault(name, []).extend(rows)
            files |= _both(f"{DATA_FOLDER}/{paper.id}/{name}", name, rows)
        for table in paper.tables:
            rows = [row for row in own["tables"] if row["table"] == table.id]
            files |= _both(f"{DATA_FOLDER}/{paper.id}/table-{table.id}", "tables", rows)
        bibliography.append(to_bibtex(paper))
        files[f"{DATA_FOLDER}/{paper.id}/{paper.id}.bib"] = bibliography[-1]
    everything |= rows_of(board)
    for name, rows in everything.items():
        files |= _both(f"{DATA_FOLDER}/{name}", name, rows)
    files[f"{DATA_FOLDER}/papers.bib"] = "\n".join(bibliography)
    return files


def paper_tables(board: Board, paper: Paper) -> dict[str, list[Row]]:
    """The rows of each table of a paper's two pages."""
    runs = measured_runs(board, paper)
    results = [one for one in board.stored if one.result.identity.paper == paper.id]
    marked = [(one.result, one.origin, one.result.fingerprint in board.stale) for one in results]
    return {
        "claims": [claim_row(standing) for standing in board.of(paper.id)],
        "tables": [row for table in paper.tables for row in table_rows(paper, table, runs)],
        "runs": [_run_row(paper, one) for one in runs],
        "measured": [row for one in runs for row in _measured_rows(paper, one)],
        "sizes": [row for one in runs for row in _size_rows(paper, one)],
        "results": [result_row(*one) for one in marked],
        "measurements": [row for one in marked for row in measurement_rows(*one)],
    }


def survey_rows(board: Board) -> list[Row]:
    """The source's table: the rows of ``netcompress survey --json``."""
    return [row.as_dict() for row in read_survey(board.catalog.papers).rows]


def flag_rows(board: Board) -> list[Row]:
    """Our flags beside the source's, one row a paper and flag."""
    survey = read_survey(board.catalog.papers)
    rows = []
    for paper in board.catalog.papers:
        source = survey.row(paper.source.row) if paper.source.row else None
        reasons: dict[str, str] = {item.flag: item.reason for item in paper.source.differences}
        for flag in FLAG_TITLES:
            rows.append(
                {
                    "id": paper.id,
                    "title": paper.title,
                    "year": paper.year,
                    "flag": flag,
                    "ours": our_flag(paper, flag),
                    "source": source_flag(source, flag) if source else None,
                    "reason": reasons.get(flag),
                }
            )
    return rows


def table_rows(paper: Paper, table: Table, runs: Sequence[MeasuredRun]) -> list[Row]:
    """A reported table, one row a cell, with ours where the column has a metric of ours."""
    run = next((one for one in runs if one.run.name == table.run), None)
    rows = []
    for row in table.rows:
        layer = row.layer or (None if row.id == "total" else row.id)
        for printed, column in zip(row.cells, table.columns, strict=True):
            key = f"{column.metric}.{layer}" if layer else column.metric
            found = run.estimate(key) if run and key and column.metric and column.unit else None
            ends = found.interval if found else None
            rows.append(
                {
                    "paper": paper.id,
                    "table": table.id,
                    "where": table.where,
                    "evidence": table.evidence,
                    "counting": table.counting,
                    "row": row.id,
                    "row_label": row.label or row.id,
                    "column": column.id,
                    "column_title": column.title,
                    "printed": printed,
                    "ours": _in_unit(found.value if found else None, column.unit),
                    "low": _in_unit(ends.low if ends else None, column.unit),
                    "high": _in_unit(ends.high if ends else None, column.unit),
                    "seeds": found.seeds if found else None,
                    "unit": column.unit,
                }
            )
    return rows


def _in_unit(value: float | None, unit: Unit | None) -> float | None:
    """Rounded to what doubles hold, so that per cent do not end in ...0000000001."""
    if value is None or unit is None:
        return None
    return float(round(Decimal(repr(from_base(value, unit))), 12))


def _run_row(paper: Paper, one: MeasuredRun) -> Row:
    return {
        "paper": paper.id,
        "run": one.run.name,
        "title": one.run.title,
        "benchmark": one.run.benchmark,
        "configuration": dict(one.run.configuration),
        "state": one.status,
    }


def _measured_rows(paper: Paper, one: MeasuredRun) -> Iterable[Row]:
    for key in one.metric_keys():
        metric, found = one.metric(key), one.estimate(key)
        if metric is None or found is None:
            continue
        yield {
            "paper": paper.id,
            "run": one.run.name,
            "benchmark": one.run.benchmark,
            "metric": key,
            "title": metric.title,
            "counting": metric.counting,
            "value": found.value,
            "low": found.interval.low if found.interval else None,
            "high": found.interval.high if found.interval else None,
            "unit": metric.unit,
            "seeds": found.seeds,
            "n": found.n,
        }


def _size_rows(paper: Paper, one: MeasuredRun) -> Iterable[Row]:
    for layer, parts in one.sizes().items():
        for part, size in parts.items():
            yield {
                "paper": paper.id,
                "run": one.run.name,
                "layer": layer,
                "part": part,
                "bytes": size,
            }


def _both(stem: str, name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    flat = [{key: row[key] for key in row if key not in NESTED} for row in rows]
    columns = [key for key in {**FILES, **VIEWS}.get(name, {}) if key not in NESTED]
    as_csv = to_csv(flat) if flat else ",".join(columns) + "\n"
    return {f"{stem}.csv": as_csv, f"{stem}.json": script_data(list(rows)) + "\n"}
