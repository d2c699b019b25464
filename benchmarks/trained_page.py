"""The site's page of trained networks that are no paper's, each tried with several methods."""

from collections.abc import Mapping, Sequence

from benchmarks.baselines import figure_text, interval_text
from benchmarks.board import Board
from benchmarks.escape import html
from benchmarks.markup import (
    bullets,
    code_block,
    details,
    front_matter,
    heading,
    inner_link,
    page,
    paper_label,
    paragraph,
    small,
    table,
)
from benchmarks.measured_runs import MeasuredRun, measured_runs
from benchmarks.trained_remarks import left_dense
from registry.record import Paper
from registry.runs import RunOwner
from registry.units import Unit

TITLE = "Networks of your own, tried"
GUIDE = "your-own-network.html"
"""Beside this page, in the folder of guides."""
SIZES: tuple[tuple[str, str, Unit], ...] = (
    ("file_bytes", "Bytes on disk", "bytes"),
    ("file_ratio", "True ratio", "ratio"),
)
ERRORS: tuple[tuple[str, str, Unit], ...] = (
    *SIZES,
    ("error", "Error", "percent"),
    ("error_increase", "Increase", "percentage_points"),
)
FIDELITY: tuple[tuple[str, str, Unit], ...] = (
    *SIZES,
    ("largest_difference", "Largest change", "fraction"),
    ("mean_difference", "Mean change", "fraction"),
    ("agreement", "Same decision", "percent"),
)
FIGURES: Mapping[str, tuple[tuple[str, str, Unit], ...]] = {
    "trained-mnist-cnn": ERRORS,
    "trained-mnist-cnn-with-data": ERRORS,
    "trained-speech-detector": FIDELITY,
}
"""Benchmark -> metric, heading and the unit that it is shown in."""
NOT_RUN = "not run"


def trained_page(board: Board) -> str:
    """A table a benchmark: method, configuration, bytes, ratio, error or fidelity, what stays."""
    blocks = [
        heading(TITLE),
        paragraph(
            "Two networks that others trained, compressed as you would compress one of yours: "
            f"{inner_link('how that is done', GUIDE)}. Each is written to a file, read back into a "
            "fresh module in another process, and measured there. True ratio: float32 bytes of "
            "all parameters over bytes of the file on disk, everything counted. No paper claims "
            "anything about these networks, so there is no verdict."
        ),
    ]
    for benchmark in FIGURES:
        blocks += _section(board, benchmark)
    blocks += [
        "## Again on your machine",
        paragraph("The networks, the recordings and MNIST are fetched first:"),
        code_block("netcompress run baselines 2016-deep-compression --scale full", "bash"),
        paragraph(
            f"Licences and sources: {inner_link('data sets', '../reference/data-sets.html')}."
        ),
    ]
    return page(front_matter(TITLE, toc=False), blocks)


def _section(board: Board, benchmark: str) -> list[str]:
    entry = board.catalog.vocabulary.benchmarks[benchmark]
    runs = tried_runs(board, benchmark)
    blocks = [
        f'<h2 id="{html(benchmark)}">{html(entry.title)}</h2>',
        paragraph(html(entry.about)),
        paragraph(html(uncompressed_text(runs))),
    ]
    if not runs:
        return [*blocks, paragraph(html("No method has been tried on it."))]
    headers = ["Method", "Configuration", *(name for _, name, _ in FIGURES[benchmark])]
    headers += ["Layers left dense", "State"]
    rows = [_row(owner, one, benchmark) for owner, one in runs]
    align = "ll" + "r" * len(FIGURES[benchmark]) + "ll"
    label = f"{TITLE}: {entry.title}"
    return [*blocks, table(headers, rows, label=label, align=align, attribute="data-sortable")]


def tried_runs(board: Board, benchmark: str) -> list[tuple[RunOwner, MeasuredRun]]:
    """The runs of one benchmark, baselines first."""
    owners: tuple[RunOwner, ...] = (*board.catalog.baselines, *board.catalog.papers)
    return [
        (owner, one)
        for owner in owners
        for one in measured_runs(board, owner)
        if one.run.benchmark == benchmark
    ]


def uncompressed_text(runs: Sequence[tuple[RunOwner, MeasuredRun]]) -> str:
    """Bytes, and the error where one is measured, of the network that all rows start from."""
    for _, one in runs:
        size, error = one.estimate("reference_bytes"), one.estimate("reference_error")
        if size is not None:
            words = f"As it was trained: {figure_text(size, 'bytes')} as float32"
            if error is None:
                return f"{words}."
            share = f"{figure_text(error, 'percent')} {interval_text(error, 'percent')}"
            return f"{words}, test error {share}."
    return f"As it was trained: {NOT_RUN}."


def _row(owner: RunOwner, one: MeasuredRun, benchmark: str) -> list[str]:
    cells = []
    for key, _, unit in FIGURES[benchmark]:
        found = one.estimate(key)
        cells.append(html(figure_text(found, unit)))
        if key == "error":
            cells[-1] += small(html(interval_text(found, unit)))
    run = one.run
    settings = ", ".join(f"{name} = {value}" for name, value in run.configuration.items())
    return [
        _method(owner),
        html(run.title) + small(html(settings)),
        *cells,
        _left(one),
        html(one.status if one.counted else NOT_RUN),
    ]


def _method(owner: RunOwner) -> str:
    if isinstance(owner, Paper):
        return inner_link(paper_label(owner), f"../papers/{owner.id}.html")
    return f"<code>{html(owner.method)}</code>" + small("baseline")


def _left(one: MeasuredRun) -> str:
    """Names with the reasons behind a fold."""
    if not one.done:
        return "–"
    reasons = left_dense(one.done[0].remarks)
    if not reasons:
        return "none"
    lines = [f"<code>{html(name)}</code>: {html(why)}" for name, why in reasons.items()]
    return details(f"{len(reasons)} of them", bullets(lines))
