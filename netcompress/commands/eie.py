"""The simulated machine of EIE."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netcompress.commands.records import JsonFlag
from netcompress.output import print_json, print_table, print_text, remark

if TYPE_CHECKING:
    from methods.eie.network_run import NetworkRun
    from methods.eie.report import LayerRun

eie_app = typer.Typer(
    name="eie", help="The machine of EIE, simulated to the cycle.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(eie_app)


@eie_app.command("simulate")
def simulate(
    layer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="float32 arrays weight (outputs x inputs, 0 = pruned) and activation (inputs); "
            "if wanted bias (outputs) and codebook (16 values, the first 0).",
        ),
    ] = None,
    network: Annotated[
        Path | None, typer.Option(metavar="FILE.netc", help="Every layer that the machine takes.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="For --network: a .npz with arrays x (rows) and y (labels)."),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="OUTxIN", help="A layer drawn at random.")
    ] = None,
    weight_density: Annotated[
        float | None, typer.Option(metavar="D", help="Share of weights that are not 0.")
    ] = None,
    activation_density: Annotated[
        float | None, typer.Option(metavar="D", help="Share of activations that are above 0.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Of what is drawn.", show_default="0")
    ] = None,
    pes: Annotated[int, typer.Option(help="Processing elements.")] = 64,
    fifo: Annotated[int, typer.Option(help="Depth of the activation queues; 1: none.")] = 8,
    width: Annotated[int, typer.Option(help="Bits of the sparse matrix memory's port.")] = 64,
    clock_mhz: Annotated[float, typer.Option(help="Clock.")] = 800.0,
    signed: Annotated[
        bool,
        typer.Option("--signed", help="Broadcast negative activations too (not in the paper)."),
    ] = False,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Print the outputs, before ReLU, in float32.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a pruned and clustered layer, or a network's, on the machine; count everything.

    Example: netcompress eie simulate --shape 4096x9216 --weight-density 0.09
    --activation-density 0.351 --seed 0
    """
    from methods.eie.request import Request, machine_of, simulate_layer

    machine = machine_of(
        pes=pes, queue_depth=fifo, width_bits=width, clock_mhz=clock_mhz, signed=signed
    )
    request = Request(
        layer, network, shape, weight_density, activation_density, seed, data, outputs
    )
    request.check()
    if network is not None:
        from methods.eie.network_run import simulate_network  # brings torch along

        _show_network(simulate_network(request, machine), as_json)
    else:
        _show_layer(simulate_layer(request, machine), as_json)


def _show_layer(run: "LayerRun", as_json: bool) -> None:
    from methods.eie.report import (
        layer_json,
        layer_remarks,
        layer_rows,
        machine_json,
        output_rows,
        what_bounds,
    )

    for line in layer_remarks(run):
        remark(line)
    if as_json:
        print_json({**layer_json(run), "machine": machine_json(run.simulation)})
        return
    print_table(["quantity", "value"], layer_rows(run))
    print_text(what_bounds(run))
    if run.outputs is not None:
        print_table(["output", "value"], output_rows(run.outputs), right="output,value")


def _show_network(run: "NetworkRun", as_json: bool) -> None:
    from methods.eie.network_run import accuracy_rows
    from methods.eie.report import NETWORK_HEADERS, layer_remarks, network_rows, what_bounds

    for line in (*run.remarks, *(line for layer in run.layers for line in layer_remarks(layer))):
        remark(line)
    if as_json:
        print_json(run.as_json())
        return
    print_table(NETWORK_HEADERS, network_rows(run.layers), right=",".join(NETWORK_HEADERS[2:]))
    for layer in run.layers:
        print_text(f"{layer.name}: {what_bounds(layer)}")
    if run.accuracy is not None:
        title = f"Accuracy on {run.accuracy.rows:,} rows"
        print_table(["network", "accuracy"], accuracy_rows(run.accuracy), title=title)
