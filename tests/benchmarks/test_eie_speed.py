"""The literal loop counts what the model counts; rows, summary and command. Never a time."""

import builtins
import itertools
import json
from statistics import geometric_mean

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import eie_speed
from benchmarks.eie_cycle_loop import LoopInput, run_loop, run_timing_loop
from benchmarks.eie_layers import LAYERS
from benchmarks.eie_speed import (
    PEERS,
    PRODUCTS,
    TIMING,
    TIMING_ONLY,
    SpeedCase,
    SpeedReport,
    SpeedRow,
    chosen_peers,
    measure,
    paper_cases,
)
from benchmarks.eie_speed_report import report_lines, report_rows
from methods.eie.coded import CodedLayer
from methods.eie.draw import CODEBOOK, random_activation, random_layer
from methods.eie.encode import encode
from methods.eie.machine import Machine, simulate_with_outputs
from methods.kernels.choice import VARIABLE
from netcompress.app import app
from registry.errors import UserError


def make_case(outputs, inputs, densities, seed=0, bias=None, **machine):
    chosen = Machine(**machine)
    layer = random_layer(outputs, inputs, densities[0], seed)
    if bias is not None:
        layer = CodedLayer.from_codes(layer.codes_dense(), CODEBOOK, bias)
    activation = random_activation(inputs, densities[1], seed)
    if chosen.signed:
        activation[::3] *= -1
    return SpeedCase("tiny", encode(layer, chosen.pes), activation, chosen)


def drawn_cases():
    random = np.random.default_rng(5)
    for seed in range(150):
        outputs, inputs = (int(n) for n in random.integers(1, [400, 40]))
        yield make_case(
            outputs, inputs, random.choice([0, 0.03, 0.2, 0.6, 1], 2, p=[0.1, 0.3, 0.2, 0.2, 0.2]),
            seed,
            bias=random.integers(0, 16, outputs, np.uint8) if seed % 2 else None,
            pes=int(2 ** random.uniform(1, 8.01)),
            queue_depth=int(random.choice([2, 3, 4, 8, 30])),
            width_bits=int(2 ** random.integers(4, 11)),
            signed=bool(seed % 5 == 0),
        )  # fmt: skip


def test_the_loop_counts_and_multiplies_what_the_model_does():
    pytest.importorskip("numba")
    seen = dict.fromkeys(["stall_cycles", "padding_entries", "empty_cycles", "cycles"], 0)
    for number, case in enumerate(drawn_cases()):
        given = LoopInput.of(case.layer, case.activation, case.machine)
        model, outputs = simulate_with_outputs(case.layer, case.activation, case.machine)
        counters, loop_outputs = run_loop(given)
        expected = {name: getattr(model, name) for name in vars(counters)}
        assert vars(counters) == expected, f"layer {number}"
        np.testing.assert_array_equal(loop_outputs, outputs, err_msg=f"layer {number}")
        assert run_timing_loop(given, case.layer.counts.reshape(-1)) == model.cycles
        for name in seen:
            seen[name] += getattr(model, name) > 0
    assert all(count > 10 for count in seen.values()), seen
    assert seen["cycles"] < 150  # some have nothing to do


@pytest.mark.parametrize("machine", [{"queue_depth": 1}, {"width_bits": 24}, {"width_bits": 8}])
def test_machines_that_the_loop_does_not_know_are_refused(machine):
    case = make_case(8, 8, (0.5, 0.5), pes=4, **machine)
    with pytest.raises(ValueError, match="queue depths"):
        LoopInput.of(case.layer, case.activation, case.machine)


