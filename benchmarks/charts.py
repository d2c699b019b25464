"""Pictures as SVG: Vega-Lite specifications, drawn without a browser and without a network.

One panel holds one unit and one way of counting. Verdicts differ by shape as well as by colour.
Grey tones are named below, so that a style sheet can turn them in a dark page.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from benchmarks.escape import html as escaped
from benchmarks.standing import Standing
from benchmarks.verdict import Verdict
from registry.units import SYMBOLS, Unit, base_unit, from_base

Spec = dict[str, Any]

INK, LINE, FAINT = "#404040", "#8c8c8c", "#d9d9d9"
"""Text, axes and grid: nothing else in a picture has these colours."""
DARK = {INK: "#dedede", LINE: "#8c8c8c", FAINT: "#4a4a4a"}
VERDICT_LOOKS: Mapping[Verdict, tuple[str, str]] = {
    "reproduced": ("circle", "#1a936f"),
    "better": ("triangle-up", "#3d7fd0"),
    "missed": ("cross", "#d1495b"),
    "inconclusive": ("diamond", "#b8860b"),
}
PART_COLOURS = (
    "#3d7fd0", "#e08e45", "#1a936f", "#9a5fb5", "#c9ac22", "#d1495b", "#4fb3bf", "#8a6d5b",
)  # fmt: skip
SHOWN_UNITS: Mapping[Unit, Unit] = {
    "fraction": "percent",
    "bytes": "kilobytes", "megabytes": "kilobytes",
    "thousands": "count", "millions": "count", "billions": "count",
    "seconds": "microseconds", "milliseconds": "microseconds",
    "watts": "milliwatts", "joules": "microjoules", "picojoules": "microjoules",
}  # fmt: skip
"""Units of one kind share a panel, shown in one of them."""
LINEAR = frozenset({"percent", "percentage_points", "bits", "bits_per_weight"})
COUNTING_TITLES = {
    "paper": "counted as the papers do",
    "file": "bytes of the file",
    "parameters": "counted in parameters",
    None: "",
}
SIDE = 230
FONT = "system-ui, sans-serif"


@dataclass(frozen=True)
class Mark:
    """A claim with a published measurement, in the panel's unit."""

    label: str
    claimed: float
    measured: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Panel:
    """Marks that may share an axis: one unit, one way of counting."""

    unit: Unit
    counting: str | None
    marks: tuple[Mark, ...]

    @property
    def title(self) -> str:
        words = self.unit.replace("_", " ").replace("percent", "per cent")
        counted = COUNTING_TITLES[self.counting]
        return f"{words}, {counted}" if counted else words

    @property
    def is_logarithmic(self) -> bool:
        return self.unit not in LINEAR and all(
            min(mark.claimed, mark.low) > 0 for mark in self.marks
        )

    @property
    def limits(self) -> tuple[float, float]:
        """One range for both axes."""
        values = [v for m in self.marks for v in (m.claimed, m.measured, m.low, m.high)]
        low, high = min(values), max(values)
        if self.is_logarithmic:
            return low / 1.3, high * 1.3
        margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return (0.0 if 0 <= low < high / 3 else low - margin), high + margin

    @property
    def summary(self) -> str:
        """What the picture shows, in words."""
        counts: dict[str, int] = {}
        for mark in self.marks:
            counts[mark.verdict] = counts.get(mark.verdict, 0) + 1
        words = ", ".join(f"{count} {word}" for word, count in counts.items())
        claims = "1 claim" if len(self.marks) == 1 else f"{len(self.marks)} claims"
        return f"{self.title[:1].upper()}{self.title[1:]}: {claims}, {words}."


