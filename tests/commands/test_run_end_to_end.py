"""``netcompress run`` as a newcomer without npm sees it: real data, real jobs, small.

Needs what pip can reach: MNIST-5k comes as a package's file. Skipped with a message elsewhere.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from methods.compressed import load
from registry.catalog import load_catalog

ROOT = Path(benchmarks.__file__).resolve().parent.parent
PAPER = "2016-deep-compression"
RUNS = [run for run in load_catalog().get(PAPER).runs if run.at_quick_scale]
ON_DATA = {"paper": 266_610, "on-disk": 266_610, "lenet-5-paper": 431_080}
"""Runs that leave a network -> its parameters."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, small_data):
    """A folder to work in, with a cache of its own that holds MNIST-5k."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(small_data, folder / "cache")
    return folder


@pytest.fixture(scope="module")
def call(place):
    # No npm on this path, and a proxy that refuses: only the fallback is left.
    tools = place / "bin"
    tools.mkdir()
    for name in ("git", "uname"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETCOMPRESS_")}
    environment |= {
        "PATH": str(tools),
        "PYTHONPATH": str(ROOT),
        "NETCOMPRESS_CACHE": str(place / "cache"),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }

    def run(*arguments: str, code: int = 0):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "netcompress", *arguments],
            capture_output=True, text=True, cwd=place, env=environment, check=False, timeout=200,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def first(call):
    return call("run", PAPER, "--no-site", "--keep", "kept", "--json")


def test_the_fallback_is_said_and_used(place, first):
    assert "This run uses MNIST-5k" in first.stderr
    assert "is not MNIST test error and never counts as one" in first.stderr
    summary = json.loads(first.stdout)
    assert (summary["done"], summary["failed"], summary["skipped"]) == (len(RUNS), 0, 0)
    results = [json.loads((place / path).read_text("utf-8")) for path in summary["results"]]
    assert {one["identity"]["run"] for one in results} == {run.name for run in RUNS}
    for one in results:
        needs_data = one["identity"]["run"] in ON_DATA
        assert one["identity"]["data"] == ("mnist-5k" if needs_data else "")


def test_a_second_run_finds_nothing_to_do(call, first):
    summary = json.loads(call("run", PAPER, "--no-site", "--json").stdout)
    assert (summary["done"], summary["failed"], summary["skipped"]) == (0, 0, len(RUNS))
    assert summary["results"] == json.loads(first.stdout)["results"]


def test_results_hold_what_was_measured_and_with_what(call, first):
    found = json.loads(call("results", PAPER, "--json").stdout)
    rows = {row["run"]: row for row in found if row["origin"] == "yours"}
    assert set(rows) == {run.name for run in RUNS}
    assert {row["outcome"] for row in rows.values()} == {"done"}
    for row in (rows[name] for name in ON_DATA):
        assert row["data"] == "mnist-5k"
        assert row["metrics"]["error"]["n"] == 1000
        assert sum(row["size_bytes"].values()) == row["metrics"]["file_bytes"]["value"]
        assert row["metrics"]["error"]["low"] < row["metrics"]["error"]["value"]
        assert row["packages"]["torch"]
        assert row["seconds"] > 0


def test_the_kept_file_is_the_model_that_was_measured(place, call, first):
    kept = sorted(path.name for path in (place / "kept").iterdir())
    assert f"{PAPER}--mnist-lenet-300-100--0.netc" in kept
    assert f"{PAPER}--mnist-lenet-5--0.netc" in kept
    rows = json.loads(call("results", PAPER, "--json").stdout)
    sizes = {
        r["metrics"]["file_bytes"]["value"]: ON_DATA[r["run"]]
        for r in rows
        if r["origin"] == "yours" and r["run"] in ON_DATA
    }
    assert len(kept) == len(ON_DATA)
    for name in kept:
        path = place / "kept" / name
        parameters = sizes[path.stat().st_size]
        assert sum(p.numel() for p in load(path).tensors().values()) == parameters


def test_a_quick_run_on_the_fallback_carries_no_verdict(call, first):
    rows = {r["claim"]: r for r in json.loads(call("claims", PAPER, "--json").stdout)}
    row = rows["lenet-300-100-error"]
    assert row["yours"]["data"] == "mnist-5k"
    assert row["yours"]["scale"] == "quick"
    assert row["measured"] != row["yours"]["value"]


def test_a_job_over_its_time_is_a_result(call):
    done = call("run", PAPER, "--no-site", "--json", "--timeout", "1", "--force",
                "--results", "hasty", code=1)  # fmt: skip
    assert json.loads(done.stdout)["failed"] >= len(ON_DATA)
    found = json.loads(call("results", PAPER, "--json", "--results", "hasty").stdout)
    rows = {r["run"]: r["outcome"] for r in found if r["origin"] == "yours"}
    assert {rows[name] for name in ON_DATA} == {"timed out"}
    again = json.loads(call("run", PAPER, "--no-site", "--json", "--results", "hasty").stdout)
    assert (again["done"], again["skipped"]) == (0, len(RUNS))
