"""What ``netcompress bench kernels`` says to people."""

from collections.abc import Iterator

from benchmarks.kernel_cases import PEERS
from benchmarks.kernel_speed import CACHES, KernelReport
from benchmarks.numbers import interval, significant
from benchmarks.provenance import cpu_model

HEADERS = ["case", "layer", "caches", "peer", "ours us", "peer us", "ratio", "95 %"]
_PATHS = {
    "avx512-vnni": "AVX-512 with VNNI",
    "avx512": "AVX-512 without VNNI",
    "loops": "plain loops, without AVX-512",
    "torch": "torch alone",
}


def report_rows(report: KernelReport) -> list[list[str]]:
    """Cells of the table, below ``HEADERS``."""
    return [
        [
            row.case, f"{row.outputs} x {row.inputs}", row.cache, row.peer,
            significant(row.ours_us), significant(row.peer_us), significant(row.ratio, 3),
            interval(row.low, row.high, "ratio"),
        ]
        for row in report.rows
    ]  # fmt: skip


def report_lines(report: KernelReport) -> Iterator[str]:
    """What was compared, which kernels ran, and the ratios of each peer."""
    threads = max((row.threads for row in report.rows), default=1)
    yield "ratio = peer / ours: above 1 we win."
    yield (
        f"One row of activations; int8: they are rounded inside of the time. Ours on one thread, "
        f"by {_PATHS[report.path]}; torch on {threads}. "
        + ("Processor time." if threads == 1 else "Time by the clock.")
    )
    for cache in CACHES:
        for peer, found in report.summary(cache).items():
            ways = dict.fromkeys(row.way for row in report.rows if row.peer == peer)
            yield (
                f"{cache}, {peer} ({PEERS[peer].words}; the fastest: {', '.join(ways)}): "
                f"{significant(found['geometric_mean'], 3)} times (geometric mean), least "
                f"{significant(found['least'], 3)}"
            )
    yield from report.remarks
    yield f"on {cpu_model()}"
