import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.bibtex import Entry, parse_bibtex, to_bibtex
from registry.catalog import load_catalog
from registry.errors import UserError
from registry.record import Citation, Paper

WORDS = st.text(
    st.characters(
        min_codepoint=33,
        max_codepoint=0x24F,
        exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Mn", "Lm", "Sk"],
    ),
    min_size=1,
    max_size=8,
)
LINES = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)


def paper(title: str, authors: tuple[str, ...], fields: dict[str, str]) -> Paper:
    citation = Citation.model_construct(type="article", key="key2016", fields=fields)
    return Paper.model_construct(title=title, year=2016, authors=authors, citation=citation)


@given(LINES, st.lists(LINES, min_size=1, max_size=3), LINES, LINES)
@settings(deadline=None)
def test_what_is_written_reads_back(title: str, names: list[str], venue: str, url: str) -> None:
    authors = tuple(name for name in names if name != "others") or ("A B",)
    text = to_bibtex(paper(title, authors, {"journal": venue, "url": url}))
    entry = parse_bibtex(text)
    assert entry == Entry(
        "article",
        "key2016",
        {"title": title, "year": "2016", "journal": venue, "url": url},
        authors,
    )
    assert _balances(text)


def _balances(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def test_every_record_reads_back() -> None:
    for record in load_catalog().papers:
        entry = parse_bibtex(to_bibtex(record))
        assert entry.fields.pop("title") == record.title
        assert entry.fields.pop("year") == str(record.year)
        assert entry.authors == record.authors
        others = {name.lower(): text for name, text in record.citation.fields.items()}
        others = {k: v for k, v in others.items() if k not in ("title", "year", "author")}
        assert entry.fields == others


def test_the_entry_as_text() -> None:
    record = paper(
        "EIE: efficient 50% engine_on H & W",
        ("Song Han", "Nando de Freitas", "Aristotle"),
        {"booktitle": "ISCA #43", "url": "https://a.b/c_d%20e"},
    )
    assert to_bibtex(record) == (
        "@article{key2016,\n"
        "  title = {{EIE:} efficient 50\\% engine\\_on {H} \\& {W}},\n"
        "  author = {Han, Song and de Freitas, Nando and {Aristotle}},\n"
        "  year = {2016},\n"
        "  booktitle = {ISCA \\#43},\n"
        "  url = {https://a.b/c_d%20e},\n"
        "}\n"
    )


def test_foreign_entries_are_read() -> None:
    entry = parse_bibtex(
        "% a remark\n@InProceedings{Han:2016,\n"
        ' Title = "Pruning {\\"o}f \\`a la {Fran\\c{c}ois} \\& \\o{} {\\v s}",\n'
        " author = {Han, Song and J{\\'e}r{\\^o}me M{\\\"u}ller and King, Jr., M. L. and others},\n"
        " year = 2016 , month = {may}\n}\n"
    )
    assert entry == Entry(
        "inproceedings",
        "Han:2016",
        {"title": "Pruning öf à la François & ø š", "year": "2016", "month": "may"},
        ("Song Han", "Jérôme Müller", "M. L. King Jr."),
    )


@pytest.mark.parametrize("written", ["https://a.b/~c_d", r"https://a.b/\~c\_d"])
def test_a_tilde_in_an_address_stays_one(written: str) -> None:
    entry = parse_bibtex(f"@misc{{k, url = {{{written}}}, title = {{a~b}}}}")
    assert entry.fields == {"url": "https://a.b/~c_d", "title": "a b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "BibTeX:1 no entry"),
        ("@", "the entry's type"),
        ("@string{a = {b}}", "@string is not read"),
        ("@article{\n}", "BibTeX:2 the entry's key"),
        ("@article{k,\n title = {a\n", "BibTeX:2 the value that begins here"),
        ("@article{k,\n title = {a},\n title = {b}}", "BibTeX:3 field 'title' stands twice"),
        ("@article{k,\n title = abc}", "needs a value in braces"),
        ("@article{k,\n title {a}}", "'=' is expected here, not '{'"),
        ("@article{k, title = {a} year = 1}", "',' or '}' is expected here, not 'y'"),
        ("@article{k, title = {a}}\n@article{l,}", "BibTeX:2 a second entry"),
        ("@article{k, title = " + "{" * 500, "nest too deep"),
        ('@article{k, title = "a } b"}', "do not balance"),
        ("@article{k, title = {a} # {b}}", "is expected here, not '#'"),
        ("@" + "a" * 70_000, "longer than 65,536 characters"),
    ],
)
def test_faults_say_where(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_bibtex(text)
    assert message in str(caught.value)


@given(st.text(alphabet="@{}\"\\,=ab1 \n#%~'", max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_gives_an_entry_or_a_users_error(tail: str) -> None:
    try:
        entry = parse_bibtex("@a{k, t = " + tail)
    except UserError:
        return
    assert dataclasses.asdict(entry)
