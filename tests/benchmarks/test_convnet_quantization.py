"""Product-quantized convolutional networks: a whole run on made-up clothes, and parts by laws."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import convnet_quantization
from benchmarks.benchmark import Context, Outcome
from benchmarks.convnet_quantization import (
    CONVOLUTIONS,
    FULLY_CONNECTED,
    WHOLE,
    FashionMnistConvnetQuantization,
    MnistCnnQuantization,
    MnistConvnetQuantization,
    as_layers,
    response_errors,
)
from benchmarks.mnist import RECIPES
from benchmarks.several_files import report_on_folder
from benchmarks.several_files import test_images as images_of
from benchmarks.splits import ImageSplit
from benchmarks.trained_networks import MNIST_CNN
from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.formats.product_quantized import ProductQuantized
from methods.method import UnsuitableTask
from methods.quantized_cnn import QuantizedCnn
from registry.catalog import load_catalog

TRAIN, TEST = 300, 120
PAPER = "2016-quantized-cnn"
CONFIGURATION = {"sweeps": 1, "kmeans_iterations": 5, "finetune_epochs": 1}
BENCHMARKS = (FashionMnistConvnetQuantization, MnistConvnetQuantization, MnistCnnQuantization)


def small(seed: int) -> nn.Sequential:
    """The layers of LeNet-5, fewer channels."""
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 10, 5), pool1=nn.MaxPool2d(2), conv2=nn.Conv2d(10, 20, 5),
            pool2=nn.MaxPool2d(2), flatten=nn.Flatten(), ip1=nn.Linear(320, 64), relu1=nn.ReLU(),
            ip2=nn.Linear(64, 10),
        )
    )  # fmt: skip


def made_up(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bright square for each class, at a place of its own, in noise."""
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    images = generator.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
        image[top : top + 8, left : left + 5] = 250
    return images, labels


def context(folder: Path, **more: object) -> Context:
    given = {
        "paper": PAPER, "run": "fashion-mnist-convnet", "scale": "quick", "seed": 3,
        "data": "fashion-mnist", "device": "cpu", "folder": folder,
        "configuration": CONFIGURATION,
    }  # fmt: skip
    return Context(**{**given, **more})


@dataclass
class Ran:
    outcome: Outcome
    told: list[tuple[float, str]]
    files: dict[str, Compressed]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run on made-up images; files are read back in this process, which is what is patched."""
    generator = np.random.default_rng(7)
    images = ImageSplit(*made_up(TRAIN, generator), *made_up(TEST, generator))
    folder = tmp_path_factory.mktemp("job")
    told: list[tuple[float, str]] = []
    recipe = RECIPES["lenet-5"]["quick"]
    settings = (CONVOLUTIONS, FULLY_CONNECTED, WHOLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("benchmarks.mnist.load", lambda name: images)
        patch.setattr("benchmarks.measure.load", lambda name: images)
        patch.setattr("benchmarks.quantized_files.measure_folder_in_new_process", report_on_folder)
        networks = convnet_quantization.mnist_task.__globals__["NETWORKS"]
        patch.setitem(networks, "lenet-5", small)
        short = recipe.model_copy(update={"epochs": 6, "batch_size": 16, "learning_rate": 0.05})
        patch.setitem(RECIPES["lenet-5"], "quick", short)
        patch.setattr(FashionMnistConvnetQuantization, "settings", {"quick": settings})
        outcome = FashionMnistConvnetQuantization().run(
            QuantizedCnn(), context(folder, progress=lambda *what: told.append(what))
        )
        files = {path.stem: Compressed.load(path) for path in folder.glob("*.netc")}
    return Ran(outcome, told, files)


def value(ran: Ran, key: str) -> float:
    return float(ran.outcome.metrics[key].value)


def test_every_metric_is_measured_in_its_unit(ran: Ran) -> None:
    named = ("", ".conv-8-128", ".fc-4-32")
    whole = {"reference_error"}
    responses = {f"response_error{end}.{layer}" for end in ("", "_corrected")
                 for layer in ("conv1", "conv2", "ip1")}  # fmt: skip
    others = {m for m in FashionMnistConvnetQuantization.metrics if not m.startswith("response")}
    wanted = whole | responses | {f"{m}{name}" for m in others - whole for name in named}
    assert set(ran.outcome.metrics) == wanted
    for key, measurement in ran.outcome.metrics.items():
        metric = FashionMnistConvnetQuantization.metrics[key.partition(".")[0]]
        assert measurement.unit == metric.unit
        if metric.interval == "binomial":
            assert measurement.n == TEST
            assert measurement.low <= measurement.value <= measurement.high


def test_every_claim_of_the_record_finds_its_measurement(ran: Ran) -> None:
    """Claims on settings that this short run leaves out are held against the full scale's."""
    for benchmark in BENCHMARKS:
        full = {setting.name for setting in benchmark.settings["full"]}
        claims = [c for c in load_catalog().get(PAPER).claims if c.benchmark == benchmark.name]
        assert len(claims) >= 2, benchmark.name
        for claim in claims:
            ordering = claim.ordering
            assert ordering is not None
            for metric in (ordering.minuend, ordering.subtrahend):
                assert metric in benchmark.metrics
                key = f"{metric}.{claim.layer}" if claim.layer else metric
                assert key in ran.outcome.metrics or (
                    claim.layer in full and f"{metric}.conv-8-128" in ran.outcome.metrics
                )


