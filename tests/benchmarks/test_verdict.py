"""The rules of verdicts on made-up results."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.benchmark import Measurement
from benchmarks.result import Result
from benchmarks.verdict import (
    Judgement,
    band,
    estimate,
    student_t,
    verdict,
    wilson,
)
from registry.record import Claim, Tolerance
from registry.vocabulary import Metric

ERROR = Metric(title="error", unit="fraction", direction="lower", interval="binomial")
RATIO = Metric(title="ratio", unit="ratio", direction="higher", interval="seeds")
EXACT = Metric(title="bits", unit="bits", direction="lower", interval="exact")


def claim(**changes: object) -> Claim:
    fields: dict[str, object] = {
        "id": "c",
        "statement": "It shrinks.",
        "where": {"text": "abstract"},
        "check": "measured",
        "evidence": "read",
        "unit": "ratio",
        "reported": "40",
        "benchmark": "b",
        "metric": "ratio",
    }
    fields.update(changes)
    fields = {key: value for key, value in fields.items() if value is not None}
    return Claim.model_validate_json(json.dumps(fields))


def result(seed: int, outcome: str = "done", scale: str = "full", data: str = "", **metrics: float):
    units = {"ratio": "ratio", "bits": "bits"}
    return Result.model_validate_json(
        json.dumps(
            {
                "identity": {
                    "paper": "2016-p", "benchmark": "b", "run": "r",
                    "scale": scale, "seed": seed, "data": data,
                },
                "fingerprint": f"{seed:064x}",
                "configuration": {},
                "method_revision": 1,
                "benchmark_revision": 1,
                "data_digests": {},
                "outcome": outcome,
                "reason": None if outcome == "done" else "it broke",
                "metrics": {
                    name: {"value": value, "unit": units.get(name, "fraction"), "n": 10_000}
                    for name, value in metrics.items()
                } if outcome == "done" else {},
                "provenance": {
                    "commit": None, "dirty": None, "packages": {}, "python": "3.11", "cpu": "x",
                    "threads": 1, "started": "2026-01-01T00:00:00Z", "seconds": 1.0,
                    "source_digest": "0" * 64,
                },
            }
        )
    )  # fmt: skip


def judge(made: Claim, metric: Metric | None, values: list[float], key: str = "ratio") -> Judgement:
    results = [result(seed, **{key: value}) for seed, value in enumerate(values)]
    return verdict(made, metric, results)


def test_inside_the_rounding_range_is_reproduced():
    assert judge(claim(), RATIO, [40.1, 39.9, 40.2]).verdict == "reproduced"


def test_beyond_it_the_direction_decides_between_better_and_missed():
    assert judge(claim(), RATIO, [44.0, 44.1, 43.9]).verdict == "better"
    missed = judge(claim(), RATIO, [38.0, 38.1, 37.9])
    assert missed.verdict == "missed"
    assert missed.gap == pytest.approx(-2.0)
    lower = RATIO.model_copy(update={"direction": "lower"})
    assert judge(claim(), lower, [44.0, 44.1, 43.9]).verdict == "missed"
    assert judge(claim(), lower, [38.0, 38.1, 37.9]).verdict == "better"
    neither = RATIO.model_copy(update={"direction": "neither"})
    assert judge(claim(), neither, [44.0, 44.1, 43.9]).verdict == "missed"


@pytest.mark.parametrize("check", ["computed", "simulated"])
def test_the_papers_own_number_made_again_is_missed_on_either_side(check: str):
    made = claim(check=check)
    assert judge(made, RATIO, [44.0, 44.1, 43.9]).verdict == "missed"
    assert judge(made, RATIO, [38.0, 38.1, 37.9]).verdict == "missed"
    assert judge(made, RATIO, [40.1, 39.9, 40.2]).verdict == "reproduced"


def test_an_interval_wider_than_twice_the_band_is_inconclusive():
    # The band is 39.5 to 40.5, so 2 wide at twice its width.
    assert judge(claim(), RATIO, [39.0, 40.0, 41.0]).verdict == "inconclusive"


def test_a_wide_interval_that_misses_the_band_is_still_a_miss():
    assert judge(claim(), RATIO, [20.0, 21.0, 22.0]).verdict == "missed"


def test_a_tolerance_widens_the_band_to_both_sides():
    tolerance = {"value": "7", "kind": "relative_percent", "reason": "rows do not sum"}
    assert judge(claim(), RATIO, [38.0, 38.1, 37.9]).verdict == "missed"
    assert judge(claim(tolerance=tolerance), RATIO, [38.0, 38.1, 37.9]).verdict == "reproduced"
    assert judge(claim(tolerance=tolerance), RATIO, [42.9, 43.0, 43.1]).verdict == "reproduced"


def test_the_band_follows_the_printed_digits_in_the_unit_of_the_claim():
    found = band("2.49", "percent", None)
    assert (found.low, found.high) == pytest.approx((0.02485, 0.02495))
    absolute = Tolerance(value="0.25", kind="absolute", reason="noise")
    found = band("1.58", "percent", absolute)
    assert (found.low, found.high) == pytest.approx((0.01325, 0.01835))
    found = band("27", "kilobytes", None)
    assert (found.low, found.high) == pytest.approx((26_500, 27_500))


def test_one_seed_of_a_value_that_varies_with_the_seed_is_inconclusive():
    judged = judge(claim(), RATIO, [40.0])
    assert judged.verdict == "inconclusive"
    assert judged.low is None


def test_an_exact_value_needs_one_result_only():
    made = claim(unit="bits", reported="6", metric="bits")
    assert judge(made, EXACT, [6], "bits").verdict == "reproduced"
    assert judge(made, EXACT, [7], "bits").verdict == "missed"


def test_an_error_rate_has_the_test_sets_size_in_its_interval():
    made = claim(unit="percent", reported="1.58", metric="error")
    judged = judge(made, ERROR, [0.0160, 0.0160, 0.0160], "error")
    wanted = wilson(0.016, 10_000)
    assert (judged.low, judged.high) == pytest.approx((wanted.low, wanted.high))
    assert judged.verdict == "inconclusive"  # ± 0.25 points against ± 0.005


def test_an_error_rate_of_unlike_seeds_stays_a_share():
    judged = judge(claim(unit="percent", reported="5", metric="error"), ERROR, [0, 0, 0.2], "error")
    assert judged.low == 0.0
    assert judged.high < 1.0


def test_no_mean_over_a_partial_set():
    results = [result(0, ratio=40.0), result(1, outcome="failed"), result(2, ratio=40.0)]
    judged = verdict(claim(), RATIO, results)
    assert judged.verdict == "failed"
    assert "2 of 3" in str(judged.reason)
    assert judged.measured is None


def test_a_set_that_lacks_seeds_is_not_run():
    two = [result(0, ratio=40.0), result(1, ratio=40.0)]
    judged = verdict(claim(), RATIO, two, wanted_seeds=3)
    assert (judged.verdict, judged.reason) == ("not run", "2 of 3 seeds")
    assert verdict(claim(), RATIO, two, wanted_seeds=2).verdict == "reproduced"


def test_quick_and_fallback_results_do_not_count():
    assert verdict(claim(), RATIO, [result(0, scale="quick", ratio=40.0)]).verdict == "not run"
    fallback = [result(s, data="mnist-5k", ratio=40.0) for s in range(3)]
    assert verdict(claim(), RATIO, fallback, wanted_data="mnist").verdict == "not run"
    wanted = [result(s, data="mnist", ratio=40.0) for s in range(3)]
    assert verdict(claim(), RATIO, wanted, wanted_data="mnist").verdict == "reproduced"


def test_stale_not_run_and_out_of_reach():
    assert verdict(claim(), RATIO, []).verdict == "not run"
    assert verdict(claim(), RATIO, [], stale=3).verdict == "stale"
    far = claim(check="out-of-reach", reason="needs ImageNet", benchmark=None, metric=None)
    judged = verdict(far, None, [result(0, ratio=40.0)])
    assert (judged.verdict, judged.reason) == ("out of reach", "needs ImageNet")


def test_an_analogue_agrees_or_disagrees_and_never_reproduces():
    made = claim(check="analogue", analogue="other data")
    assert judge(made, RATIO, [40.0, 40.1, 39.9]).verdict == "agrees"
    assert judge(made, RATIO, [50.0, 50.1, 49.9]).verdict == "agrees"
    assert judge(made, RATIO, [30.0, 30.1, 29.9]).verdict == "disagrees"
    assert judge(made, RATIO, [38.0, 40.0, 42.0]).verdict == "inconclusive"


def ordering(relation: str, bound: str) -> Claim:
    return claim(
        reported=None,
        metric=None,
        unit="percentage_points",
        ordering={
            "minuend": "error", "subtrahend": "reference_error",
            "relation": relation, "bound": bound,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("relation", "differences", "expected"),
    [
        ("at_most", [0.0005, 0.0006, 0.0004], "reproduced"),
        ("at_most", [0.0025, 0.0026, 0.0024], "missed"),
        ("at_most", [0.0000, 0.0010, 0.0020], "inconclusive"),
        ("at_least", [0.0025, 0.0026, 0.0024], "reproduced"),
        ("at_least", [0.0005, 0.0006, 0.0004], "missed"),
        ("at_most", [0.0005, 0.0006], "inconclusive"),
    ],
)
def test_an_ordering_is_paired_over_seeds(relation, differences, expected):
    # The seeds differ by far more than the differences: only pairing can tell.
    results = [
        result(seed, error=0.01 * (seed + 1) + d, reference_error=0.01 * (seed + 1))
        for seed, d in enumerate(differences)
    ]
    assert verdict(ordering(relation, "0.1"), None, results).verdict == expected


def test_students_interval_of_three_values():
    found = estimate([Measurement(value=v, unit="ratio") for v in (1.0, 2.0, 3.0)], RATIO)
    assert found.interval is not None
    half = 4.303 * 1.0 / math.sqrt(3)
    assert (found.interval.low, found.interval.high) == pytest.approx((2 - half, 2 + half))
    assert student_t(1) > student_t(2) > student_t(30) > student_t(500)


def test_wilson_against_worked_values():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    found = wilson(81 / 263, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20).high == pytest.approx(0.1611, abs=5e-5)


@given(p=st.floats(0, 1), n=st.integers(1, 10**6))
def test_wilson_holds_the_share_and_stays_within_0_and_1(p, n):
    found = wilson(p, n)
    assert 0 <= found.low <= p + 1e-12
    assert p - 1e-12 <= found.high <= 1


@given(
    values=st.lists(st.floats(1, 100), min_size=2, max_size=5),
    factor=st.floats(0.5, 2),
)
def test_verdicts_do_not_depend_on_the_order_of_results(values, factor):
    made = claim(reported=f"{values[0] * factor:.1f}")
    assert judge(made, RATIO, values).verdict == judge(made, RATIO, values[::-1]).verdict
