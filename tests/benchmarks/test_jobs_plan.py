"""Fingerprints, plans, the finding of plugins, and the comparison of two folders."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.benchmark import Measurement, find_benchmark
from benchmarks.compare import compare
from benchmarks.job import (
    Limits,
    configuration_of,
    fingerprint,
    plan,
)
from benchmarks.provenance import child_environment
from benchmarks.result import Identity
from benchmarks.store import Store
from benchmarks.worker import make_result
from methods.discovery import BUILT_IN, discover, find_method, load_method
from registry.errors import UserError
from registry.record import Citation, Claim, Link, Ordering, Paper, Where
from registry.runs import Run
from registry.vocabulary import BenchmarkEntry, Metric, Vocabulary

IDENTITY = Identity(
    paper="2016-fake-paper", benchmark="fake", run="main", scale="quick", seed=0, data="digits"
)
SCORE = Metric(title="the score", unit="ratio", direction="higher")

PLUGIN = """
from typing import ClassVar

class Fake:
    name = "fake-method"
    paper = "2016-fake-paper"
    Config = dict
    starts_from = "trained"
    needs = "nothing"
    compresses = True
    revision = 3
    def applies_to(self, module): ...
    def compress(self, task, config, *, seed): ...

class FakeBenchmark:
    name = "fake"
    metrics = {}
    revision = 2
    def run(self, method, context): ...
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """An installed distribution that offers a method and a benchmark, and broken ones."""
    (tmp_path / "fake_plugin.py").write_text(PLUGIN)
    (tmp_path / "broken_plugin.py").write_text("import a_module_that_is_not_there")
    info = tmp_path / "fake_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[netcompress.methods]\n"
        "fake-method = fake_plugin:Fake\n"
        "broken-method = broken_plugin:Broken\n"
        "odd-method = fake_plugin:FakeBenchmark\n"
        "deep-compression = fake_plugin:Fake\n"
        "[netcompress.benchmarks]\n"
        "fake = fake_plugin:FakeBenchmark\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def paper(*runs: Run, method: str = "fake-method", claims: tuple[Claim, ...] = ()) -> Paper:
    filler = tuple(
        Claim(
            id=f"c{i}",
            statement="A claim.",
            where=Where(text="abstract"),
            check="out-of-reach",
            evidence="recalled",
            unit="ratio",
            reason="a filler",
        )
        for i in range(3)
    )
    return Paper(
        id="2016-fake-paper",
        title="A fake paper",
        year=2016,
        authors=("A B",),
        venue="Nowhere",
        citation=Citation(type="misc", key="ab2016"),
        links=(Link(kind="paper", url="https://example.org/x"),),
        techniques=("pruning",),
        platforms=("software",),
        network_type="mlp",
        summary="It is fake.",
        method=method,
        benchmarks=("fake", "planned-one", "unheard-of"),
        runs=runs,
        claims=(*claims, *filler),
    )


def run_of(name: str = "main", benchmark: str = "fake", **more) -> Run:
    return Run(name=name, title="A run", benchmark=benchmark, **more)


def vocabulary(data: tuple[str, ...] = ("digits", "few-digits"), kind: str = "file") -> Vocabulary:
    def entry(status: str) -> BenchmarkEntry:
        return BenchmarkEntry(
            title="A fake", kind=kind, status=status, data=data, about="x", metrics={"score": SCORE}
        )

    return Vocabulary(benchmarks={"fake": entry("built"), "planned-one": entry("planned")})


def available(name: str) -> dict[str, str] | None:
    return {"digits": {"a": "0" * 64}, "few-digits": {"b": "1" * 64}}.get(name)


values = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
)


@given(values, st.randoms())
def test_a_fingerprint_does_not_depend_on_order(configuration, random):
    keys = list(configuration)
    random.shuffle(keys)
    shuffled = {key: configuration[key] for key in keys}
    assert fingerprint(IDENTITY, configuration, 1, 1, {}) == fingerprint(
        IDENTITY, shuffled, 1, 1, {}
    )


def test_a_fingerprint_changes_with_all_that_numbers_depend_on():
    base = (IDENTITY, {"epochs": 3}, 1, 1, {"a": "0" * 64})
    changes = [
        (0, IDENTITY.model_copy(update={field: value}))
        for field, value in {
            "paper": "2016-other", "benchmark": "other", "run": "other", "scale": "full",
            "seed": 1, "data": "other",
        }.items()
    ]  # fmt: skip
    changes += [(1, {"epochs": 4}), (1, {}), (2, 2), (2, None), (3, 2), (4, {"a": "1" * 64})]
    found = {fingerprint(*base)}
    for position, value in changes:
        found.add(fingerprint(*(value if i == position else one for i, one in enumerate(base))))
    assert len(found) == len(changes) + 1


