"""The survey: our flags for every paper, and the source's table and lists as they stand there."""

import re

from benchmarks.board import Board
from benchmarks.escape import html
from benchmarks.markup import (
    badge,
    code_block,
    data_links,
    details,
    front_matter,
    heading,
    inner_link,
    link,
    page,
    paper_label,
    paragraph,
    small,
    table,
)
from benchmarks.standing import count_verdicts
from registry.record import Paper
from registry.survey import TEMPLATE_PAPER, Survey, SurveyRow, read_survey, survey_markdown

FLAG_TITLES = {
    "matrix_factorization": "Matrix factorization",
    "parameter_sharing": "Parameter sharing",
    "pruning": "Pruning",
    "parameter_quantization": "Parameter quantization",
    "software": "S/W",
    "hardware": "H/W",
    "dnn_type": "DNN type",
}
EXTRA_TECHNIQUES = (
    ("entropy-coding", "Entropy coding"),
    ("compact-architecture", "Compact architecture"),
)
DOT = '<span class="nc-dot" title="yes">●<span class="nc-hidden">yes</span></span>'


def survey_page(board: Board) -> str:
    """Our table with its filters, where we differ from the source, and the source."""
    survey = read_survey(board.catalog.papers)
    return page(
        front_matter("Survey"),
        [
            heading("Survey of network compression"),
            paragraph(
                "Every paper with our flags and the verdicts on its claims. A star marks a flag "
                "that differs from the source's; the reason stands below. Choose what to see: "
                "the address keeps the choice."
            ),
            _our_table(board),
            data_links("flags", words="These flags as data", bib="papers"),
            "## Where we differ from the source",
            _differences(board, survey),
            "## The source's table as it stands",
            paragraph(
                "Cells as printed, links and misprints included. A link that has moved says so."
            ),
            _source_table(board, survey),
            data_links("survey"),
            *_lists(board, survey),
            "## Credits",
            _credits(survey),
            details("The source's own Markdown", code_block(survey_markdown(survey), "markdown")),
        ],
    )


def source_flag(row: SurveyRow, flag: str) -> str:
    """A cell of the source, as it is printed there: ``O``, nothing, or the network."""
    value = getattr(row, flag)
    return value if isinstance(value, str) else ("O" if value else "")


def our_flag(paper: Paper, flag: str) -> str:
    """The same cell by our record."""
    if flag == "dnn_type":
        return paper.network_type.upper()
    if flag in ("software", "hardware"):
        return "O" if flag in paper.platforms else ""
    return "O" if flag.replace("_", "-") in paper.techniques else ""


def _our_table(board: Board) -> str:
    headers = ["Paper", "Year", *FLAG_TITLES.values(), "Verdicts"]
    rows = []
    for paper in board.catalog.papers:
        starred = {item.flag for item in paper.source.differences}
        flags = []
        for flag in FLAG_TITLES:
            value = our_flag(paper, flag)
            shown = DOT if value == "O" else html(value)
            star = '<a class="nc-star" href="#where-we-differ-from-the-source">*</a>'
            flags.append(shown + (star if flag in starred else ""))
        also = [
            f"also {title.lower()}" for name, title in EXTRA_TECHNIQUES if name in paper.techniques
        ]
        counts = count_verdicts(board.of(paper.id))
        rows.append(
            [
                _filter_data(paper)
                + inner_link(paper.title, f"papers/{paper.id}.html")
                + small(html(", ".join(also))),
                str(paper.year),
                *flags,
                "<br>".join(f"{badge(word)}&nbsp;{n}" for word, n in counts.items()),  # type: ignore[arg-type]
            ]
        )
    return table(
        headers,
        rows,
        label="Papers with our flags",
        align="lccccccccl",
        attribute='data-sortable data-filter="technique,network,platform,year"',
    )


def _filter_data(paper: Paper) -> str:
    """What our script filters by; all of it comes from closed lists of words."""
    values = {
        "technique": " ".join(paper.techniques),
        "network": paper.network_type,
        "platform": " ".join(paper.platforms),
        "year": str(paper.year),
    }
    attributes = " ".join(f'data-{name}="{html(value)}"' for name, value in values.items())
    return f"<span hidden {attributes}></span>"


