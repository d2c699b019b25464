"""Times of things that are compared, taken alternately in one process; only ratios leave here."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.benchmark import Measurement


def alternate(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each function in each round, in the order of the rounds.

    Each is called once before, untimed. A round calls each once; every other round goes
    backwards, so that none always follows the same one and a drift of the machine meets all alike.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    order = list(functions)
    for _ in range(rounds):
        for name in order:
            start = clock()
            functions[name]()
            seconds[name].append(clock() - start)
        order.reverse()
    return seconds


def median_ratio(slow: Sequence[float], fast: Sequence[float]) -> Measurement:
    """The median over rounds of ``slow`` over ``fast``, with its 95 % interval.

    The interval is that of the sign test: two of the ordered ratios, whatever their distribution.
    Fewer than six rounds have none.
    """
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    cut = _order_cut(len(ratios))
    return Measurement(
        value=statistics.median(ratios),
        unit="ratio",
        low=None if cut is None else ratios[cut],
        high=None if cut is None else ratios[-1 - cut],
    )


def _order_cut(n: int) -> int | None:
    """How many ratios to leave out at each end: the most that keep 95 % between what is left."""
    below = 0.0
    for left_out in range(n // 2 + 1):
        below += math.comb(n, left_out) / 2**n
        if below > 0.025:
            return left_out - 1 if left_out else None
    return None
