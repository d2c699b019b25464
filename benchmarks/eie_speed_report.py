"""What ``netcompress bench eie`` says to people."""

from collections.abc import Iterator

from benchmarks.eie_layers import LAYERS
from benchmarks.eie_speed import BOUND_US, PEERS, SpeedReport
from benchmarks.numbers import interval, significant
from benchmarks.provenance import cpu_model

HEADERS = ["layer", "peer", "ours us", "peer us", "ratio", "95 %"]


def report_rows(report: SpeedReport) -> list[list[str]]:
    """Cells of the table, below ``HEADERS``."""
    return [
        [
            row.case, row.peer, significant(row.ours_us), significant(row.peer_us),
            significant(row.ratio, 3), interval(row.low, row.high, "ratio"),
        ]
        for row in report.rows
    ]  # fmt: skip


def report_lines(report: SpeedReport) -> Iterator[str]:
    """What was compared, the ratios of each peer, and the time of all layers against its bound."""
    yield "ratio = peer / ours: above 1 we win. One thread, matrices given, caches warm."
    for peer, found in report.summary.items():
        yield (
            f"{peer} ({PEERS[peer]}): {significant(found['geometric_mean'], 3)} times "
            f"(geometric mean), least {significant(found['least'], 3)}"
        )
    cases = dict.fromkeys(row.case for row in report.rows)
    which = "all nine layers" if len(cases) == len(LAYERS) else ", ".join(cases)
    if report.timing_us:
        yield (
            f"our cycles of {which}: {report.timing_us:,.0f} us together; "
            f"the bound for all nine is {BOUND_US:,.0f} us"
        )
    yield f"on {cpu_model()}"
