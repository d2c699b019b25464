"""The first page, the list of papers, and all claims on one page."""

from collections.abc import Sequence

from benchmarks.board import Board
from benchmarks.charts import VERDICT_LOOKS, panel_svg, panels_of
from benchmarks.directions import directions
from benchmarks.escape import html
from benchmarks.markup import (
    badge,
    bullets,
    data_links,
    details,
    figure,
    front_matter,
    heading,
    inner_link,
    legend,
    page,
    paper_label,
    paragraph,
    small,
    table,
)
from benchmarks.numbers import interval
from benchmarks.report import (
    MARKS_EXPLAINED,
    claim_marks,
    measured_text,
    reported_text,
    verdicts_text,
)
from benchmarks.standing import Standing, count_verdicts

ABOUT = (
    "The literature of neural-network compression, executable. Each paper is a record of what it "
    "claims and where; a method that runs; and a benchmark that measures the claim again, on a "
    "file written to disk and read back. Each verdict is computed from the record and the "
    "results, never typed in."
)


def home_page(board: Board) -> str:
    """What this is, how much of it is measured, and where to go on."""
    standings = board.standings
    headlines = [s for s in standings if s.claim.headline]
    measured = [s for s in headlines if s.judgement.measured is not None]
    waiting = [s for s in headlines if s.judgement.measured is None]
    return page(
        front_matter("Netcompress", toc=False),
        [
            heading("netcompress"),
            paragraph(ABOUT, "nc-lead"),
            _counts(board),
            _verdict_counts(standings),
            paragraph(_given(standings), "nc-note"),
            "## Claimed against measured",
            *_chart(standings),
            "## Directions",
            *directions(standings),
            "## Headline claims",
            headline_table(measured, "Headline claims with a published measurement")
            if measured
            else paragraph("None of the headline claims has a published full-scale result yet."),
            details(
                f"{len(waiting)} headline claims without a measurement",
                headline_table(waiting, "Headline claims without a measurement"),
            )
            if waiting
            else "",
            paragraph(f"{MARKS_EXPLAINED}. Square brackets: the 95 % interval.", "nc-note"),
            data_links("claims", words="All claims as data", bib="papers"),
            "## Next",
            _next_steps(),
        ],
    )


def papers_page(board: Board) -> str:
    """The papers with the verdicts on their claims."""
    rows = []
    for paper in board.catalog.papers:
        found = board.of(paper.id)
        rows.append(
            [
                inner_link(paper_label(paper), f"{paper.id}.html") + small(html(paper.title)),
                html(", ".join(paper.techniques)),
                str(len(found)),
                _measured_of(found),
                html(verdicts_text(found)),
            ]
        )
    headers = ["Paper", "Techniques", "Claims", "Measured", "Verdicts"]
    return page(
        front_matter("Papers", toc=False),
        [
            heading("Papers"),
            paragraph(
                f"{len(rows)} papers. The {inner_link('survey', '../survey.html')} filters them; "
                f"{inner_link('all claims', '../claims.html')} stand on one page."
            ),
            table(headers, rows, label="Papers", align="llrrl", attribute="data-sortable"),
            data_links("papers", root="../", bib="papers"),
        ],
    )


def claims_page(board: Board) -> str:
    """Every claim of every paper, to be filtered by verdict and check."""
    rows = []
    for standing in board.standings:
        claim, judged = standing.claim, standing.judgement
        target = f"papers/{standing.paper.id}.html#claim-{claim.id}"
        rows.append(
            [
                html(paper_label(standing.paper)),
                inner_link(claim.statement, target) + claim_marks(standing),
                html(claim.check),
                html(reported_text(standing)),
                html(measured_text(standing)),
                html(interval(judged.low, judged.high, claim.unit)),
                badge(judged.verdict),
            ]
        )
    headers = ["Paper", "Claim", "Check", "Claimed", "Ours", "95 % interval", "Verdict"]
    return page(
        front_matter("Claims", searched=False, toc=False),
        [
            heading("Claims"),
            paragraph(
                f"{len(rows)} claims: {html(verdicts_text(board.standings))}. "
                f"{inner_link('What the columns are', 'reference/data.html')}; papers, claims "
                f"and results in one file: {inner_link('JSON', 'assets/data.json')}."
            ),
            data_links("claims", bib="papers"),
            table(
                headers,
                rows,
                label="All claims",
                align="lllrrrl",
                attribute='data-sortable data-filter="0:Paper,2:Check,6:Verdict"',
            ),
            paragraph(f"{MARKS_EXPLAINED}. Square brackets: the 95 % interval.", "nc-note"),
        ],
    )


