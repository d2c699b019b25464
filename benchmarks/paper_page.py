"""A paper's page: what it says, what we measured, and how to run it."""

import json
import re
from collections.abc import Sequence
from html import unescape

from benchmarks.board import Board
from benchmarks.charts import panel_svg, panels_of, parts_svg
from benchmarks.claim_table import claim_table
from benchmarks.curves import curves
from benchmarks.escape import html
from benchmarks.markup import (
    bullets,
    chips,
    code_block,
    data_links,
    figure,
    front_matter,
    heading,
    inner_link,
    link,
    page,
    paper_label,
    paragraph,
    picture,
    small,
    table,
)
from benchmarks.measured_runs import MeasuredRun, measured_runs
from benchmarks.report import MARKS_EXPLAINED, verdicts_text
from benchmarks.standing import Standing
from methods.discovery import find_method
from registry.bibtex import to_bibtex
from registry.errors import UserError
from registry.record import Paper

PLATFORM_WORDS = {"software": "in software", "hardware": "in hardware"}


def paper_page(board: Board, paper: Paper, diagram: str = "") -> str:
    """The page of one paper; tables cell by cell and results stand on its second page.

    Args:
        diagram: an SVG of ours that shows how it works; its title becomes the caption.
    """
    found = board.of(paper.id)
    runs = measured_runs(board, paper)
    headlines = [standing for standing in found if standing.claim.headline]
    return page(
        front_matter(paper_label(paper)),
        [
            heading(paper.title),
            paragraph(f"{html(', '.join(paper.authors))}<br>{html(paper.venue)}", "nc-authors"),
            paragraph(_flags(paper)),
            paragraph(html(paper.summary), "nc-summary"),
            bullets(_links(paper)),
            "## Headline claims" if headlines else "",
            claim_table(headlines, "Headline claims") if headlines else "",
            _tally(paper, found),
            *_how_it_works(diagram),
            *_pictures(paper, found, runs),
            "## How it is run here",
            *_how(paper, runs),
            "## All claims { data-search-exclude }",
            claim_table(found, "All claims", anchors=True),
            data_links(f"{paper.id}/claims", root="../"),
            paragraph(f"{MARKS_EXPLAINED}.", "nc-note"),
            "## Where the paper contradicts itself" if paper.contradictions else "",
            bullets(html(line) for line in paper.contradictions) if paper.contradictions else "",
            "## What is left out" if paper.left_out else "",
            bullets(html(line) for line in paper.left_out) if paper.left_out else "",
            "## Cite",
            code_block(to_bibtex(paper), "bibtex"),
            data_links("", root="../", words="This entry as a file", bib=f"{paper.id}/{paper.id}"),
        ],
    )


def _flags(paper: Paper) -> str:
    words = [word.replace("-", " ") for word in paper.techniques]
    words += [PLATFORM_WORDS[platform] for platform in paper.platforms]
    return chips([*words, paper.network_type.upper(), str(paper.year)])


def _links(paper: Paper) -> list[str]:
    items = []
    for one in paper.links:
        text = one.label or one.kind
        word = "" if one.label is None else f" ({one.kind})"
        commit = f", commit {one.commit[:9]}" if one.commit else ""
        moved = small(html(f"the source printed {one.moved_from}")) if one.moved_from else ""
        items.append(f"{link(text, one.url)}{html(word + commit)}{moved}")
    return items


def _tally(paper: Paper, found: Sequence[Standing]) -> str:
    results = inner_link("the paper's tables with ours beside them", f"../results/{paper.id}.html")
    return paragraph(
        f"{len(found)} claims: {html(verdicts_text(found))}. On a page of their own: {results}, "
        "and every result with its seed, date, commit and machine."
    )


def _how(paper: Paper, runs: Sequence[MeasuredRun]) -> list[str]:
    """Each run with its benchmark, configuration and state; and the command."""
    if not runs:
        return [paragraph(html(_not_run(paper)))]
    rows = []
    for one in runs:
        title = one.entry.title if one.entry else one.run.benchmark
        about = one.entry.about if one.entry else ""
        rows.append(
            [
                f"<code>{html(one.run.name)}</code>" + small(html(one.run.title)),
                html(title) + small(html(about)),
                configuration_html(paper, one),
                html(one.status),
            ]
        )
    planned = [name for name in paper.benchmarks if name not in {o.run.benchmark for o in runs}]
    return [
        table(["Run", "Benchmark", "Configuration", "State"], rows, label="Runs"),
        data_links(f"{paper.id}/runs", root="../"),
        paragraph(f"Planned beside these: {html(', '.join(planned))}.") if planned else "",
        paragraph("The same again on your machine; without <code>--scale full</code> in minutes:"),
        code_block(f"netcompress run {paper.id} --scale full", "bash"),
    ]


