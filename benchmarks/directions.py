"""What has a direction and no place on an axis: analogues, and orderings.

An analogue is not the paper's experiment, so its number never stands beside the paper's in a
picture; it is asked only whether it points the same way.
"""

from collections.abc import Sequence

from benchmarks.escape import html
from benchmarks.markup import badge, details, inner_link, paper_label, paragraph, small, table
from benchmarks.numbers import in_unit, interval, with_symbol
from benchmarks.report import claim_marks, measured_text, reported_text, verdicts_text
from benchmarks.standing import Standing

HEADERS = ("Paper", "What the paper says", "Its direction", "Ours", "Verdict")


def directions(standings: Sequence[Standing]) -> list[str]:
    """The analogues, then the orderings measured as in the paper, those without a result folded."""
    analogues = [s for s in standings if s.claim.check == "analogue"]
    orderings = [s for s in standings if s.claim.ordering and s.claim.check != "analogue"]
    return [
        paragraph(
            "An analogue is the paper's method on other data or another network: not its "
            "experiment, so it stands on no axis above and says only whether ours points the same "
            "way. An ordering compares two of our own measurements with each other."
        ),
        *_folded(analogues, "analogues"),
        *_folded(orderings, "orderings"),
    ]


def _folded(standings: Sequence[Standing], name: str) -> list[str]:
    if not standings:
        return []
    measured = [s for s in standings if s.judgement.measured is not None]
    waiting = [s for s in standings if s.judgement.measured is None]
    words = f"{len(standings)} {name}: {verdicts_text(standings)}."
    label = f"Directions of {name}"
    return [
        paragraph(html(words)),
        direction_table(measured, label) if measured else "",
        details(
            f"{len(waiting)} {name} without a measurement",
            direction_table(waiting, f"{label} without a measurement"),
        )
        if waiting
        else "",
    ]


def direction_table(standings: Sequence[Standing], label: str) -> str:
    """What the paper says against which way ours points, one row a claim."""
    rows = []
    for standing in standings:
        claim, paper = standing.claim, standing.paper
        page = f"papers/{paper.id}.html"
        differs = f"differs: {claim.analogue}" if claim.analogue else ""
        rows.append(
            [
                inner_link(paper_label(paper), page),
                inner_link(claim.statement, f"{page}#claim-{claim.id}")
                + claim_marks(standing)
                + small(html(differs)),
                html(papers_direction(standing)) + small(html(_pair(standing))),
                _ours(standing),
                badge(standing.judgement.verdict),
            ]
        )
    return table(HEADERS, rows, label=label, align="lllll")


def papers_direction(standing: Standing) -> str:
    """``no higher``, ``lower by at least 0.3 points``; the value where there is one."""
    ordering, unit = standing.claim.ordering, standing.claim.unit
    if ordering is None:
        return reported_text(standing)
    bound = float(ordering.bound)
    at_most = ordering.relation == "at_most"
    if bound == 0:
        return "no higher" if at_most else "no lower"
    size = with_symbol(ordering.bound.lstrip("+-"), unit)
    side = "higher" if bound > 0 else "lower"
    return f"{side} by at {'most' if at_most == (bound > 0) else 'least'} {size}"


def _pair(standing: Standing) -> str:
    """Which metric is held against which."""
    ordering = standing.claim.ordering
    if ordering is None:
        return ""
    layer = f" at {standing.claim.layer}" if standing.claim.layer else ""
    return f"{ordering.minuend} against {ordering.subtrahend}{layer}"


def our_direction(standing: Standing) -> str:
    """Which way ours points: of two measurements, or beside the paper's value."""
    judged, unit = standing.judgement, standing.claim.unit
    if judged.measured is None:
        return "–"
    low, high = judged.low, judged.high
    if standing.claim.ordering is not None:
        if low is not None and high is not None and low <= 0 <= high:
            return "no difference within the interval"
        size = with_symbol(in_unit(abs(judged.measured), unit), unit)
        return f"{_side(judged.measured)} by {size}" if judged.measured else "equal"
    reported = standing.reported
    if reported is None:
        return "–"
    if low is not None and high is not None and low <= reported <= high:
        return "as in the paper, within the interval"
    return f"{_side(judged.measured - reported)} than in the paper{_better(standing, reported)}"


def _side(difference: float) -> str:
    return "higher" if difference > 0 else "lower" if difference < 0 else "no other"


def _better(standing: Standing, reported: float) -> str:
    direction = standing.metric.direction if standing.metric else "neither"
    measured = standing.judgement.measured
    if direction == "neither" or measured is None or measured == reported:
        return ""
    return ", which is better" if (measured > reported) == (direction == "higher") else ", worse"


def _ours(standing: Standing) -> str:
    judged = standing.judgement
    if judged.measured is None:
        return "–"
    ends = interval(judged.low, judged.high, standing.claim.unit)
    number = measured_text(standing) + (f" {ends}" if judged.low is not None else "")
    return html(our_direction(standing)) + small(html(number))
