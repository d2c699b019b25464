"""We against peers, alternately in one process."""

from typing import Annotated

import typer

from netcompress.commands.records import JsonFlag
from netcompress.output import print_json, print_table, print_text, remark

Peers = Annotated[
    list[str] | None,
    typer.Option("--peers", metavar="NAME", help="Only peers with this in their name."),
]
Rounds = Annotated[int, typer.Option(min=1, max=1000, help="In each, all take their turn.")]

bench_app = typer.Typer(
    name="bench", help="We against peers, alternately in one process.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(bench_app)


@bench_app.callback()
def bench() -> None:
    """We against peers, alternately in one process."""


@bench_app.command("eie")
def eie(
    layers: Annotated[
        list[str] | None,
        typer.Option("--layer", metavar="NAME", help="Of Table III, repeatable; default: all."),
    ] = None,
    peers: Peers = None,
    rounds: Rounds = 15,
    as_json: JsonFlag = False,
) -> None:
    """The EIE model against literal loops over cycles, compiled by numba, on one thread.

    Example: netcompress bench eie --layer Alex-6 --json
    """
    from benchmarks.eie_speed import chosen_peers, measure, paper_cases
    from benchmarks.eie_speed_report import HEADERS, report_lines, report_rows

    chosen = chosen_peers(peers or ())
    report = measure(paper_cases(layers or ()), chosen, rounds, remark)
    if as_json:
        print_json(report.as_json())
        return
    print_table(HEADERS, report_rows(report), right="ours us,peer us,ratio,95 %")
    for line in report_lines(report):
        print_text(line)


@bench_app.command("kernels")
def kernels(
    cases: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="With this in its name, repeatable."),
    ] = None,
    peers: Peers = None,
    rounds: Rounds = 15,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Of torch; ours have one.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Products of ternary, binary and power-of-two weights against torch's, one row at a time.

    Example: netcompress bench kernels --case ternary-int8 --peers dense
    """
    from benchmarks.kernel_cases import CASES
    from benchmarks.kernel_speed import chosen_cases, chosen_peers, measure
    from benchmarks.kernel_speed_report import HEADERS, report_lines, report_rows

    wanted = chosen_cases(cases or (), CASES)
    report = measure(wanted, chosen_peers(peers or ()), rounds, threads, remark)
    if as_json:
        print_json(report.as_json())
        return
    print_table(HEADERS, report_rows(report), right="ours us,peer us,ratio,95 %")
    for line in report_lines(report):
        print_text(line)
