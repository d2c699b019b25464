"""Operations and sizes of product-quantized networks: every printed digit that can be computed."""

import math

import pytest

from benchmarks.benchmark import Outcome
from benchmarks.imagenet_networks import Layer
from benchmarks.product_quantization_sizes import (
    ProductQuantizationSizes,
    QuantizedLayer,
    Setting,
    networks,
)
from registry.catalog import PAPERS_FOLDER
from registry.record import Paper
from registry.yaml_reader import read_model

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def paper() -> Paper:
    return read_model(PAPERS_FOLDER / "2016-quantized-cnn.yaml", Paper)


@pytest.fixture(scope="module")
def outcome(paper: Paper) -> Outcome:
    return ProductQuantizationSizes().compute(paper)


def value(outcome: Outcome, key: str) -> float:
    return float(outcome.metrics[key].value)


def test_every_claim_and_every_tabled_cell_has_its_measurement(
    paper: Paper, outcome: Outcome
) -> None:
    claims = [claim for claim in paper.claims if claim.benchmark == ProductQuantizationSizes.name]
    assert len(claims) >= 40
    assert {claim.measured_as for claim in claims} <= set(outcome.metrics)
    runs = {run.name for run in paper.runs if run.benchmark == ProductQuantizationSizes.name}
    tables = [table for table in paper.tables if table.run in runs]
    assert len(tables) == 6
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                if column.metric:
                    assert f"{column.metric}.{row.layer or row.id}" in outcome.metrics


def test_every_metric_of_the_vocabulary_is_there_and_no_other(outcome: Outcome) -> None:
    found = {key.partition(".")[0] for key in outcome.metrics}
    assert found == set(ProductQuantizationSizes.metrics)


@pytest.mark.parametrize(
    ("name", "speedup", "ratio", "padded"),
    [  # Speed-up and compression as printed, and compression with the last subspace filled up.
        ("alexnet-conv-4-64", "3.318", "10.583", "15.13"),
        ("alexnet-conv-6-64", "4.318", "14.319", "19.64"),
        ("alexnet-conv-6-128", "3.707", "10.268", "13.28"),
        ("alexnet-conv-8-128", "4.266", "12.080", "15.10"),
        ("vgg-16-conv-6-128", "4.064", "14.396", "14.40"),
        ("alexnet-3-32", "4.050", "15.397", "15.25"),
        ("alexnet-4-32", "4.156", "18.763", "18.54"),
        ("caffenet-3-32", "4.050", "15.397", "15.25"),
        ("caffenet-4-32", "4.156", "18.763", "18.54"),
        ("cnn-s-3-32", "5.700", "16.317", "15.93"),
        ("cnn-s-4-32", "5.786", "20.160", "19.57"),
        ("vgg-16-3-32", "4.049", "16.550", "15.79"),
        ("vgg-16-4-32", "4.059", "20.339", "19.21"),
    ],
)
def test_printed_digits(outcome: Outcome, name: str, speedup: str, ratio: str, padded: str) -> None:
    assert f"{value(outcome, f'speedup.{name}'):.3f}" == speedup
    assert f"{value(outcome, f'ratio.{name}'):.3f}" == ratio
    assert f"{value(outcome, f'padded_ratio.{name}'):.2f}" == padded
    # The paper's formulas do not fill up, so they give a little more.
    formula = value(outcome, f"formula_ratio.{name}")
    assert value(outcome, f"padded_ratio.{name}") <= formula <= 1.01 * float(padded)


@pytest.mark.parametrize(
    ("name", "padded_bytes"),
    [
        ("alexnet-3-32", 15_993_204),
        ("alexnet-4-32", 13_151_604),
        ("cnn-s-3-32", 25_844_372),
        ("cnn-s-4-32", 21_036_692),
        ("vgg-16-3-32", 35_039_184),
        ("vgg-16-4-32", 28_810_704),
    ],
)
def test_bytes_to_the_last(outcome: Outcome, name: str, padded_bytes: int) -> None:
    assert value(outcome, f"padded_bytes.{name}") == padded_bytes


@pytest.mark.parametrize(
    ("setting", "speedup"),
    [("4-64", "3.704"), ("6-64", "5.357"), ("6-128", "4.839"), ("8-128", "6.061")],
)
def test_the_second_convolution(outcome: Outcome, setting: str, speedup: str) -> None:
    assert f"{value(outcome, f'speedup.alexnet-conv2-{setting}'):.3f}" == speedup


