"""A claim's verdict: one function of the claim and the results. Nothing here is typed in.

The rules stand on the site under "How verdicts are made"; this file is what they describe.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from benchmarks.benchmark import Measurement
from benchmarks.result import Result
from registry.record import Claim, Tolerance
from registry.units import Interval, Unit, rounding_range, to_base
from registry.vocabulary import Metric

Verdict = Literal[
    "reproduced", "better", "missed", "inconclusive",
    "agrees", "disagrees",
    "not run", "failed", "stale", "out of reach",
]  # fmt: skip

ANALOGUE_WORDS: dict[str, Verdict] = {
    "reproduced": "agrees",
    "better": "agrees",
    "missed": "disagrees",
    "inconclusive": "inconclusive",
}
SEEDS_FOR_AN_ORDERING = 3

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t at 97.5 % for 1 to 30 degrees of freedom."""
Z_975 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % interval, in the base unit of its metric."""

    value: float
    interval: Interval | None
    """None where it cannot be told (one seed of a value that varies with the seed)."""
    seeds: int
    n: int | None = None


@dataclass(frozen=True)
class Judgement:
    """What the results say of a claim. Values are in the base unit of the claim's unit."""

    verdict: Verdict
    reason: str | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seeds: int = 0
    gap: float | None = None
    """Measured minus reported (for an ordering: the difference minus its bound)."""


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t; the normal's beyond the table."""
    if degrees < 1:
        raise ValueError("an interval over seeds needs two of them")
    return T_975[degrees - 1] if degrees <= len(T_975) else Z_975