def panels_of(standings: Sequence[Standing]) -> list[Panel]:
    """The measured claims with a reported value, by unit and counting; never an analogue,
    and nothing that holds by construction: it would stand on the diagonal without meaning it."""
    grouped: dict[tuple[Unit, str | None], list[Mark]] = {}
    for standing in standings:
        claim, judged = standing.claim, standing.judgement
        reported, measured = standing.reported, judged.measured
        fits = reported is not None and measured is not None and judged.verdict in VERDICT_LOOKS
        if claim.check == "analogue" or standing.holds_by_construction or not fits:
            continue
        assert reported is not None
        assert measured is not None
        unit = SHOWN_UNITS.get(claim.unit, claim.unit)
        low = measured if judged.low is None else judged.low
        high = measured if judged.high is None else judged.high
        mark = Mark(
            claim.statement,
            claimed=from_base(reported, unit),
            measured=from_base(measured, unit),
            low=from_base(low, unit),
            high=from_base(high, unit),
            verdict=judged.verdict,
        )
        grouped.setdefault((unit, claim.counting), []).append(mark)
    return [Panel(unit, counting, tuple(marks)) for (unit, counting), marks in grouped.items()]


def panel_svg(panel: Panel) -> str:
    """One panel, to stand in a page that has a legend of its own."""
    return _draw(_panel_spec(panel, legend=False), panel.title, panel.summary)


def claimed_svg(standings: Sequence[Standing]) -> str:
    """All panels in one picture that stands alone and follows the reader's light or dark."""
    panels = panels_of(standings)
    if not panels:
        spec, summary = _nothing_yet(len(standings)), "No published result yet."
    else:
        shown = [_panel_spec(panel, legend=True) for panel in panels]
        spec = {"concat": shown, "columns": min(3, len(shown)), "spacing": 28}
        summary = " ".join(panel.summary for panel in panels)
    svg = _draw(spec, "Claimed against measured", summary)
    rules = "".join(
        f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}'
        for light, dark in DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    return svg.replace("<desc>", f"{style}<desc>", 1) + "\n"


def parts_svg(sizes: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Stacked bars: bytes of the file by part, a bar a layer.

    Args:
        sizes: by layer, then by part, in bytes.
    """
    rows = [
        {"layer": layer, "part": part, "bytes": size}
        for layer, parts in sizes.items()
        for part, size in parts.items()
    ]
    parts = list(dict.fromkeys(row["part"] for row in rows))
    colours = [PART_COLOURS[index % len(PART_COLOURS)] for index in range(len(parts))]
    spec = {
        "data": {"values": rows},
        "width": 460,
        "height": {"step": 24},
        "mark": "bar",
        "encoding": {
            "y": {"field": "layer", "type": "nominal", "sort": None, "title": None},
            "x": {"field": "bytes", "type": "quantitative", "title": "bytes of the file"},
            "color": {
                "field": "part",
                "type": "nominal",
                "sort": None,
                "scale": {"domain": parts, "range": colours},
                "legend": {"title": None, "orient": "bottom", "columns": 4},
            },
        },
    }
    total = sum(sum(parts.values()) for parts in sizes.values())
    return _draw(spec, title, f"{total:,.0f} bytes in {len(sizes)} layers; the table has them.")


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve."""

    series: str
    x: float
    y: float
    source: str
    """``ours`` or ``paper``."""


def curves_svg(points: Sequence[CurvePoint], title: str, x_title: str, unit: Unit) -> str:
    """Our curves as lines, the paper's points as open marks."""
    shown = SHOWN_UNITS.get(unit, unit)
    rows = [
        {"series": p.series, "x": p.x, "y": from_base(p.y, shown), "source": p.source}
        for p in points
    ]
    series = list(dict.fromkeys(point.series for point in points))
    colours = [PART_COLOURS[index % len(PART_COLOURS)] for index in range(len(series))]
    colour = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": series, "range": colours},
        "legend": {"title": None, "orient": "bottom", "columns": 2, "labelLimit": 300},
    }
    axes = {
        "x": {"field": "x", "type": "quantitative", "title": x_title, "scale": {"zero": False}},
        "y": {"field": "y", "type": "quantitative", "title": _axis_title(shown)},
        "color": colour,
    }
    spec = {
        "data": {"values": rows},
        "width": 460,
        "height": 260,
        "layer": [
            {
                "transform": [{"filter": f"datum.source == '{source}'"}],
                "mark": mark,
                "encoding": axes,
            }
            for source, mark in (
                ("ours", {"type": "line", "point": {"filled": True}}),
                ("paper", {"type": "point", "filled": False, "size": 90, "strokeWidth": 2}),
            )
        ],
    }
    return _draw(spec, title, f"{len(points)} points of {len(series)} series.")


