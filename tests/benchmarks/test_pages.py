"""Pages: hostile records do nothing, tables stand without scripts, a failed build harms nothing."""

import base64
import hashlib
import importlib.util
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import html5lib
import pytest

import benchmarks.pages as pages
from benchmarks.board import Board
from benchmarks.charts import claimed_svg, panel_svg, panels_of
from benchmarks.markup import front_matter, link, paper_label
from benchmarks.measured_runs import measured_runs
from benchmarks.paper_page import configuration_html, paper_page
from benchmarks.result_page import deviation, result_page
from benchmarks.standing import Standing
from benchmarks.survey_page import survey_page
from registry.catalog import Catalog, load_catalog
from registry.errors import UserError
from registry.record import Column, Paper


def _hostile() -> Any:
    spec = importlib.util.spec_from_file_location(
        "hostile_board", Path(__file__).with_name("hostile_board.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hostile_module = _hostile()
MARK, PAYLOADS, TEMPLATE = hostile_module.MARK, hostile_module.PAYLOADS, hostile_module.TEMPLATE
board_of, made_up = hostile_module.board_of, hostile_module.made_up
ARTICLE_TAGS = frozenset({
    "article", "h1", "h2", "h3", "p", "a", "ul", "li", "span", "strong", "code", "pre", "div",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "br", "details", "summary", "figure",
    "figcaption", "svg", "g", "path", "line", "text", "title", "desc", "img",
})  # fmt: skip
OWN_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    found: Catalog = hostile_module.small_catalog()
    return found


@pytest.fixture(scope="module")
def hostile(catalog: Catalog) -> Board:
    found: Board = hostile_module.hostile_board(catalog)
    return found


@pytest.fixture(scope="module")
def site(hostile: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.build_site(hostile, tmp_path_factory.mktemp("site") / "built")


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[str, Any]:
    """Every built page as a DOM, by its path."""
    return {
        path.relative_to(site).as_posix(): html5lib.parse(
            path.read_text(encoding="utf-8"), namespaceHTMLElements=False
        )
        for path in sorted(site.rglob("*.html"))
    }


def elements(document: Any) -> Iterator[tuple[str, Any]]:
    for element in document.iter():
        if isinstance(element.tag, str):
            yield element.tag.rpartition("}")[2], element


def test_every_payload_has_its_pages(site: Path) -> None:
    assert len(PAYLOADS) >= 40
    for index in range(len(PAYLOADS)):
        assert (site / "papers" / f"2016-p{index}.html").is_file()
        assert (site / "results" / f"2016-p{index}.html").is_file()


def test_payloads_are_shown_as_text(documents: dict[str, Any]) -> None:
    for index, payload in enumerate(PAYLOADS):
        heading = documents[f"papers/2016-p{index}.html"].find(".//article//h1")
        assert "".join(heading.itertext()).strip() == payload


def test_no_script_but_the_themes_and_ours(documents: dict[str, Any]) -> None:
    for name, document in documents.items():
        for tag, element in elements(document):
            if tag == "script":
                assert MARK not in "".join(element.itertext()), name
                source = element.get("src", "")
                assert "//" not in source, name
                assert MARK not in source, name
            assert not [a for a in element.attrib if str(a).lower().startswith("on")], name
            assert tag not in ("base", "iframe", "object", "embed", "style", "frame"), name
            assert element.get("http-equiv") in (None, "Content-Security-Policy"), name


def test_nothing_loads_from_another_host(documents: dict[str, Any], site: Path) -> None:
    for name, document in documents.items():
        for tag, element in elements(document):
            for attribute in ("src", "srcset", "href", "data", "action", "poster", "style"):
                value = element.get(attribute)
                if value is None:
                    continue
                assert attribute != "style", name
                scheme = re.match(r"\s*([a-z][a-z0-9+.-]*):|\s*//", value, re.IGNORECASE)
                allowed = tag == "a" and scheme is not None and scheme[1] in ("http", "https")
                allowed |= tag == "img" and OWN_PICTURE.fullmatch(value) is not None
                assert scheme is None or allowed, f"{name}: <{tag} {attribute}={value}>"
                assert MARK not in value, name
    for path in site.rglob("*.css"):
        for address in re.findall(r"(?:@import|url\()\s*['\"]?([^'\")]+)", path.read_text()):
            assert not re.match(r"(?:https?:)?//", address), f"{path.name}: {address}"


def test_links_that_leave_tell_nothing_to_the_other_side(documents: dict[str, Any]) -> None:
    leaving = 0
    for name, document in documents.items():
        for tag, element in elements(document.find(".//article") or document.find("body")):
            if tag == "a" and (element.get("href") or "").startswith("http"):
                leaving += 1
                assert "noopener" in (element.get("rel") or ""), f"{name}: {element.get('href')}"
    assert leaving > len(PAYLOADS)


def test_articles_hold_only_plain_elements(documents: dict[str, Any]) -> None:
    for name in (n for n in documents if n.startswith(("papers/", "results/", "index", "claims"))):
        article = documents[name].find(".//article")
        tags = {tag for tag, _ in elements(article)}
        assert tags <= ARTICLE_TAGS, f"{name}: {tags - ARTICLE_TAGS}"


def test_pictures_of_results_stand_on_their_papers_page(documents: dict[str, Any]) -> None:
    images = documents["papers/2016-p0.html"].findall(".//article//img")
    assert images
    for image in images:
        assert image.get("alt") == PAYLOADS[0]
        assert (image.get("width"), image.get("height")) == ("3", "2")
    assert documents["papers/2016-p1.html"].findall(".//article//img") == []


def test_titles_are_ours(documents: dict[str, Any], site: Path) -> None:
    for name, document in documents.items():
        assert MARK not in "".join(document.find(".//title").itertext()), name
    assert "docs_dir" not in (site / "papers" / "2016-p26.html").read_text(encoding="utf-8")


def test_each_page_carries_a_policy_that_fits_its_scripts(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
        assert policy is not None, path
        assert "unsafe" not in policy[1]
        for attributes, script in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
            if "src=" in attributes or "application/json" in attributes:
                continue
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy[1], path


def test_embedded_data_cannot_end_a_script(site: Path) -> None:
    text = (site / "assets" / "data.json").read_text(encoding="utf-8")
    assert MARK in text
    assert "<" not in text


def test_tables_are_there_without_scripts(documents: dict[str, Any]) -> None:
    survey = documents["survey.html"].findall(".//article//table")
    assert len(survey[0].findall("tbody/tr")) == len(PAYLOADS)
    assert not [tag for tag, e in elements(survey[0]) if tag == "tr" and "hidden" in e.attrib]
    claims = documents["claims.html"].find(".//article//table")
    assert len(claims.findall("tbody/tr")) == 10 * len(PAYLOADS)


def test_mkdocs_yml_holds_to_the_fixed_lists() -> None:
    text = (pages.CHECKOUT_SOURCES / "mkdocs.yml").read_text(encoding="utf-8")
    extensions = re.search(r"(?ms)^markdown_extensions:\n(.*?)\n\n", text)
    assert extensions is not None
    assert re.findall(r"(?m)^  - (\w+)", extensions[1]) == [
        "tables", "attr_list", "md_in_html", "admonition", "toc",
    ]  # fmt: skip
    plugins = re.search(r"(?ms)^plugins:\n(.*?)\n\n", text)
    assert plugins is not None
    assert re.findall(r"(?m)^  - (\w+)", plugins[1]) == ["search"]
    assert "font: false" in text
    assert not re.search(r"(?m)^hooks:|snippets:|https?://", text)


@pytest.mark.parametrize(
    ("printed", "ours", "unit", "told"),
    [
        ("35.1", 0.355, "percent", "+0.4 points"),
        ("35.5", 0.35549, "percent", ""),
        ("0", 0.02, "percent", "+2 points"),
        ("0.5", 0.25, "fraction", "-25 points"),
        ("0", 0.998, "percent", "+100 points"),
        ("20.46", 0.204653, "percent", "+0.0053 points"),
        ("8.9", 7.5e-6, "microseconds", "-15.7 %"),
        ("0", 1.0, "ratio", ""),
        ("about 7", 1.0, "ratio", ""),
        (None, 1.0, "ratio", ""),
    ],
)
def test_a_deviation_is_in_per_cent_and_of_shares_in_points(printed, ours, unit, told) -> None:
    shown = deviation(printed, ours, Column(id="x", title="x", unit=unit))
    assert shown == (f'<span class="nc-deviation">{told}</span>' if told else "")


def test_ours_stands_beneath_the_papers_cell(catalog: Catalog) -> None:
    paper = catalog.papers[0]
    stored = made_up(paper, catalog, "x")
    page = result_page(board_of(catalog, stored), paper)
    assert '<td class="nc-r">40<span class="nc-ours">40.08</span></td>' in page
    assert '<span class="nc-deviation">' not in page
    as_text = paper.model_dump_json()
    changed = Paper.model_validate_json(as_text.replace('"40"', '"50"'))
    ours = '<span class="nc-ours">40.08</span><span class="nc-deviation">-19.8 %</span>'
    assert f'<td class="nc-r">50{ours}</td>' in result_page(board_of(catalog, stored), changed)
    broken = stored[0].result.model_copy(
        update={"outcome": "failed", "reason": "it broke", "metrics": {}}
    )
    partial = [replace(stored[0], result=broken), *stored[1:]]
    page = result_page(board_of(catalog, partial), paper)
    assert "nc-ours" not in page
    assert "2 of 3 seeds done" in page
    assert "Bytes of the file by part, run paper" not in paper_page(
        board_of(catalog, partial), paper
    )


def configurations(name: str) -> dict[str, str]:
    """As the page of a paper shows them, by run."""
    catalog = load_catalog()
    paper = catalog.get(name)
    board = board_of(catalog, [])
    return {one.run.name: configuration_html(paper, one) for one in measured_runs(board, paper)}


def test_a_run_that_asks_no_method_has_no_configuration() -> None:
    shown = configurations("2016-eie")
    assert {name for name, words in shown.items() if words == "–"} == {
        "arithmetic", "machine", "authors-layer",
    }  # fmt: skip
    assert "learning_rate = 0.1" in shown["lenet-300-100"]


def test_what_a_benchmark_sets_is_not_shown_as_a_default() -> None:
    shown = configurations("2015-hashed-nets")
    own, told = shown["mnist"].split("set by the benchmark: ")
    assert "schedule" in own
    assert told.startswith("layers, compression, distil, learning_rate, train_epochs<")
    assert "train_epochs =" not in shown["mnist"]
    assert "momentum = 0.9" in told


def test_a_paper_without_results_says_not_run(catalog: Catalog) -> None:
    page = paper_page(board_of(catalog, []), catalog.papers[0])
    assert "not run" in page
    assert "netcompress run 2016-deep-compression --scale full" in page
    assert "## All claims { data-search-exclude }" in page
    assert "<svg" not in page


def test_a_page_says_where_its_paper_contradicts_itself(catalog: Catalog) -> None:
    board, paper = board_of(catalog, []), catalog.papers[0]
    assert "contradicts itself" not in paper_page(board, paper)
    torn = paper.model_copy(update={"contradictions": ("Table 1 says <b>2</b>, Table 2 says 3.",)})
    page = paper_page(board, torn)
    told = page.partition("## Where the paper contradicts itself")[2].partition("\n## ")[0]
    assert "Table 1 says" in told
    assert "<b>" not in told


def test_a_panel_has_one_unit_and_one_way_of_counting_and_no_analogue(catalog: Catalog) -> None:
    paper = catalog.papers[0]
    board = board_of(catalog, made_up(paper, catalog, "x"))
    answered = [s for s in board.standings if s.claim.reported and s.judgement.measured]
    given = [s for s in answered if s.holds_by_construction]
    measured = [s for s in answered if not s.holds_by_construction]
    assert given
    assert panels_of(given) == []
    panels = panels_of(answered)
    keys = [(panel.unit, panel.counting) for panel in panels]
    assert len(keys) == len(set(keys))
    assert ("ratio", "paper") in keys
    assert sum(len(panel.marks) for panel in panels) == len(measured)
    assert panels_of([as_analogue(one) for one in measured]) == []


def as_analogue(standing: Standing) -> Standing:
    changed = standing.claim.model_copy(update={"check": "analogue", "analogue": "other data"})
    return replace(standing, claim=changed)


def test_pictures_are_whole_and_carry_words(catalog: Catalog) -> None:
    board = board_of(catalog, made_up(catalog.papers[0], catalog, "x"))
    drawings = [panel_svg(panel) for panel in panels_of(board.standings)]
    for svg in (*drawings, claimed_svg(board.standings), claimed_svg([])):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        names = [child.tag.rpartition("}")[2] for child in root]
        assert names[0] == "title"
        assert "desc" in names
        assert not re.search(r"<image|href=|<script|style=", svg)


def test_a_label_is_made_from_the_id_alone(catalog: Catalog) -> None:
    paper = catalog.papers[0]
    odd = paper.model_copy(update={"id": "2016-eie-x", "title": "EIE: <img onerror=X> {Y}"})
    assert paper_label(odd) == "EIE x (2016)"
    assert paper_label(paper) == "Deep compression (2016)"


@pytest.mark.parametrize("title", ["a: b", 'a"b', "<b>", "a\nb", "{{x}}", ""])
def test_front_matter_takes_no_title_of_a_record(title: str) -> None:
    with pytest.raises(ValueError, match="not a title of ours"):
        front_matter(title)


@pytest.mark.parametrize("address", ["javascript:x()", "//a.example", "data:text/html,x", "/x"])
def test_a_link_is_http_or_nothing(address: str) -> None:
    with pytest.raises(ValueError):
        link("x", address)


def test_the_source_is_shown_as_it_stands() -> None:
    board = board_of(load_catalog(), [])
    page = survey_page(board)
    assert page.count("<td>the template: what ") == 1
    assert "compression of recurrent neural networks with an application to LVSCR" in page
    assert page.count("[<a ") == 8
    assert "Prabhavalkar et al. 2016" in page


@pytest.fixture
def quick_build(monkeypatch: pytest.MonkeyPatch, hostile: Board) -> Callable[[Path], Path]:
    """Builds without MkDocs: what it would build is one file."""

    def fake(configuration: Path) -> str:
        (configuration.parent / "site").mkdir()
        (configuration.parent / "site" / "index.html").write_text("<head></head>new")
        return ""

    monkeypatch.setattr(pages, "run_mkdocs", fake)
    monkeypatch.setattr(pages, "write_pages", lambda board, sources, folder: folder.mkdir())
    return lambda out: pages.build_site(hostile, out)


def test_a_build_takes_the_place_of_the_old_site(
    quick_build: Callable[[Path], Path], tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "site"
    assert quick_build(out) == out
    (out / "old.html").write_text("old")
    quick_build(out)
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "netcompress-site.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["site"]


def test_a_failed_build_leaves_the_old_site(
    quick_build: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = quick_build(tmp_path / "site")

    def fail(configuration: Path) -> str:
        raise UserError("MkDocs could not build the site")

    monkeypatch.setattr(pages, "run_mkdocs", fail)
    with pytest.raises(UserError, match="could not build"):
        quick_build(out)
    assert (out / "index.html").read_text().endswith("new")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_a_killed_build_left_is_swept(
    quick_build: Callable[[Path], Path], tmp_path: Path
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = tmp_path / f".site.{ended.pid}.0123abcd.building"
    alive = tmp_path / f".site.{os.getpid()}.0123abcd.building"
    for folder in (dead, alive):
        (folder / "pages").mkdir(parents=True)
    quick_build(tmp_path / "site")
    assert not dead.exists()
    assert alive.exists()


def test_a_folder_of_something_else_is_never_replaced(
    quick_build: Callable[[Path], Path], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        quick_build(tmp_path)
    file = tmp_path / "thesis.tex"
    with pytest.raises(UserError, match="not a folder"):
        quick_build(file)
    assert file.read_text() == "years of work"


def test_a_link_of_the_source_that_moved_says_where() -> None:
    catalog = load_catalog()
    paper = next(p for p in catalog.papers if any(one.kind == "notes" for one in p.links))
    notes = next(one for one in paper.links if one.kind == "notes")
    moved = notes.model_copy(
        update={"url": "https://example.org/notes", "moved_from": notes.moved_from or notes.url}
    )
    links = tuple(moved if one == notes else one for one in paper.links)
    others = [p for p in catalog.papers if p.id != paper.id]
    changed = replace(catalog, papers=(*others, paper.model_copy(update={"links": links})))
    assert "notes moved, now <a href=" in survey_page(board_of(changed, []))
    assert 'href="https://example.org/notes"' in survey_page(board_of(changed, []))
