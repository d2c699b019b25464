"""Plain baselines: what is measured beside the papers, though no paper claims it.

``baselines.yaml`` beside this file is the one list. Results of all of them lie under the name
``baselines``, where a paper's lie under its id.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from registry.consistency import text_faults
from registry.errors import Fault
from registry.fields import Line, Model, Prose, Slug, Title
from registry.record import Technique
from registry.runs import Run
from registry.validation import Found
from registry.vocabulary import Vocabulary
from registry.wording import unknown
from registry.yaml_reader import as_faults, examine, read_bounded

BASELINES: Final = "baselines"
"""Stands where a paper's id stands: in results, in their folder, on the command line."""
BASELINES_FILE: Final = Path(__file__).with_name("baselines.yaml")


class Baseline(Model):
    """One plain method with its runs. Nobody's claim: it has no verdict."""

    id: Slug
    title: Title
    method: Slug
    summary: Prose
    """What the method does."""
    techniques: Annotated[tuple[Technique, ...], Field(min_length=1)]
    source: Line
    """Where the technique is described, or that it is folklore."""
    runs: Annotated[tuple[Run, ...], Field(min_length=1)]
    """A name is unique among all baselines' runs of one benchmark."""

    @property
    def owner(self) -> str:
        """The name that its results lie under."""
        return BASELINES

    def run_named(self, benchmark: str, name: str) -> Run | None:
        """Its run of that benchmark and name."""
        return next((r for r in self.runs if (r.benchmark, r.name) == (benchmark, name)), None)


class BaselineList(Model):
    """Every baseline, in the order that tables show."""

    baselines: tuple[Baseline, ...]


def read_baselines(
    vocabulary: Vocabulary | None, path: Path = BASELINES_FILE
) -> tuple[tuple[Baseline, ...], list[Fault]]:
    """The baselines of a file, and everything wrong with them; none where something is.

    Args:
        vocabulary: what the runs are held against; None where it has faults of its own.

    Raises:
        Unreadable: no such file, or not a regular one.
    """
    examined = examine(read_bounded(path), BaselineList)
    found = list(examined.faults)
    if examined.value is not None and vocabulary is not None:
        found += _faults(examined.value.baselines, vocabulary)
    if found or examined.value is None:
        return (), as_faults(path, examined.tree, found=tuple(found))
    return examined.value.baselines, []


def _faults(baselines: Iterable[Baseline], vocabulary: Vocabulary) -> Iterator[Found]:
    ids: set[str] = set()
    runs: set[tuple[str, str]] = set()
    for index, one in enumerate(baselines):
        if one.id in ids:
            yield Found(("baselines", index, "id"), f"{one.id!r} stands twice")
        ids.add(one.id)
        for place, run in enumerate(one.runs):
            path = ("baselines", index, "runs", place)
            if (run.benchmark, run.name) in runs:
                words = f"{run.name!r} stands twice among the runs of {run.benchmark!r}"
                yield Found((*path, "name"), words)
            runs.add((run.benchmark, run.name))
            entry = vocabulary.benchmarks.get(run.benchmark)
            if entry is None:
                words = unknown("benchmark", run.benchmark, vocabulary.benchmarks)
                yield Found((*path, "benchmark"), words)
            elif entry.kind != "file":
                words = f"a baseline is measured on files: {run.benchmark!r} is of {entry.kind!r}"
                yield Found((*path, "benchmark"), words)
            for name in ("configuration", "quick"):
                yield from text_faults(getattr(run, name), (*path, name))
