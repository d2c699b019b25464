"""The site: build, serve."""

from pathlib import Path
from typing import Annotated

import typer

from netcompress.commands.measured import ResultsOption
from netcompress.output import remark

site_app = typer.Typer(name="site", help="The site: build it, look at it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(site_app)


@site_app.command("build")
def build(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the built site.", show_default="build")
    ] = None,
    folder: ResultsOption = None,
) -> None:
    """Write the pages and build the site from them.

    Example: netcompress site build --out public
    """
    from benchmarks.board import read_board
    from benchmarks.pages import build_site

    site = build_site(read_board(folder), out)
    remark(f"site: {site / 'index.html'}")


@site_app.command("serve")
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 8000,
    folder: ResultsOption = None,
) -> None:
    """Build the site and serve it on this machine until Ctrl-C.

    Example: netcompress site serve --port 8080
    """
    from benchmarks.board import read_board
    from benchmarks.pages import build_site, serve_site

    serve_site(build_site(read_board(folder)), port, remark)