def _not_run(paper: Paper) -> str:
    if all(claim.check == "out-of-reach" for claim in paper.claims):
        return "Nothing of this paper runs here: its claims are out of reach."
    planned = ", ".join(paper.benchmarks)
    return f"Nothing of this paper runs here yet: its method is not built. Planned: {planned}."


def configuration_html(paper: Paper, one: MeasuredRun) -> str:
    """What the run sets, what the benchmark does, and the method's defaults: the paper's values."""
    own = dict(one.run.configuration)
    if one.entry is not None and not own and not (one.entry.data and one.entry.kind == "file"):
        return "–"  # no method works there: tables, shapes or given layers are measured
    try:
        method = find_method(paper.method).load()
        whole = method.Config.model_validate(own).model_dump(mode="json")
    except (UserError, ValueError):  # it cannot be loaded, or not with this: what is known stands
        whole = own
    set_here = [f"{name} = {json.dumps(value)}" for name, value in own.items()]
    sets = [] if one.entry is None else [name for name in one.entry.sets if name not in own]
    rest = [
        f"{name} = {'as in the paper' if value is None else json.dumps(value)}"
        for name, value in whole.items()
        if name not in own and name not in sets
    ]
    blocks = ["<br>".join(f"<code>{html(item)}</code>" for item in set_here)]
    if sets:
        blocks.append(small(html(f"set by the benchmark: {', '.join(sets)}")))
    if rest:
        blocks.append(small(html(f"{'else ' if own or sets else ''}by default: {', '.join(rest)}")))
    return "".join(blocks)


def _how_it_works(diagram: str) -> list[str]:
    title = re.search(r"<title>([^<]*)</title>", diagram)
    if title is None:
        return []
    # in one line, as the charts are, so that no line of it can be read as Markdown
    drawn = " ".join(line.strip() for line in diagram.splitlines())
    return ["## How it works", figure(drawn, unescape(title[1]))]


def _pictures(paper: Paper, found: Sequence[Standing], runs: Sequence[MeasuredRun]) -> list[str]:
    panels = panels_of(found)
    blocks = []
    if panels:
        drawn = "\n".join(figure(panel_svg(panel, ""), panel.tally) for panel in panels)
        words = (
            "Each mark is a claim and leads to it; on the dashed diagonal ours equals the paper's. "
            "Marks that would hide each other stand side by side."
        )
        panels_block = f'<div class="nc-panels">\n{drawn}\n</div>'
        blocks += ["## Claimed against measured", paragraph(words), panels_block]
    drawn_curves = [block for one in runs for block in curves(paper, one)]
    if drawn_curves:
        blocks += ["## Curves", *drawn_curves]
        blocks.append(data_links(f"{paper.id}/measured", root="../", words="All points as data"))
    shown = [block for one in runs for block in _shown(one)]
    if shown:
        blocks += ["## Pictures", *shown]
    sizes = [block for one in runs for block in _sizes(one)]
    if sizes:
        words = "Everything that the file holds, the mean over seeds. Nothing else is counted."
        blocks += ["## Bytes on disk", paragraph(words), *sizes]
        blocks.append(data_links(f"{paper.id}/sizes", root="../", words="All sizes as data"))
    return blocks


def _shown(one: MeasuredRun) -> list[str]:
    """The pictures that the run's first seed found."""
    first = min(one.done, key=lambda result: result.identity.seed, default=None)
    if first is None or not first.pictures:
        return []
    words = f"Run <code>{html(one.run.name)}</code>, seed {first.identity.seed}."
    return [paragraph(words, "nc-run"), *(picture(each) for each in first.pictures)]


def _sizes(one: MeasuredRun) -> list[str]:
    """Bytes by layer and part as a picture and as a table."""
    sizes = one.sizes()
    if not sizes:
        return []
    parts = list(dict.fromkeys(part for layer in sizes.values() for part in layer))
    rows = [
        [html(layer), *(_bytes(held.get(part)) for part in parts), _bytes(sum(held.values()))]
        for layer, held in sizes.items()
    ]
    columns = [sum(held.get(part, 0.0) for held in sizes.values()) for part in parts]
    rows.append(["total", *(_bytes(value) for value in columns), _bytes(sum(columns))])
    title = f"Bytes of the file by part, run {one.run.name}"
    headers = ["Layer", *(html(part) for part in parts), "Total"]
    return [
        figure(parts_svg(sizes, title), title),
        table(headers, rows, label=title, align="l" + "r" * (len(headers) - 1)),
    ]


def _bytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
