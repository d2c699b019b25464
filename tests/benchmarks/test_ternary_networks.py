"""Ternary LeNets and residual networks: trained, written and read back, on made-up digits."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mnist, ternary_files, ternary_lenets, ternary_resnets
from benchmarks.benchmark import Context, Outcome
from benchmarks.several_files import report_on_folder
from benchmarks.splits import ImageSplit
from benchmarks.ternary_files import TernaryFiles, layer_of, trajectories
from benchmarks.ternary_lenets import LENET_5, LENET_300_100, TernaryLenet5, TernaryLenet300100
from benchmarks.ternary_resnets import FashionMnistResnets, MnistResnets
from methods.compressed import Compressed
from methods.deep_compression import DeepCompression
from methods.formats.ternary import Ternary
from methods.formats.uniform import Uniform
from methods.method import UnsuitableTask
from methods.ternary_weights import Snapshot
from methods.trained_ternary_quantization import TrainedTernaryQuantization

TRAIN, TEST = 480, 100


def made_up_digits() -> ImageSplit:
    """A bright square for each digit, at a place of its own, in noise."""
    generator = np.random.default_rng(7)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.integers(0, 10, count, dtype=np.uint8)
        images = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
            image[top : top + 8, left : left + 5] = 250
        return images, labels

    return ImageSplit(*rows(TRAIN), *rows(TEST))


@dataclass
class Run:
    outcome: Outcome
    told: list[tuple[float, str]]
    folder: Path


def run_on_made_up_digits(
    benchmark: type, folder: Path, patch: pytest.MonkeyPatch, **configuration: object
) -> Run:
    """A run whose other process is this one, since it would read real digits."""
    told: list[tuple[float, str]] = []
    patch.setenv("NETCOMPRESS_CACHE", str(folder / "cache"))
    context = Context(
        paper="2017-trained-ternary-quantization",
        run="r",
        scale="full",
        seed=3,
        data="mnist",
        device="cpu",
        folder=folder,
        configuration={"schedule": "cosine", **configuration},  # type: ignore[dict-item]
        progress=lambda share, what: told.append((share, what)),
    )
    digits = made_up_digits()
    patch.setattr(mnist, "load", lambda name: digits)
    patch.setattr("benchmarks.measure.load", lambda name: digits)
    patch.setattr(ternary_files, "measure_folder_in_new_process", report_on_folder)
    patch.setattr(ternary_files, "TEST_ROWS", {"mnist": TEST})
    return Run(benchmark().run(TrainedTernaryQuantization(), context), told, folder)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = LENET_300_100.recipe.model_copy(update={"epochs": 5, "batch_size": 32})
    plan = replace(LENET_300_100, recipe=recipe, epochs=2, shares=(0, 40, 80))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TernaryLenet300100, "plans", {"full": plan})
        return run_on_made_up_digits(TernaryLenet300100, tmp_path_factory.mktemp("lenet"), patch)


@pytest.fixture(scope="module")
def resnets(tmp_path_factory: pytest.TempPathFactory) -> Run:
    plan = ternary_resnets.Plan((1, 2), 1, 1, 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MnistResnets, "plans", {"full": plan})
        return run_on_made_up_digits(
            MnistResnets, tmp_path_factory.mktemp("resnets"), patch, optimizer="adam"
        )


@pytest.mark.parametrize("name", ["lenet", "resnets"])
def test_every_measurement_is_in_the_vocabulary_in_its_unit(
    name: str, request: pytest.FixtureRequest
) -> None:
    benchmark = {"lenet": TernaryLenet300100, "resnets": MnistResnets}[name]
    outcome = request.getfixturevalue(name).outcome
    for key, one in outcome.metrics.items():
        assert benchmark.metrics[key.partition(".")[0]].unit == one.unit, key
    measured = {key.partition(".")[0] for key in outcome.metrics}
    assert measured == set(benchmark.metrics)


def test_all_networks_learn_and_errors_are_of_the_whole_test_split(lenet: Run) -> None:
    found = lenet.outcome.metrics
    for key in ("start_error", "reference_error", "error", "binary_error", "error_zeros_40"):
        assert found[key].n == TEST
        assert found[key].value < 0.1, key
    added = found["error"].value - found["reference_error"].value
    assert found["error_increase"].value == pytest.approx(added)
    assert found["error_over_zeros.40-percent-zeros"] == found["error_zeros_40"]
    assert found["float32_over_zeros.0-percent-zeros"] == found["reference_error"]


def test_each_file_holds_what_its_name_says(lenet: Run) -> None:
    kinds = {
        "float32": set(), "start": set(), "ternary": {Ternary}, "single_scale_error": {Ternary},
        "binary_error": {Uniform}, "zeros-80": {Ternary},
    }  # fmt: skip
    for name, wanted in kinds.items():
        held = Compressed.load(lenet.folder / f"{name}.netc").formats
        assert {type(one) for key, one in held.items() if key.endswith("weight")} - wanted <= {
            type(held["ip1.bias"])
        }, name
        assert {type(one) for one in held.values()} >= wanted
    shared = Compressed.load(lenet.folder / "single_scale_error.netc").formats["ip1.weight"]
    assert isinstance(shared, Ternary)
    assert shared.positive == shared.negative
    sparse = Compressed.load(lenet.folder / "zeros-80.netc").formats["ip1.weight"]
    assert isinstance(sparse, Ternary)
    assert sparse.zeros == pytest.approx(0.8, abs=1e-5)
    kept = Compressed.load(lenet.folder / "error_two_layers.netc").formats
    assert [isinstance(kept[f"ip{at}.weight"], Ternary) for at in (1, 2, 3)] == [True, True, False]


def test_sizes_are_those_of_files_in_every_coding(lenet: Run) -> None:
    found = {key: one.value for key, one in lenet.outcome.metrics.items()}
    path = lenet.folder / "ternary.netc"
    assert found["file_bytes"] == path.stat().st_size == sum(lenet.outcome.size_bytes.values())
    assert found["file_bytes_entropy"] <= found["file_bytes_five_trits"] < found["file_bytes"]
    assert found["reference_bytes"] == 1_066_440
    assert found["file_ratio"] == pytest.approx(1_066_440 / found["file_bytes"])
    assert 15 < found["file_ratio"] < 15.63
    held = Compressed.load(path).formats["ip1.weight"]
    assert isinstance(held, Ternary)
    assert found["zeros.ip1"] == held.zeros
    assert 2 < found["bits_per_weight.ip1"] < 2.001
    assert lenet.outcome.network_file == path


def test_densities_and_scales_are_told_from_the_start_to_the_last_epoch(lenet: Run) -> None:
    found = {key: one.value for key, one in lenet.outcome.metrics.items()}
    for epoch in range(3):
        for layer in ("ip1", "ip2", "ip3"):
            assert 0 < found[f"density.{layer}-{epoch}-epochs"] <= 1
            assert found[f"scale.{layer}-positive-{epoch}-epochs"] > 0
    held = Compressed.load(lenet.folder / "ternary.netc").formats["ip2.weight"]
    assert isinstance(held, Ternary)
    assert found["scale.ip2-negative-2-epochs"] == held.negative
    assert found["density.ip2-2-epochs"] == pytest.approx(1 - held.zeros)


def test_progress_rises_and_names_what_is_trained(lenet: Run) -> None:
    shares = [share for share, _ in lenet.told]
    assert shares == sorted(shares)
    assert shares[-1] == 0.97
    assert any("single scale error" in what for _, what in lenet.told)


def test_depths_are_points_and_the_ends_stand_alone_for_the_claims(resnets: Run) -> None:
    found = resnets.outcome.metrics
    for metric in ("reference_error", "error", "error_increase"):
        assert found[f"shallow_{metric}"] == found[f"{metric}.1-blocks"]
        assert found[f"deep_{metric}"] == found[f"{metric}.2-blocks"]
    held = Compressed.load(resnets.folder / "ternary-resnet-14.netc").formats
    assert isinstance(held["linear.weight"], Ternary)
    assert not isinstance(held["conv0.weight"], Ternary)
    assert found["reference_bytes"].value == 4 * 172_218


def test_a_run_may_name_the_epochs_and_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ternary_lenets._short(LENET_5, 64)
    monkeypatch.setattr(TernaryLenet5, "plans", {"full": plan})
    seen: list[tuple[int, float | None]] = []
    own = TrainedTernaryQuantization.compress_and_tell

    def spy(self, task, config, *, seed):  # type: ignore[no-untyped-def]
        seen.append((config.train_epochs, config.learning_rate))
        return own(self, task, config, seed=seed)

    monkeypatch.setattr(TrainedTernaryQuantization, "compress_and_tell", spy)
    run_on_made_up_digits(TernaryLenet5, tmp_path, monkeypatch, train_epochs=1, learning_rate=0.5)
    assert set(seen) == {(1, 0.5)}
    (tmp_path / "again").mkdir()
    seen.clear()
    run_on_made_up_digits(TernaryLenet5, tmp_path / "again", monkeypatch)
    assert {epochs for epochs, _ in seen} == {2}
    assert {rate for _, rate in seen} == {plan.rates["trained"], plan.rates["shared"]}


def test_a_coding_that_came_back_as_something_else_is_an_error(
    tmp_path: Path, lenet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Compressed.load(lenet.folder / "ternary.netc")
    from methods.networks import lenet_300_100

    network = lenet_300_100(0)
    made.fill(network)
    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, {})
    files = TernaryFiles(TrainedTernaryQuantization(), None, {}, context)  # type: ignore[arg-type]
    files.made["x"] = replace(made, module=network)
    other = Compressed.from_module(lenet_300_100(1), {})
    monkeypatch.setattr(Compressed, "load", lambda path: other)
    with pytest.raises(RuntimeError, match="x in two-bit is another network"):
        files.coded_sizes("x")


@pytest.mark.parametrize("benchmark", [TernaryLenet5, FashionMnistResnets])
def test_another_method_is_none_for_these(benchmark: type, tmp_path: Path) -> None:
    context = Context("p", "r", "quick", 0, "mnist", "cpu", tmp_path, {})
    for method in (None, DeepCompression()):
        with pytest.raises(UnsuitableTask, match="trained-ternary-quantization"):
            benchmark().run(method, context)


def test_lines_are_named_after_layers() -> None:
    assert layer_of("ip1.weight") == "ip1"
    assert layer_of("stage1-0.conv1.weight") == "stage1-0-conv1"
    told = [Snapshot(2, "ip1.weight", 0.5, 1.0, 2.0), Snapshot(2, "ip2.weight", 0.5, 1.0, 2.0)]
    found = trajectories(told, {"ip1.weight": "first"})
    assert set(found) == {
        "density.first-2-epochs", "scale.first-positive-2-epochs", "scale.first-negative-2-epochs"
    }  # fmt: skip
