"""Kernels against peers: products are checked first; rows, summary and command. Never a time."""

import itertools
import json
from functools import partial
from statistics import geometric_mean

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks import kernel_cases, kernel_speed
from benchmarks.kernel_cases import PEERS, KernelCase, Peer, Side, layer_cases, quantize_dynamic
from benchmarks.kernel_speed import KernelReport, KernelRow, chosen_cases, chosen_peers, measure
from benchmarks.kernel_speed_report import report_lines, report_rows
from methods.kernels import choice, lookup
from methods.kernels.ternary import TernaryRows
from netcompress.app import app
from registry.errors import UserError

DENSE, DYNAMIC = PEERS
SMALL = layer_cases((48, 40))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Blocks of one call, and few small copies."""
    monkeypatch.setattr(kernel_speed, "BLOCK_SECONDS", 1e-7)
    monkeypatch.setattr(kernel_speed, "largest_cache_bytes", lambda: 2000)
    monkeypatch.setattr(kernel_cases, "CASES", SMALL)


def numba_or_skip():
    pytest.importorskip("numba")


@pytest.mark.parametrize("avx512", ["0", "1"])
def test_rows_are_complete_and_the_summary_is_theirs(avx512, monkeypatch):
    numba_or_skip()
    monkeypatch.setenv(lookup.VARIABLE, avx512)
    said = []
    report = measure(SMALL, rounds=7, progress=said.append)
    assert said == [f"timing {case.name}" for case in SMALL]
    keys = [(row.case, row.cache, row.peer) for row in report.rows]
    names = [case.name for case in SMALL]
    assert keys == list(itertools.product(names, ["warm", "cold"], PEERS))
    for row in report.rows:
        assert row.ratio == row.peer_us / row.ours_us > 0
        assert row.low <= row.high
        assert row.ours_bytes > 0
        assert (row.outputs, row.inputs) == (48, 40)
        assert row.peer_bytes == 48 * 40 * (4 if row.peer == DENSE else 1)
        assert row.way in (["linear", "mv"] if row.peer == DENSE else ["quantize_dynamic"])
    document = json.loads(json.dumps(report.as_json(), allow_nan=False))
    needed = {"case", "peer", "ours_us", "peer_us", "ratio", "low", "high", "threads", "cache",
              "outputs", "inputs"}  # fmt: skip
    assert all(needed <= set(row) for row in document["results"])
    assert set(document["summary"]) == set(PEERS)
    assert set(document["summary_by_cache"]) == {"warm", "cold"}
    assert document["kernels"] == report.path
    assert (report.path == "loops") == (avx512 == "0" or not lookup.uses_avx512())
    assert len(report_rows(report)) == len(report.rows)
    assert any("above 1 we win" in line for line in report_lines(report))


def test_summary_is_of_the_peer_and_of_the_caches():
    rows = (
        KernelRow("a", DENSE, 10.0, 100.0, None, None),
        KernelRow("a", DENSE, 10.0, 400.0, None, None, cache="cold"),
        KernelRow("a", DYNAMIC, 10.0, 5.0, None, None),
    )
    report = KernelReport(rows, 3, "loops")
    assert report.summary()[DENSE] == {"geometric_mean": geometric_mean([10, 40]), "least": 10}
    assert report.summary("cold") == {DENSE: {"geometric_mean": 40.0, "least": 40.0}}
    assert report.summary("warm")[DYNAMIC]["least"] == 0.5


def test_cold_copies_take_turns_and_lie_apart(monkeypatch):
    """As many as four caches hold, each with weights of its own, and the same product."""
    numba_or_skip()
    for case in SMALL:
        layer = case.draw(np.random.default_rng(0))
        sides = [layer.ours, *PEERS[DENSE].sides(layer).values(),
                 *PEERS[DYNAMIC].sides(layer).values()]  # fmt: skip
        for side in sides:
            made = []

            def copied(side=side, made=made):
                made.append(side.copied())
                return made[-1]

            cold = kernel_speed._function(
                kernel_cases.Side(side.product, copied, side.weight_bytes), "cold"
            )
            assert len(made) == max(2, -(-4 * 2000 // side.weight_bytes))
            for _ in range(len(made) + 1):
                assert torch.equal(cold(), side.product())


def arrays_read(rows, int8):
    """All arrays that the compiled product is bound to, the weights first."""
    loop = rows._int8_loop if int8 else rows._float_loop
    if not isinstance(loop, partial):  # a method, which looks its weights up
        assert loop.__self__ is rows
        return [rows._packed]
    return [held for held in loop.args if isinstance(held, np.ndarray)]


@pytest.mark.parametrize("avx512", ["0", "1"])
def test_copies_read_weights_of_their_own(avx512, monkeypatch):
    """The layout that a product is bound to lies elsewhere, and holds the same."""
    numba_or_skip()
    monkeypatch.setenv(lookup.VARIABLE, avx512)
    for case in SMALL:
        layer = case.draw(np.random.default_rng(0))
        layer.ours.product()
        other = layer.rows.with_own_layout()
        first, second = (arrays_read(rows, layer.int8)[0] for rows in (layer.rows, other))
        assert first.nbytes >= 48 * 40 // 8
        assert first.ctypes.data != second.ctypes.data
        assert not np.shares_memory(first, second)
        np.testing.assert_array_equal(first, second)
        if case.name == "power-of-two-int8" and layer.rows.path == "avx512-vnni":
            assert first is layer.rows._nibbles


def test_a_product_that_is_wrong_is_not_timed(monkeypatch):
    numba_or_skip()
    monkeypatch.setattr(TernaryRows, "product_int8", lambda self, x: self.product(x))
    with pytest.raises(RuntimeError, match="product of ours is off"):
        measure(SMALL[:1], rounds=1)


def test_a_peer_that_is_wrong_is_not_timed(monkeypatch):
    numba_or_skip()
    zeros = Side(lambda: torch.zeros(1, 48), lambda: torch.zeros, 1)
    monkeypatch.setitem(kernel_cases.PEERS, DENSE, Peer("zeros", lambda layer: {"zeros": zeros}))
    with pytest.raises(RuntimeError, match=f"product of {DENSE} by zeros is off"):
        measure(SMALL[:1], rounds=1)


def test_a_torch_without_dynamic_int8_leaves_it_out(monkeypatch):
    numba_or_skip()
    monkeypatch.delattr(torch.ao.quantization, "quantize_dynamic")
    said = []
    report = measure(SMALL[:1], rounds=1, progress=said.append)
    assert report.peers == (DENSE,)
    assert f"{DYNAMIC} is left out" in said[0]
    assert any("AttributeError" in line for line in report_lines(report))
    with pytest.raises(UserError, match="nothing is left to compare with"):
        measure(SMALL[:1], [DYNAMIC], rounds=1)


def test_dynamic_quantization_says_no_deprecation(recwarn):
    if PEERS[DYNAMIC].missing():
        pytest.skip("this torch has none")
    quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(4, 4)))
    assert not [w for w in recwarn if issubclass(w.category, DeprecationWarning)]


def test_threads_are_set_and_put_back():
    numba_or_skip()
    before, seen = torch.get_num_threads(), []
    case = KernelCase("x", lambda generator: seen.append(torch.get_num_threads()) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure([case], threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_cases_and_peers_are_chosen_by_name():
    names = [case.name for case in SMALL]
    assert [case.name for case in chosen_cases((), SMALL)] == names
    assert [case.name for case in chosen_cases(["ternary-int8"], SMALL)] == ["ternary-int8"]
    assert [case.name for case in chosen_cases(["binary"], SMALL)] == names[3:5]
    assert chosen_peers(["dynamic"]) == (DYNAMIC,)
    with pytest.raises(UserError, match=r"no case has 'LSTM'.*they are: ternary-int8"):
        chosen_cases(["LSTM"], SMALL)
    with pytest.raises(UserError, match=r"no peer has 'zlib'.*they are: torch dense float32"):
        chosen_peers(["zlib"])


def run(*more):
    return CliRunner().invoke(app, ["bench", "kernels", "--rounds", "1", *more])


def test_the_command_prints_json_and_nothing_else():
    numba_or_skip()
    done = run("--json", "--case", "binary-int8", "--peers", "dense")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [(row["case"], row["cache"]) for row in document["results"]] == [
        ("binary-int8", "warm"),
        ("binary-int8", "cold"),
    ]
    assert done.stderr == "timing binary-int8\n"


def test_the_command_prints_a_table_for_people():
    numba_or_skip()
    done = run()
    assert done.exit_code == 0, done.output
    for words in (
        "48 x 40",
        "ternary-int8-two",
        "power-of-two",
        "cold",
        "geometric mean",
        "peer / ours",
    ):
        assert words in done.stdout


def test_without_numba_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "torch")
    done = run()
    assert isinstance(done.exception, UserError)
    assert "pip install 'netcompress[fast]'" in str(done.exception)
    assert done.stdout == ""
