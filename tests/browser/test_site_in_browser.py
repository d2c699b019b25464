"""The built site in headless Chromium, opened from the disk: filter, sorting, policy."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import html5lib
import pytest

from benchmarks.board import Board, read_board
from benchmarks.pages import build_site

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))),
    None,
)  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return read_board(tmp_path_factory.mktemp("no-results"))


@pytest.fixture(scope="module")
def site(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(board, tmp_path_factory.mktemp("browser") / "site")


def opened(site: Path, page: str, tmp_path: Path) -> tuple[Any, str]:
    """The page's DOM after its scripts ran, and what its console said."""
    assert CHROMIUM is not None
    shown = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=3000", "--window-size=1280,900", "--dump-dom",
            f"file://{site}/{page}",
        ],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert "<html" in shown.stdout, shown.stderr[-2000:]
    console = "\n".join(line for line in shown.stderr.splitlines() if "CONSOLE" in line)
    return html5lib.parse(shown.stdout, namespaceHTMLElements=False), console


def visible_rows(document: Any) -> list[str]:
    table = document.find(".//table[@data-filter]")
    rows = table.findall("tbody/tr")
    return ["".join(row.find(".//a").itertext()) for row in rows if row.get("hidden") is None]


@pytest.mark.parametrize(
    "page", ["index.html", "survey.html", "claims.html", "papers/2016-deep-compression.html"]
)
def test_pages_open_without_a_word_on_the_console(site: Path, page: str, tmp_path: Path) -> None:
    document, console = opened(site, page, tmp_path)
    assert console == ""
    assert document.find(".//article//h1") is not None


def test_the_survey_is_filtered_by_its_address(site: Path, board: Board, tmp_path: Path) -> None:
    document, _ = opened(site, "survey.html?technique=pruning&network=cnn", tmp_path)
    expected = board.catalog.select(technique="pruning", network="cnn")
    assert 0 < len(expected) < len(board.catalog.papers)
    assert sorted(visible_rows(document)) == sorted(paper.title for paper in expected)
    everything, _ = opened(site, "survey.html", tmp_path)
    assert len(visible_rows(everything)) == len(board.catalog.papers)


def test_free_text_filters_too(site: Path, board: Board, tmp_path: Path) -> None:
    document, _ = opened(site, "survey.html?text=huffman", tmp_path)
    expected = [p.title for p in board.catalog.papers if "huffman" in p.title.lower()]
    assert expected
    assert sorted(visible_rows(document)) == sorted(expected)


def test_the_address_sorts_and_says_so_to_screen_readers(site: Path, tmp_path: Path) -> None:
    document, _ = opened(site, "survey.html?sort=-1", tmp_path)
    table = document.find(".//table[@data-filter]")
    years = ["".join(row.findall("td")[1].itertext()) for row in table.findall("tbody/tr")]
    assert years == sorted(years, reverse=True)
    heads = table.findall("thead/tr/th")
    assert [head.get("aria-sort") for head in heads].count("descending") == 1
    assert heads[1].get("aria-sort") == "descending"


def test_a_verdict_of_the_home_page_leads_to_its_claims(
    site: Path, board: Board, tmp_path: Path
) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    address = re.search(r'href="(claims\.html\?verdict=out[^"]+)"', home)
    assert address is not None
    document, _ = opened(site, address[1], tmp_path)
    expected = [s for s in board.standings if s.judgement.verdict == "out of reach"]
    assert len(visible_rows(document)) == len(expected)
