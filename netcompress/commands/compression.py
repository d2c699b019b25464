"""A network of the user's own: compress, inspect, decompress."""

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from netcompress.commands.records import JsonFlag
from netcompress.output import EpochLine, print_json, print_table, print_text, remark

ForceFlag = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]

SHORTER = (
    "This takes long. Ctrl-C stops it, and nothing is written; fewer epochs take less time: "
    "`netcompress methods ID` names the settings of a method"
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("compress")(compress)
    app.command("inspect")(inspect)
    app.command("decompress")(decompress)


def compress(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A .safetensors file, a .pt or .pth state dict, or package.module:factory.",
        ),
    ],
    method: Annotated[
        str, typer.Option(metavar="ID", help="A method, a paper's id, or file.py:Class.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT.netc", help="Written whole.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method; repeatable."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights for what package.module:factory makes.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A .npz with arrays x (rows) and y (labels), for methods that train."),
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where torch computes.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Compress your own network; print its size by layer and part, and the true ratio.

    Example: netcompress compress model.safetensors --method int8-rtn -o model.netc
    """
    from methods.atomic import check_output
    from methods.compress import Request, carry_out, parse_settings
    from methods.size_report import dense_lines, size_report

    check_output(out, ".netc", force=force)
    request = Request(network, method, parse_settings(settings or []), weights, data, device, seed)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the user's own modules print
            outcome = carry_out(request, EpochLine(SHORTER))
            written = outcome.compressed.save(out)
    except KeyboardInterrupt:
        line = "\n" if sys.stderr.isatty() else ""  # behind the progress, which has no line break
        remark(f"{line}netcompress: interrupted, nothing is written to {out}")
        raise typer.Exit(130) from None
    for line in (*outcome.remarks, *dense_lines(outcome.dense)):
        remark(line)
    with contextlib.redirect_stdout(sys.stderr):
        errors = outcome.errors()
    if errors is not None:
        before, after = errors
        remark(
            f"error on the rows held out: {before:.1%} of your network, {after:.1%} of the file's"
        )
    report = size_report(outcome.compressed.document, written)
    _show({**report, "method": outcome.method, "dense": dict(outcome.dense)}, as_json)


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.netc")], as_json: JsonFlag = False
) -> None:
    """Sizes of a .netc file by layer and part, from the file alone.

    Example: netcompress inspect model.netc
    """
    from methods.size_report import file_report

    _show(file_report(file), as_json)


def decompress(
    file: Annotated[Path, typer.Argument(metavar="FILE.netc")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT.safetensors", help="Written whole.")
    ],
    max_bytes: Annotated[
        int | None,
        typer.Option(min=1, help="Of all tensors, dense.", show_default="2 GiB"),
    ] = None,
    force: ForceFlag = False,
) -> None:
    """Write the tensors of a .netc file, dense, in their own types.

    Example: netcompress decompress model.netc -o model-decoded.safetensors
    """
    from methods.atomic import check_output
    from methods.compressed import Compressed
    from methods.document import MAX_DECODED_BYTES
    from methods.state_files import write_safetensors

    check_output(out, ".safetensors", force=force)
    compressed = Compressed.load(file, max_decoded_bytes=max_bytes or MAX_DECODED_BYTES)
    written = write_safetensors(compressed, out)
    remark(f"{out}: {len(compressed.formats)} tensors, {written:,} bytes")


def _show(report: Mapping[str, Any], as_json: bool) -> None:
    from methods.size_report import summary, table_rows

    if as_json:
        print_json(report)
        return
    headers = ["tensor", "shape", "format", "bytes", "bits per weight", "parts"]
    print_table(headers, table_rows(report), right="bytes,bits per weight")
    print_text(summary(report))
