"""The page of networks that were tried: numbers of published results, and "not run" without."""

import html5lib
import pytest

from benchmarks.benchmark import Measurement
from benchmarks.board import Board
from benchmarks.result import Identity, Provenance, Result
from benchmarks.store import Stored
from benchmarks.trained_page import FIGURES, trained_page
from benchmarks.trained_remarks import dense_remarks
from registry.catalog import load_catalog

VALUES = {
    "reference_bytes": (1_238_532, "bytes"),
    "file_bytes": (322_412, "bytes"),
    "file_ratio": (3.8417, "ratio"),
    "largest_difference": (0.0213, "fraction"),
    "mean_difference": (0.0007, "fraction"),
    "agreement": (0.9981, "fraction"),
}


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def stored(tmp_path, origin="published", remarks=()):
    result = Result(
        identity=Identity(
            paper="baselines",
            benchmark="trained-speech-detector",
            run="int8-rtn",
            scale="full",
            seed=0,
            data="speech-detector-and-clips",
        ),
        fingerprint="a" * 64,
        configuration={},
        method_revision=1,
        benchmark_revision=1,
        data_digests={},
        outcome="done",
        metrics={
            name: Measurement(value=value, unit=unit, n=1080)
            for name, (value, unit) in VALUES.items()
        },
        size_bytes={},
        remarks=tuple(remarks),
        log="",
        provenance=Provenance(
            commit="a" * 40,
            dirty=False,
            packages={},
            python="3.11",
            cpu="one",
            threads=1,
            started="2026-01-01T00:00:00Z",
            seconds=1.0,
            source_digest="b" * 64,
        ),
    )
    return Stored(result, tmp_path / "result.json", origin)


def rows_of(page, benchmark):
    """The cells of a benchmark's table as text."""
    section = page.split(f'<h2 id="{benchmark}">')[1].split("<h2")[0]
    tree = html5lib.parse(section, namespaceHTMLElements=False)
    return [
        ["".join(cell.itertext()).strip() for cell in row.findall("td")]
        for row in tree.findall(".//tbody/tr")
    ]


def test_every_run_has_a_row_that_says_not_run(catalog):
    page = trained_page(Board(catalog, (), (), (), frozenset()))
    for benchmark, figures in FIGURES.items():
        names = [
            run.title
            for owner in (*catalog.baselines, *catalog.papers)
            for run in owner.runs
            if run.benchmark == benchmark
        ]
        rows = rows_of(page, benchmark)
        assert len(rows) == len(names)
        for row, name in zip(rows, names, strict=True):
            assert row[1].startswith(name)
            assert row[2:] == ["–"] * (len(figures) + 1) + ["not run"]
    assert rows_of(page, "trained-speech-detector")
    assert 'href="your-own-network.html"' in page


def test_a_published_result_shows_its_numbers_and_what_stays_dense(catalog, tmp_path):
    remarks = ["something else", *dense_remarks({"conv1.weight": "<b>why</b>: not"})]
    board = Board(catalog, (stored(tmp_path, remarks=remarks),), (), (), frozenset())
    page = trained_page(board)
    (row,) = [r for r in rows_of(page, "trained-speech-detector") if r[0].startswith("int8-rtn")]
    numbers = ["322,412 B", "3.842×", "0.0213", "0.0007", "99.81 %"]
    assert row[2:7] == numbers
    assert "conv1.weight: <b>why</b>: not" in row[7]
    assert "something else" not in page
    assert "<b>" not in page
    assert row[8] == "1 seed published"
    assert "As it was trained: 1,238,532 B as float32." in page


def test_a_private_result_is_not_published(catalog, tmp_path):
    page = trained_page(Board(catalog, (stored(tmp_path, "yours"),), (), (), frozenset()))
    assert "322,412" not in page
    assert {row[-1] for row in rows_of(page, "trained-speech-detector")} == {"not run"}


def test_a_stale_result_does_not_count(catalog, tmp_path):
    page = trained_page(Board(catalog, (stored(tmp_path),), (), (), frozenset({"a" * 64})))
    assert "322,412" not in page
