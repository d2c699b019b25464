"""Running papers and fetching data: run, data."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from netcompress.commands.measured import ResultsOption
from netcompress.commands.records import JsonFlag
from netcompress.output import cell, print_json, print_table, remark

data_app = typer.Typer(name="data", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run")(run)
    app.add_typer(data_app)


def run(
    papers: Annotated[list[str] | None, typer.Argument(metavar="[ID...]")] = None,
    scale: Annotated[
        Literal["quick", "full"], typer.Option(help="quick: a look within minutes. full: verdicts.")
    ] = "quick",
    seeds: Annotated[
        int | None, typer.Option(min=1, max=100, help="How many.", show_default="1 quick, 3 full")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="At a time.", show_default="cores, at most 2")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds a job.", show_default="300 quick, 1800 full"),
    ] = None,
    memory: Annotated[
        int | None, typer.Option(min=2**20, help="Bytes a job.", show_default="4 GiB")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where torch computes.")] = "cpu",
    folder: ResultsOption = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep each job's compressed network in this folder.")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Add to the published set (full scale, a checkout).")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Run again what is there.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed jobs again.")
    ] = False,
    executor: Annotated[
        Literal["local", "dask"], typer.Option(help="dask needs netcompress[cluster].")
    ] = "local",
    no_site: Annotated[
        bool, typer.Option("--no-site", help="Leave tables and site as they are.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run what is missing, then show claimed, published and yours side by side.

    With no ID: every paper, and the plain baselines; `baselines` as ID runs these alone.
    Finished jobs are kept when you stop with Ctrl-C.

    Example: netcompress run 2016-deep-compression --scale quick --jobs 2
    """
    from benchmarks.session import Request, run_session

    done = run_session(
        Request(
            papers=tuple(papers or ()),
            scale=scale,
            seeds=seeds,
            workers=jobs,
            timeout_seconds=timeout,
            memory_bytes=memory,
            device=device,
            folder=folder,
            keep=keep,
            publish=publish,
            force=force,
            retry_failed=retry_failed,
            executor=executor,
        )
    )
    summary = done.summary
    if as_json:
        print_json(
            {
                "done": summary.done,
                "failed": summary.failed,
                "skipped": summary.skipped,
                "results": [str(path) for path in summary.results],
            }
        )
    if summary.interrupted:
        remark("interrupted: what had finished is kept, the same command goes on")
        raise typer.Exit(130)
    if not no_site:
        _renew(folder)
    if not as_json:
        _show(done.papers, done.baselines, folder)
    if done.hindered:
        remark(f"{done.hindered} runs could not be started: what to mend stands above")
        raise typer.Exit(2)
    if summary.failed:
        remark(f"{summary.failed} jobs failed: `netcompress results` says why")
        raise typer.Exit(1)


def _show(papers: tuple[str, ...], with_baselines: bool, folder: Path | None) -> None:
    """Claimed, published with its verdict, and yours: all claims that a number stands beside."""
    from benchmarks.board import read_board
    from benchmarks.report import verdicts_text
    from benchmarks.terminal import baseline_cells, claim_cells

    board = read_board(folder)
    if with_baselines:
        print_table(*baseline_cells(board), right="bytes on disk,ratio,error,increase,yours")
        remark(
            "baselines: no paper's claim, so without verdicts; full scale alone runs all of them"
        )
    if not papers:
        return
    found = [s for s in board.standings if s.paper.id in papers]
    numbered = [s for s in found if s.judgement.measured is not None or s.yours is not None]
    shown = [s for s in numbered if s.claim.headline] or numbered
    if shown:
        print_table(*claim_cells(shown), right="claimed,measured,95 % interval,gap,yours")
    remark(f"{len(found)} claims of {len(papers)} papers: {verdicts_text(found)}")
    if len(shown) < len(numbered):
        remark(f"headlines shown; `netcompress claims` shows all {len(numbered)} with a number")


def _renew(folder: Path | None) -> None:
    """Tables, where the working folder is a checkout of ours, and site."""
    from benchmarks.board import read_board, read_published_board
    from benchmarks.pages import build_site
    from benchmarks.report import is_checkout, write_tables

    if is_checkout(Path.cwd()):
        published = read_published_board()
        write_tables(Path.cwd(), published)
    site = build_site(read_board(folder))
    remark(f"site: open {site / 'index.html'}, or `netcompress site serve`")


@data_app.callback(invoke_without_command=True)
def data(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Data sets: where from, licence, size, present or not.

    Example: netcompress data fetch mnist
    """
    if context.invoked_subcommand is None:
        list_data(as_json)


@data_app.command("list")
def list_data(as_json: JsonFlag = False) -> None:
    """Each data set with its source, licence and size.

    Example: netcompress data list --json
    """
    from benchmarks.inventory import data_rows

    rows = data_rows()
    if as_json:
        print_json(rows)
        return
    names = ["name", "title", "sources", "licence", "bytes", "present"]
    print_table(names, [[cell(row[name]) for name in names] for row in rows], right="bytes")


@data_app.command("fetch")
def fetch_data(
    name: Annotated[str, typer.Argument(help="As `netcompress data` lists it.")],
) -> None:
    """Fetch a data set into the cache; nothing is fetched twice.

    Example: netcompress data fetch mnist
    """
    from benchmarks.datasets import each_once, ensure

    for line in ensure(name, on_progress=each_once(remark)).where():
        remark(line)
