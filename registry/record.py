"""One paper as data: its citation, what it claims and where, and what re-measures the claim.

A record is a YAML file ``papers/<id>.yaml``. Numbers of the paper are kept as printed text
(``reported: '2.49'``), since the digits tell the rounding range that a verdict is judged by.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from registry.fields import (
    Identifier,
    Line,
    Model,
    Name,
    PaperId,
    Printed,
    Prose,
    Slug,
    Title,
    Url,
    Year,
)
from registry.runs import Run
from registry.units import Unit
from registry.vocabulary import CountingRule

Technique = Literal[
    "matrix-factorization",
    "parameter-sharing",
    "pruning",
    "parameter-quantization",
    "entropy-coding",
    "compact-architecture",
]
Platform = Literal["software", "hardware"]
NetworkType = Literal["cnn", "rnn", "mlp"]
Check = Literal["measured", "analogue", "computed", "simulated", "out-of-reach"]
Evidence = Literal["read", "derived", "quoted", "recalled"]
"""How we know a reported value: read in the paper or the authors' repository; derived: recalled
and confirmed by arithmetic; quoted by another source, which is named; recalled: not checked."""

SOURCE_FLAGS = (
    "matrix_factorization",
    "parameter_sharing",
    "pruning",
    "parameter_quantization",
    "software",
    "hardware",
    "dnn_type",
)


class Link(Model):
    """An address that belongs to the paper."""

    kind: Literal["paper", "pdf", "code", "notes", "page", "data", "doi"]
    url: Url
    label: Name | None = None
    moved_from: Url | None = None
    """The address that the source printed, where the content lies elsewhere now."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] | None = None


class Citation(Model):
    """What BibTeX needs; title, authors and year come from the paper itself."""

    type: Literal["article", "inproceedings", "misc", "techreport", "phdthesis"]
    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9:_-]{1,59}$")]
    fields: dict[Annotated[str, Field(pattern=r"^[a-zA-Z]{2,20}$")], Line] = Field(
        default_factory=dict
    )


class Listing(Model):
    """A line of one of the source's three lists."""

    list: Literal["Theory", "Applications", "To be seen soon"]
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=3)]
    """Exactly as they stand there, the dash included."""


class FlagDifference(Model):
    """A flag of the source's table row with which we do not agree."""

    flag: Literal[
        "matrix_factorization",
        "parameter_sharing",
        "pruning",
        "parameter_quantization",
        "software",
        "hardware",
        "dnn_type",
    ]
    reason: Line


class Source(Model):
    """Where the paper stands in the survey that this registry encodes."""

    row: Annotated[str, Field(max_length=1000)] | None = None
    """The Markdown table row exactly as written there, or null where it has none."""
    listing: Listing | None = None
    differences: tuple[FlagDifference, ...] = ()


class Column(Model):
    """A column of a reported table."""

    id: Identifier
    title: Title | Annotated[str, Field(min_length=1, max_length=2)]
    unit: Unit | None = None
    """None for a column of text."""
    metric: Identifier | None = None
    """Our metric that stands beside it, where the table has a benchmark."""


class Row(Model):
    """A row of a reported table; ``cells`` as printed, null where the paper prints a dash."""

    id: Slug
    label: Name | None = None
    layer: Slug | None = None
    """The layer of our metric; by default the row's id. Rows named ``total`` have none."""
    cells: Annotated[tuple[Name | None, ...], Field(min_length=1, max_length=40)]
    remark: Line | None = None


class Table(Model):
    """A table of the paper, cell by cell, so that ours can stand beside it."""

    id: Slug
    title: Title
    where: Line
    evidence: Evidence
    quoted_from: Line | None = None
    run: Slug | None = None
    """The run of this record whose metrics stand beside the cells."""
    counting: CountingRule | None = None
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=40)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1, max_length=200)]
    remark: Prose | None = None

    @model_validator(mode="after")
    def _is_rectangular(self) -> "Table":
        columns = [column.id for column in self.columns]
        rows = [row.id for row in self.rows]
        for kind, ids in (("column", columns), ("row", rows)):
            for name in ids:
                if ids.count(name) > 1:
                    raise ValueError(f"{kind} {name!r} stands twice")
        for row in self.rows:
            if len(row.cells) != len(columns):
                raise ValueError(
                    f"row {row.id!r} has {len(row.cells)} cells for {len(columns)} columns"
                )
        return self

    def cell(self, row: str, column: str) -> str | None:
        """The printed text of a cell.

        Raises:
            KeyError: no such row or column.
        """
        names = [c.id for c in self.columns]
        if column not in names:
            raise KeyError(f"table {self.id!r} has no column {column!r}")
        for candidate in self.rows:
            if candidate.id == row:
                return candidate.cells[names.index(column)]
        raise KeyError(f"table {self.id!r} has no row {row!r}")


