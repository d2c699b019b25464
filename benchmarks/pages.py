"""The site: pages written as Markdown files, then built by MkDocs into a folder that is swapped in.

A build that fails or is interrupted leaves the old site as it was.
"""

import functools
import http.server
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from benchmarks.baselines_page import baselines_page
from benchmarks.board import Board
from benchmarks.escape import script_data
from benchmarks.exports import data_files
from benchmarks.home_page import claims_page, home_page, papers_page
from benchmarks.markup import paper_label
from benchmarks.paper_page import paper_page
from benchmarks.reference_pages import (
    benchmarks_page,
    columns_section,
    commands_page,
    data_page,
    fields_page,
)
from benchmarks.report import is_checkout
from benchmarks.result_page import result_page
from benchmarks.site_builder import MARKER, run_mkdocs, seal
from benchmarks.survey_page import survey_page
from benchmarks.trained_page import trained_page
from benchmarks.views import claim_row, paper_rows, result_row
from registry.errors import UserError

CHECKOUT_SOURCES = Path(__file__).resolve().parent.parent / "site"
INSTALLED_SOURCES = "share/netcompress/site/mkdocs.yml"
OUTSIDE_NAME = "netcompress-site"
PAPERS_LINE = "      - Overview: papers/index.md"


def build_site(board: Board, out: Path | None = None) -> Path:
    """Write the pages and build the site.

    Args:
        out: the folder of the built site; by default build/site in a checkout of this project,
            else netcompress-site, in the working folder.

    Returns:
        The folder; open its index.html.

    Raises:
        UserError: the folder holds something else, or MkDocs fails.
    """
    sources = site_sources()
    is_default = out is None and is_checkout(Path.cwd())
    site = (out or (Path("build/site") if is_default else Path(OUTSIDE_NAME))).absolute()
    _refuse_foreign(site)
    try:
        site.parent.mkdir(parents=True, exist_ok=True)
        _sweep(site)
        with _work_folder(site) as work:
            write_pages(board, sources, work / "pages")
            (work / "mkdocs.yml").write_text(_configuration(board, sources), encoding="utf-8")
            run_mkdocs(work / "mkdocs.yml")
            seal(work / "site")
            _swap(work / "site", site)
            if is_default:
                _swap(work / "pages", site.parent / "pages")
    except OSError as error:
        raise UserError(
            f"{error.filename or site}: the site cannot be written: {error.strerror or error}"
        ) from error
    return site


def site_sources() -> Path:
    """The folder of mkdocs.yml and the hand-written pages: of the checkout, or installed.

    Raises:
        UserError: they came neither with the checkout nor with the package.
    """
    if (CHECKOUT_SOURCES / "mkdocs.yml").is_file():
        return CHECKOUT_SOURCES
    try:
        listed = files("netcompress") or []
    except PackageNotFoundError:
        listed = []
    for file in listed:
        if file.as_posix().endswith(INSTALLED_SOURCES):
            found = Path(str(file.locate())).resolve()
            if found.is_file():
                return found.parent
    raise UserError(
        "the site's own pages (share/netcompress/site) are missing from this installation: "
        "install netcompress again from its wheel, or run this in a checkout"
    )


def write_pages(board: Board, sources: Path, folder: Path) -> None:
    """All pages as Markdown, with the hand-written ones and the assets."""
    shutil.copytree(sources / "pages", folder)
    pages = {
        "index.md": home_page(board),
        "survey.md": survey_page(board),
        "claims.md": claims_page(board),
        "baselines.md": baselines_page(board),
        "papers/index.md": papers_page(board),
        "guides/networks-tried.md": trained_page(board),
        "reference/command-line.md": commands_page(),
        "reference/fields.md": fields_page(),
        "reference/data-sets.md": data_page(),
        "reference/benchmarks.md": benchmarks_page(board.catalog),
        "reference/data.md": _with_columns((folder / "reference" / "data.md").read_text("utf-8")),
        "assets/data.json": _data(board),
        **data_files(board),
    }
    for paper in board.catalog.papers:
        pages[f"papers/{paper.id}.md"] = paper_page(board, paper, diagram_of(sources, paper.id))
        pages[f"results/{paper.id}.md"] = result_page(board, paper)
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def diagram_of(sources: Path, paper: str) -> str:
    """The SVG named like the record among the site's pictures, or nothing."""
    path = sources / "pages" / "assets" / "pictures" / f"{paper}.svg"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _with_columns(page: str) -> str:
    """The hand-written page about the data, with every view's and file's columns at its end."""
    return page + "\n" + columns_section()


def serve_site(site: Path, port: int, remark: Callable[[str], None]) -> None:
    """Serve a built site on this machine only, until Ctrl-C.

    Raises:
        UserError: the port is taken.
    """
    handler = functools.partial(_QuietHandler, directory=str(site))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UserError(
            f"port {port} cannot be used: {error.strerror or error}; try --port {port + 1}"
        ) from error
    with server:
        remark(f"site: http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            remark("stopped")


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _data(board: Board) -> str:
    """Papers, claims and results as the command line prints them with ``--json``."""
    return script_data(
        {
            "papers": paper_rows(board.catalog.papers, board.standings),
            "claims": [claim_row(standing) for standing in board.standings],
            "results": [
                result_row(one.result, one.origin, one.result.fingerprint in board.stale)
                for one in board.stored
            ],
        }
    )


def _configuration(board: Board, sources: Path) -> str:
    """The checkout's mkdocs.yml with our folders and a menu line for each paper."""
    text = (sources / "mkdocs.yml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^docs_dir:.*$", "docs_dir: pages", text)
    text = re.sub(r"(?m)^site_dir:.*$", "site_dir: site", text)
    lines = [
        f"      - {json.dumps(paper_label(paper))}: papers/{paper.id}.md"
        for paper in board.catalog.papers
    ]
    if PAPERS_LINE not in text:
        raise UserError(f"{sources / 'mkdocs.yml'}: the menu lacks the line{PAPERS_LINE!r}")
    return text.replace(PAPERS_LINE, "\n".join([PAPERS_LINE, *lines]), 1)


def _refuse_foreign(site: Path) -> None:
    """The folder is replaced as a whole, so it must be new, empty, or a site of ours."""
    if not site.exists() and not site.is_symlink():
        return
    if site.is_symlink() or not site.is_dir():
        raise UserError(f"{site} is not a folder: name another with --out")
    if any(site.iterdir()) and not (site / MARKER).is_file():
        raise UserError(
            f"{site} holds something else, and building replaces the whole folder: "
            "name a new one with --out"
        )


@contextmanager
def _work_folder(site: Path) -> Iterator[Path]:
    """A folder beside ``site``, gone afterwards."""
    work = site.parent / f".{site.name}.{os.getpid()}.{secrets.token_hex(4)}.building"
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(site: Path) -> None:
    """Remove what killed builds of the same site left."""
    pattern = re.compile(rf"\.{re.escape(site.name)}\.(\d+)\.[0-9a-f]{{8}}\.building")
    for path in site.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _swap(new: Path, old: Path) -> None:
    """Put ``new`` in the place of ``old``; the old one is removed once the new one stands."""
    aside = new.parent / f"old-{old.name}"
    if old.exists():
        old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        if aside.exists():
            aside.rename(old)
        raise