@pytest.mark.parametrize("kernels", ["numba", "torch"])
def test_rows_are_complete_and_the_summary_is_theirs(kernels, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv(VARIABLE, kernels)
    monkeypatch.setattr(eie_speed, "BLOCK_SECONDS", 1e-6)
    cases = [make_case(40, 30, (0.2, 0.5), pes=8), make_case(9, 50, (0.5, 1.0), pes=4)]
    said = []
    report = measure(iter(cases), rounds=7, progress=said.append)
    assert said == ["timing tiny", "timing tiny"]
    assert [row.peer for row in report.rows] == list(PEERS) * 2
    for row in report.rows:
        assert row.ours_us > 0
        assert row.ratio == row.peer_us / row.ours_us > 0
        assert row.low <= row.high
    document = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert document["kernels"] == kernels
    needed = {"case", "peer", "ours_us", "peer_us", "ratio", "threads", "cache"}
    for row in document["results"]:
        assert needed <= set(row)
        assert (row["threads"], row["cache"]) == (1, "warm")
    assert set(document["summary"]) == set(PEERS)
    assert len(report_rows(report)) == 6
    assert any("bound" in line for line in report_lines(report))


def test_summary_and_sum():
    rows = (
        SpeedRow("a", TIMING, 10.0, 100.0, None, None),
        SpeedRow("a", PRODUCTS, 50.0, 100.0, None, None),
        SpeedRow("b", TIMING, 2.0, 80.0, None, None),
        SpeedRow("b", TIMING_ONLY, 2.0, 10.0, None, None),
    )
    report = SpeedReport(rows, 3)
    assert report.summary[TIMING] == {"geometric_mean": geometric_mean([10, 40]), "least": 10}
    assert report.summary[PRODUCTS] == {"geometric_mean": 2.0, "least": 2.0}
    assert report.timing_us == 12.0


def test_a_loop_that_differs_is_not_timed(monkeypatch):
    pytest.importorskip("numba")
    case = make_case(40, 30, (0.2, 0.5), pes=8)
    monkeypatch.setattr(eie_speed, "run_timing_loop", lambda given, counts: 1)
    with pytest.raises(RuntimeError, match="differ"):
        measure(iter([case]), rounds=1)


def test_the_layers_are_those_of_table_3():
    assert [case.name for case in itertools.islice(paper_cases(["nt-lstm"]), 2)] == ["NT-LSTM"]
    assert LAYERS[0].name == "Alex-6"
    with pytest.raises(UserError, match="no layer 'Alex-9'"):
        list(paper_cases(["Alex-9"]))


def test_peers_are_chosen_by_name():
    assert chosen_peers(()) == (TIMING, PRODUCTS, TIMING_ONLY)
    assert chosen_peers(["products"]) == (PRODUCTS,)
    with pytest.raises(UserError, match=r"no peer has 'zlib'.*they are: numba cycle loop"):
        chosen_peers(["zlib"])


@pytest.fixture
def tiny_bench(monkeypatch):
    cases = [make_case(40, 30, (0.2, 0.5), pes=8)]
    monkeypatch.setattr(eie_speed, "paper_cases", lambda names: iter(cases))
    return lambda *more: CliRunner().invoke(app, ["bench", "eie", "--rounds", "1", *more])


def test_the_command_prints_json_and_nothing_else(tiny_bench):
    pytest.importorskip("numba")
    done = tiny_bench("--json", "--peers", "products")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [row["peer"] for row in document["results"]] == [PRODUCTS]
    assert done.stderr == "timing tiny\n"


def test_the_command_prints_a_table_for_people(tiny_bench):
    pytest.importorskip("numba")
    done = tiny_bench()
    assert done.exit_code == 0, done.output
    for words in ("tiny", TIMING, PRODUCTS, TIMING_ONLY, "geometric mean", "5,000 us"):
        assert words in done.stdout


def test_without_numba_it_says_how_to_get_it(tiny_bench, monkeypatch):
    real = builtins.__import__

    def without_numba(name, *rest):
        if name.partition(".")[0] == "numba":
            raise ImportError(name, name="numba")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_numba)
    monkeypatch.setenv(VARIABLE, "torch")
    done = tiny_bench()
    assert isinstance(done.exception, UserError)
    assert "pip install 'netcompress[fast]'" in str(done.exception)
    assert done.stdout == ""
