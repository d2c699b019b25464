"""What was measured: results, claims, tables, compare, query."""

from pathlib import Path
from typing import Annotated

import typer

from netcompress.commands.records import CsvFlag, JsonFlag, RawFlag
from netcompress.output import cell, print_json, print_table, print_text, remark

ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Folder of your own results.",
        show_default="NETCOMPRESS_RESULTS, else netcompress-results",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("results")(results)
    app.command("claims")(claims)
    app.command("tables")(tables)
    app.command("compare")(compare)
    app.command("query")(query)


def results(
    paper_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Stale ones too.")] = False,
    folder: ResultsOption = None,
    as_json: JsonFlag = False,
    as_csv: CsvFlag = False,
    raw: RawFlag = False,
) -> None:
    """Measured results, failures included.

    Example: netcompress results 2016-deep-compression --json
    """
    from benchmarks.board import read_board
    from benchmarks.terminal import result_cells
    from benchmarks.views import result_row, to_csv

    board = read_board(folder)
    if paper_id is not None:
        board.catalog.owners([paper_id])
    chosen = [
        one
        for one in board.stored
        if (paper_id is None or one.result.identity.paper == paper_id)
        and (everything or one.result.fingerprint not in board.stale)
    ]
    for fault in board.faults:
        remark(f"passed over: {fault}")
    rows = [result_row(o.result, o.origin, o.result.fingerprint in board.stale) for o in chosen]
    if as_json:
        print_json(rows)
    elif as_csv:
        print_text(to_csv(rows, raw=raw))
    elif not chosen and board.stored and not everything:
        remark("no current results here: --all shows stale ones, `netcompress run` makes new ones")
    elif not chosen:
        remark("no results yet: `netcompress run --scale quick` makes some")
    else:
        print_table(*result_cells(chosen, board.stale), right="seed,seconds")


def claims(
    paper_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="Only claims with this verdict, such as missed.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if a claim is missed, disagrees or failed.")
    ] = False,
    folder: ResultsOption = None,
    as_json: JsonFlag = False,
    as_csv: CsvFlag = False,
    raw: RawFlag = False,
) -> None:
    """Claimed against measured.

    Example: netcompress claims 2016-deep-compression --verdict missed
    """
    from typing import get_args

    from benchmarks.board import read_board
    from benchmarks.report import MARKS_EXPLAINED, verdicts_text
    from benchmarks.terminal import claim_cells
    from benchmarks.verdict import Verdict
    from benchmarks.views import claim_row, to_csv
    from registry.errors import UserError

    words = get_args(Verdict)
    if verdict is not None and verdict not in words:
        raise UserError(f"--verdict {verdict!r}: no such verdict; there are {', '.join(words)}")
    board = read_board(folder)
    if paper_id is not None:
        board.catalog.get(paper_id)
    for fault in board.faults:
        remark(f"passed over: {fault}")
    found = [
        standing
        for standing in board.standings
        if (paper_id is None or standing.paper.id == paper_id)
        and (verdict is None or standing.judgement.verdict == verdict)
    ]
    if as_json:
        print_json([claim_row(standing) for standing in found])
    elif as_csv:
        print_text(to_csv([claim_row(standing) for standing in found], raw=raw))
    else:
        headers, rows = claim_cells(found, with_paper=paper_id is None)
        print_table(headers, rows, right="claimed,measured,95 % interval,gap,yours")
        remark(f"{len(found)} claims: {verdicts_text(found)}")
        remark(MARKS_EXPLAINED)
    bad = [s for s in found if s.judgement.verdict in ("missed", "disagrees", "failed")]
    if check and bad:
        remark(f"{len(bad)} claims do not hold")
        raise typer.Exit(1)


def tables(
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Renew SURVEY.md, CLAIMS.md, BASELINES.md, README.md's block."
        ),
    ] = False,
) -> None:
    """The Markdown tables: survey with our flags and verdicts, claims, and plain baselines.

    Example: netcompress tables --write
    """
    from benchmarks.board import read_published_board
    from benchmarks.report import (
        baselines_document,
        claims_document,
        survey_document,
        write_tables,
    )

    board = read_published_board()
    if write:
        for path in write_tables(Path.cwd(), board):
            remark(f"wrote {path.name}")
        return
    print_text(survey_document(board.catalog, board.standings))
    print_text(claims_document(board.catalog, board.standings))
    print_text(baselines_document(board))


def compare(
    first: Annotated[Path, typer.Argument(metavar="A")],
    second: Annotated[Path, typer.Argument(metavar="B")],
    as_json: JsonFlag = False,
) -> None:
    """Two result folders, claim by claim.

    Example: netcompress compare netcompress-results other-machine
    """
    from benchmarks.compare import compare as compare_folders
    from benchmarks.terminal import comparison_cells
    from benchmarks.views import comparison_rows
    from registry.catalog import load_catalog

    found = compare_folders(first, second, load_catalog().papers)
    for fault in found.faults:
        remark(f"passed over: {fault}")
    if as_json:
        print_json(comparison_rows(found))
    else:
        print_table(*comparison_cells(found), right="A,B,difference")


def query(
    sql: Annotated[str | None, typer.Argument(metavar="SQL", show_default=False)] = None,
    show_schema: Annotated[
        bool, typer.Option("--schema", help="The views and their columns instead.")
    ] = False,
    folder: ResultsOption = None,
    as_json: JsonFlag = False,
    as_csv: CsvFlag = False,
    raw: RawFlag = False,
) -> None:
    """SQL over the views papers, claims, results and measurements (DuckDB; it only reads).

    Needs the extra: python -m pip install 'netcompress[query]'. --schema lists the columns.

    Example: netcompress query "SELECT verdict, count(*) AS claims FROM claims GROUP BY verdict"
    """
    from benchmarks.board import read_board
    from benchmarks.query import as_records, column_rows
    from benchmarks.query import query as ask
    from benchmarks.views import to_csv
    from registry.errors import UserError

    if (sql is None) == (not show_schema):
        raise UserError("give one SQL statement in quotation marks, or --schema for the columns")
    if sql is None:
        answer = column_rows()
    else:
        board = read_board(folder)
        for fault in board.faults:
            remark(f"passed over: {fault}")
        answer = ask(sql, board)
    if as_json:
        print_json(as_records(answer))
    elif as_csv:
        print_text(to_csv(as_records(answer), raw=raw))
    else:
        print_table(answer.columns, [[cell(value) for value in row] for row in answer.rows])
