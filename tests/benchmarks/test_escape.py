"""Whatever text a record holds, each place shows it as text and runs nothing."""

import csv
import io
import json
import re

import html5lib
import markdown as python_markdown
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import escape
from benchmarks.views import to_csv

EXTENSIONS = ["tables", "attr_list", "md_in_html", "admonition", "toc"]
PAYLOADS = [
    "[x](javascript:alert(1))", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/x.png)", "# heading", "1. list", "- list", "+ list", "> quote",
    "a | b", "| --- |", "{: onclick=alert(1) }", "{onclick=alert(1)}", '--8<-- "mkdocs.yml"',
    "`code`", "*bold* _under_", "&lt;script&gt;", "&#106;avascript", "http://evil.example/",
    "<http://evil.example/>", "[ref]: javascript:alert(1)", "!!! note", "===", "---", "***",
    "\\[x\\](y)", "</td></tr></table><script>x</script>", "a\nb", "a\r\n# b", "x <!-- y",
    "=cmd()", "@SUM(1)", "\tx", "[TOC]", "    code", "~~~", "```", "*[x]: y", "$x$", "^x^", "10) x",
    "javascript:alert(1)", "<<<", "a & b &amp; c", '" onmouseover="x', "' onmouseover='x",
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(PAYLOADS),
    st.lists(st.sampled_from(PAYLOADS), min_size=2, max_size=3).map(" ".join),
    st.text(alphabet="<>[](){}!#*_-+=.:|`~\\&;\"'@/^$ \n1a8", max_size=40),
)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", escape.terminal(text)).strip()


def elements(html: str):
    return html5lib.parse(html, treebuilder="etree", namespaceHTMLElements=False).iter()


@settings(max_examples=600)
@given(texts)
def test_a_line_of_markdown_shows_the_text_and_nothing_else(text):
    page = python_markdown.markdown(f"Before {escape.markdown(text)}", extensions=EXTENSIONS)
    tree = html5lib.parse(page, treebuilder="etree", namespaceHTMLElements=False)
    assert squeezed("".join(tree.itertext())) == squeezed(f"Before {text}")
    assert {element.tag for element in tree.iter()} <= {"html", "head", "body", "p"}


@settings(max_examples=600)
@given(texts)
def test_a_whole_line_of_markdown_opens_no_block(text):
    if not squeezed(text):
        return
    page = python_markdown.markdown(escape.markdown(text.strip()), extensions=EXTENSIONS)
    tags = {element.tag for element in elements(page)}
    assert tags <= {"html", "head", "body", "p"}, page


@settings(max_examples=400)
@given(texts)
def test_a_table_cell_stays_one_cell(text):
    table = f"| a | b |\n|---|---|\n| {escape.markdown(text)} | end |\n"
    page = python_markdown.markdown(table, extensions=EXTENSIONS)
    cells = [element for element in elements(page) if element.tag == "td"]
    assert len(cells) == 2
    assert squeezed("".join(cells[0].itertext())) == squeezed(text)
    assert list(cells[0]) == []


@settings(max_examples=400)
@given(texts)
def test_html_text_and_attributes(text):
    page = f'<p title="{escape.html(text)}">{escape.html(text)}</p>'
    found = [element for element in elements(page) if element.tag == "p"]
    assert len(found) == 1
    assert squeezed("".join(found[0].itertext())) == squeezed(text)
    assert found[0].attrib == {"title": escape.terminal(text)}
    assert list(found[0]) == []


@given(st.recursive(texts, lambda x: st.lists(x) | st.dictionaries(texts, x), max_leaves=5))
def test_script_data_is_json_without_a_way_out(value):
    text = escape.script_data(value)
    assert json.loads(text) == value
    assert not set("<>&") & set(text)
    assert text.isascii()


@given(st.lists(st.fixed_dictionaries({"a": texts, "b": texts}), min_size=1))
def test_csv_holds_no_formula_and_comes_back(rows):
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    raw = list(csv.DictReader(io.StringIO(to_csv(rows, raw=True))))
    for found, plain, row in zip(read, raw, rows, strict=True):
        for key, value in row.items():
            assert found[key][:1] not in ("=", "+", "-", "@", "\t", "\r")
            assert plain[key] == value
            assert found[key].removeprefix("'") == value.removeprefix("'")


def test_numbers_stay_numbers_in_csv():
    assert to_csv([{"x": -1.5, "y": None, "z": True}]) == "x,y,z\n-1.5,,true\n"


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\u202eb", "a\u200bb", "bell\x07"])
def test_control_and_direction_characters_never_reach_a_place(text):
    for place in (escape.html, escape.markdown, escape.terminal):
        assert not re.search(r"[\x00-\x1f\u202e\u200b]", place(text))