def headline_table(standings: Sequence[Standing], label: str) -> str:
    """Claims of several papers, shortly."""
    rows = [
        [
            inner_link(paper_label(s.paper), f"papers/{s.paper.id}.html"),
            html(s.claim.statement) + claim_marks(s),
            html(reported_text(s)),
            html(measured_text(s))
            + small(html(interval(s.judgement.low, s.judgement.high, s.claim.unit))),
            badge(s.judgement.verdict),
        ]
        for s in standings
    ]
    headers = ["Paper", "Claim", "Claimed", "Ours", "Verdict"]
    return table(headers, rows, label=label, align="llrrl")


def _measured_of(standings: Sequence[Standing]) -> str:
    reachable = [s for s in standings if s.claim.check != "out-of-reach"]
    measured = [s for s in reachable if s.judgement.measured is not None]
    return f"{len(measured)} of {len(reachable)}"


def _counts(board: Board) -> str:
    reachable = [s for s in board.standings if s.claim.check != "out-of-reach"]
    measured = [s for s in reachable if s.judgement.measured is not None]
    figures = [
        (str(len(board.catalog.papers)), "papers", "papers/index.html"),
        (f"{len(board.standings):,}", "claims", "claims.html"),
        (f"{len(measured):,}", f"measured of {len(reachable):,} within reach", "claims.html"),
    ]
    items = "".join(
        f'<li><a href="{target}"><strong>{number}</strong> {html(words)}</a></li>'
        for number, words, target in figures
    )
    return f'<ul class="nc-counts">{items}</ul>'


def _given(standings: Sequence[Standing]) -> str:
    """How many of the measured claims are no evidence by themselves."""
    given = [s for s in standings if s.holds_by_construction and s.judgement.measured is not None]
    if not given:
        return ""
    return (
        f"{len(given)} of the measured claims hold by construction (§): the run was given the "
        "value, or it follows from one it was given. They are counted here and not drawn below."
    )


def _verdict_counts(standings: Sequence[Standing]) -> str:
    """Each verdict with its number, leading to the claims that have it."""
    items = "".join(
        f'<li><a href="claims.html?verdict={html(word.replace(" ", "%20"))}">'
        f"{badge(word)} {count:,}</a></li>"  # type: ignore[arg-type]
        for word, count in count_verdicts(standings).items()
    )
    return f'<ul class="nc-verdicts">{items}</ul>'


def _chart(standings: Sequence[Standing]) -> list[str]:
    panels = panels_of(standings)
    how = inner_link("How verdicts are made", "concepts/verdicts.html")
    if not panels:
        return [
            paragraph(
                "No full-scale result is published yet, so there is nothing to draw: each claim "
                f"says not run. {how}."
            )
        ]
    figures = "\n".join(figure(panel_svg(panel, "papers/"), panel.tally) for panel in panels)
    return [
        paragraph(
            "A mark is a claim and leads to it, its bar our 95 % interval; on the dashed diagonal "
            "ours equals the paper's. Each panel holds one unit and one way of counting. Marks "
            "that would hide each other stand side by side. Analogues are not drawn: their "
            f"directions stand below. {how}; the tables hold every number."
        ),
        legend(list(VERDICT_LOOKS)),
        f'<div class="nc-panels">\n{figures}\n</div>',
    ]


def _next_steps() -> str:
    return bullets(
        [
            f"{inner_link('Find a paper', 'survey.html')} by technique, network or platform, and "
            "read what it claims against what we measured.",
            f"{inner_link('Run it on your machine', 'guides/run.html')}: "
            "<code>netcompress run 2016-deep-compression --scale quick</code>.",
            f"{inner_link('Add a paper', 'guides/add-a-paper.html')} in ten minutes: "
            "<code>netcompress new 2018-my-paper --bibtex my-paper.bib</code>.",
        ]
    )
