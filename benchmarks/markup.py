"""The pieces that pages are made of: HTML in Markdown files, escaped for the place where it goes.

Functions named ``text`` take plain text of a record; those named ``html`` take finished HTML.
"""

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from benchmarks.escape import html as escaped
from benchmarks.grey_picture import GreyPicture
from benchmarks.verdict import Verdict
from registry.fields import web_address
from registry.record import Paper

MARKS: dict[Verdict, str] = {
    "reproduced": "●",
    "better": "▲",
    "missed": "✕",
    "inconclusive": "◆",
    "agrees": "○",
    "disagrees": "⊗",
    "not run": "–",
    "failed": "!",
    "stale": "◌",
    "out of reach": "∅",
}
"""A shape for each verdict, so that it can be told without colour."""

MEANINGS: dict[Verdict, str] = {
    "reproduced": "the interval of ours meets the range that counts as the reported value",
    "better": "ours lies outside that range, on the better side",
    "missed": "ours lies outside that range, on the worse side",
    "inconclusive": "the interval of ours is too wide to tell",
    "agrees": "an analogue, not the paper's experiment, that comes out alike or better",
    "disagrees": "an analogue, not the paper's experiment, that comes out worse",
    "not run": "no published full-scale result yet",
    "failed": "a run that did not come to its end",
    "stale": "method, benchmark, data or configuration moved on since it was measured",
    "out of reach": "cannot be measured here; the reason stands beside it",
}
DATA_FOLDER = "data"
"""Of the site's files for spreadsheets and scripts."""
ACRONYMS = frozenset({"cnn", "rnn", "mlp"})
_ALIGNMENTS = {"l": "left", "r": "right", "c": "center"}


def front_matter(title: str, *, searched: bool = True, toc: bool = True) -> str:
    """The head of a page. ``title`` is made by us, never text of a record.

    Raises:
        ValueError: the title holds a character that means something in YAML or HTML.
    """
    if re.fullmatch(r"[A-Za-z0-9 (),-]+", title) is None:
        raise ValueError(f"not a title of ours: {title!r}")
    lines = ["---", f'title: "{title}"']
    if not searched:
        lines += ["search:", "  exclude: true"]
    if not toc:
        lines += ["hide:", "  - toc"]
    return "\n".join([*lines, "---", ""])


def page(head: str, blocks: Iterable[str]) -> str:
    """A Markdown file of blocks with a blank line between them; empty ones are left out."""
    return head + "\n" + "\n\n".join(block for block in blocks if block) + "\n"


def heading(text: str) -> str:
    """The page's title. Raw HTML, so that no Markdown extension reads the text."""
    return f"<h1>{escaped(text)}</h1>"


def paragraph(html: str, cls: str = "") -> str:
    return f"<p{_class(cls)}>{html}</p>"


def small(html: str) -> str:
    """A remark under a cell's own text."""
    return f'<span class="nc-small">{html}</span>' if html else ""


def link(text: str, address: str, cls: str = "") -> str:
    """A link to another site, from an address that is checked once more.

    Raises:
        ValueError: not an http or https address.
    """
    address = web_address(address)
    return f'<a href="{escaped(address)}" rel="noopener"{_class(cls)}>{escaped(text)}</a>'


def inner_link(text: str, target: str) -> str:
    """A link within the site; ``target`` is a relative address made by us."""
    return f'<a href="{escaped(target)}">{escaped(text)}</a>'


def bullets(items: Iterable[str]) -> str:
    """A list of finished HTML."""
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def code_block(text: str, language: str = "text") -> str:
    """Text as it stands; the theme adds a button that copies it."""
    return f'<pre><code class="language-{escaped(language)}">{_lines(text)}</code></pre>'


def details(summary: str, html: str) -> str:
    """Something to unfold; works without JavaScript."""
    return f"<details><summary>{escaped(summary)}</summary>\n{html}\n</details>"


def badge(word: Verdict) -> str:
    """A verdict: shape, word and colour."""
    name = word.replace(" ", "-")
    mark = f'<span aria-hidden="true">{MARKS[word]}</span>'
    return f'<span class="nc-verdict nc-{name}">{mark} {word}</span>'


