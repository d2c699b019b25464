"""Bytes of ternary networks by arithmetic, held against their files and worked numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ternary_sizes import TernarySizes, entropy_bits, networks
from methods.compressed import Compressed
from methods.formats.ternary import Ternary
from methods.networks import lenet_300_100
from registry.catalog import load_catalog

PAPER = "2017-trained-ternary-quantization"


def found() -> dict[str, float]:
    outcome = TernarySizes().compute(load_catalog().get(PAPER))
    return {key: one.value for key, one in outcome.metrics.items()}


@pytest.mark.parametrize(
    ("name", "ternary", "dense", "stored", "ratio"),
    [
        ("alexnet", 56_823_808, 243_924_896, 30_835_664, 7.91),
        ("resnet-20", 267_904, 1_078_888, 74_400, 14.50),
        ("resnet-20-last-float32", 267_264, 1_078_888, 76_792, 14.05),
        ("resnet-32", 461_440, 1_856_616, 126_464, 14.68),
        ("resnet-44", 654_976, 2_634_344, 178_528, 14.76),
        ("resnet-56", 848_512, 3_412_072, 230_592, 14.80),
        ("lenet-300-100", 266_200, 1_066_440, 68_214, 15.63),
        ("lenet-300-100-last-float32", 265_200, 1_066_440, 71_956, 14.82),
        ("lenet-5", 425_000, 1_724_320, 130_586, 13.20),
    ],
)
def test_sixteen_times_is_of_layers_alone(
    name: str, ternary: int, dense: int, stored: int, ratio: float
) -> None:
    """The authors' log counts AlexNet's 12 scales among the 60,981,236 parameters; we do not."""
    values = found()
    assert values[f"ternary_weights.{name}"] == ternary
    assert values[f"dense_bytes.{name}"] == dense
    assert values[f"bytes.{name}"] == stored
    assert round(values[f"ratio.{name}"], 2) == ratio
    assert 15.8 < values[f"ternary_ratio.{name}"] < 16
    assert 2 < values[f"bits_per_weight.{name}"] < 2.03
    assert values[f"five_trit_ratio.{name}"] > values[f"ratio.{name}"]


def test_a_file_has_the_bytes_that_arithmetic_gives_and_a_small_header() -> None:
    network = lenet_300_100(0)
    generator = np.random.default_rng(0)
    formats = {
        f"{name}.weight": Ternary(shape, generator.integers(-1, 2, shape[0] * shape[1]), 1, 1 + at)
        for at, (name, shape) in enumerate(
            {"ip1": (300, 784), "ip2": (100, 300), "ip3": (10, 100)}.items()
        )
    }
    parts = Compressed.from_module(network, formats).size_bytes()
    weights = sum(
        size for part, size in parts.items() if part.endswith(("/codes", "/scales", "/values"))
    )
    # A byte before each bias tells its type.
    assert weights == dict(networks())["lenet-300-100"].bytes + 3
    assert parts["header"] < 250


@pytest.mark.parametrize(
    ("density", "bits"),
    [(0.2, 0.92), (0.3, 1.18), (0.37, 1.32), (0.5, 1.5), (0.7, 1.58), (0.9, 1.37)],
)
def test_bits_of_an_ideal_code(density: float, bits: float) -> None:
    assert round(entropy_bits(density), 2) == bits


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_no_ideal_code_is_longer_than_a_trit(density: float) -> None:
    assert 0 <= entropy_bits(density) <= np.log2(3) + 1e-12
    assert entropy_bits(0) == 0
    assert entropy_bits(1) == 1