def wilson(p: float, n: int) -> Interval:
    """Wilson's 95 % interval of a share ``p`` seen in ``n`` cases."""
    z2 = Z_975**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_975 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def estimate(measurements: Sequence[Measurement], metric: Metric) -> Estimate:
    """The mean over seeds and its interval, as the metric says it is made.

    ``exact``: from the least to the largest value. ``seeds``: Student's t over seeds.
    ``binomial``: the same and Wilson's interval of the mean share, added in quadrature, since all
    seeds are tested on the same cases.
    """
    values = [float(m.value) for m in measurements]
    mean = statistics.fmean(values)
    n = measurements[0].n
    if metric.interval == "exact":
        return Estimate(mean, Interval(min(values), max(values)), len(values), n)
    spread = 0.0
    if len(values) > 1:
        spread = student_t(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    elif metric.interval == "seeds":
        return Estimate(mean, None, 1, n)
    low = high = spread
    if metric.interval == "binomial":
        if n is None:
            return Estimate(mean, None, len(values), None)
        sampling = wilson(min(max(mean, 0.0), 1.0), n)
        low = math.hypot(spread, mean - sampling.low)
        high = math.hypot(spread, sampling.high - mean)
        low, high = min(low, mean), min(high, 1.0 - mean)  # no share lies below 0 or above 1
    return Estimate(mean, Interval(mean - low, mean + high), len(values), n)


def band(reported: str, unit: Unit, tolerance: Tolerance | None) -> Interval:
    """The values that count as the reported one: its rounding range, widened by the tolerance."""
    rounding = rounding_range(reported, unit)
    if tolerance is None:
        return rounding
    value = Decimal(tolerance.value)
    if tolerance.kind == "relative_percent":
        value = abs(Decimal(reported)) * value / 100
    widening = float(to_base(value, unit))
    return Interval(rounding.low - widening, rounding.high + widening)


def judge_value(claim: Claim, metric: Metric, found: Estimate) -> Judgement:
    """A reported value against a measured one."""
    assert claim.reported is not None  # held by Claim
    accepted = band(claim.reported, claim.unit, claim.tolerance)
    reported = float(to_base(Decimal(claim.reported), claim.unit))
    judged = Judgement(
        "inconclusive",
        measured=found.value,
        low=found.interval.low if found.interval else None,
        high=found.interval.high if found.interval else None,
        n=found.n,
        seeds=found.seeds,
        gap=found.value - reported,
    )
    if found.interval is None:
        return replace(judged, reason="one seed: its interval is not known")
    if found.interval.meets(accepted):
        if found.interval.width > 2 * accepted.width:
            return replace(judged, reason="the interval is wider than twice the accepted range")
        return replace(judged, verdict="reproduced")
    above = found.interval.low > accepted.high
    # Computed and simulated values are the paper's own made again: beyond them is no gain.
    is_measured = claim.check in ("measured", "analogue")
    better = is_measured and metric.direction == ("higher" if above else "lower")
    return replace(judged, verdict="better" if better else "missed")


def judge_ordering(claim: Claim, differences: Sequence[float], n: int | None) -> Judgement:
    """A claim about a difference, paired over seeds."""
    ordering = claim.ordering
    assert ordering is not None
    bound = float(to_base(Decimal(ordering.bound), claim.unit))
    mean = statistics.fmean(differences)
    judged = Judgement("inconclusive", measured=mean, n=n, seeds=len(differences), gap=mean - bound)
    if len(differences) < SEEDS_FOR_AN_ORDERING:
        return replace(judged, reason=f"an ordering needs {SEEDS_FOR_AN_ORDERING} seeds or more")
    half = student_t(len(differences) - 1) * statistics.stdev(differences)
    half /= math.sqrt(len(differences))
    low, high = mean - half, mean + half
    judged = replace(judged, low=low, high=high)
    if ordering.relation == "at_least":
        low, high, bound = -high, -low, -bound
    if high <= bound:
        return replace(judged, verdict="reproduced")
    if low > bound:
        return replace(judged, verdict="missed")
    return replace(judged, reason="the interval of the difference holds both signs")


def counts(result: Result, wanted_data: str) -> bool:
    """Whether a published, current result counts: full scale, and no fallback data."""
    return result.identity.scale == "full" and result.identity.data == wanted_data


def verdict(
    claim: Claim,
    metric: Metric | None,
    current: Sequence[Result],
    *,
    stale: int = 0,
    wanted_data: str = "",
    wanted_seeds: int = 1,
) -> Judgement:
    """The verdict on ``claim``.

    Args:
        metric: of the vocabulary; None for what is out of reach and for orderings.
        current: published results at full scale of the claim's run, none of them stale.
        stale: how many there are beside them that are stale.
        wanted_data: the data set of the benchmark; results on a fallback do not count.
        wanted_seeds: how many make the set; there is no mean over a partial one.
    """
    if claim.check == "out-of-reach":
        return Judgement("out of reach", reason=claim.reason)
    counted = [result for result in current if counts(result, wanted_data)]
    if not counted:
        if stale:
            return Judgement("stale", reason="method, benchmark, data or configuration moved on")
        return Judgement("not run")
    done = [result for result in counted if result.outcome == "done"]
    if len(done) < len(counted):
        broken = next(result for result in counted if result.outcome != "done")
        return Judgement(
            "failed",
            reason=f"{len(done)} of {len(counted)} seeds done; {broken.outcome}: {broken.reason}",
        )
    if len(done) < wanted_seeds:
        return Judgement("not run", reason=f"{len(done)} of {wanted_seeds} seeds")
    judged = _judge_done(claim, metric, done)
    if claim.check == "analogue" and judged.verdict in ANALOGUE_WORDS:
        return replace(judged, verdict=ANALOGUE_WORDS[judged.verdict])
    return judged


def _judge_done(claim: Claim, metric: Metric | None, done: Sequence[Result]) -> Judgement:
    if claim.ordering is not None:
        suffix = f".{claim.layer}" if claim.layer else ""
        keys = (claim.ordering.minuend + suffix, claim.ordering.subtrahend + suffix)
        missing = [key for key in keys if any(key not in r.metrics for r in done)]
        if missing:
            return Judgement("not run", reason=f"no result holds {missing[0]}")
        pairs = [(r.metrics[keys[0]], r.metrics[keys[1]]) for r in done]
        return judge_ordering(
            claim, [float(a.value) - float(b.value) for a, b in pairs], pairs[0][0].n
        )
    key = claim.measured_as
    if key is None or metric is None or any(key not in r.metrics for r in done):
        return Judgement("not run", reason=f"no result holds {key}")
    return judge_value(claim, metric, estimate([r.metrics[key] for r in done], metric))
