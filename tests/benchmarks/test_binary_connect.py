"""Networks trained in four ways on made-up images: written, read back and tested."""

import io
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    binary_connect,
    centred_images,
    hashed_training,
    several_files,
    whitened_images,
)
from benchmarks.benchmark import Context, Measurement, Outcome
from benchmarks.binary_connect import (
    COLUMNS,
    TERNARY,
    THRESHOLDED,
    Cifar10ConvnetBinaryConnect,
    FashionConvnetBinaryConnect,
    MnistMlpBinaryConnect,
    MnistNarrowBinaryConnect,
    Plan,
    beside_each_shift,
    file_name,
)
from benchmarks.centred_images import MARGIN, centred_test, centred_training
from benchmarks.cifar_10 import ARCHIVE, RECORD_BYTES, TEST_FILE, TRAIN_FILES, cifar_split
from benchmarks.job import configuration_of
from benchmarks.job import plan as plan_of
from benchmarks.several_files import report_on_folder
from benchmarks.splits import ImageSplit
from methods.compressed import Compressed
from methods.deep_compression import DeepCompression
from methods.few_multiplications import FewMultiplications, FewMultiplicationsConfig
from methods.method import UnsuitableTask
from methods.normalised_networks import normalised_convnet, normalised_mlp
from registry.catalog import load_catalog
from registry.vocabulary import load_vocabulary

TRAIN, TEST, TRAINED_ON = 480, 120, 400
PAPER = "2016-few-multiplications"
CLASSES = (
    MnistMlpBinaryConnect,
    MnistNarrowBinaryConnect,
    FashionConvnetBinaryConnect,
    Cifar10ConvnetBinaryConnect,
)


def made_up_images(seed: int = 7) -> ImageSplit:
    """A bright square for each class, at a place of its own, in noise."""
    generator = np.random.default_rng(seed)

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
    tested: list[tuple[str, str]]


MLP = Plan(lambda seed: normalised_mlp((784, 24, 24, 10), seed), 20, 4, shifts=(1, 4),
           shift_epochs=2)  # fmt: skip
CONVNET = Plan(
    lambda seed: normalised_convnet(1, seed, divisor=32), 20, 3, rows=200, validation_rows=40
)


def run_here(benchmark: type, plan: Plan, folder: Path, patch: pytest.MonkeyPatch) -> Run:
    """A run whose other process is this one, since it would read real images."""
    told: list[tuple[float, str]] = []
    tested: list[tuple[str, str]] = []
    images = made_up_images()

    def here(where: Path, data: str, kind: str, device: str) -> dict:
        tested.append((data, kind))
        return report_on_folder(where, data, kind, device)  # type: ignore[arg-type]

    patch.setattr(benchmark, "plans", {"full": plan})
    patch.setattr(binary_connect, "load", lambda name: images)
    patch.setattr(several_files, "load", lambda name: images)
    patch.setattr(hashed_training, "measure_folder_in_new_process", here)
    patch.setattr(binary_connect, "TEST_ROWS", TEST)
    patch.setattr(centred_images.centred_training, "__defaults__", (0, TRAINED_ON))
    patch.setattr(centred_images.centred_test, "__defaults__", (0, TRAINED_ON))
    context = Context(
        PAPER, "r", "full", 3, "mnist", "cpu", folder, {"learning_rate": 0.1},
        lambda share, what: told.append((share, what)),
    )  # fmt: skip
    return Run(benchmark().run(FewMultiplications(), context), told, folder, tested)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("narrow")
        return run_here(MnistNarrowBinaryConnect, MLP, folder, patch)


@pytest.fixture(scope="module")
def convolved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("convnet")
        return run_here(FashionConvnetBinaryConnect, CONVNET, folder, patch)


def test_every_metric_is_measured_in_its_unit_on_all_test_images(ran: Run, convolved: Run) -> None:
    for run, benchmark in ((ran, MnistNarrowBinaryConnect), (convolved, CLASSES[2])):
        metrics = run.outcome.metrics
        assert {key.partition(".")[0] for key in metrics} == set(benchmark.metrics)
        for key, one in metrics.items():
            assert one.unit == benchmark.metrics[key.partition(".")[0]].unit
            assert one.n == TEST
            assert one.low is not None
    points = {key.partition(".")[2] for key in ran.outcome.metrics if "shift" in key}
    assert points == {"1-bits", "4-bits"}


def test_every_way_of_training_learns(ran: Run) -> None:
    for column in (*COLUMNS, THRESHOLDED):
        assert ran.outcome.metrics[column].value < 0.3, column


