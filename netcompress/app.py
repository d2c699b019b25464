"""The Typer app: what a user types. Commands live in ``commands``, a file a group."""

from typing import Annotated

import typer

from netcompress import __version__
from netcompress.commands import (
    bench,
    compression,
    eie,
    eie_figures,
    measured,
    plugins,
    records,
    running,
    website,
)

app = typer.Typer(
    name="netcompress",
    help="The literature of neural-network compression, executable.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"netcompress {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def front(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Papers on neural-network compression as records that run: claimed against measured.

    Example: netcompress run 2016-deep-compression --scale quick
    """
    if context.invoked_subcommand is None:
        records.overview()


records.register(app)
measured.register(app)
running.register(app)
compression.register(app)
eie.register(app)
eie_figures.register()
bench.register(app)
plugins.register(app)
website.register(app)
