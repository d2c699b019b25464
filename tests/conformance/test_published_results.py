"""What is published is whole, honest in its provenance, and judged by tolerances set before it."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

import benchmarks
from benchmarks.board import read_board
from benchmarks.datasets import digests

ROOT = Path(benchmarks.__file__).resolve().parent.parent
RESULTS = "benchmarks/results"


@pytest.fixture(scope="module")
def published():
    board = read_board()
    assert not board.faults, [str(fault) for fault in board.faults]
    return [one.result for one in board.stored if one.origin == "published"]


def test_there_are_some_and_they_are_of_full_scale(published):
    assert published
    for result in published:
        assert result.identity.scale == "full"


def test_each_was_made_from_a_commit_as_it_stands_there(published):
    for result in published:
        assert result.provenance.commit
        assert result.provenance.dirty is False


ERRORS = ("error", "reference_error", "compressed_error", "machine_error")
TEST_ROWS = {"japanese-vowels": 370}
"""Of data sets other than MNIST, which has 10,000."""
BENCHMARK_ROWS = {"hashed-mlps-rotated": 50_000}
"""Of benchmarks that make a test split of their own from a data set."""


def test_each_was_tested_on_the_whole_test_split(published):
    for result in published:
        for name, measurement in result.metrics.items():
            if name.partition(".")[0].startswith(ERRORS):
                split = TEST_ROWS.get(result.identity.data, 10_000)
                rows = BENCHMARK_ROWS.get(result.identity.benchmark, split)
                assert name == "error_increase" or measurement.n == rows


def test_the_parts_sum_to_the_file(published):
    for result in published:
        if "file_bytes" in result.metrics:
            assert sum(result.size_bytes.values()) == result.metrics["file_bytes"].value


def test_data_are_those_that_are_listed(published):
    for result in published:
        data = result.identity.data
        assert result.data_digests == (digests(data) if data else {})


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no history to look at: git {arguments[0]} says {done.stderr.strip()[:80]}")
    return done.stdout


def tolerances(commit: str, path: str) -> dict[str, object]:
    """By claim, as the record stood at ``commit``; empty where it was not there."""
    done = subprocess.run(
        ["git", "show", f"{commit}:{path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return {}
    record = yaml.safe_load(done.stdout)
    return {claim["id"]: claim.get("tolerance") for claim in record["claims"]}


def changed_with_its_result(commit: str) -> list[str]:
    """Claims of which ``commit`` changed the tolerance while it changed that paper's results."""
    names = git("show", "--name-only", "--format=", commit).split("\n")
    papers = {name.split("/")[2] for name in names if name.startswith(f"{RESULTS}/")}
    found = []
    for paper in sorted(papers):
        path = f"registry/papers/{paper}.yaml"
        if path in names:
            before, after = tolerances(f"{commit}^", path), tolerances(commit, path)
            found += [
                f"{paper} {claim}"
                for claim, tolerance in after.items()
                if claim in before and before[claim] != tolerance
            ]
    return found


def test_no_tolerance_changed_together_with_its_result():
    for commit in git("log", "--no-merges", "--format=%H", "--", RESULTS).split():
        assert changed_with_its_result(commit) == []


def test_such_a_change_would_be_seen(tmp_path, monkeypatch):
    globals_of_this_file = changed_with_its_result.__globals__
    monkeypatch.setitem(globals_of_this_file, "ROOT", tmp_path)
    record = tmp_path / "registry/papers/2000-p.yaml"
    result = tmp_path / RESULTS / "2000-p" / "b" / "r.json"
    for path in (record, result):
        path.parent.mkdir(parents=True)
    git("init", "-q")
    for value in ("1", "2"):
        claim = {"id": "c", "tolerance": {"value": value}}
        record.write_text(yaml.safe_dump({"claims": [claim]}), "utf-8")
        result.write_text(json.dumps({"value": value}), "utf-8")
        git("add", "-A")
        git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", value)
    newest, oldest = git("log", "--format=%H").split()
    assert changed_with_its_result(newest) == ["2000-p c"]
    assert changed_with_its_result(oldest) == []