def test_files_hold_real_weights_and_the_thresholded_one_three_values(ran: Run) -> None:
    kept = Compressed.load(ran.folder / f"{file_name(TERNARY)}.netc").tensors()["ip2.weight"]
    rounded = Compressed.load(ran.folder / f"{file_name(THRESHOLDED)}.netc").tensors()["ip2.weight"]
    assert len(kept.unique()) > 100
    assert len(rounded.unique()) == 3
    scale = float(rounded.max())
    assert scale == pytest.approx((6 / 48) ** 0.5 / 2)
    assert torch.equal(rounded != 0, kept.abs() > scale / 2)
    assert ran.outcome.network_file == ran.folder / "ternary-quantized.netc"
    assert not ran.outcome.size_bytes  # no size is claimed


def test_test_images_are_read_by_the_process_that_tests(ran: Run, convolved: Run) -> None:
    assert ran.tested == [("mnist", "centred")]
    assert convolved.tested == [("mnist", "centred-32")]


def test_progress_rises_to_the_end(ran: Run) -> None:
    shares = [share for share, _ in ran.told]
    assert shares == sorted(shares)
    assert shares[-2:] == pytest.approx([0.95, 0.96])


def test_remarks_tell_what_was_cut(ran: Run, convolved: Run) -> None:
    told = " ".join(ran.outcome.remarks)
    assert "4 epochs of full-precision" in told
    assert "2 epochs of shift-bits-1-bits" in told
    assert "validation errors in per cent" in told
    cut = convolved.outcome.remarks[0]
    assert "first 200 training images, chosen by 40 others, in batches of 20" in cut


def test_the_error_without_bounds_stands_at_each_point() -> None:
    error = Measurement(value=0.1, unit="fraction")
    found = beside_each_shift({"error_binary": error, "error_shift_unbounded": error}, MLP)
    assert set(found) == {
        "error_binary", "error_shift_unbounded.1-bits", "error_shift_unbounded.4-bits"
    }  # fmt: skip


def test_a_shift_of_so_many_bits_is_what_the_text_says() -> None:
    trainings = {one.key: one.config(FewMultiplicationsConfig()) for one in MLP.trainings()}
    assert trainings["error_shift_bits.4-bits"].linear_exponents == (-4, 3)
    assert trainings["error_shift_bits.1-bits"].linear_exponents == (-1, 0)
    assert trainings["error_shift_unbounded"].linear_exponents is None
    assert trainings["error_shift_unbounded"].train_epochs == MLP.shift_epochs
    assert trainings["error_full_precision"].is_full_precision


def test_a_named_number_of_epochs_goes_before_the_plans() -> None:
    base = FewMultiplicationsConfig(train_epochs=7)
    assert {one.config(base).train_epochs for one in MLP.trainings()} == {7}


@pytest.mark.parametrize("method", [None, DeepCompression()])
def test_it_takes_no_other_method(method: object, tmp_path: Path) -> None:
    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, {})
    with pytest.raises(UnsuitableTask, match="few-multiplications"):
        MnistMlpBinaryConnect().run(method, context)


def keys_of(plan: Plan) -> set[str]:
    measured = Measurement(value=0.1, unit="fraction")
    errors = {one.key: measured for one in plan.trainings()} | {THRESHOLDED: measured}
    return set(beside_each_shift(errors, plan))


@pytest.mark.parametrize("benchmark", CLASSES)
def test_every_claim_of_the_record_is_measured_at_full_scale(benchmark: type) -> None:
    keys = keys_of(benchmark.plans["full"])
    assert {key.partition(".")[0] for key in keys} == set(
        load_vocabulary().benchmarks[benchmark.name].metrics
    )
    for claim in load_catalog().get(PAPER).claims:
        if claim.benchmark == benchmark.name and claim.check != "out-of-reach":
            suffix = f".{claim.layer}" if claim.layer else ""
            ordering = claim.ordering
            names = [ordering.minuend, ordering.subtrahend] if ordering else [claim.metric]
            assert {f"{name}{suffix}" for name in names} <= keys, claim.id


def test_runs_keep_the_papers_rates() -> None:
    for run in load_catalog().get(PAPER).runs:
        config = FewMultiplicationsConfig(**configuration_of(run, "full"))
        assert config.learning_rate == 0.3
        assert config.final_learning_rate == (0.001 if "net" in run.benchmark else 0.01)
        assert not config.authors_slips


def test_the_papers_networks_batches_and_epochs() -> None:
    assert MnistMlpBinaryConnect.plans["full"].batch_rows == 200
    assert FashionConvnetBinaryConnect.plans["full"].batch_rows == 100
    recipe = Cifar10ConvnetBinaryConnect.plans["full"]
    assert (recipe.batch_rows, recipe.epochs, recipe.rows, recipe.shifts) == (100, 300, None, ())


