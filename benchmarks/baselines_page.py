"""The site's page of plain baselines."""

from collections.abc import Sequence

from benchmarks.baselines import (
    ABOUT,
    ComparedRun,
    compared_runs,
    figure_text,
    figures_of,
    interval_text,
    own_text,
    uncompressed_text,
)
from benchmarks.board import Board
from benchmarks.escape import html
from benchmarks.markup import (
    bullets,
    code_block,
    data_links,
    front_matter,
    heading,
    inner_link,
    page,
    paper_label,
    paragraph,
    small,
    table,
)
from registry.record import Paper
from registry.units import Unit


def baselines_page(board: Board) -> str:
    """A table a network, baselines first, then the papers' runs on it."""
    blocks = [
        heading("Baselines"),
        paragraph(html(ABOUT)),
        data_links("baselines", words="These tables as data"),
    ]
    for benchmark, runs in compared_runs(board).items():
        entry = board.catalog.vocabulary.benchmarks[benchmark]
        blocks += [
            f'<h2 id="{html(benchmark)}">{html(entry.title)}</h2>',
            paragraph(html(uncompressed_text(runs))),
            _table(runs, entry.title),
        ]
    blocks += [
        paragraph(
            "Square brackets: the 95 % interval. A set of seeds that is not whole has no numbers.",
            "nc-note",
        ),
        "## What they are",
        bullets(
            f"<strong>{html(one.title)}</strong> (<code>{html(one.method)}</code>): "
            f"{html(one.summary)}{small(html(one.source))}"
            for one in board.catalog.baselines
        ),
        paragraph("The same again on your machine; without <code>--scale full</code> in minutes:"),
        code_block("netcompress run baselines --scale full", "bash"),
    ]
    return page(front_matter("Baselines"), blocks)


def _table(runs: Sequence[ComparedRun], title: str) -> str:
    with_yours = any(one.yours for one in runs)
    figures = figures_of(runs)
    headers = ["Method", "Run", *(name for _, name, _ in figures), "State"]
    if with_yours:
        headers.append("Yours")
    rows = [[*_row(one, figures), *([html(own_text(one))] if with_yours else [])] for one in runs]
    return table(headers, rows, label=f"Baselines, {title}", align="ll" + "r" * len(figures) + "lr",
                 attribute="data-sortable")  # fmt: skip


def _row(one: ComparedRun, figures: Sequence[tuple[str, str, Unit]]) -> list[str]:
    run = one.measured.run
    if isinstance(one.owner, Paper):
        method = inner_link(paper_label(one.owner), f"papers/{one.owner.id}.html")
        method += small("a paper's method, for comparison")
    else:
        method = html(one.owner.title) + small("baseline, no paper's claim")
    cells = []
    for key, _, unit in figures:
        found = one.published(key)
        cells.append(html(figure_text(found, unit)) + small(html(interval_text(found, unit))))
    return [
        method,
        f"<code>{html(run.name)}</code>" + small(html(run.title)) + small(html(one.configuration)),
        *cells,
        html(one.measured.status),
    ]
