"""Claimed against measured, and bytes by part, as pictures.

One panel holds one unit and one way of counting. Verdicts differ by shape as well as by colour,
and what is missed says so beside its mark.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.drawing import (
    COLOURS,
    HALO,
    INK,
    LINE,
    SHOWN_UNITS,
    Axis,
    Spec,
    Words,
    draw,
    following_the_reader,
    unit_symbol,
    unit_words,
)
from benchmarks.numbers import significant
from benchmarks.standing import Standing
from benchmarks.verdict import Verdict
from registry.units import SYMBOLS, Unit, from_base

VERDICT_LOOKS: Mapping[Verdict, tuple[str, str]] = {
    "reproduced": ("circle", "#1a936f"),
    "better": ("triangle-up", "#3d7fd0"),
    "missed": (
        "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z",
        "#d1495b",
    ),
    "inconclusive": ("diamond", "#a87b08"),
}
"""Shape and colour of a mark: the shapes of the words' signs."""
WORDS_BESIDE = frozenset({"missed", "inconclusive"})
COUNTING_TITLES = {
    "paper": "counted as the papers do",
    "file": "counted as bytes of the file",
    "parameters": "counted in parameters",
    None: "no counting rule",
}
SIDE = 230
RADIUS = 5.0
"""Of a mark, in the picture's pixels, as is ``SIDE``."""
LONG_TITLE = 40
"""Letters of a panel's title that fit above it."""
LETTER = 6.0
"""Width of a letter beside a mark."""
STEP = 6.0
"""How far marks that would hide each other stand apart."""
STEPS = tuple(sign * step * STEP for step in range(4) for sign in (1, -1))


@dataclass(frozen=True)
class Mark:
    """A claim with a published measurement, in the panel's unit."""

    label: str
    paper: str
    claim: str
    claimed: float
    measured: float
    low: float
    high: float
    verdict: str

    def words(self, unit: Unit) -> str:
        """Everything that the mark shows."""
        symbol = SYMBOLS[unit]
        claimed, measured, low, high = (
            significant(value) for value in (self.claimed, self.measured, self.low, self.high)
        )
        symbol = symbol if symbol in ("", "×") else f" {symbol}"
        return (
            f"{self.label} ({self.paper}) Claimed {claimed}{symbol}, measured {measured}{symbol} "
            f"[{low}, {high}]: {self.verdict}."
        )


@dataclass(frozen=True)
class Panel:
    """Marks that may share an axis: one unit, one way of counting."""

    unit: Unit
    counting: str | None
    marks: tuple[Mark, ...]

    @property
    def title(self) -> str:
        words = f"{unit_words(self.unit)}, {COUNTING_TITLES[self.counting]}"
        return words[:1].upper() + words[1:]

    @cached_property
    def axis(self) -> Axis:
        """One for both directions."""
        return Axis.around([v for m in self.marks for v in (m.claimed, m.measured, m.low, m.high)])

    @property
    def tally(self) -> str:
        """How many marks, by verdict."""
        counts: dict[str, int] = {}
        for mark in self.marks:
            counts[mark.verdict] = counts.get(mark.verdict, 0) + 1
        words = ", ".join(f"{count} {word}" for word, count in counts.items())
        claims = "1 claim" if len(self.marks) == 1 else f"{len(self.marks)} claims"
        return f"{claims}: {words}."

    @property
    def summary(self) -> str:
        """What the picture shows, in words."""
        return f"{self.title}. {self.tally}"


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
            standing.paper.id,
            claim.id,
            claimed=from_base(reported, unit),
            measured=from_base(measured, unit),
            low=from_base(low, unit),
            high=from_base(high, unit),
            verdict=judged.verdict,
        )
        grouped.setdefault((unit, claim.counting), []).append(mark)
    return [Panel(unit, counting, tuple(marks)) for (unit, counting), marks in grouped.items()]


def panel_svg(panel: Panel, pages: str | None = None) -> str:
    """One panel, to stand in a page that has a legend of its own.

    Args:
        pages: where the papers' pages lie from there, such as ``papers/``; each mark leads to
            its claim. Empty on the paper's own page; None for no links.
    """
    targets = [_target(mark, pages) for mark in panel.marks]
    words = [Words(m.words(panel.unit), t) for m, t in zip(panel.marks, targets, strict=True)]
    return draw(_panel_spec(panel), panel.title, panel.summary, words)


def _target(mark: Mark, pages: str | None) -> str:
    if pages is None:
        return ""
    return f"{pages}{mark.paper}.html#claim-{mark.claim}" if pages else f"#claim-{mark.claim}"


def claimed_svg(standings: Sequence[Standing]) -> str:
    """All panels in one picture that stands alone and follows the reader's light or dark."""
    panels = panels_of(standings)
    if not panels:
        spec, summary = _nothing_yet(len(standings)), "No published result yet."
        return following_the_reader(draw(spec, "Claimed against measured", summary))
    shown: list[Spec] = []
    words: list[Words] = []
    for panel in panels:
        shown.append(_panel_spec(panel, legend=True, first=len(words)))
        words += [Words(mark.words(panel.unit)) for mark in panel.marks]
    spec = {"concat": shown, "columns": min(3, len(shown)), "spacing": 28}
    summary = " ".join(panel.summary for panel in panels)
    return following_the_reader(draw(spec, "Claimed against measured", summary, words))


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
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(parts))]
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
    return draw(spec, title, f"{total:,.0f} bytes in {len(sizes)} layers; the table has them.")