def legend(words: Sequence[Verdict]) -> str:
    """What the verdicts mean."""
    return bullets(f"{badge(word)} {escaped(MEANINGS[word])}" for word in words)


def data_links(
    name: str, *, root: str = "", words: str = "This table as data", bib: str = ""
) -> str:
    """Links to the files of a table, for the page that shows it.

    Args:
        name: of the files within the data folder, without their endings; none where empty.
        root: the way from the page to the site's root, such as ``../``.
        bib: the same for a BibTeX file, where one goes with the table.
    """
    forms = (("CSV", name, "csv"), ("JSON", name, "json"), ("BibTeX", bib, "bib"))
    links = [
        inner_link(title, f"{root}{DATA_FOLDER}/{stem}.{ending}")
        for title, stem, ending in forms
        if stem
    ]
    return paragraph(f"{escaped(words)}: {', '.join(links)}.", "nc-data")


def chips(texts: Iterable[str]) -> str:
    """Short words in a row."""
    return " ".join(f'<span class="nc-chip">{escaped(text)}</span>' for text in texts)


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    label: str,
    align: str = "",
    caption: str = "",
    attribute: str = "",
) -> str:
    """A table that scrolls inside its own box.

    Args:
        headers: finished HTML, as are the cells of ``rows``.
        label: what the box holds, for screen readers (plain text).
        align: a letter a column, ``l``, ``r`` or ``c``; left where it is shorter.
        caption: plain text above the table.
        attribute: for our script, such as ``data-sortable``.
    """
    columns = [_ALIGNMENTS[letter] for letter in align.ljust(len(headers), "l")]
    made = tabulate(
        [[cell or " " for cell in row] for row in rows],
        headers,
        tablefmt="unsafehtml",
        disable_numparse=True,
        colalign=columns if rows else None,
    )
    made = re.sub(r" *</(td|th)>", r"</\1>", made)
    made = re.sub(r"<(td|th)([^<>]*)> +", r"<\1\2>", made)
    for word, cls in (("right", ' class="nc-r"'), ("center", ' class="nc-c"'), ("left", "")):
        # classes rather than styles: the pages' policy allows no inline style
        made = made.replace(f' style="text-align: {word};"', cls)
    made = made.replace("<th", '<th scope="col"').replace('<th scope="col"ead>', "<thead>")
    top = f"<caption>{escaped(caption)}</caption>" if caption else ""
    opening = f"<table {attribute}>" if attribute else "<table>"
    made = str(made).replace("<table>", opening + top, 1)
    box = f'<div class="nc-scroll" tabindex="0" role="region" aria-label="{escaped(label)}">'
    return f"{box}\n{made}\n</div>"


def figure(svg: str, caption: str) -> str:
    """A picture in the page with its caption (plain text)."""
    return (
        f'<figure class="nc-chart">\n{svg}\n<figcaption>{escaped(caption)}</figcaption>\n</figure>'
    )


def picture(one: GreyPicture) -> str:
    """A small greyscale picture in the page, enlarged without smoothing."""
    image = (
        f'<img class="nc-pixels" src="{escaped(one.data_address())}" alt="{escaped(one.title)}" '
        f'width="{int(one.width)}" height="{int(one.height)}">'
    )
    return figure(image, f"{one.title}: {one.caption}")


def paper_label(paper: Paper) -> str:
    """A short name made from the id, for menus: ``Deep compression (2016)``.

    A word that the title writes in capitals, such as EIE, is written so here.
    """
    in_title = {word.lower(): word for word in re.findall(r"[A-Za-z0-9]+", paper.title)}
    words = []
    for word in paper.id[5:].split("-"):
        known = word.upper() if word in ACRONYMS else in_title.get(word, word)
        words.append(known if known[1:] != known[1:].lower() else word)
    name = " ".join(words)
    return f"{name[:1].upper()}{name[1:]} ({paper.id[:4]})"


def _class(cls: str) -> str:
    return f' class="{escaped(cls)}"' if cls else ""


def _lines(text: str) -> str:
    return "\n".join(escaped(line) for line in text.rstrip("\n").split("\n"))
