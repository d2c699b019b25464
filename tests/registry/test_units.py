from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.units import SYMBOLS, UNITS, base_unit, from_base, rounding_range, to_base

PRINTED = st.decimals(min_value=-9999, max_value=9999, places=3).map(str)


@given(PRINTED, st.sampled_from(UNITS))
@settings(deadline=None)
def test_the_printed_value_lies_in_the_middle_of_its_range(printed: str, unit: str) -> None:
    interval = rounding_range(printed, unit)
    value = float(to_base(Decimal(printed), unit))
    assert interval.low < value < interval.high
    assert value - interval.low == pytest.approx(interval.high - value, rel=1e-6)


@given(st.floats(-1e6, 1e6), st.sampled_from(UNITS))
@settings(deadline=None)
def test_to_base_undoes_from_base(value: float, unit: str) -> None:
    shown = from_base(value, unit)
    assert float(to_base(Decimal(shown), unit)) == pytest.approx(value, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("printed", "unit", "low", "high"),
    [
        ("2.49", "percent", 0.02485, 0.02495),
        ("40", "ratio", 39.5, 40.5),
        ("240", "megabytes", 239_500_000, 240_500_000),
        ("0.05", "percentage_points", 0.00045, 0.00055),
        ("-0.02", "percentage_points", -0.00025, -0.00015),
        ("6.9", "megabytes", 6_850_000, 6_950_000),
        ("1e3", "count", 500, 1500),
    ],
)
def test_ranges_of_printed_numbers(printed: str, unit: str, low: float, high: float) -> None:
    interval = rounding_range(printed, unit)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-12)


def test_each_unit_has_a_symbol_and_a_base_that_is_its_own_base() -> None:
    assert set(SYMBOLS) == set(UNITS)
    assert all(base_unit(base_unit(unit)) == base_unit(unit) for unit in UNITS)


def test_intervals_meet_at_their_ends() -> None:
    assert rounding_range("1.0", "ratio").meets(rounding_range("1.1", "ratio"))
    assert not rounding_range("1.0", "ratio").meets(rounding_range("1.2", "ratio"))
