"""A run's series as pictures: our curves with their intervals, the paper's points beside them.

A point is named by a number and a word that says what the number counts: ``2-bits``,
``25-percent``, ``4.5x``, ``tau-0.60``. Words before them (``conv2-svd-4x``) set pictures apart,
as does a metric's ``chart`` in the vocabulary; or, where the vocabulary says so, they name the
lines of one picture (``alex-6-8-pes``, ``alex-7-8-pes``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import takewhile

from benchmarks.drawing import (
    COLOURS,
    HALO,
    SHOWN_UNITS,
    Axis,
    Spec,
    Words,
    draw,
    unit_symbol,
)
from benchmarks.escape import html
from benchmarks.markup import details, figure, small, table
from benchmarks.measured_runs import MeasuredRun
from benchmarks.numbers import significant, with_symbol
from registry.record import Paper
from registry.units import Unit, from_base, to_base

WIDTH, HEIGHT, TALLER = 460, 280, 380
DODGE = 3.0
"""Pixels between series, so that their intervals stand side by side."""
MANY = 6
"""More series than these would drift apart by that, and need a taller picture and finer marks."""
LONG_NAME = 32
"""A name in the legend of more letters than this has a row of its own, whatever the font."""
DASHES: tuple[list[int], ...] = (
    [1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [10, 4], [2, 5], [8, 2, 2, 2, 2, 2], [14, 2],
)  # fmt: skip
SALTIRE = (
    "M-.9,-.55L-.55,-.9L0,-.35L.55,-.9L.9,-.55L.35,0L.9,.55L.55,.9L0,.35L-.55,.9L-.9,.55L-.35,0Z"
)
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right", "cross",
          "triangle-left", SALTIRE)  # fmt: skip
AXIS_WORDS = {"percent": "per cent", "pes": "PEs"}
JOINING = frozenset({"after", "at", "by", "for", "in", "of", "on", "the", "with", "without"})
NUMBER = re.compile(
    r"(?:(?P<before>.+?)-)??(?P<number>1-\d{1,6}|\d{1,9}(?:\.\d{1,6})?)(?P<times>x?)"
    r"(?:-(?P<after>[a-z]+(?:[-_][a-z]+)*))?"
)


@dataclass(frozen=True)
class Place:
    """Where a named point lies: on which axis, and of which group."""

    x: float
    axis: str
    """What the number counts; empty where the name does not say."""
    group: str = ""
    prefix: str = ""
    """What the name begins with that made the group, with its dash."""


@dataclass(frozen=True)
class Point:
    """A point of a series, in the picture's unit."""

    series: str
    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    is_ours: bool


@dataclass
class Picture:
    """Curves that may share their axes: one unit, one way of counting, one meaning of x."""

    title: str
    x_title: str
    unit: Unit
    points: list[Point] = field(default_factory=list)
    measure: str = ""
    """What all series measure, where their names do not say it."""

    @cached_property
    def series(self) -> list[str]:
        """Of the vocabulary's titles, in order."""
        return list(dict.fromkeys(point.series for point in self.points))

    @property
    def has_many(self) -> bool:
        return len(self.series) > MANY

    @cached_property
    def common(self) -> str:
        """Words that all titles begin with, where titles say what is measured."""
        if self.measure:
            return ""
        alike = zip(*(title.split(" ") for title in self.series), strict=False)
        whole = " ".join(words[0] for words in takewhile(lambda w: len(set(w)) == 1, alike))
        return "" if len(self.series) > 1 and whole in self.series else whole

    @property
    def y_title(self) -> str:
        """What all series measure."""
        if self.measure:
            return self.measure
        words = self.common.split(" ")
        while words and words[-1] in JOINING:
            words.pop()
        return " ".join(words) or "measured"

    def short(self, title: str) -> str:
        """A series' title for the legend, without what all begin with."""
        return title[len(self.common) :].strip() if len(self.series) > 1 else title


def place_of(point: str) -> Place | None:
    """The place that a point's name says, or None where it holds no number."""
    match = NUMBER.fullmatch(point)
    if match is None:
        return None
    before, after = match["before"] or "", match["after"] or ""
    words, prefix = before.replace("-", " ").replace("_", " "), before and f"{before}-"
    number = match["number"]
    is_share = "-" in number or (number == "1" and re.match(r"\d", before) is not None)
    if is_share:
        return Place(float(number.partition("-")[2] or 1), "1/x", words, prefix)
    if match["times"]:
        return Place(float(number), "times (×)", words, prefix)
    if not after and re.fullmatch(r"[a-z_]+", before):
        return Place(float(number), words)  # "tau-0.60": the word before names the axis
    axis = " ".join(AXIS_WORDS.get(word, word) for word in re.split("[-_]", after))
    return Place(float(number), axis, words, prefix)