def test_a_fingerprint_is_the_same_in_every_version():
    """Results lie in stores for years: this value must never change."""
    found = fingerprint(IDENTITY, {"b": 0.1, "a": [1, None]}, 1, 2, {"x": "0" * 64})
    canonical = (
        '{"benchmark_revision":2,"configuration":{"a":[1,null],"b":0.1},"data_digests":{"x":"'
        + "0" * 64
        + '"},"identity":{"benchmark":"fake","data":"digits","paper":"2016-fake-paper",'
        '"run":"main","scale":"quick","seed":0},"method_revision":1}'
    )
    assert found == hashlib.sha256(canonical.encode()).hexdigest()
    assert found == "3848b4680a9844eb797282960faf1157c7aaf9b2d7906b5bc603a168caf91370"


def test_a_plan_has_a_job_for_each_run_and_seed(plugins):
    record = paper(
        run_of(configuration={"epochs": 30, "bits": 5}, quick={"epochs": 2}), run_of("second")
    )
    quick = plan([record], vocabulary(), "quick", available)
    assert quick.left_out == []
    assert [(job.identity.run, job.identity.seed) for job in quick.jobs] == [
        ("main", 0),
        ("second", 0),
    ]
    first, second = quick.jobs
    assert first.configuration == {"epochs": 2, "bits": 5}
    assert (first.method, first.method_revision, first.benchmark_revision) == ("fake-method", 3, 2)
    assert (first.identity.data, first.data_digests) == ("digits", {"a": "0" * 64})
    assert (first.time_limit_seconds, first.memory_bytes) == (300.0, 4 * 2**30)
    assert first.kept_name == "2016-fake-paper--fake--0.netc"
    assert second.kept_name == "2016-fake-paper--fake--second--0.netc"

    limits = Limits(time_seconds=7.0, memory_bytes=2**20, device="cuda")
    full = plan([record], vocabulary(), "full", available, limits=limits)
    assert [job.identity.seed for job in full.jobs] == [0, 1, 2, 0, 1, 2]
    assert len({job.fingerprint for job in full.jobs + quick.jobs}) == 8
    assert full.jobs[0].configuration == {"epochs": 30, "bits": 5}
    assert {(job.time_limit_seconds, job.memory_bytes, job.device) for job in full.jobs} == {
        (7.0, 2**20, "cuda")
    }
    plain = plan([record], vocabulary(), "full", available, seeds=3)
    assert fingerprints(plain) == fingerprints(full), "limits count not"
    assert plain.jobs[0].time_limit_seconds == 1800.0
    for job in full.jobs:
        assert type(job).model_validate_json(job.model_dump_json()) == job


def test_a_plan_takes_the_first_data_set_that_is_there(plugins):
    def only_few(name: str) -> dict[str, str] | None:
        return available(name) if name == "few-digits" else None

    made = plan([paper(run_of())], vocabulary(), "quick", only_few)
    assert [job.identity.data for job in made.jobs] == ["few-digits"]
    made = plan([paper(run_of())], vocabulary(data=()), "quick", only_few)
    assert [(job.identity.data, job.data_digests) for job in made.jobs] == [("", {})]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (paper(run_of(), method="fake-methud"), "did you mean 'fake-method'"),
        (paper(run_of(), method="broken-method"), "a_module_that_is_not_there"),
        (paper(run_of(benchmark="planned-one")), "planned and not built"),
        (paper(run_of(benchmark="unheard-of")), "unknown benchmark"),
    ],
)
def test_a_plan_says_what_it_leaves_out(record, reason, plugins):
    made = plan([record], vocabulary(), "quick", available)
    assert made.jobs == []
    assert [(one.paper, one.run) for one in made.left_out] == [("2016-fake-paper", "main")]
    assert reason in made.left_out[0].reason


def test_a_plan_says_which_data_are_missing(plugins):
    made = plan([paper(run_of())], vocabulary(), "quick", lambda name: None)
    assert made.jobs == []
    assert "digits, few-digits" in made.left_out[0].reason


def test_a_simulation_needs_no_method(plugins):
    made = plan([paper(run_of(), method="none")], vocabulary(kind="simulation"), "quick", available)
    assert [(job.method, job.method_revision) for job in made.jobs] == [(None, None)]


def fingerprints(made):
    return {job.identity: job.fingerprint for job in made.jobs}


def test_what_is_stale_has_another_fingerprint(plugins, monkeypatch):
    record = paper(run_of())
    before = fingerprints(plan([record], vocabulary(), "quick", available))
    import fake_plugin

    monkeypatch.setattr(fake_plugin.Fake, "revision", 4)
    after = fingerprints(plan([record], vocabulary(), "quick", available))
    assert before.keys() == after.keys()
    assert set(before.values()).isdisjoint(after.values())


def test_quick_values_lie_over_the_runs_own():
    run = run_of(configuration={"a": 1, "b": 2}, quick={"b": 3, "c": 4})
    assert configuration_of(run, "quick") == {"a": 1, "b": 3, "c": 4}
    assert configuration_of(run, "full") == {"a": 1, "b": 2}