class Where(Model):
    """Where a claim stands: in a cell of one of the record's tables, or in words."""

    table: Slug | None = None
    row: Slug | None = None
    column: Identifier | None = None
    text: Line | None = None
    """For example ``abstract``, ``Fig. 4`` or ``section 5, second paragraph``."""

    @model_validator(mode="after")
    def _names_a_place(self) -> "Where":
        cell = (self.table, self.row, self.column)
        if any(cell) and not all(cell):
            raise ValueError("a table cell needs table, row and column")
        if not any(cell) and self.text is None:
            raise ValueError("say where the claim stands: table, row and column, or text")
        return self


class Tolerance(Model):
    """How far beyond the rounding range a measurement still counts as the reported value."""

    value: Printed
    kind: Literal["absolute", "relative_percent"]
    """Absolute: in the claim's own unit. Relative: per cent of the reported value."""
    reason: Line

    @model_validator(mode="after")
    def _is_positive(self) -> "Tolerance":
        if Decimal(self.value) <= 0:
            raise ValueError("a tolerance is above 0; leave it out where there is none")
        return self


class Baseline(Model):
    """What the paper compares with."""

    what: Line
    reported: Printed
    metric: Identifier | None = None
    """Our metric of the same thing."""


class Ordering(Model):
    """A claim about a difference: ``minuend - subtrahend`` is at most, or at least, ``bound``."""

    minuend: Identifier
    subtrahend: Identifier
    relation: Literal["at_most", "at_least"]
    bound: Printed = "0"
    """In the claim's unit."""


class Claim(Model):
    """One thing that the paper claims, and how it is checked here."""

    id: Slug
    statement: Line
    """In our own words."""
    where: Where
    check: Check
    evidence: Evidence
    headline: bool = False
    unit: Unit
    reported: Printed | None = None
    baseline: Baseline | None = None
    ordering: Ordering | None = None
    counting: CountingRule | None = None
    benchmark: Slug | None = None
    run: Slug | None = None
    """Which of the record's runs measures it; by default the only run of the benchmark."""
    metric: Identifier | None = None
    layer: Slug | None = None
    by_construction: bool = False
    """The run was given this value, or it follows from one it was given: no evidence by itself."""
    tolerance: Tolerance | None = None
    analogue: Line | None = None
    """For an analogue: what differs from the paper's experiment."""
    reason: Line | None = None
    """For what is out of reach: why. Elsewhere: a remark that a reader needs."""
    quoted_from: Line | None = None
    """For evidence ``quoted``: the source that quotes it."""
    stands_in: PaperId | Line | None = None
    """The paper that the value stands in, where it is not this one."""

    @property
    def measured_as(self) -> str | None:
        """The key of the measurement that answers this claim: ``metric`` or ``metric.layer``."""
        if self.metric is None:
            return None
        return f"{self.metric}.{self.layer}" if self.layer else self.metric

    @model_validator(mode="after")
    def _is_whole(self) -> "Claim":
        wrong: list[str] = []
        if (self.reported is None) == (self.ordering is None) and self.check != "out-of-reach":
            wrong.append("a claim has either a reported value or an ordering")
        if self.check == "out-of-reach":
            if self.reason is None:
                wrong.append("say why it is out of reach (reason)")
        elif self.benchmark is None or (self.metric is None and self.ordering is None):
            wrong.append("name the benchmark and the metric that answer it")
        if (self.check == "analogue") != (self.analogue is not None):
            wrong.append("an analogue, and only an analogue, says what differs (analogue)")
        if (self.evidence == "quoted") != (self.quoted_from is not None):
            wrong.append("evidence 'quoted', and only that, names its source (quoted_from)")
        if self.unit in SIZE_UNITS and self.counting is None and self.ordering is None:
            wrong.append("a size says how it is counted (counting: paper, file or parameters)")
        if self.tolerance and self.reported is None:
            wrong.append("a tolerance widens a reported value: this claim has none")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