def test_each_setting_quantizes_what_it_says(ran: Ran) -> None:
    assert len(ran.files) == 6
    quantized = {
        name: {n for n, held in made.formats.items() if isinstance(held, ProductQuantized)}
        for name, made in ran.files.items()
    }
    for way in ("plain", "corrected"):
        assert quantized[f"conv-8-128-{way}"] == {"conv1.weight", "conv2.weight"}
        assert quantized[f"fc-4-32-{way}"] == {"ip1.weight"}
        assert quantized[f"whole-{way}"] == {"conv1.weight", "conv2.weight", "ip1.weight"}
        last = ran.files[f"whole-{way}"].formats["ip2.weight"]
        assert isinstance(last, Dense)


def test_only_the_whole_recipe_trains_the_fully_connected_layers_on(ran: Ran) -> None:
    for way in ("plain", "corrected"):
        alone, whole = ran.files[f"conv-8-128-{way}"], ran.files[f"whole-{way}"]
        assert alone.formats["conv1.bias"] == whole.formats["conv1.bias"]
        assert alone.formats["ip1.bias"] != whole.formats["ip1.bias"]
    assert (
        ran.files["fc-4-32-plain"].formats["ip1.bias"]
        == (ran.files["conv-8-128-plain"].formats["ip1.bias"])
    )


def test_error_correction_lowers_the_error_of_every_response_on_images_held_out(ran: Ran) -> None:
    for layer in ("conv1", "conv2", "ip1"):
        before, after = (value(ran, f"response_error{end}.{layer}") for end in ("", "_corrected"))
        assert 0 < after < before, layer


def test_the_network_was_trained_and_what_is_added_is_the_difference(ran: Ran) -> None:
    before = value(ran, "reference_error")
    assert before < 0.2, "the made-up images are not learned"
    for name in ("", ".conv-8-128", ".fc-4-32"):
        for end in ("", "_corrected"):
            added = value(ran, f"error{end}{name}") - before
            assert value(ran, f"error_increase{end}{name}") == pytest.approx(added)


def test_sizes_are_those_of_the_whole_networks_file(ran: Ran) -> None:
    assert sum(ran.outcome.size_bytes.values()) == value(ran, "file_bytes")
    assert ran.outcome.network_file is not None
    assert ran.outcome.network_file.stem == "whole-corrected"
    assert value(ran, "file_bytes") < value(ran, "file_bytes.conv-8-128")


def test_progress_rises_through_all_settings(ran: Ran) -> None:
    shares = [share for share, _ in ran.told]
    assert shares == sorted(shares)
    assert shares[-1] < 1
    told = " ".join(what for _, what in ran.told)
    for words in ("training", "conv-8-128", "fc-4-32", "whole"):
        assert words in told


def test_it_takes_no_other_method(tmp_path: Path) -> None:
    for benchmark in BENCHMARKS:
        with pytest.raises(UnsuitableTask, match="quantized-cnn"):
            benchmark().run(None, context(tmp_path))


