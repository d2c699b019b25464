"""Claims as a table of a page: what is said, what ours says, and the verdict with its reasons."""

from collections.abc import Sequence

from benchmarks.escape import html
from benchmarks.markup import badge, small, table
from benchmarks.numbers import interval
from benchmarks.report import (
    COUNTING_WORDS,
    claim_marks,
    gap_text,
    measured_text,
    reported_text,
    tolerance_text,
    yours_text,
)
from benchmarks.standing import Standing

EVIDENCE_WORDS = {
    "read": "read in the source",
    "derived": "‡ recalled and confirmed by arithmetic",
    "quoted": "quoted from",
    "recalled": "† recalled, not checked in the paper",
}
HEADERS = ("Claim", "Check", "Claimed", "Ours", "Verdict", "Tolerance")


def claim_table(
    standings: Sequence[Standing], label: str, *, anchors: bool = False, caption: str = ""
) -> str:
    """One row a claim.

    Args:
        anchors: give each row the id ``claim-<id>``; once a page.
    """
    with_yours = any(standing.yours is not None for standing in standings)
    rows = []
    for standing in standings:
        row = [
            _claim(standing, anchors),
            _check(standing),
            _claimed(standing),
            _ours(standing),
            _verdict(standing),
            _tolerance(standing),
        ]
        if with_yours:
            row.insert(4, _yours(standing))
        rows.append(row)
    headers = list(HEADERS)
    if with_yours:
        headers.insert(4, "Yours")
    align = "llrrrll" if with_yours else "llrrll"
    return table(headers, rows, label=label, align=align, caption=caption)


def evidence_text(standing: Standing) -> str:
    """How we know the reported value, with the mark that the tables use."""
    claim = standing.claim
    words = EVIDENCE_WORDS[claim.evidence]
    return f"{words} {claim.quoted_from}" if claim.quoted_from else words


def commit_text(commit: str | None, dirty: bool | None) -> str:
    """The first characters of a commit, and whether files differed from it."""
    if commit is None:
        return "no commit known"
    return f"commit {commit[:9]}{' with changes' if dirty else ''}"


def _claim(standing: Standing, anchors: bool) -> str:
    claim, paper = standing.claim, standing.paper
    anchor = f' id="claim-{html(claim.id)}"' if anchors else ""
    lines = [f"{paper.place(claim)}"]
    if claim.stands_in:
        lines.append(f"stands in {claim.stands_in}")
    if standing.holds_by_construction:
        lines.append("§ holds by construction: no evidence by itself")
    if claim.analogue:
        lines.append(f"analogue: {claim.analogue}")
    if claim.reason:
        word = "out of reach" if claim.check == "out-of-reach" else "remark"
        lines.append(f"{word}: {claim.reason}")
    return f"<span{anchor}>{html(claim.statement)}{claim_marks(standing)}</span>" + "".join(
        small(html(line)) for line in lines
    )


def _check(standing: Standing) -> str:
    claim = standing.claim
    lines = [evidence_text(standing)]
    if claim.counting:
        lines.append(f"counted by {COUNTING_WORDS[claim.counting]}")
    return html(claim.check) + "".join(small(html(line)) for line in lines)


def _claimed(standing: Standing) -> str:
    baseline = standing.claim.baseline
    beside = f"{baseline.what}: {baseline.reported}" if baseline else ""
    return html(reported_text(standing)) + small(html(beside))


def _ours(standing: Standing) -> str:
    judged = standing.judgement
    if judged.measured is None:
        return "–"
    results = [result.provenance for result in standing.published]
    lines = (
        [interval(judged.low, judged.high, standing.claim.unit)] if judged.low is not None else []
    )
    lines.append(f"{judged.seeds} seed{'s' if judged.seeds != 1 else ''}")
    if judged.n is not None:
        lines[-1] += f", n = {judged.n:,}"
    if results:
        newest = max(results, key=lambda provenance: provenance.started)
        lines.append(f"{newest.started[:10]}, {commit_text(newest.commit, newest.dirty)}")
    return html(measured_text(standing)) + "".join(small(html(line)) for line in lines)


def _yours(standing: Standing) -> str:
    yours = standing.yours
    if yours is None:
        return "–"
    lines = [
        interval(yours.low, yours.high, standing.claim.unit) if yours.low is not None else "",
        f"{yours.seeds} seed{'s' if yours.seeds != 1 else ''}, {yours.started[:10]}",
    ]
    return html(yours_text(standing)) + "".join(small(html(line)) for line in lines)


def _verdict(standing: Standing) -> str:
    judged = standing.judgement
    lines = []
    if judged.gap is not None:
        lines.append(f"gap {gap_text(standing)}")
    if judged.reason and judged.reason != standing.claim.reason:
        lines.append(judged.reason)
    return badge(judged.verdict) + "".join(small(html(line)) for line in lines)


def _tolerance(standing: Standing) -> str:
    tolerance = standing.claim.tolerance
    if tolerance is None:
        return ""
    return html(tolerance_text(standing)) + small(html(tolerance.reason))
