"""Claims joined with results: what counts, what is stale, what is only yours."""

import pytest

from benchmarks.benchmark import Measurement, find_benchmark
from benchmarks.board import read_board
from benchmarks.charts import panels_of
from benchmarks.datasets import digests
from benchmarks.job import configuration_of, fingerprint
from benchmarks.provenance import provenance
from benchmarks.report import (
    claim_marks,
    claims_table,
    gap_text,
    reported_text,
    verdicts_text,
    yours_text,
)
from benchmarks.result import Identity, Result
from benchmarks.standing import count_verdicts, standings
from benchmarks.store import Store
from benchmarks.views import claim_row
from methods.discovery import find_method
from registry.catalog import load_catalog

PAPER = "2016-deep-compression"
BENCHMARK = "mnist-lenet-300-100"


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def made_up(catalog, *, seed=0, scale="full", data="mnist", revision=None, run="paper", **values):
    """A result as this machine would make it today, with these values."""
    identity = Identity(
        paper=PAPER, benchmark=BENCHMARK, run=run, scale=scale, seed=seed, data=data
    )
    configuration = configuration_of(catalog.get(PAPER).run(run), scale)
    method = find_method("deep-compression").load().revision if revision is None else revision
    benchmark = find_benchmark(BENCHMARK).load().revision
    metrics = catalog.vocabulary.benchmarks[BENCHMARK].metrics
    return Result(
        identity=identity,
        fingerprint=fingerprint(identity, configuration, method, benchmark, digests(data)),
        configuration=configuration,
        method_revision=method,
        benchmark_revision=benchmark,
        data_digests=digests(data),
        outcome="done",
        metrics={
            name: Measurement(value=value, unit=metrics[name.split(".")[0]].unit, n=10_000)
            for name, value in values.items()
        },
        size_bytes={},
        provenance=provenance("2026-01-01T00:00:00Z", 1.0),
    )


def of(found, claim):
    return next(s for s in found if s.paper.id == PAPER and s.claim.id == claim)


def test_published_results_give_the_verdict_and_own_ones_stand_beside(catalog):
    published = [
        made_up(catalog, seed=seed, paper_ratio=value)
        for seed, value in enumerate((39.9, 40.0, 40.1))
    ]
    own = [made_up(catalog, scale="quick", paper_ratio=25.0)]
    found = of(standings(catalog, published, own), "lenet-300-100-ratio")
    assert found.judgement.verdict == "reproduced"
    assert found.judgement.measured == pytest.approx(40.0)
    assert found.judgement.seeds == 3
    assert found.yours.value == 25.0
    assert yours_text(found) == "25× (quick)"
    row = claim_row(found)
    assert (row["reported"], row["verdict"], row["yours"]["scale"]) == (40, "reproduced", "quick")


def test_own_results_alone_carry_no_verdict(catalog):
    own = [made_up(catalog, seed=seed, paper_ratio=40.0) for seed in range(3)]
    found = of(standings(catalog, [], own), "lenet-300-100-ratio")
    assert found.judgement.verdict == "not run"
    assert found.yours.value == 40.0


def test_a_run_answers_only_its_own_claims(catalog):
    published = [made_up(catalog, seed=s, run="on-disk", file_ratio=50.0) for s in range(3)]
    found = standings(catalog, published)
    assert of(found, "lenet-300-100-file-ratio").judgement.verdict == "better"
    assert of(found, "lenet-300-100-ratio").judgement.verdict == "not run"
    assert gap_text(of(found, "lenet-300-100-file-ratio")) == "+10×"


def test_a_result_of_another_revision_is_stale_on_the_board(catalog, tmp_path, monkeypatch):
    store = Store(tmp_path / "published", "published")
    for seed in range(3):
        store.write(made_up(catalog, seed=seed, revision=999, paper_ratio=40.0))
    monkeypatch.setattr("benchmarks.board.published_store", lambda: store)
    board = read_board(tmp_path / "own", catalog)
    assert len(board.stale) == 3
    assert of(board.standings, "lenet-300-100-ratio").judgement.verdict == "stale"
    for seed in range(3):
        store.write(made_up(catalog, seed=seed, paper_ratio=40.0))
    board = read_board(tmp_path / "own", catalog)
    assert len(board.stale) == 3
    assert of(board.standings, "lenet-300-100-ratio").judgement.verdict == "reproduced"


def test_the_fallback_data_never_answer_an_mnist_claim(catalog):
    published = [made_up(catalog, seed=s, data="mnist-5k", paper_ratio=40.0) for s in range(3)]
    assert of(standings(catalog, published), "lenet-300-100-ratio").judgement.verdict == "not run"


def test_every_claim_has_a_standing_in_the_records_order(catalog):
    found = standings(catalog, [])
    assert [(s.paper.id, s.claim.id) for s in found] == [
        (paper.id, claim.id) for paper in catalog.papers for claim in paper.claims
    ]
    assert sum(count_verdicts(found).values()) == len(found)
    assert set(count_verdicts(found)) == {"not run", "out of reach"}
    assert all(s.metric is not None for s in found if s.claim.check != "out-of-reach")


def test_tables_show_numbers_as_the_paper_prints_them(catalog):
    found = of(standings(catalog, []), "lenet-300-100-error")
    assert reported_text(found) == "1.58 %"
    ordering = of(standings(catalog, []), "lenet-300-100-no-loss")
    assert reported_text(ordering) == "at most 0.1 points"
    assert "| 1.58 %" in " ".join(claims_table([found]).split())


def test_what_holds_by_construction_is_marked_counted_apart_and_not_drawn(catalog):
    published = [
        made_up(catalog, seed=s, **{"kept.ip1": 0.08, "coded_rate.ip1": 0.0232}) for s in range(3)
    ]
    found = [s for s in standings(catalog, published) if s.judgement.measured is not None]
    given, told = of(found, "lenet-300-100-ip1-kept"), of(found, "lenet-300-100-ip1-coded-rate")
    assert [s.judgement.verdict for s in (given, told)] == ["reproduced", "reproduced"]
    assert (claim_marks(given), claim_marks(told)) == ("§", "")
    assert verdicts_text(found) == "2 reproduced (1 of them §)"
    assert [claim_row(s)["by_construction"] for s in (given, told)] == [True, False]
    assert [len(panel.marks) for panel in panels_of(found)] == [1]


def test_every_setting_of_a_published_run_says_that_it_is_one(catalog):
    """What the method is told (densities, bits before coding) is no evidence that it works."""
    settings = {"kept", "weight_bits", "index_bits", "pruning_ratio", "kept_weights"}
    for paper in catalog.papers:
        for claim in paper.claims:
            if claim.benchmark == BENCHMARK and claim.metric in settings:
                assert claim.by_construction, claim.id
