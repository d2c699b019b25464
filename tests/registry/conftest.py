"""A small valid record, and a folder of records."""

from collections.abc import Callable
from pathlib import Path

import pytest

RECORD = """\
# yaml-language-server: $schema=paper.schema.json
id: 2016-small
title: A small record
year: 2016
authors: [Ada Lovelace, Alan Turing]
venue: Proceedings of Nothing
citation: {type: misc, key: lovelace2016}
links:
  - {kind: paper, url: "https://example.org/paper"}
techniques: [pruning]
platforms: [software]
network_type: cnn
summary: It cuts what is small.
method: small
benchmarks: [mnist-lenet-300-100]
runs:
  - {name: one, title: One run, benchmark: mnist-lenet-300-100}
tables:
  - id: table-1
    title: Errors
    where: Table 1
    evidence: read
    run: one
    columns: [{id: error, title: Error, unit: percent, metric: error}]
    rows: [{id: total, cells: ["1.5"]}]
claims:
  - id: first
    statement: The error is small.
    where: {table: table-1, row: total, column: error}
    check: measured
    evidence: read
    unit: percent
    reported: "1.5"
    benchmark: mnist-lenet-300-100
    metric: error
  - id: second
    statement: The file is small.
    where: {text: Table 2}
    check: measured
    evidence: read
    unit: ratio
    reported: "2.0"
    counting: file
    benchmark: mnist-lenet-300-100
    metric: file_ratio
  - id: third
    statement: The error rises by less than a point.
    where: {text: Table 3}
    check: measured
    evidence: read
    unit: percentage_points
    ordering: {minuend: error, subtrahend: reference_error, relation: at_most, bound: "1.0"}
    benchmark: mnist-lenet-300-100
"""


@pytest.fixture
def record_text() -> str:
    return RECORD


@pytest.fixture
def write_record(tmp_path: Path) -> Callable[..., Path]:
    """Writes the record, with replacements, as ``papers/<id>.yaml``."""

    def write(*swaps: tuple[str, str], name: str = "2016-small", also: str = "") -> Path:
        text = RECORD.replace("id: 2016-small", f"id: {name}")
        for old, new in swaps:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        folder = tmp_path / "papers"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(text + also, encoding="utf-8")
        return path

    return write
