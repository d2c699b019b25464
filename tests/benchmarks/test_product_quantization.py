"""The MNIST benchmark of Q-CNN, whole, on made-up digits and small networks; its parts by laws."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import product_quantization, quantized_files
from benchmarks.benchmark import Context, Outcome
from benchmarks.measure import FileReport
from benchmarks.mnist import TEST_ROWS
from benchmarks.product_quantization import NETWORKS, RECIPES, MnistProductQuantization
from benchmarks.quantized_files import (
    QuantizedFiles,
    Reference,
    Setting,
    measured,
    quantizer,
    weights_ratio,
)
from benchmarks.several_files import report_on_folder
from benchmarks.splits import ImageSplit
from methods.compressed import Compressed
from methods.deep_compression import DeepCompression
from methods.formats.codebook_dense import CodebookDense
from methods.formats.dense import Dense
from methods.formats.product_quantized import ProductQuantized
from methods.method import UnsuitableTask
from methods.networks import mlp
from methods.quantized_cnn import QuantizedCnn
from registry.catalog import load_catalog

TRAIN, TEST = 240, 120
PAPER = "2016-quantized-cnn"
SMALL = {"mlp-1000": (784, 40, 10), "mlp-3x1000": (784, 40, 40, 40, 10)}
CONFIGURATION = {"fc_codewords": 8, "sweeps": 1, "kmeans_iterations": 5}


def made_up_digits(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bright square for each digit, at a place of its own, in noise."""
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    images = generator.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
        image[top : top + 8, left : left + 5] = 250
    return images, labels


def context(folder: Path, **more: object) -> Context:
    given = {
        "paper": PAPER, "run": "mnist", "scale": "quick", "seed": 3, "data": "mnist",
        "device": "cpu", "folder": folder, "configuration": CONFIGURATION,
    }  # fmt: skip
    return Context(**{**given, **more})