def curves(paper: Paper, one: MeasuredRun) -> list[str]:
    """Each picture of the run's series with its numbers to unfold."""
    return [
        block
        for picture in pictures_of(paper, one)
        for block in (
            figure(curves_svg(picture), _caption(picture)),
            details("The numbers of this picture", numbers_table(picture)),
        )
    ]


def pictures_of(paper: Paper, one: MeasuredRun) -> list[Picture]:
    """By unit, way of counting, the vocabulary's ``chart``, axis and group."""
    found: dict[tuple[str | None, ...], Picture] = {}
    labels = {f"{row.id}-": row.label for table in paper.tables for row in table.rows if row.label}
    for key in one.metric_keys():
        estimate = one.estimate(key)
        if estimate is not None:
            ends = estimate.interval
            low, high = (ends.low, ends.high) if ends else (None, None)
            _add(found, one, key, (estimate.value, low, high), labels, is_ours=True)
    for claim in paper.claims if found else ():
        if claim.measured_as and claim.reported and paper.run_of(claim) == one.run:
            value = float(to_base(Decimal(claim.reported), claim.unit))
            _add(found, one, claim.measured_as, (value, None, None), labels, is_ours=False)
    return list(found.values())


def _add(
    found: dict[tuple[str | None, ...], Picture],
    one: MeasuredRun,
    key: str,
    values: tuple[float, float | None, float | None],
    labels: Mapping[str, str],
    *,
    is_ours: bool,
) -> None:
    """A point of a series goes into its picture; anything else is passed over.

    Args:
        labels: of the paper's rows, by what the names of their points begin with.
    """
    metric, name = one.metric(key), key.partition(".")[2]
    place = place_of(name)
    if metric is None or metric.per != "series" or place is None:
        return
    unit = SHOWN_UNITS.get(metric.unit, metric.unit)
    own, group, series = "", place.group, metric.title
    if metric.words_name == "line":
        own, group, series = key.partition(".")[0], "", labels.get(place.prefix, place.group)
        name = name.removeprefix(place.prefix)
    which = (unit, metric.counting, metric.chart, place.axis, group, own)
    if which not in found and not is_ours:
        return  # a picture of the paper's points alone compares nothing
    title = ", ".join(word for word in (one.run.title, metric.chart, group) if word)
    picture = found.setdefault(
        which, Picture(title, place.axis or "point", unit, measure=metric.title if own else "")
    )
    y, low, high = (None if value is None else from_base(value, unit) for value in values)
    assert y is not None
    picture.points.append(Point(series, name, place.x, y, low, high, is_ours))


def _caption(picture: Picture) -> str:
    papers = any(not point.is_ours for point in picture.points)
    words = "lines and filled marks are ours with 95 % intervals"
    return picture.title + f": {words}" + (", open marks the paper's points." if papers else ".")


def curves_svg(picture: Picture) -> str:
    """Our curves as lines with intervals, the paper's points as open marks."""
    points, across = (
        picture.points,
        Axis.around([p.x for p in picture.points], may_begin_at_zero=False),
    )
    heights = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    if min(p.y for p in points) > 0:  # an interval that reaches 0 is cut at the axis
        least = min(p.y for p in points) / 2
        heights = [max(v, least) for v in heights]
    up = Axis.around(heights)
    rows, words = [], []
    dodge = 0.0 if picture.has_many else DODGE
    for index, point in enumerate(points):
        shift = dodge * (picture.series.index(point.series) - (len(picture.series) - 1) / 2)
        rows.append(
            {
                "series": picture.short(point.series),
                "x": across.value(across.place(point.x) + shift / WIDTH),
                "y": point.y,
                "low": max(point.y if point.low is None else point.low, up.low),
                "high": point.y if point.high is None else point.high,
                "ours": point.is_ours,
                "name": f"mark {index}",
            }
        )
        words.append(Words(_words(picture, point)))
    height = TALLER if picture.has_many else HEIGHT
    spec = {"width": WIDTH, "height": height, "data": {"values": rows},
            "layer": _layers(picture, across, up)}  # fmt: skip
    summary = f"{len(points)} points of {len(picture.series)} series; the table has them."
    return draw(spec, picture.title, summary, words)


