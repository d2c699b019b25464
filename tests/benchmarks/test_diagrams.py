"""Diagrams of papers: whole, with words, in colours that follow the page, and only where drawn."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.board import Board
from benchmarks.drawing import COLOURS, INK, LINE
from benchmarks.pages import diagram_of, site_sources
from benchmarks.paper_page import paper_page
from registry.catalog import load_catalog

CATALOG = load_catalog()
EMPTY = Board(CATALOG, (), (), (), frozenset())
PICTURES = site_sources() / "pages" / "assets" / "pictures"
IDS = {paper.id for paper in CATALOG.papers}
DIAGRAMS = [path for path in sorted(PICTURES.glob("*.svg")) if path.stem in IDS]


def test_the_machine_is_drawn() -> None:
    assert [path.stem for path in DIAGRAMS] == ["2016-eie"]


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.stem)
def test_a_diagram_is_whole_and_follows_the_page(path: Path) -> None:
    svg = path.read_text("utf-8")
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names[:2] == ["title", "desc"]
    assert len((root[1].text or "").split()) > 60
    assert set(names) == {"title", "desc", "path", "text"}
    # What the policy of the pages forbids, and colours that a dark page would swallow.
    assert not re.search(r"<style|style=|<script|href=|<image| on[a-z]+=", svg)
    shown = set(re.findall(r'(?:fill|stroke)="(#[^"]+)"', svg))
    assert shown <= {INK, LINE, *COLOURS}
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert text.get("fill") == INK
        assert float(text.get("font-size", 0)) >= 10


def test_a_page_shows_its_diagram_and_others_have_none() -> None:
    papers = {paper.id: paper for paper in CATALOG.papers}
    for name, shown in (("2016-eie", True), ("2016-deep-compression", False)):
        page = paper_page(EMPTY, papers[name], diagram_of(site_sources(), name))
        assert ("## How it works" in page) == shown
    eie = paper_page(EMPTY, papers["2016-eie"], diagram_of(site_sources(), "2016-eie"))
    (line,) = [line for line in eie.splitlines() if "Sparse matrix SRAM" in line]
    assert line.startswith("<svg")
    assert line.endswith("</svg>")
    assert "<figcaption>The machine: 64 processing elements" in eie


def test_text_that_means_something_in_html_stays_text() -> None:
    paper = CATALOG.papers[0]
    page = paper_page(EMPTY, paper, "<svg><title>a &lt; b\n&amp; c</title>\n</svg>")
    assert "<figcaption>a &lt; b &amp; c</figcaption>" in page