def test_methods_are_found_with_why_one_cannot_be_loaded(plugins):
    found = discover()
    assert found["fake-method"].why_not is None
    assert found["fake-method"].origin == "package fake-plugin"
    assert found["deep-compression"].origin == "built in", "nobody replaces what is built in"
    assert "ModuleNotFoundError" in (found["broken-method"].why_not or "")
    assert "has no paper" in (found["odd-method"].why_not or "")
    assert find_benchmark("fake").load().revision == 2
    assert load_method("fake-method").revision == 3
    assert load_method("2016-fake-paper").name == "fake-method"


def test_a_method_comes_from_a_file(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    assert load_method("mine.py").name == "fake-method"
    assert load_method(f"{tmp_path / 'mine.py'}:Fake").name == "fake-method"
    (tmp_path / "two.py").write_text(PLUGIN + "\nclass Second(Fake): ...\n")
    with pytest.raises(UserError, match=r"found Fake, Second: name it as FILE\.py:Class"):
        load_method("two.py")
    (tmp_path / "leaving.py").write_text("import sys; sys.exit(3)")
    with pytest.raises(UserError, match="SystemExit: 3"):
        load_method("leaving.py")
    (tmp_path / "wrong.py").write_text("def broken(:")
    with pytest.raises(UserError, match="SyntaxError"):
        load_method("wrong.py")
    with pytest.raises(UserError, match="no such file"):
        load_method("absent.py:Fake")
    with pytest.raises(UserError, match="AttributeError"):
        load_method("mine.py:Absent")


def test_an_unknown_method_is_answered_with_what_was_meant():
    with pytest.raises(UserError, match="did you mean 'deep-compression'"):
        find_method("deep-compresion")
    with pytest.raises(UserError, match="did you mean '2016-deep-compression'"):
        find_method("2016-deep-compresion")


def test_built_in_methods_are_what_their_table_says():
    for name, (_, paper_id) in BUILT_IN.items():
        method = load_method(name)
        assert (method.name, method.paper) == (name, paper_id)
        if paper_id != "baselines":
            assert find_method(paper_id).name == name
    with pytest.raises(UserError, match="unknown method 'baselines'"):
        find_method("baselines")


def test_lists_and_results_need_no_torch():
    code = (
        "import sys, benchmarks.schedule, benchmarks.compare\n"
        "from methods.discovery import discover\n"
        "from benchmarks.benchmark import discover_benchmarks\n"
        "assert [f.why_not for f in [*discover().values(), *discover_benchmarks().values()]]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], env=child_environment(), check=True)


def measured(store: Path, job, value: float, other: float, started: str = "2026-01-31T12:00:00Z"):
    result = make_result(job, "done", None, started, 1.0)
    metrics = {
        "score": Measurement(value=value, unit="ratio"),
        "other": Measurement(value=other, unit="ratio"),
    }
    Store(store).write(result.model_copy(update={"metrics": metrics}))


def test_two_folders_are_compared_claim_by_claim(fake_job, tmp_path):
    about = {
        "statement": "It is so.", "where": Where(text="abstract"), "check": "measured",
        "evidence": "read", "unit": "ratio", "benchmark": "fake",
    }  # fmt: skip
    value = Claim(id="value", reported="1.5", metric="score", **about)
    order = Claim(
        id="order",
        ordering=Ordering(minuend="score", subtrahend="other", relation="at_least"),
        **about,
    )
    unmeasured = Claim(id="unmeasured", reported="1.5", metric="nothing", **about)
    record = paper(run_of("good"), claims=(value, order, unmeasured))
    a, b = tmp_path / "a", tmp_path / "b"
    for seed in (0, 1):
        measured(a, fake_job("Good", seed), 1.0 + seed, 0.25)
        measured(b, fake_job("Good", seed), 2.0 + seed, 0.75)
    compared = compare(a, b, [record])
    assert compared.faults == ()
    assert [(r.claim, r.metric, r.scale, r.a, r.b, r.difference) for r in compared.rows] == [
        ("value", "score", "quick", 1.5, 2.5, 1.0),
        ("order", "score - other", "quick", 1.25, 1.75, 0.5),
    ]
    assert {(r.seeds_a, r.seeds_b, r.same_configuration) for r in compared.rows} == {(2, 2, True)}

    changed = fake_job("Good", 0, configuration={"epochs": 9})
    measured(b, changed, 5.0, 0.0, started="2026-02-01T12:00:00Z")
    rows = compare(a, b, [record]).rows
    assert (rows[0].b, rows[0].same_configuration) == (4.0, False)

    (tmp_path / "empty").mkdir()
    rows = compare(a, tmp_path / "empty", [record]).rows
    assert [(r.b, r.difference, r.same_configuration) for r in rows] == [(None, None, None)] * 2
    with pytest.raises(UserError, match="no such folder"):
        compare(a, tmp_path / "absent", [record])