def _axis_title(unit: Unit) -> str:
    return SYMBOLS[unit] or base_unit(unit).replace("_", " ")


def _panel_spec(panel: Panel, *, legend: bool) -> Spec:
    low, high = panel.limits
    scale: Spec = {"type": "log" if panel.is_logarithmic else "linear"}
    scale |= {"domain": [low, high], "nice": False, "zero": False}
    axis = {"tickCount": 5, "labelOverlap": True}
    verdicts = list(VERDICT_LOOKS)
    colour: Spec = {
        "field": "verdict",
        "type": "nominal",
        "scale": {"domain": verdicts, "range": [look[1] for look in VERDICT_LOOKS.values()]},
        "legend": {"title": None, "orient": "bottom", "columns": 4} if legend else None,
    }
    shape = colour | {
        "scale": {"domain": verdicts, "range": [look[0] for look in VERDICT_LOOKS.values()]}
    }
    symbol = _axis_title(panel.unit)
    x = {"field": "claimed", "type": "quantitative", "scale": scale, "axis": axis}
    y = {"type": "quantitative", "scale": scale, "axis": axis, "title": f"measured ({symbol})"}
    x_titled = x | {"title": f"claimed ({symbol})"}
    ends = [{"claimed": low, "measured": low}, {"claimed": high, "measured": high}]
    return {
        "title": panel.title,
        "width": SIDE,
        "height": SIDE,
        "data": {"values": [vars(mark) for mark in panel.marks]},
        "layer": [
            {
                "data": {"values": ends},
                "mark": {"type": "line", "strokeDash": [4, 3], "color": LINE, "strokeWidth": 1},
                "encoding": {"x": x_titled, "y": y | {"field": "measured"}},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {
                    "x": x_titled, "y": y | {"field": "low"}, "y2": {"field": "high"},
                    "color": colour,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.9},
                "encoding": {
                    "x": x_titled, "y": y | {"field": "measured"}, "color": colour,
                    "shape": shape, "description": {"field": "label"},
                },
            },
        ],
    }  # fmt: skip


def _nothing_yet(claims: int) -> Spec:
    """Axes with the diagonal, and a word on why there is no mark."""
    words = ["No full-scale result is published yet.", f"{claims} claims wait for theirs."]
    axis = {"labels": False, "ticks": False, "grid": False}
    ends = [{"claimed": 0, "measured": 0}, {"claimed": 1, "measured": 1}]
    x = {"field": "claimed", "type": "quantitative", "axis": axis, "title": "claimed"}
    y = {"field": "measured", "type": "quantitative", "axis": axis, "title": "measured"}
    return {
        "width": 2 * SIDE,
        "height": SIDE,
        "encoding": {"x": x, "y": y},
        "layer": [
            {
                "data": {"values": ends},
                "mark": {"type": "line", "strokeDash": [4, 3], "color": LINE, "strokeWidth": 1},
            },
            {
                "data": {"values": [{"claimed": 0.4, "measured": 0.85}]},
                "mark": {"type": "text", "text": words, "fontSize": 13, "color": INK},
            },
        ],
    }


def _draw(spec: Spec, title: str, summary: str) -> str:
    """The picture with a title and a description for those who do not see it."""
    words = {"labelColor": INK, "titleColor": INK, "labelFont": FONT, "titleFont": FONT}
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": None,
        "padding": 4,
        **spec,
        "config": {
            "view": {"stroke": None},
            "axis": words | {
                "domainColor": LINE, "tickColor": LINE, "gridColor": FAINT,
                "titleFontWeight": "normal",
            },
            "legend": words,
            "title": {"color": INK, "font": FONT, "fontSize": 12, "fontWeight": 600},
            "text": {"font": FONT},
        },
    }  # fmt: skip
    svg: str = vl_convert.vegalite_to_svg(
        json.dumps(whole), show_warnings=False, allowed_base_urls=[]
    )
    opening, _, rest = svg.partition(">")
    return (
        f'{opening} role="img" aria-label="{escaped(title)}">'
        f"<title>{escaped(title)}</title><desc>{escaped(summary)}</desc>{rest}"
    )
