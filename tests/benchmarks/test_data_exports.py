"""Every table of the site as files, linked from the page that shows it."""

import csv
import io
import json
import posixpath
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.board import Board, read_board
from benchmarks.columns import FILES, VIEWS
from benchmarks.exports import data_files
from benchmarks.home_page import claims_page, home_page, papers_page
from benchmarks.numbers import in_unit
from benchmarks.pages import CHECKOUT_SOURCES
from benchmarks.paper_page import paper_page
from benchmarks.reference_pages import columns_section
from benchmarks.result_page import result_page
from benchmarks.survey_page import survey_page
from benchmarks.views import to_csv
from registry.bibtex import parse_bibtex

PAPER = "2016-deep-compression"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return read_board(tmp_path_factory.mktemp("no-results"))


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return data_files(board)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_and_json_stand_side_by_side_with_as_many_rows(files: dict[str, str]) -> None:
    stems = {name.rpartition(".")[0] for name in files if not name.endswith(".bib")}
    assert len(stems) > 20
    for stem in stems:
        rows = json.loads(files[f"{stem}.json"])
        assert len(read_csv(files[f"{stem}.csv"])) == len(rows), stem
        assert files[f"{stem}.csv"].splitlines()[0].count(",") >= 2, stem
        assert "<" not in files[f"{stem}.json"], stem


def test_each_file_has_the_columns_that_the_page_explains(files: dict[str, str]) -> None:
    for name, columns in {**VIEWS, **FILES}.items():
        rows = json.loads(files[f"data/{name}.json"])
        for row in rows:
            missing = set(columns) - set(row)
            assert not missing, f"{name}: {missing}"
        # the key figures of baselines are explained by one of them
        if rows and name != "baselines":
            assert set(rows[0]) == set(columns), name
    page = columns_section()
    for columns in (*VIEWS.values(), *FILES.values()):
        assert all(f"<code>{name}</code>" in page for name in columns)


def test_a_table_has_each_cell_with_ours_beside(board: Board, files: dict[str, str]) -> None:
    paper = board.catalog.get(PAPER)
    rows = json.loads(files[f"data/{PAPER}/tables.json"])
    assert len(rows) == sum(len(t.rows) * len(t.columns) for t in paper.tables)
    for table in paper.tables:
        own = json.loads(files[f"data/{PAPER}/table-{table.id}.json"])
        assert own == [row for row in rows if row["table"] == table.id]
        for row in own:
            assert row["printed"] == table.cell(row["row"], row["column"])
    measured = [row for row in rows if row["ours"] is not None]
    assert measured
    page = result_page(board, paper)
    for row in measured:
        unit = row["unit"]
        shown = in_unit(row["ours"], "ratio")  # it is in the unit of the column already
        assert f'<span class="nc-ours">{shown}</span>' in page, (row, unit)
        assert row["low"] is None or row["low"] <= row["ours"] <= row["high"]


def test_everything_is_the_papers_together(board: Board, files: dict[str, str]) -> None:
    for name in ("claims", "tables", "runs", "measured", "sizes"):
        whole = json.loads(files[f"data/{name}.json"])
        parts = [
            row
            for paper in board.catalog.papers
            for row in json.loads(files[f"data/{paper.id}/{name}.json"])
        ]
        assert whole == parts, name
    assert len(json.loads(files["data/claims.json"])) == len(board.standings)
    results = json.loads(files["data/results.json"])
    assert len(results) == len(board.stored)
    measurements = json.loads(files["data/measurements.json"])
    assert len(measurements) == sum(len(row["metrics"]) for row in results) > 0


def test_bibtex_of_all_and_of_each(board: Board, files: dict[str, str]) -> None:
    for paper in board.catalog.papers:
        entry = parse_bibtex(files[f"data/{paper.id}/{paper.id}.bib"])
        assert entry.authors == paper.authors
        assert files[f"data/{paper.id}/{paper.id}.bib"] in files["data/papers.bib"]
    assert files["data/papers.bib"].count("\n@") == len(board.catalog.papers) - 1


def test_every_link_to_data_leads_to_a_file_and_every_table_has_one(
    board: Board, files: dict[str, str]
) -> None:
    by_hand = (CHECKOUT_SOURCES / "pages" / "reference" / "data.md").read_text("utf-8")
    texts = {
        "index.html": home_page(board),
        "claims.html": claims_page(board),
        "survey.html": survey_page(board),
        "papers/index.html": papers_page(board),
        "reference/data.html": re.sub(r"\]\((\S+?)\)", r'<a href="\1">', by_hand),
    }
    for paper in board.catalog.papers:
        texts[f"papers/{paper.id}.html"] = paper_page(board, paper)
        texts[f"results/{paper.id}.html"] = result_page(board, paper)
    linked: set[str] = set()
    for name, text in texts.items():
        found = {
            posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            for address in re.findall(r'href="([^":]+\.(?:csv|json|bib))"', text)
        } - {"assets/data.json"}
        assert found, name
        assert found <= set(files), f"{name}: {found - set(files)}"
        linked |= found
    alone = {
        path for path in set(files) - linked if not re.search("/(measured|sizes|runs)\\.", path)
    }
    assert {path for path in alone if "baselines" not in path} == set()


def test_cells_that_a_spreadsheet_would_run_are_guarded(board: Board) -> None:
    paper = board.catalog.get(PAPER)
    formula = '=HYPERLINK("//x.example")'
    odd = paper.model_copy(
        update={
            "title": formula,
            "tables": tuple(t.model_copy(update={"where": formula}) for t in paper.tables),
        }
    )
    files = data_files(replace(board, catalog=replace(board.catalog, papers=(odd,))))
    for name in ("papers", "tables", "flags", f"{PAPER}/table-{odd.tables[0].id}"):
        cells = [cell for row in read_csv(files[f"data/{name}.csv"]) for cell in row.values()]
        assert f"'{formula}" in cells, name
        assert not [cell for cell in cells if cell and cell.startswith("=")], name
        assert formula.replace('"', '\\"') in files[f"data/{name}.json"]


def test_an_object_that_some_rows_lack_is_spread_once() -> None:
    rows = [{"a": None, "b": 1}, {"a": {"x": 2, "y": 3}, "b": 4}]
    assert to_csv(rows) == "a.x,a.y,b\n,,1\n2,3,4\n"
    assert to_csv([{"a": None, "b": 1}]) == "a,b\n,1\n"


def test_no_file_leaves_its_folder(files: dict[str, str]) -> None:
    for name in files:
        path = Path(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert re.fullmatch(r"data/[a-z0-9_./-]+", name), name