class TestCentredImages:
    def test_the_mean_is_that_of_the_images_trained_on(self) -> None:
        images = made_up_images()
        (inputs, labels), (others, _) = centred_training(images, train_rows=TRAINED_ON)
        assert inputs.shape == (TRAINED_ON, 1, 28, 28)
        assert len(others) == TRAIN - TRAINED_ON
        torch.testing.assert_close(inputs.mean(0), torch.zeros(1, 28, 28), atol=1e-5, rtol=0)
        assert labels.dtype == torch.int64
        mean = images.train_images[:TRAINED_ON].astype(np.float64).mean(0) / 255
        tested, _ = centred_test(images, train_rows=TRAINED_ON)
        wanted = images.test_images.astype(np.float64) / 255 - mean
        np.testing.assert_allclose(tested[:, 0].numpy(), wanted, atol=1e-5)

    def test_neither_test_nor_validation_images_move_what_is_trained_on(self) -> None:
        images = made_up_images()
        inputs = centred_training(images, train_rows=TRAINED_ON)[0][0]
        moved = images.train_images.copy()
        moved[TRAINED_ON:] = 255
        other = replace(images, train_images=moved, test_images=255 - images.test_images)
        assert torch.equal(inputs, centred_training(other, train_rows=TRAINED_ON)[0][0])

    def test_a_margin_is_of_zeros(self) -> None:
        tested, _ = centred_test(made_up_images(), MARGIN, TRAINED_ON)
        assert tested.shape == (TEST, 1, 32, 32)
        inner = tested[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
        assert float(tested.abs().sum()) == pytest.approx(float(inner.abs().sum()))


def test_colour_images_run_from_an_archive_of_the_users_to_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small archive of CIFAR-10's structure; whitening 3,072 pixels would take too long here."""
    generator = np.random.default_rng(5)

    def records() -> bytes:
        table = generator.integers(0, 90, (40, RECORD_BYTES), dtype=np.uint8)
        table[:, 0] = generator.integers(0, 10, 40)
        images = table[:, 1:].reshape(40, 3, 32, 32)
        for image, label in zip(images, table[:, 0], strict=True):
            image[label % 3, :, 3 * label : 3 * label + 4] = 250
        return table.tobytes()

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as made:
        for name in (*TRAIN_FILES, TEST_FILE):
            data = records()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    split = cifar_split({ARCHIVE: stream.getvalue()}, 40)

    class Lighter:
        def __init__(self, trained_on: np.ndarray) -> None:
            assert len(trained_on) == 160

        def __call__(self, images: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(images).float() / 128 - 0.5

    def here(where: Path, data: str, kind: str, device: str) -> dict:
        return report_on_folder(where, data, kind, device)  # type: ignore[arg-type]

    for at in (binary_connect, several_files):
        monkeypatch.setattr(at, "load", lambda name: split)
    monkeypatch.setattr(whitened_images, "Whitening", Lighter)
    monkeypatch.setattr(whitened_images.whitened_training, "__defaults__", (160,))
    monkeypatch.setattr(whitened_images.whitened_test, "__defaults__", (160,))
    monkeypatch.setattr(hashed_training, "measure_folder_in_new_process", here)
    monkeypatch.setattr(binary_connect, "TEST_ROWS", 40)
    plan = Plan(lambda seed: normalised_convnet(3, seed, divisor=32), 20, 2)
    monkeypatch.setattr(Cifar10ConvnetBinaryConnect, "plans", {"full": plan})
    context = Context(PAPER, "r", "full", 0, "cifar-10", "cpu", tmp_path, {})
    found = Cifar10ConvnetBinaryConnect().run(FewMultiplications(), context).metrics
    assert set(found) == set(Cifar10ConvnetBinaryConnect.metrics)
    assert all(one.n == 40 for one in found.values())


def test_without_the_data_the_run_is_left_out_and_says_why() -> None:
    catalog = load_catalog()
    paper = catalog.get(PAPER)
    have = {"mnist": {"a": "0" * 64}, "fashion-mnist": {"b": "1" * 64}}
    full = plan_of([paper], catalog.vocabulary, "full", have.get)
    assert [one.run for one in full.left_out] == ["cifar-10"]
    assert "needs one of the data sets cifar-10" in full.left_out[0].reason
    assert "cifar-10" not in {job.identity.run for job in full.jobs}
    quick = plan_of([paper], catalog.vocabulary, "quick", have.get)
    assert not quick.left_out
    assert len(quick.jobs) == 4
