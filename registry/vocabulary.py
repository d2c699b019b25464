"""The vocabulary: benchmarks and their metrics, planned or built, that records may name.

``vocabulary.yaml`` beside this file is the one list. Records are checked against it; a test holds
the benchmark classes to it.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from registry.fields import Identifier, Line, Model, Slug, Title
from registry.units import Unit

CountingRule = Literal["paper", "file", "parameters"]
"""How a size was counted: by the paper's own accounting, as bytes of a file on disk with
everything in it, or as a ratio of parameter counts. Different rules never share an axis."""


class Metric(Model):
    """What a benchmark measures, in the unit that code holds it in."""

    title: Title
    unit: Unit
    direction: Literal["lower", "higher", "neither"]
    """Which way is better; ``neither`` where more is only different."""
    interval: Literal["binomial", "seeds", "exact"] = "seeds"
    """How the 95 % interval is made: ``binomial`` is seeds and the test set's size together."""
    per: Literal["layer", "series"] | None = None
    """``layer``: one value a layer, named ``metric.layer``; ``series``: a curve's points."""
    counting: CountingRule | None = None
    chart: Title | None = None
    """For a series: the picture that its curve is drawn in, with others of the same name."""
    words_name: Literal["picture", "line"] = "picture"
    """For a series: what the words before a point's number set apart, pictures or the lines of
    one picture that is the metric's own."""

    @model_validator(mode="after")
    def _is_whole(self) -> "Metric":
        if self.chart is not None and self.per != "series":
            raise ValueError("only a series has a chart (per: series)")
        if self.words_name == "line" and self.per != "series":
            raise ValueError("only a series has lines (per: series)")
        return self


class BenchmarkEntry(Model):
    """One benchmark that records may name."""

    title: Title
    kind: Literal["file", "arithmetic", "simulation"]
    status: Literal["planned", "built"]
    data: tuple[Slug, ...] = ()
    """Data sets by the names of ``netcompress data``, the wanted one first, then fallbacks."""
    about: Line
    sets: tuple[Identifier, ...] = ()
    """Settings of the method that it varies, or chooses where a run does not name them."""
    metrics: Annotated[dict[Identifier, Metric], Field(min_length=1)]


class Vocabulary(Model):
    """Every benchmark by name."""

    benchmarks: dict[Slug, BenchmarkEntry]

    def metric(self, benchmark: str, metric: str) -> Metric | None:
        entry = self.benchmarks.get(benchmark)
        return entry.metrics.get(metric) if entry else None


VOCABULARY_FILE = Path(__file__).with_name("vocabulary.yaml")


@cache
def load_vocabulary(path: Path = VOCABULARY_FILE) -> Vocabulary:
    """The vocabulary, read and checked.

    Raises:
        FaultyFile: when the file breaks a rule; it names every fault.
    """
    from registry.yaml_reader import read_model

    return read_model(path, Vocabulary)
