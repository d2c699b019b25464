"""Baselines in plan, store, tables and pages: measured like papers, judged by nobody."""

import hashlib
import json
from pathlib import Path

import pytest

from benchmarks.baselines import (
    baseline_rows,
    compared_runs,
    figures_of,
    own_text,
    uncompressed_text,
)
from benchmarks.baselines_page import baselines_page
from benchmarks.benchmark import Measurement, find_benchmark
from benchmarks.board import Board, read_board
from benchmarks.datasets import digests
from benchmarks.job import configuration_of, fingerprint, plan
from benchmarks.provenance import provenance
from benchmarks.report import baselines_document
from benchmarks.result import Identity, Result
from benchmarks.standing import standings
from benchmarks.store import Store, Stored
from benchmarks.terminal import baseline_cells
from methods.discovery import find_method, load_method
from registry.baselines import BASELINES
from registry.catalog import load_catalog

NETWORK = "mnist-lenet-300-100"


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def available(name):
    return {"file": hashlib.sha256(name.encode()).hexdigest()}


def made_up(catalog, owner, name, *, seed=0, scale="full", configuration=None, **values):
    """A result as this machine would make it today, with these values."""
    found = catalog.find_run(owner, NETWORK, name)
    assert found is not None
    identity = Identity(
        paper=owner, benchmark=NETWORK, run=name, scale=scale, seed=seed, data="mnist"
    )
    wanted = configuration or configuration_of(found[1], scale)
    method = find_method(found[0].method).constant("revision")
    benchmark = find_benchmark(NETWORK).constant("revision")
    metrics = catalog.vocabulary.benchmarks[NETWORK].metrics
    numbers = {
        "reference_bytes": 1_066_440,
        "reference_error": 0.016,
        "error": 0.017,
        "error_increase": 0.001,
        "file_bytes": 100_000,
        "file_ratio": 10.6644,
    } | values
    return Result(
        identity=identity,
        fingerprint=fingerprint(identity, wanted, method, benchmark, digests("mnist")),
        configuration=wanted,
        method_revision=method,
        benchmark_revision=benchmark,
        data_digests=digests("mnist"),
        outcome="done",
        metrics={
            key: Measurement(value=value, unit=metrics[key].unit, n=10_000)
            for key, value in numbers.items()
        },
        provenance=provenance("2026-01-01T00:00:00Z", 1.0),
    )  # fmt: skip


def board_of(catalog, published=(), own=()):
    stored = [Stored(one, Store(Path("x")).path_of(one), "published") for one in published]
    stored += [Stored(one, Store(Path("x")).path_of(one), "yours") for one in own]
    return Board(catalog, tuple(stored), (), tuple(standings(catalog, [], [])), frozenset())


def test_every_run_has_a_method_that_takes_its_configuration(catalog):
    for baseline in catalog.baselines:
        method = load_method(baseline.method)
        assert method.paper == BASELINES
        for run in baseline.runs:
            for scale in ("quick", "full"):
                method.Config.model_validate(configuration_of(run, scale))


def test_a_plan_holds_them_under_one_name(catalog):
    full = plan(catalog.owners([BASELINES]), catalog.vocabulary, "full", available)
    assert full.jobs
    assert {job.identity.paper for job in full.jobs} == {BASELINES}
    assert len({job.fingerprint for job in full.jobs}) == len(full.jobs)
    assert len({job.kept_name for job in full.jobs}) == len(full.jobs)
    quick = plan(catalog.owners([BASELINES]), catalog.vocabulary, "quick", available)
    named = {(job.identity.benchmark, job.identity.run) for job in quick.jobs}
    wanted = {
        (run.benchmark, run.name)
        for one in catalog.baselines
        for run in one.runs
        if run.at_quick_scale
    }
    assert named | {(None, left.run) for left in quick.left_out} >= named == wanted
    assert len(quick.jobs) < len(full.jobs) / 3
    everything = plan(catalog.owners(), catalog.vocabulary, "quick", available)
    assert {job.fingerprint for job in quick.jobs} < {job.fingerprint for job in everything.jobs}