def _layers(picture: Picture, across: Axis, up: Axis) -> list[Spec]:
    names = [picture.short(title) for title in picture.series]
    steps = sorted({point.x for point in picture.points})
    x_axis = across.ticks_at(steps) if len(steps) <= 12 else across.ticks
    symbol = unit_symbol(picture.unit)
    y_title = f"{picture.y_title} ({symbol})" if symbol else picture.y_title
    x = {"field": "x", "type": "quantitative", "scale": across.scale, "axis": x_axis,
         "title": picture.x_title}  # fmt: skip
    y = {"type": "quantitative", "scale": up.scale, "axis": up.ticks, "title": y_title}
    columns = 1 if max(map(len, names)) > LONG_NAME else 3 if picture.has_many else 2
    legend = {"title": None, "orient": "bottom", "columns": columns,
              "columnPadding": 40, "labelLimit": 400,
              "symbolSize": 80, "symbolStrokeWidth": 0, "symbolOpacity": 1}  # fmt: skip
    look = {
        channel: {
            "field": "series", "type": "nominal",
            "legend": None if channel == "strokeDash" else legend,
            "scale": {"domain": names, "range": [each[i % len(each)] for i in range(len(names))]},
        }
        for channel, each in (("color", COLOURS), ("shape", SHAPES), ("strokeDash", DASHES))
    }  # fmt: skip
    place = {"x": x, "y": y | {"field": "y"}}
    ours, papers = ({"filter": f"{no}datum.ours"} for no in ("", "!"))
    said: Spec = {"description": {"field": "name", "type": "nominal"}}
    colour, shape = {"color": look["color"]}, {"shape": look["shape"]}
    caps: list[Spec] = [
        {"mark": {"type": "tick", "orient": "horizontal", "size": 6, "thickness": 1.5,
                  "opacity": 1},
         "encoding": {"x": x, "y": y | {"field": end}} | colour}
        for end in ("low", "high")
    ]  # fmt: skip
    bar = {
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}} | colour,
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": place | colour | {"strokeDash": look["strokeDash"]},
    }
    fine = {"strokeWidth": 0.5} if picture.has_many else {}
    filled = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "stroke": HALO} | fine,
        "encoding": place | colour | shape | said,
    }
    hollow = {"mark": {"type": "point", "filled": False, "size": 130, "strokeWidth": 2,
                       "opacity": 1},
              "encoding": place | colour | shape | said}  # fmt: skip
    return [
        *({"transform": [ours]} | layer for layer in (bar, *caps, line, filled)),
        {"transform": [papers]} | hollow,
    ]


def _words(picture: Picture, point: Point) -> str:
    value = with_symbol(significant(point.y), picture.unit)
    if not point.is_ours:
        return f"{point.series}, {point.name}: the paper's {value}"
    ends = "" if point.low is None or point.high is None else f" {_ends(point)}"
    return f"{point.series}, {point.name}: ours {value}{ends}"


def _ends(point: Point) -> str:
    assert point.low is not None
    assert point.high is not None
    return f"[{significant(point.low)}, {significant(point.high)}]"


def numbers_table(picture: Picture) -> str:
    """A row a point, a column a series: ours with its interval, the paper's beneath."""
    names = list(
        dict.fromkeys(point.name for point in sorted(picture.points, key=lambda point: point.x))
    )
    cells = {(point.name, point.series, point.is_ours): point for point in picture.points}
    rows = [
        [
            html(name),
            *(
                _cell(cells.get((name, series, True)), cells.get((name, series, False)))
                for series in picture.series
            ),
        ]
        for name in names
    ]
    symbol = small(html(unit_symbol(picture.unit)))
    headers = ["Point", *(html(series) + symbol for series in picture.series)]
    return table(headers, rows, label=picture.title, align="l" + "r" * len(picture.series))


def _cell(ours: Point | None, papers: Point | None) -> str:
    shown = "–" if ours is None else html(significant(ours.y))
    if ours is not None and ours.low is not None and ours.high is not None:
        shown += small(html(_ends(ours)))
    return shown + (small(html(f"paper: {significant(papers.y)}")) if papers else "")