@dataclass
class Ran:
    outcome: Outcome
    told: list[tuple[float, str]]
    files: dict[str, Compressed]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run on made-up digits; files are read back in this process, which is what is patched."""
    generator = np.random.default_rng(7)
    digits = ImageSplit(*made_up_digits(TRAIN, generator), *made_up_digits(TEST, generator))
    folder, cache = tmp_path_factory.mktemp("job"), tmp_path_factory.mktemp("cache")
    told: list[tuple[float, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_CACHE", str(cache))
        patch.setattr("benchmarks.mnist.load", lambda name: digits)
        patch.setattr("benchmarks.measure.load", lambda name: digits)
        patch.setattr("benchmarks.quantized_files.measure_folder_in_new_process", report_on_folder)
        patch.setitem(TEST_ROWS, "mnist", TEST)
        for name, widths in SMALL.items():
            make = lambda seed, widths=widths: mlp(widths, seed)  # noqa: E731
            patch.setitem(product_quantization.mnist_task.__globals__["NETWORKS"], name, make)
            short = RECIPES[name]["quick"].model_copy(update={"epochs": 4, "batch_size": 16})
            patch.setitem(RECIPES[name], "quick", short)
        outcome = MnistProductQuantization().run(
            QuantizedCnn(), context(folder, progress=lambda *what: told.append(what))
        )
        files = {path.stem: Compressed.load(path) for path in folder.glob("*.netc")}
    shutil.rmtree(cache)
    return Ran(outcome, told, files)


def value(ran: Ran, key: str) -> float:
    return float(ran.outcome.metrics[key].value)


def test_every_metric_is_measured_at_both_networks_in_its_unit(ran: Ran) -> None:
    wanted = {f"{m}.{point}" for m in MnistProductQuantization.metrics for point in NETWORKS}
    assert set(ran.outcome.metrics) == wanted
    for key, measurement in ran.outcome.metrics.items():
        metric = MnistProductQuantization.metrics[key.partition(".")[0]]
        assert measurement.unit == metric.unit
        if metric.interval == "binomial":
            assert measurement.n == TEST
            assert measurement.low <= measurement.value <= measurement.high


def test_every_claim_of_the_record_finds_its_measurement(ran: Ran) -> None:
    claims = [c for c in load_catalog().get(PAPER).claims
              if c.benchmark == MnistProductQuantization.name]  # fmt: skip
    assert len(claims) >= 14
    for claim in claims:
        if claim.ordering is None:
            assert claim.measured_as in ran.outcome.metrics
        else:
            for metric in (claim.ordering.minuend, claim.ordering.subtrahend):
                assert f"{metric}.{claim.layer}" in ran.outcome.metrics


def test_both_ways_of_both_networks_are_written_and_tested_as_they_were_read(ran: Ran) -> None:
    names = {f"{point}-{way}" for point in NETWORKS for way in ("plain", "corrected")}
    assert set(ran.files) == names
    for point in NETWORKS:
        plain, corrected = (ran.files[f"{point}-{way}"] for way in ("plain", "corrected"))
        assert plain.formats["ip1.weight"] != corrected.formats["ip1.weight"]
        assert isinstance(plain.formats["ip1.weight"], ProductQuantized)
        last = list(corrected.formats)[-2]
        assert isinstance(corrected.formats[last], Dense)
        biases = [name for name in plain.formats if name.endswith("bias")]
        assert all(plain.formats[name] == corrected.formats[name] for name in biases)


def test_what_is_added_is_the_difference(ran: Ran) -> None:
    for point in NETWORKS:
        before = value(ran, f"reference_error.{point}")
        assert before < 0.2, "the made-up digits are not learned"
        for end in ("", "_corrected"):
            added = value(ran, f"error{end}.{point}") - before
            assert value(ran, f"error_increase{end}.{point}") == pytest.approx(added)


def test_sizes_are_those_of_the_file(ran: Ran) -> None:
    outcome = ran.outcome
    assert sum(outcome.size_bytes.values()) == value(ran, "file_bytes.5-layers")
    assert outcome.network_file is not None
    assert outcome.network_file.stem == "5-layers-corrected"
    for point, name in NETWORKS.items():
        parameters = sum(one.numel() for one in mlp(SMALL[name], 0).parameters())
        ratio = 4 * parameters / value(ran, f"file_bytes.{point}")
        assert value(ran, f"file_ratio.{point}") == pytest.approx(ratio)


def test_the_papers_count_by_hand(ran: Ran) -> None:
    # 784-40-10 at 4/8: 3-bit codes, 8 codewords; the last layer at float32.
    stored = 4 * 784 * 8 + 196 * 40 * 3 / 8 + 4 * 400
    assert value(ran, "paper_ratio.3-layers") == pytest.approx(4 * (784 * 40 + 400) / stored)


def test_progress_rises_and_validation_errors_are_told(ran: Ran) -> None:
    shares = [share for share, _ in ran.told]
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] < 1
    for point in NETWORKS:
        assert any(point in remark and "validation error" in remark
                   for remark in ran.outcome.remarks)  # fmt: skip


@pytest.mark.parametrize("method", [None, DeepCompression()])
def test_it_takes_no_other_method(method: object, tmp_path: Path) -> None:
    with pytest.raises(UnsuitableTask, match="quantized-cnn"):
        MnistProductQuantization().run(method, context(tmp_path))  # type: ignore[arg-type]


def test_a_file_that_was_not_tested_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, config = quantizer(QuantizedCnn(), context(tmp_path))
    files = QuantizedFiles(method, config, context(tmp_path))
    files.made["a"] = Compressed({}, ())
    monkeypatch.setattr(quantized_files, "measure_folder_in_new_process", lambda *given: {})
    with pytest.raises(RuntimeError, match="files written"):
        files.tested("plain", TEST)


def test_full_scale_is_the_papers_networks_and_setting() -> None:
    config = QuantizedCnn.Config()
    assert (config.fc_subspace, config.fc_codewords) == (4, 32)
    for point, hidden in (("3-layers", 1), ("5-layers", 3)):
        recipe = RECIPES[NETWORKS[point]]["full"]
        assert recipe.rows is None
        assert int(point[0]) == hidden + 2


def test_a_setting_names_metrics_and_files() -> None:
    assert Setting("", {}).suffix == ""
    assert Setting("conv-4-64", {}).suffix == ".conv-4-64"
    assert Setting("", {}).file_name(corrected=True) == "whole-corrected"


def test_the_papers_count_takes_weights_alone() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 4, (3, 8)).astype(np.uint8)
    held = ProductQuantized((8, 6), codes, generator.normal(size=(3, 4, 2)).astype(np.float32))
    dense = Dense(torch.zeros(5, 8))
    formats = {"ip1.weight": held, "ip1.bias": Dense(torch.zeros(8)), "ip2.weight": dense}
    stored = 4 * 6 * 4 + 3 * 8 * 2 / 8 + 4 * 40
    assert weights_ratio(formats) == pytest.approx(4 * (48 + 40) / stored)
    other = {**formats, "ip3.weight": CodebookDense.from_codes(torch.zeros(4, 4), torch.ones(1))}
    with pytest.raises(TypeError, match="codebook-dense"):
        weights_ratio(other)


def test_what_two_reports_show_beside_the_uncompressed_network(tmp_path: Path) -> None:
    files = QuantizedFiles(*quantizer(QuantizedCnn(), context(tmp_path)), context(tmp_path))
    setting = Setting("conv-4-64", {})
    files.made["conv-4-64-corrected"] = Compressed({"ip1.weight": Dense(torch.zeros(4, 4))})
    reports = {
        f"conv-4-64-{way}": FileReport(wrong=wrong, n=100, file_bytes=50, size_bytes={"all": 50})
        for way, wrong in (("plain", 9), ("corrected", 2))
    }
    found = measured(files, reports, setting, Reference(wrong=4, rows=100, bytes=600))
    assert {key: round(float(one.value), 6) for key, one in found.items()} == {
        "error.conv-4-64": 0.09,
        "error_increase.conv-4-64": 0.05,
        "error_corrected.conv-4-64": 0.02,
        "error_increase_corrected.conv-4-64": -0.02,
        "file_bytes.conv-4-64": 50,
        "file_ratio.conv-4-64": 12,
        "paper_ratio.conv-4-64": 1,
    }