def test_a_result_is_stored_found_and_goes_stale(catalog, tmp_path):
    fresh = made_up(catalog, BASELINES, "uniform-4-channel", scale="quick")
    stale = made_up(catalog, BASELINES, "uniform-3-channel", configuration={"bits": 5})
    gone = made_up(catalog, BASELINES, "float16")
    gone = gone.model_copy(update={"identity": gone.identity.model_copy(update={"run": "gone"})})
    print_of_gone = fingerprint(gone.identity, gone.configuration, gone.method_revision,
                                gone.benchmark_revision, gone.data_digests)  # fmt: skip
    gone = gone.model_copy(update={"fingerprint": print_of_gone})
    store = Store(tmp_path)
    for one in (fresh, stale, gone):
        path = store.write(one)
        assert path.relative_to(tmp_path).parts[:2] == (BASELINES, NETWORK)
    board = read_board(tmp_path, catalog)
    assert not board.faults
    assert board.stale >= {stale.fingerprint, gone.fingerprint}
    assert fresh.fingerprint not in board.stale
    (own,) = [
        one for one in compared_runs(board)[NETWORK] if one.measured.run.name == "uniform-4-channel"
    ]
    assert own_text(own) == "10.66×, 1.7 % (quick)"


def test_a_table_has_baselines_first_and_papers_beside_them(catalog):
    runs = compared_runs(board_of(catalog))[NETWORK]
    kinds = [one.is_baseline for one in runs]
    assert kinds == sorted(kinds, reverse=True)
    assert [one.measured.run.name for one in runs if not one.is_baseline][:2] == [
        "paper", "on-disk",
    ]  # fmt: skip
    assert uncompressed_text(runs) == "Uncompressed: not run."
    assert [key for key, _, _ in figures_of(runs)] == [
        "file_bytes", "file_ratio", "error", "error_increase",
    ]  # fmt: skip


def test_nothing_is_shown_of_a_set_that_is_not_whole(catalog):
    two = [made_up(catalog, BASELINES, "int8-rtn", seed=seed) for seed in range(2)]
    whole = [
        made_up(catalog, BASELINES, "float16", seed=seed, file_bytes=size, error=error)
        for seed, (size, error) in enumerate([(533_000, 0.016), (533_300, 0.017), (533_600, 0.018)])
    ]
    board = board_of(catalog, [*two, *whole])
    rows = {(r["kind"], r["benchmark"], r["run"]): r for r in baseline_rows(board)}
    part = rows["baseline", NETWORK, "int8-rtn"]
    assert (part["status"], part["seeds"], part["error"]["value"]) == ("2 of 3 seeds done", 0, None)
    row = rows["baseline", NETWORK, "float16"]
    assert (row["status"], row["seeds"], row["baseline"]) == ("3 seeds published", 3, "float16")
    assert row["file_bytes"]["value"] == 533_300
    assert row["error"]["value"] == pytest.approx(0.017)
    assert row["error"]["low"] < 0.016 < 0.018 < row["error"]["high"]
    assert row["yours"] is None
    assert rows["paper", NETWORK, "paper"]["paper"] == "2016-deep-compression"
    json.dumps(list(rows.values()), allow_nan=False)
    text = baselines_document(board)
    line = next(x for x in text.splitlines() if "weights as float16" in x and "533,300 B" in x)
    assert "1.7 % [" in line
    assert line.startswith("| baseline")
    assert "| paper, for comparison |" in text
    assert "Uncompressed: 1,066,440 B, error 1.6 % [" in text


def test_the_page_stands_without_results_and_with_them(catalog):
    empty = baselines_page(board_of(catalog))
    assert "not run at full scale" in empty
    assert "no paper's claim" in empty.replace("&#x27;", "'")
    assert "Yours" not in empty
    own = [made_up(catalog, BASELINES, "pruned-one-shot", scale="quick")]
    page = baselines_page(board_of(catalog, [], own))
    assert "Yours" in page
    assert "10.66×, 1.7 % (quick)" in page


def test_text_of_a_baseline_is_never_markup(catalog):
    bad = "<script>x()</script> [a](javascript:x()) | b"
    changed = catalog.baselines[0].model_copy(
        update={"title": bad, "summary": bad, "source": bad,
                "runs": tuple(r.model_copy(update={"title": bad, "configuration": {"a": bad}})
                              for r in catalog.baselines[0].runs)}
    )  # fmt: skip
    hostile = type(catalog)(catalog.papers, catalog.vocabulary, catalog.files, (changed,))
    board = board_of(hostile)
    for text in (baselines_page(board), baselines_document(board)):
        assert "script" in text
        assert "<script" not in text
    assert "](" not in baselines_document(board).split("## ", 1)[1]


def test_the_terminal_lists_baselines_only(catalog):
    headers, rows = baseline_cells(board_of(catalog))
    assert all(len(row) == len(headers) for row in rows)
    assert {row[1] for row in rows} == {one.method for one in catalog.baselines}
