"""Units of reported and measured values, and how a printed value becomes a number in code."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

Unit = Literal[
    "fraction", "percent", "percentage_points",
    "ratio", "number", "count", "thousands", "millions", "billions",
    "bits", "bits_per_weight", "bits_per_character",
    "bytes", "kilobytes", "megabytes",
    "seconds", "milliseconds", "microseconds", "cycles",
    "watts", "milliwatts", "joules", "microjoules", "picojoules",
    "square_millimetres", "frames_per_second", "gigaoperations_per_second",
    "frames_per_second_per_square_millimetre", "frames_per_joule",
]  # fmt: skip
"""Sizes are decimal (1 kilobyte = 1,000 bytes), as the papers use them."""

UNITS: tuple[Unit, ...] = get_args(Unit)

_SCALES: dict[Unit, tuple[Unit, str]] = {
    "percent": ("fraction", "0.01"),
    "percentage_points": ("fraction", "0.01"),
    "thousands": ("count", "1000"),
    "millions": ("count", "1000000"),
    "billions": ("count", "1000000000"),
    "kilobytes": ("bytes", "1000"),
    "megabytes": ("bytes", "1000000"),
    "milliseconds": ("seconds", "0.001"),
    "microseconds": ("seconds", "0.000001"),
    "milliwatts": ("watts", "0.001"),
    "microjoules": ("joules", "0.000001"),
    "picojoules": ("joules", "0.000000000001"),
}

SYMBOLS: dict[Unit, str] = {
    "fraction": "", "percent": "%", "percentage_points": "points", "ratio": "×", "number": "",
    "count": "", "thousands": "K", "millions": "M", "billions": "G", "bits": "bit",
    "bits_per_weight": "bit",
    "bits_per_character": "bit/char", "bytes": "B", "kilobytes": "kB", "megabytes": "MB",
    "seconds": "s", "milliseconds": "ms", "microseconds": "µs", "cycles": "cycles",
    "watts": "W", "milliwatts": "mW", "joules": "J", "microjoules": "µJ", "picojoules": "pJ",
    "square_millimetres": "mm²", "frames_per_second": "frames/s",
    "gigaoperations_per_second": "GOP/s",
    "frames_per_second_per_square_millimetre": "frames/s/mm²", "frames_per_joule": "frames/J",
}  # fmt: skip


def base_unit(unit: Unit) -> Unit:
    """The unit in which code holds a value printed in ``unit``: per cent are fractions."""
    return _SCALES[unit][0] if unit in _SCALES else unit


def to_base(value: Decimal, unit: Unit) -> Decimal:
    """``value`` in the base unit of ``unit``, exactly."""
    return value * Decimal(_SCALES[unit][1]) if unit in _SCALES else value


def from_base(value: float, unit: Unit) -> float:
    """A value of code, shown in ``unit``."""
    return value / float(_SCALES[unit][1]) if unit in _SCALES else value


@dataclass(frozen=True)
class Interval:
    """A closed range of values."""

    low: float
    high: float

    def meets(self, other: "Interval") -> bool:
        return self.low <= other.high and other.low <= self.high

    @property
    def width(self) -> float:
        return self.high - self.low


def rounding_range(printed: str, unit: Unit) -> Interval:
    """The values that would be printed as ``printed``, in the base unit.

    Half a unit in the last printed digit to each side: ``"2.49"`` per cent is
    0.02485 to 0.02495; ``"40"`` is 39.5 to 40.5; ``"240"`` is 239.5 to 240.5. Trailing zeros of
    an integer count as printed digits: a record that knows better says so by a tolerance.
    """
    value = Decimal(printed)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # printed numbers are finite
    half = Decimal(1).scaleb(exponent) / 2
    return Interval(float(to_base(value - half, unit)), float(to_base(value + half, unit)))
