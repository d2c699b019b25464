"""Timed ratios: alternation, intervals, and dense against sparse at tiny shapes. Never a time."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.benchmark import Context, Scale, find_benchmark
from benchmarks.pruned_layer_speed import (
    LAYERS,
    ROUNDS,
    DenseAndSparse,
    PrunedLayer,
    PrunedLayerSpeed,
)
from benchmarks.timing import alternate, median_ratio
from methods.kernels.choice import VARIABLE
from methods.kernels.sparse import SparseRows
from methods.method import UnsuitableTask
from registry.catalog import PAPERS_FOLDER
from registry.record import Paper
from registry.yaml_reader import read_model

TINY = (PrunedLayer("one", 30, 50, 0.2), PrunedLayer("two", 7, 300, 0.05))
FEW: dict[Scale, dict[int, int]] = {"quick": {1: 7, 64: 1}, "full": {1: 7, 64: 1}}


@pytest.fixture(params=["numba", "torch"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    path = str(request.param)
    if path == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv(VARIABLE, path)
    return path


def context(folder: Path, device: str = "cpu") -> Context:
    return Context("2016-deep-compression", "speed", "quick", 0, "", device, folder, {})


def test_ratios_are_positive_and_complete(kernels: str, tmp_path: Path) -> None:
    found = PrunedLayerSpeed(TINY, FEW).run(None, context(tmp_path))
    assert set(found.metrics) == {
        f"speedup{series}.{layer}"
        for series, layer in itertools.product(("", "_csr", "_batch_64"), ("one", "two"))
    } | {"speedup_mean", "speedup_mean_csr", "speedup_mean_batch_64"}
    for key, measured in found.metrics.items():
        assert PrunedLayerSpeed.metrics[key.partition(".")[0]].unit == measured.unit == "ratio"
        assert 0 < float(measured.value) < math.inf
    product = math.prod(float(found.metrics[f"speedup.{layer}"].value) for layer in ("one", "two"))
    assert float(found.metrics["speedup_mean"].value) == pytest.approx(math.sqrt(product))
    assert f"sparse product by {kernels}" in found.remarks[0]


def test_its_layers_are_those_of_the_papers_tables() -> None:
    paper = read_model(PAPERS_FOLDER / "2016-deep-compression.yaml", Paper)
    for layer in LAYERS:
        network, _, name = layer.name.partition(".")
        table = paper.table("table-4" if network == "alexnet" else "table-5")
        assert table is not None
        assert table.cell(name, "kept") == f"{100 * layer.density:.0f}"
    claimed = {claim.layer for claim in paper.claims if claim.benchmark == PrunedLayerSpeed.name}
    assert claimed - {None} == {layer.name for layer in LAYERS}
    shapes = [(layer.outputs, layer.inputs) for layer in LAYERS]
    assert shapes[0] == (4096, 9216)
    assert shapes[3:] == [(4096, 25088), (4096, 4096), (1000, 4096)]


def test_it_runs_alone_and_is_found_by_name() -> None:
    found = find_benchmark("pruned-layer-speed")
    assert found.constant("runs_alone") is True
    assert set(ROUNDS) == {"quick", "full"}


def test_another_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableTask, match="--device cpu"):
        PrunedLayerSpeed(TINY, FEW).run(None, context(tmp_path, "cuda"))


def test_threads_are_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    PrunedLayerSpeed(TINY[:1], FEW).run(None, context(tmp_path))
    assert torch.get_num_threads() == before


def test_what_is_drawn_has_the_density_and_depends_on_the_seed() -> None:
    layer = PrunedLayer("drawn", 600, 500, 0.1)
    first, again, other = (
        DenseAndSparse.draw(layer, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    kept = int(torch.count_nonzero(first.dense))
    assert kept == first.sparse.values.size == pytest.approx(30_000, rel=0.05)
    assert torch.equal(first.dense, again.dense)
    assert not torch.equal(first.dense, other.dense)
    assert torch.equal(first.csr.to_dense(), first.dense)


@pytest.mark.parametrize("batch", [1, 64])
def test_products_that_differ_are_not_timed(kernels: str, batch: int) -> None:
    pair = DenseAndSparse.draw(TINY[0], np.random.default_rng(0))
    pair.dense[3, 4] += 1
    with pytest.raises(RuntimeError, match="is off by"):
        pair.ratios(batch, 1)


@pytest.mark.parametrize("columns", [1, 9, 40, 65_536, 65_537, 70_000])
@pytest.mark.parametrize("width", [1, 3])
def test_sparse_rows_equal_dense(kernels: str, columns: int, width: int) -> None:
    generator = np.random.default_rng(columns)
    dense = generator.standard_normal((24, columns)).astype(np.float32)
    dense[generator.random(dense.shape) > min(0.4, 200 / columns)] = 0
    dense[5] = 0
    dense[6, -1] = 1
    rows, places = np.nonzero(dense)
    sparse = SparseRows((24, columns), rows, places, dense[rows, places])
    x = torch.from_numpy(generator.standard_normal((columns, width)).astype(np.float32))
    expected = (torch.from_numpy(dense).double() @ x.double()).float()
    torch.testing.assert_close(sparse.product(x), expected, rtol=1e-5, atol=1e-4)


def test_a_column_outside_the_matrix_is_refused() -> None:
    values = np.ones(1, np.float32)
    for column in (-1, 8, 65_536):
        with pytest.raises(ValueError, match="outside the shape"):
            SparseRows((2, 8), np.array([0]), np.array([column]), values)


def test_rounds_alternate_and_turn_round() -> None:
    called: list[str] = []
    ticks: Iterator[float] = iter(float(tick) for tick in range(100))
    names = ("a", "b", "c")
    functions = {name: (lambda name=name: called.append(name)) for name in names}
    seconds = alternate(functions, 3, lambda: next(ticks))
    assert "".join(called) == "abc" + "abc" + "cba" + "abc"
    assert seconds == {name: [1.0] * 3 for name in names}


def test_the_median_ratio_and_its_interval() -> None:
    found = median_ratio([2.0, 4.0, 6.0], [1.0, 1.0, 1.0])
    assert (found.value, found.low, found.high) == (4.0, None, None)
    # Six ordered values hold the median between the outer two in 1 - 2/64 of all cases.
    six = median_ratio([1, 2, 3, 4, 5, 6], [1] * 6)
    assert (six.value, six.low, six.high) == (3.5, 1, 6)
    # Of ten, the second and the ninth: 1 - 2 * 11/1024.
    ten = median_ratio(list(range(1, 11)), [1] * 10)
    assert (ten.low, ten.high) == (2, 9)


def test_the_interval_holds_the_median_in_95_of_100_cases() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = median_ratio(np.exp(generator.standard_normal(25)).tolist(), [1.0] * 25)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1.0 <= found.high
    assert 0.93 < held / 400 <= 1
