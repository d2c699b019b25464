"""What a record says, held against the vocabulary, the source and itself."""

from collections.abc import Iterator
from typing import Any

from registry.fields import plain_text
from registry.record import Claim, Paper, Table, faults_between
from registry.survey import TEMPLATE_PAPER, SurveyRow, read_survey
from registry.units import base_unit
from registry.validation import Found
from registry.vocabulary import BenchmarkEntry, Metric, Vocabulary
from registry.wording import FieldPath, shown, unknown

KINDS_OF_CHECK = {
    "measured": ("file",),
    "analogue": ("file", "simulation"),
    "computed": ("arithmetic",),
    "simulated": ("simulation",),
}

_FLAG_TECHNIQUES = {
    "matrix_factorization": "matrix-factorization",
    "parameter_sharing": "parameter-sharing",
    "pruning": "pruning",
    "parameter_quantization": "parameter-quantization",
}
_FLAG_PLATFORMS = ("software", "hardware")


def record_faults(paper: Paper, vocabulary: Vocabulary, *, is_template: bool) -> Iterator[Found]:
    """Everything wrong with a record whose fields hold one by one."""
    for path, message in faults_between(paper):
        # an unknown benchmark is told once, as unknown
        if path[-1] != "benchmark" or _value_at(paper, path) in vocabulary.benchmarks:
            yield Found(path, message)
    yield from _benchmark_faults(paper, vocabulary)
    for index, table in enumerate(paper.tables):
        for found in _table_faults(paper, table, vocabulary):
            yield Found(("tables", index, *found.path), found.message)
    for index, claim in enumerate(paper.claims):
        for found in _claim_faults(paper, claim, vocabulary):
            yield Found(("claims", index, *found.path), found.message)
    yield from _configuration_faults(paper)
    yield from _source_faults(paper, is_template=is_template)


def _value_at(value: Any, path: FieldPath) -> Any:
    for part in path:
        value = getattr(value, part) if isinstance(part, str) else value[part]
    return value


def _benchmark_faults(paper: Paper, vocabulary: Vocabulary) -> Iterator[Found]:
    named: list[tuple[FieldPath, str]] = [
        (("benchmarks", index), name) for index, name in enumerate(paper.benchmarks)
    ]
    named += [(("runs", index, "benchmark"), run.benchmark) for index, run in enumerate(paper.runs)]
    for path, name in named:
        if name not in vocabulary.benchmarks:
            yield Found(path, unknown("benchmark", name, vocabulary.benchmarks))
    for name in sorted(set(paper.benchmarks)):
        if paper.benchmarks.count(name) > 1:
            yield Found(("benchmarks",), f"{name!r} stands twice")


def _table_faults(paper: Paper, table: Table, vocabulary: Vocabulary) -> Iterator[Found]:
    run = paper.run(table.run) if table.run else None
    entry = vocabulary.benchmarks.get(run.benchmark) if run else None
    for index, column in enumerate(table.columns):
        if column.metric is None:
            continue
        if table.run is None and paper.runs and not _is_planned(paper, column.metric, vocabulary):
            yield Found(
                ("columns", index, "metric"),
                "a metric beside a column needs the table's run (run)",
            )
        elif entry is not None and run is not None:
            path = ("columns", index, "metric")
            metric = entry.metrics.get(column.metric)
            if metric is None:
                yield Found(path, _unknown_metric(column.metric, run.benchmark, entry))
            elif column.unit is not None:
                yield from _unit_faults(
                    column.unit, column.metric, metric, ("columns", index, "unit")
                )


def _is_planned(paper: Paper, metric: str, vocabulary: Vocabulary) -> bool:
    """Whether a planned benchmark of the record, which has no run yet, measures ``metric``."""
    entries = (vocabulary.benchmarks.get(name) for name in paper.benchmarks)
    return any(e is not None and e.status == "planned" and metric in e.metrics for e in entries)


def _claim_faults(paper: Paper, claim: Claim, vocabulary: Vocabulary) -> Iterator[Found]:
    if claim.benchmark is None:
        if claim.metric is not None:
            yield Found(("metric",), "a metric needs its benchmark (benchmark)")
        return
    entry = vocabulary.benchmarks.get(claim.benchmark)
    if entry is None:
        yield Found(("benchmark",), unknown("benchmark", claim.benchmark, vocabulary.benchmarks))
        return
    wanted = KINDS_OF_CHECK.get(claim.check)
    if wanted is not None and entry.kind not in wanted:
        yield Found(
            ("check",),
            f"{claim.check!r} needs a benchmark of kind {' or '.join(map(repr, wanted))}: "
            f"{claim.benchmark!r} is of kind {entry.kind!r}",
        )
    # A record without any run is of a paper of which nothing runs yet.
    if (entry.status == "built" and paper.runs) or claim.run is not None:
        yield from _run_faults(paper, claim)
    yield from _metric_faults(claim, claim.benchmark, entry)
    if claim.baseline is not None and claim.baseline.metric is not None:
        name, path = claim.baseline.metric, ("baseline", "metric")
        metric = entry.metrics.get(name)
        if metric is None:
            yield Found(path, _unknown_metric(name, claim.benchmark, entry))
        else:
            yield from _unit_faults(claim.unit, name, metric, path)