def _differences(board: Board, survey: Survey) -> str:
    rows = []
    for paper in board.catalog.papers:
        source = survey.row(paper.source.row) if paper.source.row else None
        for item in paper.source.differences:
            theirs = source_flag(source, item.flag) if source else ""
            rows.append(
                [
                    inner_link(paper_label(paper), f"papers/{paper.id}.html"),
                    html(FLAG_TITLES[item.flag]),
                    html(theirs) or "(empty)",
                    html(our_flag(paper, item.flag)) or "(empty)",
                    html(item.reason),
                ]
            )
    if not rows:
        return paragraph("Nowhere.")
    headers = ["Paper", "Flag", "Source", "Ours", "Why"]
    return table(headers, rows, label="Flags that differ from the source's")


def _source_table(board: Board, survey: Survey) -> str:
    headers = [html(cell) for cell in _cells(survey.header[0])]
    rows = []
    for row in survey.rows:
        paper = next((p for p in board.catalog.papers if p.id == row.record), None)
        flags = [html(source_flag(row, flag)) for flag in FLAG_TITLES if flag != "dnn_type"]
        rows.append(
            [
                _source_cell(row, paper),
                str(row.year),
                *flags,
                f"<strong>{html(row.dnn_type)}</strong>",
                _record_cell(row, paper),
            ]
        )
    return table([*headers, "Record"], rows, label="The source's table", align="lcccccccc" + "l")


def _source_cell(row: SurveyRow, paper: Paper | None) -> str:
    parts = [html(row.paper)]
    for word, address in (("paper", row.paper_url), ("notes", row.notes_url)):
        if address is not None:
            parts.append(f"[{link(word, address)}]")
    cell = " ".join(parts)
    for address, printed in _moved(row, paper):
        cell += small(f"{printed} moved, now {link('here', address)}")
    return cell


def _moved(row: SurveyRow, paper: Paper | None) -> list[tuple[str, str]]:
    """The new address of each printed link that has moved, and which link it is."""
    moved = []
    for link_ in paper.links if paper else ():
        for word, printed in (("paper", row.paper_url), ("notes", row.notes_url)):
            replaces = printed is not None and link_.moved_from == printed
            other_notes = (
                word == "notes" and link_.kind == "notes" and printed not in (None, link_.url)
            )
            if (replaces or other_notes) and (link_.url, word) not in moved:
                moved.append((link_.url, word))
    return moved


def _record_cell(row: SurveyRow, paper: Paper | None) -> str:
    if row.paper == TEMPLATE_PAPER:
        start = inner_link("netcompress new", "guides/add-a-paper.html")
        return f"the template: what {start} starts from"
    return inner_link(paper_label(paper), f"papers/{paper.id}.html") if paper else "none yet"


def _lists(board: Board, survey: Survey) -> list[str]:
    """The three lists, line for line, each entry leading to its record."""
    blocks = ["## The source's lists"]
    records = {
        paper.source.listing.lines: paper
        for paper in board.catalog.papers
        if paper.source.listing is not None
    }
    for item in survey.lists:
        entries: list[list[str]] = []
        for line in item.lines:
            if line.startswith("- "):
                entries.append([])
            entries[-1].append(line)
        made = []
        for lines in entries:
            paper = records.get(tuple(lines))
            shown = "<br>".join(_bold(line.removeprefix("- ")) for line in lines)
            name = small(inner_link(paper_label(paper), f"papers/{paper.id}.html")) if paper else ""
            made.append(f"<li>{shown}{name}</li>")
        blocks += [f"### {_ascii_words(item.name)}", f"<ul>{''.join(made)}</ul>"]
    return blocks


def _bold(line: str) -> str:
    """Escaped text with the source's ``**bold**``."""
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html(line))


def _ascii_words(text: str) -> str:
    """A heading of the source, which is a file of ours: letters and spaces only."""
    return re.sub(r"[^A-Za-z ]", "", text)


def _credits(survey: Survey) -> str:
    """The source's credits with their addresses as links."""
    lines = []
    for line in survey.credits:
        match = re.fullmatch(r"- (.*) \((https?://[^\s()]+)\)", line)
        if match is None:
            lines.append(html(line.removeprefix("- ")))
        else:
            lines.append(f"{html(match[1])} ({link(match[2], match[2])})")
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]
