"""The survey that this registry encodes: its table and its three lists, read and written again.

``source.md`` beside this file holds the source's credits, table and lists byte for byte, with its
misprints.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from registry.record import SOURCE_FLAGS, Paper

SOURCE_FILE = Path(__file__).with_name("source.md")
TEMPLATE_PAPER = "New paper"
"""The source's last row: the form in which a new paper is entered. No record belongs to it."""

_COLUMNS = 9
_LINK = re.compile(r"\s*\[\[(\w+)\]\]\(([^()\s]*)\)")


@dataclass(frozen=True)
class SurveyRow:
    """One row of the source's table, without Markdown; ``raw`` is the row as it stands there."""

    paper: str
    year: int
    matrix_factorization: bool
    parameter_sharing: bool
    pruning: bool
    parameter_quantization: bool
    software: bool
    hardware: bool
    dnn_type: str
    paper_url: str | None
    notes_url: str | None
    record: str | None
    """The id of the record that encodes the row; None in the template row."""
    raw: str

    def as_dict(self) -> dict[str, str | int | bool | None]:
        """The row's fields in the table's order, as ``survey --json`` prints them."""
        return {name: getattr(self, name) for name in JSON_FIELDS}


JSON_FIELDS = ("paper", "year", *SOURCE_FLAGS, "paper_url", "notes_url", "record")


@dataclass(frozen=True)
class SurveyList:
    """One of the source's lists: its heading as it stands there, and its lines."""

    name: str
    heading: str
    lines: tuple[str, ...]

    @property
    def entries(self) -> tuple[str, ...]:
        """The list's entries without dash and bold, an entry of several lines as one."""
        entries: list[str] = []
        for line in self.lines:
            text = line.replace("**", "")
            if text.startswith("- "):
                entries.append(text[2:])
            else:
                entries[-1] += " " + text
        return tuple(entries)

    def holds(self, lines: tuple[str, ...]) -> bool:
        """Whether ``lines`` stand in the list, one after the other."""
        starts = range(len(self.lines) - len(lines) + 1)
        return any(self.lines[start : start + len(lines)] == lines for start in starts)


@dataclass(frozen=True)
class Survey:
    """The source's table, lists and credits."""

    header: tuple[str, str]
    """The table's two heading rows as they stand there."""
    rows: tuple[SurveyRow, ...]
    lists: tuple[SurveyList, ...]
    credits: tuple[str, ...]

    def row(self, raw: str) -> SurveyRow | None:
        return next((row for row in self.rows if row.raw == raw), None)

    def list_named(self, name: str) -> SurveyList | None:
        return next((item for item in self.lists if item.name == name), None)


def read_survey(papers: Iterable[Paper] = ()) -> Survey:
    """The source; its rows name the records among ``papers`` that encode them."""
    survey = _parse(SOURCE_FILE)
    ids = {paper.source.row: paper.id for paper in papers if paper.source.row is not None}
    rows = tuple(replace(row, record=ids.get(row.raw)) for row in survey.rows)
    return replace(survey, rows=rows)


def survey_markdown(survey: Survey | None = None) -> str:
    """The table and the lists as the source writes them, byte for byte."""
    survey = survey or read_survey()
    blocks = [[*survey.header, *(row.raw for row in survey.rows)]]
    blocks += [[item.heading, *item.lines] for item in survey.lists]
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


@cache
def _parse(path: Path) -> Survey:
    lines = path.read_bytes().decode("utf-8").split("\n")
    table = [line for line in lines if line.startswith("|")]
    first_heading = next(index for index, line in enumerate(lines) if line.startswith("##"))
    lists: list[SurveyList] = []
    for line in lines[first_heading:]:
        if line.startswith("##"):
            lists.append(SurveyList(line[2:].strip(), line, ()))
        elif line:
            lists[-1] = replace(lists[-1], lines=(*lists[-1].lines, line))
    return Survey(
        header=(table[0], table[1]),
        rows=tuple(_parse_row(line) for line in table[2:]),
        lists=tuple(lists),
        credits=tuple(line for line in lines[:first_heading] if line.startswith("- ")),
    )


def _parse_row(raw: str) -> SurveyRow:
    """A row's cells as values.

    Raises:
        ValueError: not nine cells between bars, or a flag that is neither ``O`` nor empty.
    """
    cells = [cell.strip() for cell in raw.strip().strip("|").split("|")]
    if len(cells) != _COLUMNS:
        raise ValueError(f"a row has {_COLUMNS} cells, this one {len(cells)}: {raw!r}")
    flags = cells[2:8]
    if not set(flags) <= {"", "O"}:
        raise ValueError(f"a flag is O or empty: {raw!r}")
    links = dict(_LINK.findall(cells[0]))
    on = [flag == "O" for flag in flags]
    return SurveyRow(
        paper=_LINK.sub("", cells[0]).strip(),
        year=int(cells[1]),
        matrix_factorization=on[0],
        parameter_sharing=on[1],
        pruning=on[2],
        parameter_quantization=on[3],
        software=on[4],
        hardware=on[5],
        dnn_type=cells[8].replace("**", ""),
        paper_url=links.get("paper"),
        notes_url=links.get("notes"),
        record=None,
        raw=raw,
    )
