"""What all pictures share: colours, units, axes, and a Vega-Lite specification made into SVG.

Drawn without a browser and without a network. Grey tones and verdict colours are named here, so
that a style sheet can turn them in a dark page.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from benchmarks.escape import html as escaped
from registry.units import SYMBOLS, Unit, base_unit

Spec = dict[str, Any]

INK, LINE, FAINT = "#404040", "#8c8c8c", "#d9d9d9"
"""Text, axes and grid: nothing else in a picture has these colours."""
HALO = "#fefefe"
"""Around marks, so that one stands off from its bar and from its neighbour."""
DARK = {INK: "#dedede", LINE: "#8c8c8c", FAINT: "#4a4a4a", HALO: "#0d1117"}
COLOURS = (
    "#3d7fd0", "#c96f1f", "#1a936f", "#9a5fb5", "#a08414", "#d1495b", "#2f93a1", "#8a6d5b",
    "#5f8f2e",
)  # fmt: skip
"""At least 3:1 against a white and against a dark page."""
SHOWN_UNITS: Mapping[Unit, Unit] = {
    "fraction": "percent",
    "bytes": "kilobytes", "megabytes": "kilobytes",
    "thousands": "count", "millions": "count", "billions": "count",
    "seconds": "microseconds", "milliseconds": "microseconds",
    "watts": "milliwatts", "joules": "microjoules", "picojoules": "microjoules",
}  # fmt: skip
"""Units of one kind share a panel, shown in one of them."""
FONT = "system-ui, sans-serif"
NUMBER_FORMAT = ",.12~g"
SHORT_FORMAT, LONG_NUMBER = "~s", 1e7
"""From there on 20M and not 20,000,000: labels would run into each other."""
WIDE = 8.0
"""From this ratio of the largest to the least value on, an axis is logarithmic."""
POINT = re.compile(
    r'<path aria-label="(?P<name>mark \d+)" role="graphics-symbol" '
    r'aria-roledescription="point"(?P<rest>(?: [\w-]+="[^"]*")*)/>'
)


@dataclass(frozen=True)
class Axis:
    """From the least to the largest value; places on it are shares of its length."""

    low: float
    high: float
    is_logarithmic: bool

    @classmethod
    def around(cls, values: Sequence[float], *, may_begin_at_zero: bool = True) -> "Axis":
        """With a margin; logarithmic where positive values spread wide."""
        low, high = min(values), max(values)
        if low > 0 and high / low >= WIDE:
            margin = (high / low) ** 0.06
            return cls(low / margin, high * margin, True)
        margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        from_zero = may_begin_at_zero and 0 <= low < high / 3
        return cls(0.0 if from_zero else low - margin, high + margin, False)

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.is_logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, place: float) -> float:
        """What stands at a place."""
        if self.is_logarithmic:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + place * (self.high - self.low)

    @property
    def scale(self) -> Spec:
        kind = "log" if self.is_logarithmic else "linear"
        return {"type": kind, "domain": [self.low, self.high], "nice": False, "zero": False}

    @property
    def ticks(self) -> Spec:
        """Of an axis with a label for each tick: 1, 2, 5, 10... where it is logarithmic."""
        if not self.is_logarithmic:
            return {"format": self._format, "labelOverlap": True, "tickCount": 5}
        decades = math.log10(self.high / self.low)
        steps = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3 else (1,)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return self.ticks_at([value for value in values if self.low <= value <= self.high])

    def ticks_at(self, values: Sequence[float]) -> Spec:
        """A tick at each value."""
        return {"format": self._format, "labelOverlap": "greedy", "labelSeparation": 6,
                "values": list(values)}  # fmt: skip

    @property
    def _format(self) -> str:
        return NUMBER_FORMAT if self.high < LONG_NUMBER else SHORT_FORMAT


def unit_symbol(unit: Unit) -> str:
    """For the title of an axis: the symbol, or the unit's name; a plain number has neither."""
    return "" if unit == "number" else SYMBOLS[unit] or base_unit(unit).replace("_", " ")


def unit_words(unit: Unit) -> str:
    """``per cent (%)``, ``ratio (×)``, ``bits``."""
    words = unit.replace("_", " ").replace("percent", "per cent")
    symbol = SYMBOLS[unit]
    return f"{words} ({symbol})" if symbol and symbol not in words else words


@dataclass(frozen=True)
class Words:
    """What a mark says to whoever points at it, and where it leads (an address made by us)."""

    text: str
    target: str = ""


def draw(spec: Spec, title: str, summary: str, marks: Sequence[Words] = ()) -> str:
    """The picture with a title and a description for those who do not see it.

    Args:
        marks: of points described as ``mark 0``, ``mark 1``...: each gets a title of its own,
            which browsers show without a script.
    """
    words = {"labelColor": INK, "titleColor": INK, "labelFont": FONT, "titleFont": FONT}
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": None,
        # Words are measured in another font than the reader's: there is room for a wider one here,
        # for the names of bars, and at the title of the left axis.
        "padding": {"left": 16, "right": 4, "top": 4, "bottom": 4},
        **spec,
        "config": {
            "view": {"stroke": None},
            "axis": words | {
                "domainColor": LINE, "tickColor": LINE, "gridColor": FAINT,
                "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 12,
            },
            "axisLeft": {"titlePadding": 12},
            "legend": words | {"labelFontSize": 11},
            "title": {
                "color": INK, "font": FONT, "fontSize": 13, "fontWeight": 600,
                "subtitleColor": INK, "subtitleFont": FONT, "subtitleFontSize": 12,
            },
            "text": {"font": FONT},
        },
    }  # fmt: skip
    svg: str = vl_convert.vegalite_to_svg(
        json.dumps(whole), show_warnings=False, allowed_base_urls=[]
    )
    svg = POINT.sub(lambda match: _named(match, marks), svg)
    opening, _, rest = svg.partition(">")
    return (
        f'{opening} role="img" aria-label="{escaped(title)}">'
        f"<title>{escaped(title)}</title><desc>{escaped(summary)}</desc>{rest}"
    )


def _named(match: re.Match[str], marks: Sequence[Words]) -> str:
    words = marks[int(match["name"].removeprefix("mark "))]
    point = f"<path{match['rest']}><title>{escaped(words.text)}</title></path>"
    if not words.target:
        return point
    # Not a stop of the tabulator key: a table beside the picture holds the same links.
    return f'<a href="{escaped(words.target)}" tabindex="-1">{point}</a>'


def following_the_reader(svg: str) -> str:
    """The picture with a style of its own that turns its greys where a reader prefers dark."""
    rules = "".join(
        f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}'
        for light, dark in DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    return svg.replace("<desc>", f"{style}<desc>", 1) + "\n"
