"""What the literature says: papers, show, survey, validate, schema, new."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from netcompress.output import print_json, print_table, print_text, remark

Network = Literal["cnn", "rnn", "mlp"]
PlatformName = Literal["software", "hardware"]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
RawFlag = Annotated[
    bool,
    typer.Option("--raw", help="With --csv: no apostrophe before cells that begin like formulas."),
]
CsvFlag = Annotated[
    bool,
    typer.Option(
        "--csv",
        help="CSV on standard output; text that a spreadsheet would run as a formula begins with "
        "an apostrophe there (--json has it as it is).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("papers")(papers)
    app.command("show")(show)
    app.command("survey")(survey)
    app.command("validate")(validate)
    app.command("schema")(schema)
    app.command("new")(new)


def overview() -> None:
    """What plain ``netcompress`` prints."""
    from registry.catalog import load_catalog

    catalog = load_catalog()
    claims = sum(len(paper.claims) for paper in catalog.papers)
    years = [paper.year for paper in catalog.papers]
    print_text(
        "netcompress: the literature of neural-network compression, executable.\n\n"
        f"{len(catalog.papers)} papers of {min(years)} to {max(years)}, {claims} claims.\n\n"
        "Next:\n"
        "  netcompress papers                                     what is in the registry\n"
        "  netcompress claims 2016-deep-compression               claimed against measured\n"
        "  netcompress run 2016-deep-compression --scale quick    run a paper on this machine"
    )


def papers(
    technique: Annotated[str | None, typer.Option(help="Such as pruning.")] = None,
    network: Annotated[Network | None, typer.Option(help="Network type.")] = None,
    platform: Annotated[PlatformName | None, typer.Option(help="Software or hardware.")] = None,
    year: Annotated[int | None, typer.Option(help="Year of publication.")] = None,
    as_json: JsonFlag = False,
    as_csv: CsvFlag = False,
    raw: RawFlag = False,
    as_bibtex: Annotated[bool, typer.Option("--bibtex", help="BibTeX entries.")] = False,
) -> None:
    """List the papers of the registry.

    Example: netcompress papers --technique pruning --json
    """
    from benchmarks.board import read_board
    from benchmarks.report import of_paper, verdicts_text
    from benchmarks.views import paper_rows, to_csv
    from registry.bibtex import to_bibtex

    board = read_board()
    chosen = board.catalog.select(
        technique=technique, network=network, platform=platform, year=year
    )
    if as_bibtex:
        print_text("\n".join(to_bibtex(paper) for paper in chosen))
    elif as_json:
        print_json(paper_rows(chosen, board.standings))
    elif as_csv:
        print_text(to_csv(paper_rows(chosen, board.standings), raw=raw))
    else:
        rows = [
            [p.id, p.title, ", ".join(p.techniques), p.network_type.upper(),
             verdicts_text(of_paper(board.standings, p))]
            for p in chosen
        ]  # fmt: skip
        print_table(["id", "title", "techniques", "network", "verdicts"], rows)


def show(paper_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonFlag = False) -> None:
    """One paper: citation, each claim with where it stands, ours beside it, the verdict.

    Example: netcompress show 2016-deep-compression
    """
    from benchmarks.board import read_board
    from benchmarks.report import MARKS_EXPLAINED
    from benchmarks.terminal import claim_cells
    from benchmarks.views import claim_row
    from registry.bibtex import to_bibtex

    board = read_board()
    paper = board.catalog.get(paper_id)
    found = board.of(paper.id)
    if as_json:
        record = paper.model_dump(mode="json")
        print_json({**record, "claims": [claim_row(standing) for standing in found]})
        return
    print_text(f"{paper.title}\n{', '.join(paper.authors)}. {paper.venue}.\n\n{paper.summary}\n")
    for link in paper.links:
        print_text(f"{link.label or link.kind}: {link.url}")
    print_text("\n" + to_bibtex(paper))
    headers, rows = claim_cells(found, with_paper=False, with_place=True)
    print_table(headers, rows, right="claimed,measured,95 % interval,gap,yours")
    remark(MARKS_EXPLAINED)
    for line in paper.contradictions:
        print_text(f"The paper contradicts itself: {line}")
    for line in paper.left_out:
        print_text(f"Left out: {line}")


def survey(
    as_json: JsonFlag = False,
    as_csv: CsvFlag = False,
    raw: RawFlag = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="The source's own form, with its three lists.")
    ] = False,
) -> None:
    """The survey that this registry encodes, with the flags that stand there.

    Example: netcompress survey --markdown
    """
    from benchmarks.terminal import survey_cells
    from benchmarks.views import to_csv
    from registry.catalog import load_catalog
    from registry.survey import read_survey, survey_markdown

    if as_markdown:
        print_text(survey_markdown())
        return
    rows = read_survey(load_catalog().papers).rows
    if as_json:
        print_json([row.as_dict() for row in rows])
    elif as_csv:
        print_text(to_csv((row.as_dict() for row in rows), raw=raw))
    else:
        print_table(*survey_cells(rows))


def validate(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE...]")] = None,
) -> None:
    """All faults of all records, or of the given files, at once.

    Example: netcompress validate registry/papers/2016-eie.yaml
    """
    from registry.catalog import check_files, load_catalog
    from registry.errors import FaultyFile

    if files:
        faults = check_files(files)
        if faults:
            raise FaultyFile(faults)
        remark(f"{len(files)} files hold every rule")
        return
    catalog = load_catalog()
    claims = sum(len(paper.claims) for paper in catalog.papers)
    remark(f"{len(catalog.papers)} records with {claims} claims hold every rule")


def schema() -> None:
    """The records' JSON Schema.

    Example: netcompress schema > paper.schema.json
    """
    from registry.schema import paper_schema

    print_json(paper_schema())


def new(
    paper_id: Annotated[str, typer.Argument(metavar="ID", help="Year and short name.")],
    bibtex: Annotated[
        Path | None, typer.Option("--bibtex", help="A file with the paper's BibTeX entry.")
    ] = None,
) -> None:
    """Start a new paper: record, plugin and test, and what to do next.

    Example: netcompress new 2018-my-paper --bibtex my-paper.bib
    """
    from registry.scaffold import new_paper, what_next

    print_text(what_next(new_paper(paper_id, _read_text(bibtex))))


def _read_text(path: Path | None) -> str | None:
    from registry.errors import UserError

    if path is None:
        return None
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from None