def test_full_scale_has_every_setting_of_the_papers_tables() -> None:
    convolutions = {"conv-4-64", "conv-6-64", "conv-6-128", "conv-8-128"}
    connected = {"fc-2-16", "fc-3-16", "fc-3-32", "fc-4-32"}
    names = {setting.name for setting in FashionMnistConvnetQuantization.settings["full"]}
    assert names == convolutions | connected | {"whole-3-32", ""}
    for benchmark in BENCHMARKS:
        settings = benchmark.settings["full"]
        assert convolutions < {setting.name for setting in settings} <= names
        # Errors of responses are told of these two, and the whole one's file is kept.
        assert all(one in settings for one in (CONVOLUTIONS, FULLY_CONNECTED, WHOLE))
        assert all(one in settings for one in benchmark.settings["quick"])


def two_layers() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(2, 3, 3), relu=nn.ReLU(), flatten=nn.Flatten(),
                    ip=nn.Linear(3 * 16, 4))
    )  # fmt: skip


def test_a_network_answers_as_itself() -> None:
    network, rows = two_layers(), torch.randn(5, 2, 6, 6)
    for measurement in response_errors(network, network, ["conv", "ip"], rows).values():
        assert measurement.value == 0
        assert measurement.n == 5


def test_a_response_off_by_a_tenth_is_off_by_a_hundredth_of_its_squares() -> None:
    original, changed, rows = two_layers(), two_layers(), torch.randn(5, 2, 6, 6)
    with torch.no_grad():
        changed.get_parameter("conv.weight").mul_(1.1)
    errors = response_errors(original, changed, ["conv", "ip"], rows)
    assert errors["conv"].value == pytest.approx(0.01, rel=1e-5)
    # The layer above is as it was, and yet off, since what it is given is.
    assert errors["ip"].value > 0


def test_the_carried_network_is_the_same_one_layer_after_another() -> None:
    module = MNIST_CNN.fresh(4)
    plain = as_layers(module)
    images = torch.randn(3, 1, 28, 28)
    assert torch.equal(plain(images), module(images))
    assert sum(one.numel() for one in plain.parameters()) == MNIST_CNN.parameters
    whole = Compressed.from_sequential(plain, {})
    assert torch.allclose(whole.network(images), module(images), atol=1e-5)


def test_its_test_images_are_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = made_up(4, np.random.default_rng(1))
    split = ImageSplit(images, labels, images, labels)
    monkeypatch.setattr("benchmarks.several_files.contents", lambda name: {})
    monkeypatch.setattr("benchmarks.several_files.idx_split", lambda files: split)
    inputs, targets = images_of("mnist-cnn-and-mnist", "normalised")
    wanted = (torch.from_numpy(images).float() / 255 - 0.1307) / 0.3081
    assert torch.allclose(inputs.squeeze(1), wanted)
    assert targets.tolist() == labels.tolist()


def test_the_carried_network_is_given_training_images_and_judged_by_the_last_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = made_up(40, np.random.default_rng(2))
    test = made_up(3, np.random.default_rng(3))
    given = SimpleNamespace(
        name="mnist-cnn", trained=lambda paths: MNIST_CNN.fresh(0), fresh=MNIST_CNN.fresh
    )
    for name, value in (
        ("VALIDATION_ROWS", 10),
        ("MNIST_CNN", given),
        ("contents", lambda data: {}),
        ("ensure", lambda data: SimpleNamespace(paths={})),
        ("idx_split", lambda files: ImageSplit(images, labels, *test)),
    ):
        monkeypatch.setattr(convnet_quantization, name, value)
    task = MnistCnnQuantization().trained(context(tmp_path), lambda: None)
    assert task.validation_rows[1].tolist() == labels[-10:].tolist()
    trained_on = torch.cat([targets for _, targets, _ in task.train_batches(0)])
    assert sorted(trained_on.tolist()) == sorted(labels[:30].tolist())
    assert [name for name, _ in task.network.named_children()] == [
        name for name, _ in task.fresh_network(1).named_children()
    ]
