"""Look-ups against dense products and loops at tiny shapes: complete and equal. Never a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import lookup_layer_speed
from benchmarks.benchmark import Context, Scale, find_benchmark
from benchmarks.imagenet_networks import Layer
from benchmarks.lookup_layer_speed import (
    LAYERS,
    ROUNDS,
    LookupLayerSpeed,
    Products,
    QuantizedLayer,
)
from methods.kernels import choice
from methods.kernels.lookup import VARIABLE, LookupLinear
from methods.method import UnsuitableTask
from registry.catalog import PAPERS_FOLDER
from registry.record import Paper
from registry.yaml_reader import read_model

MAP = Layer("map", "convolution", 6, 8, kernel=3, stride=2, padding=1, groups=2, input_size=9)
TINY = (
    QuantizedLayer("a.map", MAP, 2, 8),
    QuantizedLayer("a.full", Layer("full", "fully-connected", 20, 17), 4, 16),
    QuantizedLayer("a.other", Layer("other", "fully-connected", 9, 5), 3, 4, counted=False),
)
FEW: dict[Scale, int] = {"quick": 7, "full": 7}


@pytest.fixture(params=["1", "0"])
def _kernels(request, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv(VARIABLE, request.param)


def context(folder: Path, device: str = "cpu") -> Context:
    return Context("2016-quantized-cnn", "speed", "quick", 0, "", device, folder, {})


@pytest.mark.usefixtures("_kernels")
def test_ratios_are_positive_and_complete(tmp_path):
    before = torch.get_num_threads()
    found = LookupLayerSpeed(TINY, FEW).run(None, context(tmp_path))
    assert torch.get_num_threads() == before
    names = ["a.map", "a.full", "a.other", "alexnet"]
    assert set(found.metrics) == {f"{kind}.{n}" for kind in LookupLayerSpeed.metrics for n in names}
    for key, measured in found.metrics.items():
        assert LookupLayerSpeed.metrics[key.partition(".")[0]].unit == measured.unit == "ratio"
        assert measured.low is not None
        assert 0 < measured.low <= float(measured.value) <= measured.high < math.inf
    assert "subspaces and codewords 4/16, 340 multiply-adds" in found.remarks[2]


def test_the_networks_time_is_the_sum_of_its_layers(tmp_path, monkeypatch):
    """Ours takes 1 and 2 seconds; dense 4 and 5, loops 10 and 20; what is not counted, 1,000."""
    pytest.importorskip("numba")
    taken = iter([(4.0, 10.0, 1.0), (5.0, 20.0, 2.0), (1000.0, 1000.0, 1000.0)])

    def seconds(products, rounds):
        dense, loop, ours = next(taken)
        names = list(products.dense_products())
        held = {names[0]: [dense] * rounds, names[1]: [dense + 1] * rounds}
        return {
            **held,
            "dense": held[names[0]],
            "loop": [loop] * rounds,
            "look-up": [ours] * rounds,
        }

    monkeypatch.setattr(Products, "seconds", seconds)
    found = LookupLayerSpeed(TINY, FEW).run(None, context(tmp_path)).metrics
    assert found["speedup.alexnet"].value == 9 / 3
    assert found["loop_speedup.alexnet"].value == 30 / 3
    assert (found["speedup.a.map"].value, found["loop_speedup.a.map"].value) == (4, 10)
    assert found["speedup.a.other"].value == 1


def test_the_fastest_dense_product_is_taken(monkeypatch):
    pytest.importorskip("numba")
    products = Products(TINY[1], np.random.default_rng(0))
    times = {
        "linear": [3.0, 1.0, 3.0],
        "mv": [2.0, 2.0, 2.0],
        "loop": [9.0] * 3,
        "look-up": [1.0] * 3,
    }
    monkeypatch.setattr(lookup_layer_speed, "alternate", lambda functions, rounds: times)
    assert products.seconds(3)["dense"] == [2.0, 2.0, 2.0]
    assert products.words(products.seconds(3)).endswith("is mv")


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("layer", TINY, ids=lambda layer: layer.name)
def test_products_that_differ_are_not_timed(layer):
    products = Products(layer, np.random.default_rng(0))
    assert set(products.seconds(1)) == {*products.dense_products(), "dense", "loop", "look-up"}
    products.dense = products.dense.clone()
    products.dense.view(-1)[3] += 0.01
    with pytest.raises(RuntimeError, match=f"{layer.name} by look-up is off by"):
        products.seconds(1)


def test_a_loop_that_differs_is_not_timed(monkeypatch):
    pytest.importorskip("numba")
    products = Products(TINY[1], np.random.default_rng(0))
    monkeypatch.setattr(products, "loop", lambda: torch.zeros(1, 17))
    with pytest.raises(RuntimeError, match="by loop is off by"):
        products.seconds(1)


def test_the_layers_are_alexnets_with_the_released_sizes():
    counted = [layer for layer in LAYERS if layer.counted]
    assert [layer.name for layer in counted] == [
        *(f"alexnet.conv{number}" for number in range(1, 6)),
        *(f"alexnet.fc{number}" for number in (6, 7, 8)),
    ]
    assert sum(layer.layer.multiply_adds for layer in counted) == 724_406_816
    sizes = {layer.name: (layer.subspace, layer.codewords) for layer in LAYERS}
    assert sizes["alexnet.conv2"] == (8, 128)
    assert sizes["alexnet.fc7"] == (4, 32)
    assert sizes["alexnet.fc8"] == (1, 16)
    assert sizes["alexnet.fc6-3-32"] == (3, 32)
    # Shapes of the released files: (M, K, d) and the codes.
    conv2, fc7 = (Products(counted[at], np.random.default_rng(0)).lookup for at in (1, 6))
    assert conv2.codebooks.shape == (6, 128, 8)
    assert conv2.codes.shape == (5, 5, 6, 256)
    assert isinstance(fc7, LookupLinear)
    assert fc7.codebooks.shape == (1024, 32, 4)


def test_claims_ask_for_layers_that_are_timed():
    paper = read_model(PAPERS_FOLDER / "2016-quantized-cnn.yaml", Paper)
    claims = [claim for claim in paper.claims if claim.benchmark == LookupLayerSpeed.name]
    assert claims
    assert {claim.layer for claim in claims} <= {layer.name for layer in LAYERS} | {"alexnet"}


def test_it_runs_alone_and_is_found_by_name():
    found = find_benchmark("lookup-layer-speed")
    assert found.constant("runs_alone") is True
    assert set(ROUNDS) == {"quick", "full"}


def test_where_it_cannot_run_it_says_so(tmp_path, monkeypatch):
    benchmark = LookupLayerSpeed(TINY, FEW)
    with pytest.raises(UnsuitableTask, match="--device cpu"):
        benchmark.run(None, context(tmp_path, "cuda"))
    monkeypatch.setenv(choice.VARIABLE, "torch")
    with pytest.raises(UnsuitableTask, match=r"netcompress\[fast\]"):
        benchmark.run(None, context(tmp_path))


def test_what_is_drawn_depends_on_the_seed():
    first, again, other = (Products(TINY[0], np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.dense, again.dense)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.dense, other.dense)