def _run_faults(paper: Paper, claim: Claim) -> Iterator[Found]:
    if claim.check == "out-of-reach":
        return
    if claim.run is not None:
        run = paper.run(claim.run)
        if run is not None and run.benchmark != claim.benchmark:
            yield Found(
                ("run",), f"run {run.name!r} is of benchmark {run.benchmark!r}, not the claim's"
            )
        return
    names = [run.name for run in paper.runs if run.benchmark == claim.benchmark]
    if len(names) > 1:
        words = f"the record has several runs of {claim.benchmark!r}: name one ({', '.join(names)})"
        yield Found(("run",), words)
    elif not names:
        yield Found(("run",), f"the record has no run of benchmark {claim.benchmark!r}")


def _metric_faults(claim: Claim, benchmark: str, entry: BenchmarkEntry) -> Iterator[Found]:
    """The claim's metric, or both metrics of its ordering: known, of its unit and counting."""
    named: list[tuple[FieldPath, str]] = []
    if claim.metric is not None:
        named.append((("metric",), claim.metric))
    if claim.ordering is not None:
        named.append((("ordering", "minuend"), claim.ordering.minuend))
        named.append((("ordering", "subtrahend"), claim.ordering.subtrahend))
    countings = set()
    for path, name in named:
        metric = entry.metrics.get(name)
        if metric is None:
            yield Found(path, _unknown_metric(name, benchmark, entry))
            continue
        countings.add(metric.counting)
        yield from _unit_faults(claim.unit, name, metric, ("unit",))
        if claim.layer is not None and metric.per is None:
            yield Found(("layer",), f"metric {name!r} has one value, none for each layer")
        is_other = metric.counting is not None and claim.counting != metric.counting
        if is_other and (claim.ordering is None or claim.counting is not None):
            said = "says nothing" if claim.counting is None else f"says {claim.counting!r}"
            message = f"metric {name!r} is counted by {metric.counting!r}, the claim {said}"
            yield Found(("counting",), message)
    if claim.ordering is not None and len(countings) > 1:
        yield Found(("ordering",), "the two metrics are counted by different rules")


def _unit_faults(unit: Any, name: str, metric: Metric, path: FieldPath) -> Iterator[Found]:
    if base_unit(unit) != metric.unit:
        yield Found(path, f"unit {unit!r} does not fit metric {name!r}, which is in {metric.unit}")


def _unknown_metric(name: str, benchmark: str, entry: BenchmarkEntry) -> str:
    words = unknown("metric", name, entry.metrics)
    return words if "(" in words else f"{words} of benchmark {benchmark!r}"


def _source_faults(paper: Paper, *, is_template: bool) -> Iterator[Found]:
    survey = read_survey()
    listing = paper.source.listing
    if listing is not None:
        there = survey.list_named(listing.list)
        if there is None or not there.holds(listing.lines):
            yield Found(
                ("source", "listing", "lines"),
                f"these lines do not stand so in the list {listing.list!r} of the source",
            )
    if paper.source.row is None:
        if paper.source.differences:
            yield Found(("source", "differences"), "there is no source row to differ from")
        return
    row = survey.row(paper.source.row)
    if row is None:
        message = f"no row of the source reads so, byte for byte: {shown(paper.source.row)}"
        yield Found(("source", "row"), message)
        return
    if row.paper == TEMPLATE_PAPER and not is_template:
        yield Found(("source", "row"), "this row is the template: it belongs to no paper")
    yield from _flag_faults(paper, row)


def differing_flags(paper: Paper, row: SurveyRow) -> list[str]:
    """The flags in which the record and the source's row do not agree, in the table's order."""
    ours: dict[str, bool | str] = {
        flag: technique in paper.techniques for flag, technique in _FLAG_TECHNIQUES.items()
    }
    ours |= {platform: platform in paper.platforms for platform in _FLAG_PLATFORMS}
    differing = [flag for flag, value in ours.items() if getattr(row, flag) != value]
    if row.dnn_type.lower() != paper.network_type:
        differing.append("dnn_type")
    return differing


def _flag_faults(paper: Paper, row: SurveyRow) -> Iterator[Found]:
    differing = differing_flags(paper, row)
    listed = [difference.flag for difference in paper.source.differences]
    for flag in differing:
        if flag not in listed:
            yield Found(
                ("source", "differences"),
                f"flag {flag!r} differs from the source's row: list it with a reason",
            )
    for index, flag in enumerate(listed):
        path = ("source", "differences", index, "flag")
        if flag not in differing:
            yield Found(path, f"flag {flag!r} agrees with the source's row: leave it out")
        elif flag in listed[:index]:
            yield Found(path, f"flag {flag!r} stands twice")


def _configuration_faults(paper: Paper) -> Iterator[Found]:
    """Text inside configurations is held to the rules of every other text."""
    for index, run in enumerate(paper.runs):
        for name in ("configuration", "quick"):
            yield from text_faults(getattr(run, name), ("runs", index, name))


def text_faults(value: Any, path: FieldPath) -> Iterator[Found]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from text_faults(key, path)
            yield from text_faults(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from text_faults(item, (*path, index))
    elif isinstance(value, str):
        try:
            plain_text(value)
        except ValueError as error:
            yield Found(path, str(error))