@pytest.mark.parametrize(
    ("setting", "ratio", "with_classes"),
    [
        ("2-16", "15.059", "13.96"),
        ("3-16", "21.940", "19.14"),
        ("3-32", "16.693", "15.25"),
        ("4-32", "21.333", "18.71"),
    ],
)
def test_the_fully_connected_layers(
    outcome: Outcome, setting: str, ratio: str, with_classes: str
) -> None:
    assert f"{value(outcome, f'formula_ratio.caffenet-fc-{setting}'):.3f}" == ratio
    found = value(outcome, f"formula_ratio.caffenet-fc-and-classes-{setting}")
    assert f"{found:.2f}" == with_classes


def test_fc6_alone_gives_the_printed_ratio_of_3_32() -> None:
    fc6 = QuantizedLayer(Layer("fc6", "fully-connected", 9216, 4096), Setting(3, 32))
    assert f"{fc6.dense_bytes / fc6.formula_bytes:.2f}" == "16.70"


@pytest.mark.parametrize(
    ("name", "ratio"), [("mnist-3-layers", "12.083"), ("mnist-5-layers", "13.443")]
)
def test_the_mlps(outcome: Outcome, name: str, ratio: str) -> None:
    for metric in ("formula_ratio", "padded_ratio", "ratio"):
        assert f"{value(outcome, f'{metric}.{name}'):.3f}" == ratio


def test_a_quantized_last_layer_would_not_give_the_printed_ratios() -> None:
    for (name, layers), ratio in zip(
        ((one.name, one.layers) for one in networks() if one.name.startswith("mnist")),
        ("9.01", "12.14"),
        strict=True,
    ):
        whole = [QuantizedLayer(one.layer, Setting(4, 32)) for one in layers]
        found = sum(one.dense_bytes for one in whole) / sum(one.formula_bytes for one in whole)
        assert f"{found:.2f}" == ratio, name


@pytest.mark.parametrize(
    ("name", "dense", "quantized"),
    [
        ("alexnet-4-32", "232.564", "12.599"),
        ("cnn-s-4-32", "392.565", "20.129"),
        ("vgg-16-4-32", "527.792", "27.562"),
    ],
)
def test_storage_in_megabytes_of_two_to_the_twenty(
    outcome: Outcome, name: str, dense: str, quantized: str
) -> None:
    assert f"{value(outcome, f'reference_bytes.{name}') / MEBIBYTE:.3f}" == dense
    assert f"{value(outcome, f'container_bytes.{name}') / MEBIBYTE:.3f}" == quantized


def test_released_files_to_the_last_byte(outcome: Outcome) -> None:
    assert value(outcome, "container_bytes.alexnet-4-32") == 13_211_272
    assert value(outcome, "container_bytes.cnn-s-4-32") == 21_106_312


def test_the_first_convolution_of_the_released_alexnet_by_hand() -> None:
    conv1 = QuantizedLayer(Layer("conv1", "convolution", 3, 96, 11, 4, 0, 1, 227), Setting(8, 128))
    codes = 96 * 11 * 11
    blocks = math.ceil(codes / (32_768 // 7))
    assignments = 5 * 4 + 4 + 4096 * blocks
    codebooks = 4 * 4 + 4 * 1 * 128 * 8
    assert conv1.container_bytes == assignments + codebooks + 2 * 4 + 4 * 96
    assert conv1.padded_bytes == 4 * 8 * 128 + math.ceil(codes * 7 / 8)
    assert conv1.formula_bytes == 4 * 3 * 128 + math.ceil(codes * 7 / 8)
    assert conv1.operations == 227**2 * 3 * 128 + 55**2 * 96 * 11**2


def test_groups_share_codebooks_and_halve_the_subspaces() -> None:
    conv2 = QuantizedLayer(Layer("conv2", "convolution", 96, 256, 5, 1, 2, 2, 27), Setting(8, 128))
    assert conv2.subspaces == 6
    assert conv2.formula_bytes == 4 * 48 * 128 + 256 * 25 * 6 * 7 // 8
    assert conv2.printed_bytes(is_whole_network=False) == 4 * 48 * 128 + 256 * 25 * 12 * 7 / 8
    assert conv2.printed_bytes(is_whole_network=True) == 4 * 6 * 128 + 256 * 25 * 12 * 7 / 8


def test_a_dense_layer_is_in_no_released_file() -> None:
    dense = QuantizedLayer(Layer("ip2", "fully-connected", 1000, 10), None)
    assert dense.formula_bytes == dense.padded_bytes == 40_000
    assert dense.operations == 10_000
    with pytest.raises(ValueError, match="ip2"):
        _ = dense.container_bytes
