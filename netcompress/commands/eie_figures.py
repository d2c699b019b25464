"""EIE's tables and figures, made again: eie tables, eie sweep."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from netcompress.commands.eie import eie_app
from netcompress.commands.records import JsonFlag
from netcompress.output import print_json, print_table, print_text, remark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.eie_terminal import Shown

SeedOption = Annotated[int, typer.Option(min=0, help="Of the layers that are drawn.")]


def register() -> None:
    """Add the commands of this file to ``eie``."""
    eie_app.command("tables")(tables)
    eie_app.command("sweep")(sweep)


def tables(
    seed: SeedOption = 0,
    draws: Annotated[
        int, typer.Option(min=1, max=100, help="Of each layer; times are means over them.")
    ] = 5,
    as_json: JsonFlag = False,
) -> None:
    """The paper's tables with ours beside them: every row, every deviation.

    Example: netcompress eie tables --seed 0
    """
    from benchmarks.eie_layers import LAYERS, eie_paper
    from benchmarks.eie_report import all_tables, simulate_layers
    from benchmarks.eie_terminal import shown_tables

    layers = simulate_layers(seed, draws, LAYERS, _tell)
    found = all_tables(eie_paper(), layers)
    if as_json:
        print_json({"seed": seed, "draws": draws, **found})
        return
    _print(shown_tables(found))


def sweep(
    parameter: Annotated[
        Literal["fifo", "width", "pes"],
        typer.Argument(help="Queue depth (Fig. 8), port width (Fig. 9), or PEs (Figs. 11 to 13)."),
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Such as Alex-6; repeatable. All nine by default."),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """One parameter of the machine varied on the paper's nine layers.

    Example: netcompress eie sweep fifo --layer NT-We
    """
    from benchmarks.eie_layers import LAYERS, eie_paper, layer_named
    from benchmarks.eie_sweeps import sweep_document
    from benchmarks.eie_terminal import shown_sweep

    chosen = list(dict.fromkeys(map(layer_named, layer or ()))) or list(LAYERS)
    document = sweep_document(eie_paper(), parameter, chosen, seed, _tell)
    if as_json:
        print_json(document)
        return
    _print(shown_sweep(document))


def _tell(done: int, of: int, name: str) -> None:
    remark(f"simulating {name}, {done + 1} of {of}")


def _print(shown: "Iterable[Shown]") -> None:
    for one in shown:
        print_table(one.headers, one.rows, title=one.title, right=one.numbers)
        for line in one.remarks:
            print_text(line)
        print_text("")
