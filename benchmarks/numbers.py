"""How numbers are written for people: in the claim's unit, with four significant digits."""

import math

from registry.units import SYMBOLS, Unit, from_base


def significant(value: float, digits: int = 4) -> str:
    """``value`` with so many significant digits, without exponents, zeros at the end cut."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(decimals, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_unit(value: float | None, unit: Unit, digits: int = 4) -> str:
    """A base-unit value in ``unit``, without the symbol; an en dash for None."""
    return "–" if value is None else significant(from_base(value, unit), digits)


def with_symbol(text: str, unit: Unit) -> str:
    """``2.49`` and per cent: ``2.49 %``; a ratio: ``40×``."""
    symbol = SYMBOLS[unit]
    if not symbol or text == "–":
        return text
    return text + symbol if unit == "ratio" else f"{text} {symbol}"


def interval(low: float | None, high: float | None, unit: Unit) -> str:
    """``[1.48, 1.72]`` in ``unit``; one number where both ends print alike."""
    if low is None or high is None:
        return "–"
    first, second = in_unit(low, unit), in_unit(high, unit)
    return f"[{first}, {second}]" if first != second else first


def bytes_(count: int | float) -> str:
    """``27,623 B``."""
    return f"{count:,.0f} B"
