"""Pictures: marks apart, words beside shapes, curves by their points' names; directions."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.benchmark import Measurement
from benchmarks.charts import SIDE, STEP, Mark, Panel, labels, panel_svg, placed
from benchmarks.curves import (
    HEIGHT,
    WIDTH,
    Picture,
    Point,
    curves_svg,
    numbers_table,
    pictures_of,
    place_of,
)
from benchmarks.directions import direction_table, directions, our_direction, papers_direction
from benchmarks.drawing import COLOURS, DARK, HALO, Axis
from benchmarks.measured_runs import MeasuredRun
from benchmarks.result import Identity, Provenance, Result
from benchmarks.standing import Standing
from benchmarks.verdict import Judgement
from registry.catalog import load_catalog
from registry.record import Claim, Ordering, Paper
from registry.runs import Run
from registry.vocabulary import BenchmarkEntry, Metric

VALUES = st.floats(min_value=1e-3, max_value=1e6, allow_nan=False)


def mark(claimed: float, measured: float, verdict: str = "reproduced", half: float = 0.0) -> Mark:
    return Mark("A <claim>.", "2016-a", "a-claim", claimed, measured, measured - half,
                measured + half, verdict)  # fmt: skip


def local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def marks_of(svg: str) -> list[Any]:
    """The points of a picture: paths with a title of their own."""
    root = ElementTree.fromstring(svg)
    return [e for e in root.iter() if local(e) == "path" and [c for c in e if local(c) == "title"]]


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_an_axis_holds_its_values_and_gives_them_back(values: list[float]) -> None:
    axis = Axis.around(values)
    for value in values:
        assert 0 <= axis.place(value) <= 1
        assert axis.value(axis.place(value)) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert axis.is_logarithmic == (max(values) / min(values) >= 8)
    if axis.is_logarithmic:
        assert axis.ticks["values"]
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks["values"])


@settings(max_examples=40)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=12))
def test_marks_keep_their_height_and_leave_their_place_by_little(pairs: Any) -> None:
    panel = Panel("ratio", "file", tuple(mark(a, b) for a, b in pairs))
    for one in placed(panel):
        assert one.y == pytest.approx(SIDE * panel.axis.place(one.mark.measured))
        assert abs(one.x - SIDE * panel.axis.place(one.mark.claimed)) <= 3 * STEP + 1e-9
        assert -1e-9 <= one.x <= SIDE + 1e-9


def test_labels_of_an_axis_are_short_where_numbers_are_long() -> None:
    assert Axis.around([84e6, 336e6]).ticks["format"] == "~s"
    assert Axis.around([5e3, 550e3]).ticks["format"] != "~s"


def test_marks_that_would_hide_each_other_stand_apart() -> None:
    panel = Panel("ratio", "paper", (*(mark(10, 10, half=1) for _ in range(5)), mark(20, 20)))
    places = [one.x for one in placed(panel)]
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) >= STEP - 1e-9


def test_what_is_missed_says_so_in_a_word_and_what_is_reproduced_needs_none() -> None:
    panel = Panel("bits", None, (mark(4, 5, "missed"), mark(5, 5), mark(6, 4.5, "inconclusive")))
    assert [one.mark.mark.verdict for one in labels(placed(panel))] == ["missed", "inconclusive"]
    texts = [e.text for e in ElementTree.fromstring(panel_svg(panel)).iter() if local(e) == "text"]
    assert texts.count("missed") == 1
    assert "reproduced" not in texts
    assert {"Bits", "no counting rule"} <= set(texts)


def test_words_beside_marks_do_not_cover_each_other() -> None:
    crowd = Panel("bits", None, tuple(mark(4 + i / 20, 5, "missed", 0.2) for i in range(8)))
    boxes = sorted((one.left, one.right) for one in labels(placed(crowd)))
    assert boxes
    assert all(left[1] <= right[0] for left, right in pairwise(boxes))


def test_each_mark_names_its_claim_and_leads_to_it() -> None:
    panel = Panel("percent", "paper", (mark(20, 24.5, "better", 1.2), mark(2, 2)))
    svg = panel_svg(panel, "papers/")
    titles = ["".join(one.itertext()) for one in marks_of(svg)]
    assert titles[0] == "A <claim>. (2016-a) Claimed 20 %, measured 24.5 % [23.3, 25.7]: better."
    assert len(titles) == 2
    assert re.findall(r'<a href="([^"]+)"', svg) == ["papers/2016-a.html#claim-a-claim"] * 2
    assert re.findall(r'<a href="([^"]+)"', panel_svg(panel, "")) == ["#claim-a-claim"] * 2
    assert "<a " not in panel_svg(panel)


def test_verdicts_differ_by_shape_alone() -> None:
    words = ("reproduced", "better", "missed", "inconclusive")
    panel = Panel("ratio", "file", tuple(mark(10 + i, 10 + i, w) for i, w in enumerate(words)))
    shapes = {one.get("d") for one in marks_of(panel_svg(panel))}
    assert len(shapes) == 4


@pytest.mark.parametrize(
    ("name", "x", "axis", "group"),
    [
        ("2-bits", 2, "bits", ""),
        ("12.5", 12.5, "", ""),
        ("25-percent", 25, "per cent", ""),
        ("4.5x", 4.5, "times (×)", ""),
        ("conv2-svd-4x", 4, "times (×)", "conv2 svd"),
        ("tau-0.60", 0.6, "tau", ""),
        ("3-layers", 3, "layers", ""),
        ("3-layers-1-64", 64, "1/x", "3 layers"),
        ("3-layers-1", 1, "1/x", "3 layers"),
    ],
)
def test_a_points_name_says_its_place(name: str, x: float, axis: str, group: str) -> None:
    found = place_of(name)
    assert found is not None
    assert (found.x, found.axis, found.group) == (x, axis, group)


@pytest.mark.parametrize("name", ["", "third", "little-text", "conv2", "1e400", "-", "9" * 400])
def test_a_name_without_a_number_has_no_place(name: str) -> None:
    assert place_of(name) is None


METRICS = {
    "error_linear": ("test error with linear initialisation", "initialisations"),
    "error_random": ("test error with random initialisation", "initialisations"),
    "error_quantized": ("test error quantized without pruning", "pruning"),
}
POINTS = {"2-bits": 0.2, "3-bits": 0.05, "8-bits": 0.016}


def sweep() -> tuple[Paper, MeasuredRun]:
    """A run of three seeds, and a paper that claims one of its points."""
    entry = BenchmarkEntry(
        title="A sweep", kind="file", status="built", data=("mnist",), about="Bits.",
        metrics={
            name: Metric(title=title, unit="fraction", direction="lower", interval="binomial",
                         per="series", chart=chart)
            for name, (title, chart) in METRICS.items()
        },
    )  # fmt: skip
    run = Run(name="sweep", title="Sweep", benchmark="lenet-quantization-sweep")
    paper = load_catalog().get("2016-deep-compression")
    claim = next(c for c in paper.claims if c.reported and c.metric).model_copy(
        update={"benchmark": run.benchmark, "run": run.name, "metric": "error_linear",
                "layer": "3-bits", "reported": "6", "unit": "percent"}
    )  # fmt: skip
    paper = paper.model_copy(update={"runs": (run,), "claims": (claim,)})
    results = tuple(result_of(run, seed) for seed in range(3))
    return paper, MeasuredRun(run, entry, (), results)


def result_of(run: Run, seed: int) -> Result:
    metrics = {
        f"{metric}.{point}": Measurement(value=y * (1 + seed / 100), unit="fraction", n=10_000)
        for metric in METRICS
        for point, y in POINTS.items()
    }
    return Result(
        identity=Identity(paper="2016-deep-compression", benchmark=run.benchmark, run=run.name,
                          scale="full", seed=seed, data="mnist"),
        fingerprint=f"{seed:064x}", configuration={}, method_revision=1, benchmark_revision=1,
        data_digests={}, outcome="done", metrics=metrics,
        provenance=Provenance(commit=None, dirty=None, packages={}, python="3", cpu="x", threads=1,
                              started="2026-01-01T00:00:00Z", seconds=1.0, source_digest="0" * 64),
    )  # fmt: skip


def test_curves_share_a_picture_by_chart_and_axis() -> None:
    first, second = pictures_of(*sweep())
    assert (first.title, second.title) == ("Sweep, initialisations", "Sweep, pruning")
    assert first.x_title == "bits"
    assert [first.short(title) for title in first.series] == [
        "linear initialisation", "random initialisation",
    ]  # fmt: skip
    assert first.y_title == "test error"
    ours = [p for p in first.points if p.is_ours and p.series.endswith("linear initialisation")]
    assert [(p.x, round(p.y, 3)) for p in ours] == [(2, 20.2), (3, 5.05), (8, 1.616)]
    assert all(p.low is not None and p.low < p.y for p in ours)
    papers = [p for p in first.points if not p.is_ours]
    assert [(p.x, p.y) for p in papers] == [(3, 6.0)]
    assert [p for p in second.points if not p.is_ours] == []


def test_a_curve_differs_by_dash_and_shape_and_the_papers_point_is_open() -> None:
    svg = curves_svg(pictures_of(*sweep())[0])
    lines = re.findall(r'aria-roledescription="line mark"[^>]*?stroke-dasharray="([^"]+)"', svg)
    assert len(set(lines)) == 2
    points = marks_of(svg)
    assert len(points) == 7
    hollow = [p for p in points if p.get("fill") in (None, "none", "transparent")]
    assert ["".join(p.itertext()) for p in hollow] == [
        "test error with linear initialisation, 3-bits: the paper's 6 %"
    ]
    filled = {(p.get("d"), p.get("fill")) for p in points if p not in hollow}
    assert len({d for d, _ in filled}) == len({fill for _, fill in filled}) == 2
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if local(e) == "text"]
    assert {"bits", "test error (%)", "linear initialisation", "2", "3", "8"} <= set(texts)


def test_the_numbers_stand_under_the_picture() -> None:
    table = numbers_table(pictures_of(*sweep())[0])
    row = next(line for line in table.splitlines() if "<td>3-bits</td>" in line)
    assert "5.05<" in row
    assert "paper: 6<" in row
    assert row.count("[") == 2


def test_an_interval_that_reaches_zero_is_drawn_on_a_logarithmic_axis() -> None:
    points = [Point("a", "2-bits", 2, 20, 19, 21, True), Point("a", "8-bits", 8, 0.1, 0, 0.2, True)]
    svg = curves_svg(Picture("t", "bits", "percent", points))
    caps = re.findall(r'aria-roledescription="tick" d="M([\d.]+),([\d.]+)h', svg)
    heights = {float(y) for x, y in caps if float(x) > WIDTH / 2}
    assert max(heights) == pytest.approx(HEIGHT, abs=1)
    assert HEIGHT / 2 < min(heights) < HEIGHT - 20


def lines() -> tuple[Paper, MeasuredRun]:
    """The nine layers of a paper over PEs, two metrics that are pictures of their own."""
    paper = load_catalog().get("2016-eie")
    table = paper.table("table-3")
    assert table is not None
    entry = BenchmarkEntry(
        title="A machine", kind="simulation", status="built", about="PEs.",
        metrics={
            name: Metric(title=title, unit="ratio", direction="higher", per="series",
                         words_name="line")
            for name, title in (("speedup", "speed-up over 1 PE"), ("balance", "load balance"))
        },
    )  # fmt: skip
    run = Run(name="machine", title="Nine layers", benchmark="eie-machine")
    results = []
    for seed in range(3):
        metrics = {
            f"{metric}.{row.id}-{pes}-pes": Measurement(
                value=pes - i / 50 + seed / 99, unit="ratio"
            )
            for metric in entry.metrics
            for i, row in enumerate(table.rows)
            for pes in (1, 8, 64)
        }
        results.append(result_of(run, seed).model_copy(update={"metrics": metrics}))
    return paper.model_copy(update={"claims": ()}), MeasuredRun(run, entry, (), tuple(results))


def test_words_may_name_the_lines_of_one_picture() -> None:
    first, second = pictures_of(*lines())
    assert first.series == ["Alex-6", "Alex-7", "Alex-8", "VGG-6", "VGG-7", "VGG-8", "NT-We",
                            "NT-Wd", "NT-LSTM"]  # fmt: skip
    assert [first.short(name) for name in first.series] == first.series
    assert (first.y_title, second.y_title) == ("speed-up over 1 PE", "load balance")
    assert first.x_title == "PEs"
    assert {point.name for point in first.points} == {"1-pes", "8-pes", "64-pes"}
    table = numbers_table(first)
    assert table.count("<tr>") == 1 + 3
    assert table.count("<td") == 3 * 10


def test_nine_lines_differ_by_colour_dash_and_shape() -> None:
    svg = curves_svg(pictures_of(*lines())[0])
    dashes = re.findall(r'aria-roledescription="line mark"[^>]*?stroke-dasharray="([^"]+)"', svg)
    assert len(dashes) == len(set(dashes)) == 9
    points = marks_of(svg)
    assert len(points) == 27
    assert len({point.get("fill") for point in points}) == 9
    assert len({point.get("d") for point in points}) == 9
    texts = {e.text for e in ElementTree.fromstring(svg).iter() if local(e) == "text"}
    assert {"Alex-6", "NT-LSTM", "PEs", "speed-up over 1 PE (×)", "1", "8", "64"} <= texts
    across = {float(point.get("transform").split("(")[1].split(",")[0]) for point in points}
    assert len(across) == 3  # so many series are not moved aside


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("page", ["#ffffff", DARK[HALO]])
def test_colours_stand_off_from_the_page(colour: str, page: str) -> None:
    light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_only_a_series_has_a_chart() -> None:
    with pytest.raises(ValidationError, match="only a series has a chart"):
        Metric(title="an error", unit="fraction", direction="lower", chart="a picture")
    with pytest.raises(ValidationError):
        Metric(title="an error", unit="fraction", direction="lower", per="series", chart="x" * 999)
    with pytest.raises(ValidationError, match="only a series has lines"):
        Metric(title="an error", unit="fraction", direction="lower", words_name="line")


def standing(check: str = "analogue", measured: float | None = None, **more: Any) -> Standing:
    """A claim about a difference or, with ``reported``, about a value; in percentage points."""
    paper = load_catalog().get("2016-deep-compression")
    base = next(c for c in paper.claims if c.reported and c.metric and c.check == "measured")
    update: dict[str, Any] = {
        "check": check, "analogue": "other data" if check == "analogue" else None,
        "unit": "percentage_points", "reported": None, "by_construction": False,
        "ordering": Ordering(minuend="error", subtrahend="reference_error", relation="at_most"),
    } | more  # fmt: skip
    claim: Claim = base.model_copy(update=update)
    judged = Judgement("not run")
    if measured is not None:
        judged = Judgement("agrees" if check == "analogue" else "reproduced", measured=measured,
                           low=measured - 0.001, high=measured + 0.001, seeds=3)  # fmt: skip
    metric = Metric(title="an error", unit="fraction", direction="lower")
    return Standing(paper, claim, metric, judged, ())


@pytest.mark.parametrize(
    ("relation", "bound", "words"),
    [
        ("at_most", "0", "no higher"),
        ("at_least", "0", "no lower"),
        ("at_most", "0.2", "higher by at most 0.2 points"),
        ("at_least", "0.2", "higher by at least 0.2 points"),
        ("at_most", "-0.2", "lower by at least 0.2 points"),
        ("at_least", "-0.2", "lower by at most 0.2 points"),
    ],
)
def test_an_ordering_is_said_by_direction(relation: Any, bound: str, words: str) -> None:
    ordering = Ordering(minuend="a", subtrahend="b", relation=relation, bound=bound)
    assert papers_direction(standing(ordering=ordering)) == words


def test_our_direction_is_said_in_words() -> None:
    assert our_direction(standing()) == "–"
    assert our_direction(standing(measured=0.0005)) == "no difference within the interval"
    assert our_direction(standing(measured=-0.02)) == "lower by 2 points"
    value = {"ordering": None, "reported": "3"}
    assert our_direction(standing(measured=0.0302, **value)).startswith("as in the paper")
    assert our_direction(standing(measured=0.02, **value)) == (
        "lower than in the paper, which is better"
    )
    assert our_direction(standing(measured=0.04, **value)) == "higher than in the paper, worse"


def test_analogues_and_orderings_stand_in_tables_apart() -> None:
    blocks = directions([standing(), standing(measured=-0.02), standing("measured", -0.02)])
    tables = [block for block in blocks if "<table" in block]
    assert len(tables) == 3
    assert ["agrees" in t for t in tables] == [True, False, False]
    assert "<details>" in tables[1]
    assert "not run" in tables[1]
    assert "reproduced" in tables[2]
    assert "reproduced" not in tables[0] + tables[1]
    row = direction_table([standing(measured=-0.02)], "x")
    assert "error against reference_error" in row
    assert "differs: other data" in row
    assert re.search(r'href="papers/2016-deep-compression\.html#claim-[a-z0-9-]+"', row)
    assert directions([replace(standing("measured"), claim=standing(
        "measured", ordering=None, reported="3").claim)])[1:] == []  # fmt: skip