@dataclass(frozen=True)
class Placed:
    """A mark with the places of its ends in pixels from the lower left corner."""

    mark: Mark
    x: float
    """Beside its true place where another mark would hide it."""
    y: float
    low: float
    high: float

    def meets(self, other: "Placed") -> bool:
        return (
            abs(self.x - other.x) < STEP - 0.5
            and self.low - RADIUS < other.high + RADIUS
            and other.low - RADIUS < self.high + RADIUS
        )


def placed(panel: Panel) -> list[Placed]:
    """The marks in their order, those side by side that would hide each other."""
    axis, found = panel.axis, list[Placed]()
    for mark in panel.marks:
        x, y, low, high = (
            SIDE * axis.place(v) for v in (mark.claimed, mark.measured, mark.low, mark.high)
        )
        tries = [Placed(mark, x + step, y, low, high) for step in STEPS if 0 <= x + step <= SIDE]
        free = (one for one in tries if not any(one.meets(other) for other in found))
        found.append(next(free, tries[0]))
    return found


@dataclass(frozen=True)
class Label:
    """A verdict's word beside its mark, as a box in pixels."""

    mark: Placed
    align: str
    left: float

    @property
    def right(self) -> float:
        return self.left + LETTER * len(self.mark.mark.verdict)

    def covers(self, other: Placed) -> bool:
        beside = self.right < other.x - RADIUS or other.x + RADIUS < self.left
        return not beside and other.low - RADIUS < self.mark.y + 6 and self.mark.y - 6 < (
            other.high + RADIUS
        )  # fmt: skip

    def meets(self, other: "Label") -> bool:
        beside = self.right < other.left or other.right < self.left
        return not beside and abs(self.mark.y - other.mark.y) < 12


def labels(marks: Sequence[Placed]) -> Iterator[Label]:
    """Words for what is missed or inconclusive, where there is room; the mark's title has them."""
    taken: list[Label] = []
    for one in marks:
        if one.mark.verdict not in WORDS_BESIDE:
            continue
        width, gap = LETTER * len(one.mark.verdict), RADIUS + 4
        for label in (Label(one, "left", one.x + gap), Label(one, "right", one.x - gap - width)):
            outside = label.left < 0 or label.right > SIDE
            hidden = any(label.covers(other) for other in marks if other is not one)
            if not outside and not hidden and not any(label.meets(other) for other in taken):
                taken.append(label)
                yield label
                break


def _panel_spec(panel: Panel, *, legend: bool = False, first: int = 0) -> Spec:
    """The panel; ``first`` is the number of its first mark."""
    axis, marks = panel.axis, placed(panel)
    colour, shape = _looks(legend)
    symbol = unit_symbol(panel.unit)
    both = {"type": "quantitative", "scale": axis.scale, "axis": axis.ticks}
    x = both | {"field": "x", "title": f"claimed ({symbol})"}
    y = both | {"field": "measured", "title": f"measured ({symbol})"}
    rows = [
        vars(one.mark) | {"x": axis.value(one.x / SIDE), "name": f"mark {first + index}"}
        for index, one in enumerate(marks)
    ]
    ends = [{"x": value, "measured": value} for value in (axis.low, axis.high)]
    layers: list[Spec] = [
        {
            "data": {"values": ends},
            "mark": {"type": "line", "strokeDash": [4, 3], "color": LINE, "strokeWidth": 1},
            "encoding": {"x": x, "y": y},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"},
                         "color": colour},
        },
        *(
            {
                "mark": {"type": "tick", "orient": "horizontal", "size": 6, "thickness": 2,
                         "opacity": 1},
                "encoding": {"x": x, "y": y | {"field": end}, "color": colour},
            }
            for end in ("low", "high")
        ),
        {
            "mark": {"type": "point", "filled": True, "size": 84, "opacity": 1, "stroke": HALO,
                     "strokeWidth": 1},
            "encoding": {"x": x, "y": y, "color": colour, "shape": shape,
                         "description": {"field": "name", "type": "nominal"}},
        },
        *_label_layers(axis, marks, x, y),
    ]  # fmt: skip
    unit, counting = panel.title.split(", ", 1)
    lines = unit.replace(" (", "\n(").split("\n") if len(unit) > LONG_TITLE else [unit]
    title = {"text": lines, "subtitle": counting, "anchor": "start", "offset": 8}
    return {"title": title, "width": SIDE, "height": SIDE, "data": {"values": rows},
            "layer": layers}  # fmt: skip


def _looks(legend: bool) -> tuple[Spec, Spec]:
    """Encodings of colour and shape, which share one legend."""
    shapes, colours = zip(*VERDICT_LOOKS.values(), strict=True)
    encodings = [
        {
            "field": "verdict",
            "type": "nominal",
            "scale": {"domain": list(VERDICT_LOOKS), "range": list(looks)},
            "legend": {"title": None, "orient": "bottom", "columns": 4, "symbolSize": 70}
            if legend
            else None,
        }
        for looks in (colours, shapes)
    ]
    return encodings[0], encodings[1]


def _label_layers(axis: Axis, marks: Sequence[Placed], x: Spec, y: Spec) -> Iterator[Spec]:
    for label in labels(marks):
        at = {"x": axis.value(label.mark.x / SIDE), "measured": label.mark.mark.measured}
        shift = (RADIUS + 3) * (1 if label.align == "left" else -1)
        yield {
            "data": {"values": [at]},
            "mark": {
                "type": "text", "text": label.mark.mark.verdict, "align": label.align,
                "dx": shift, "fontSize": 11, "color": INK,
            },
            "encoding": {"x": x, "y": y},
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