SIZE_UNITS = frozenset({"bytes", "kilobytes", "megabytes"})


class Paper(Model):
    """A record."""

    id: PaperId
    title: Title
    year: Year
    authors: Annotated[tuple[Name, ...], Field(min_length=1, max_length=60)]
    """``Given Family``, in the paper's order."""
    venue: Line
    citation: Citation
    links: Annotated[tuple[Link, ...], Field(min_length=1, max_length=30)]
    techniques: Annotated[tuple[Technique, ...], Field(min_length=1)]
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)]
    network_type: NetworkType
    summary: Prose
    """What the method does, in our own words."""
    source: Source = Source()
    method: Slug
    benchmarks: Annotated[tuple[Slug, ...], Field(min_length=1)]
    runs: tuple[Run, ...] = ()
    tables: tuple[Table, ...] = ()
    claims: Annotated[tuple[Claim, ...], Field(min_length=3, max_length=400)]
    contradictions: tuple[Line, ...] = ()
    """Where the paper contradicts itself, each with the places that differ."""
    left_out: tuple[Line, ...] = ()
    """What of the paper is not run here, and why."""

    def table(self, table_id: str) -> Table | None:
        return next((table for table in self.tables if table.id == table_id), None)

    @property
    def owner(self) -> str:
        """The name that its results lie under."""
        return self.id

    def run(self, name: str) -> Run | None:
        return next((run for run in self.runs if run.name == name), None)

    def run_named(self, benchmark: str, name: str) -> Run | None:
        """Its run of that benchmark and name."""
        run = self.run(name)
        return run if run is not None and run.benchmark == benchmark else None

    def run_of(self, claim: Claim) -> Run | None:
        """The run that measures ``claim``: the one it names, else the only one of its benchmark."""
        if claim.run is not None:
            return self.run(claim.run)
        runs = [run for run in self.runs if run.benchmark == claim.benchmark]
        return runs[0] if len(runs) == 1 else None

    def place(self, claim: Claim) -> str:
        """Where the claim stands, in words: ``Table 2, total, rate (P+Q+H)``."""
        where = claim.where
        table = self.table(where.table) if where.table else None
        if table is None:
            return where.text or ""
        row = next((row.label or row.id for row in table.rows if row.id == where.row), "")
        column = next((c.title for c in table.columns if c.id == where.column), "")
        words = f"{table.where}, {row}, {column}"
        return f"{words}; {where.text}" if where.text else words


def faults_between(paper: Paper) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Faults that show only when parts of a record are held against each other.

    Yields:
        The path of the part at fault, and what is wrong with it.
    """
    yield from _twice("claims", paper.claims, "id")
    yield from _twice("tables", paper.tables, "id")
    yield from _twice("runs", paper.runs, "name")
    for index, run in enumerate(paper.runs):
        if run.benchmark not in paper.benchmarks:
            yield ("runs", index, "benchmark"), f"{run.benchmark!r} is not among the benchmarks"
    for index, table in enumerate(paper.tables):
        if table.run is not None and paper.run(table.run) is None:
            yield ("tables", index, "run"), f"this record has no run {table.run!r}"
    for index, claim in enumerate(paper.claims):
        for path, message in _claim_faults(paper, claim):
            yield ("claims", index, *path), message


def _twice(
    where: str, items: tuple[Any, ...], key: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = getattr(item, key)
        if name in seen:
            yield (where, index, key), f"{name!r} stands twice"
        seen.add(name)


def _claim_faults(paper: Paper, claim: Claim) -> Iterator[tuple[tuple[str, ...], str]]:
    if claim.benchmark is not None and claim.benchmark not in paper.benchmarks:
        yield ("benchmark",), f"{claim.benchmark!r} is not among the record's benchmarks"
    if claim.run is not None and paper.run(claim.run) is None:
        yield ("run",), f"this record has no run {claim.run!r}"
    if claim.where.table is None:
        return
    table = paper.table(claim.where.table)
    if table is None:
        yield ("where", "table"), f"this record has no table {claim.where.table!r}"
        return
    assert claim.where.row is not None  # held by Where
    assert claim.where.column is not None
    try:
        cell = table.cell(claim.where.row, claim.where.column)
    except KeyError as error:
        yield ("where",), str(error.args[0])
        return
    if claim.reported is not None and cell != claim.reported:
        yield ("reported",), f"the table's cell says {cell!r}, the claim {claim.reported!r}"
