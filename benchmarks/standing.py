"""Where each claim stands: the record, the published verdict and the user's own numbers, joined.

Everything that prints claims (terminal, tables, pages, JSON) prints these.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.result import Identity, Result
from benchmarks.verdict import Estimate, Judgement, counts, estimate, judge_ordering, verdict
from registry.catalog import Catalog
from registry.record import Claim, Paper
from registry.units import from_base, to_base
from registry.vocabulary import Metric, Vocabulary

IsCurrent = Callable[[Result], bool]
"""Whether a result's fingerprint is the one that its job would have today."""


@dataclass(frozen=True)
class Yours:
    """The user's own newest number for a claim. It carries no verdict."""

    value: float
    low: float | None
    high: float | None
    scale: str
    started: str
    seeds: int
    data: str


@dataclass(frozen=True)
class Standing:
    """One claim and what is known of it."""

    paper: Paper
    claim: Claim
    metric: Metric | None
    judgement: Judgement
    published: tuple[Result, ...]
    """The results that the verdict counts."""
    yours: Yours | None = None

    @property
    def reported(self) -> float | None:
        """The reported value in the base unit of the claim's unit."""
        if self.claim.reported is None:
            return None
        return float(to_base(Decimal(self.claim.reported), self.claim.unit))

    @property
    def holds_by_construction(self) -> bool:
        return self.claim.by_construction

    def in_unit(self, value: float | None) -> float | None:
        """A base-unit value in the unit of the claim."""
        return None if value is None else from_base(value, self.claim.unit)


def metric_of(claim: Claim, vocabulary: Vocabulary) -> Metric | None:
    """The metric that answers a claim; for an ordering, that of its minuend."""
    name = claim.ordering.minuend if claim.ordering else claim.metric
    if claim.benchmark is None or name is None:
        return None
    return vocabulary.metric(claim.benchmark, name)


def standings(
    catalog: Catalog,
    published: Iterable[Result],
    own: Iterable[Result] = (),
    *,
    is_current: IsCurrent = lambda result: True,
    papers: Sequence[str] | None = None,
) -> list[Standing]:
    """Every claim of the catalog (or of ``papers``) in its order, judged.

    Args:
        published: results of the published set; only those of full scale carry verdicts.
        own: the user's results; current ones are shown beside, never judged.
        is_current: tells stale results from current ones.
    """
    by_run = _by_run(published)
    own_by_run = _by_run(own)
    found: list[Standing] = []
    for paper in catalog.papers:
        if papers is not None and paper.id not in papers:
            continue
        for claim in paper.claims:
            run = paper.run_of(claim)
            metric = metric_of(claim, catalog.vocabulary)
            key = (paper.id, claim.benchmark or "", run.name if run else "")
            results = by_run.get(key, []) if run else []
            current = [r for r in results if is_current(r)]
            entry = catalog.vocabulary.benchmarks.get(claim.benchmark or "")
            wanted = entry.data[0] if entry and entry.data else ""
            judgement = verdict(
                claim,
                metric,
                current,
                stale=len(results) - len(current),
                wanted_data=wanted,
                wanted_seeds=run.seeds if run else 1,
            )
            mine = [r for r in own_by_run.get(key, []) if is_current(r)] if run else []
            counted = tuple(r for r in current if counts(r, wanted))
            yours = _yours(claim, metric, mine)
            found.append(Standing(paper, claim, metric, judgement, counted, yours))
    return found


def _by_run(results: Iterable[Result]) -> dict[tuple[str, str, str], list[Result]]:
    grouped: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        key = (result.identity.paper, result.identity.benchmark, result.identity.run)
        grouped.setdefault(key, []).append(result)
    return grouped


def _yours(claim: Claim, metric: Metric | None, results: Sequence[Result]) -> Yours | None:
    """The user's number: of full-scale results if there are any, else of quick ones; newest."""
    done = [result for result in results if result.outcome == "done"]
    if not done or metric is None:
        return None
    newest = max(done, key=lambda r: (r.identity.scale == "full", r.provenance.started))
    same = same_configuration(newest, done)
    found = _estimate_of(claim, metric, same)
    if found is None:
        return None
    interval = found.interval
    return Yours(
        value=found.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        scale=newest.identity.scale,
        started=newest.provenance.started,
        seeds=found.seeds,
        data=newest.identity.data,
    )


def same_configuration(newest: Result, results: Sequence[Result]) -> list[Result]:
    """Results that differ from ``newest`` in nothing but the seed, one a seed."""
    by_seed: dict[int, Result] = {}
    for result in results:
        alike = (
            _without_seed(result.identity) == _without_seed(newest.identity)
            and result.configuration == newest.configuration
            and result.method_revision == newest.method_revision
            and result.benchmark_revision == newest.benchmark_revision
        )
        if alike:
            by_seed[result.identity.seed] = result
    return list(by_seed.values())


def _without_seed(identity: Identity) -> Identity:
    return identity.model_copy(update={"seed": 0})


def _estimate_of(claim: Claim, metric: Metric, done: Sequence[Result]) -> Estimate | None:
    if claim.ordering is not None:
        suffix = f".{claim.layer}" if claim.layer else ""
        first, second = claim.ordering.minuend + suffix, claim.ordering.subtrahend + suffix
        if any(first not in r.metrics or second not in r.metrics for r in done):
            return None
        differences = [float(r.metrics[first].value) - float(r.metrics[second].value) for r in done]
        judged = judge_ordering(claim, differences, None)
        return Estimate(judged.measured or 0.0, None, len(differences))
    key = claim.measured_as
    if key is None or any(key not in r.metrics for r in done):
        return None
    return estimate([r.metrics[key] for r in done], metric)


def count_verdicts(found: Iterable[Standing]) -> Mapping[str, int]:
    """How many claims have each verdict, most frequent first."""
    counts: dict[str, int] = {}
    for standing in found:
        counts[standing.judgement.verdict] = counts.get(standing.judgement.verdict, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
