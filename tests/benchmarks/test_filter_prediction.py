"""Filters predicted from a few pixels: the whole benchmark on made-up images, and its parts."""

import base64
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import filter_prediction
from benchmarks.benchmark import Context, Outcome
from benchmarks.filter_prediction import (
    BLANK,
    COVARIANCE,
    KERNEL,
    FashionFilterPrediction,
    MnistFilterPrediction,
    predictions,
    relative_error,
    tiles,
)
from benchmarks.mnist import TEST_ROWS
from benchmarks.several_files import report_on_folder
from benchmarks.splits import ImageSplit
from methods.compressed import Compressed
from methods.deep_compression import DeepCompression
from methods.method import UnsuitableTask
from methods.networks import NETWORKS
from methods.predicting_parameters import PredictingParameters
from methods.prediction.settings import PredictingParametersConfig
from registry.catalog import load_catalog

PAPER = "2013-predicting-parameters"
TRAIN, TEST, UNITS = 360, 60, 60
CONFIG = PredictingParametersConfig(scale=2.0, covariance_ridge=0.1)


def made_up_images(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A smooth bright spot for each label, at a place of its own."""
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    place = np.arange(28)
    images = np.empty((rows, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        down, across = 7 + 13 * (label // 5), 3 + 5.5 * (label % 5)
        spot = np.exp(-((place[:, None] - down) ** 2 + (place - across) ** 2) / 18)
        image[:] = 200 * spot * generator.uniform(0.7, 1) + generator.integers(0, 20, (28, 28))
    return images, labels


def small(seed: int) -> nn.Sequential:
    """The first layer of the real network with fewer units, and its output layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            ip1=nn.Linear(784, UNITS),
            sigmoid1=nn.Sigmoid(),
            ip3=nn.Linear(UNITS, 10),
        )
    )


@dataclass
class Ran:
    outcome: Outcome
    told: list[tuple[float, str]]
    folder: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    generator = np.random.default_rng(7)
    images = ImageSplit(*made_up_images(TRAIN, generator), *made_up_images(TEST, generator))
    folder = tmp_path_factory.mktemp("filters")
    told: list[tuple[float, str]] = []
    context = Context(
        PAPER, "filters", "full", 3, "mnist", "cpu", folder,
        {"scale": 2.0, "covariance_ridge": 0.1},
        progress=lambda share, what: told.append((share, what)),
    )  # fmt: skip
    recipe = filter_prediction.RECIPES["full"].model_copy(update={"batch_size": 10})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.mnist.load", lambda name: images)
        patch.setattr("benchmarks.measure.load", lambda name: images)
        patch.setattr(filter_prediction, "measure_folder_in_new_process", report_on_folder)
        patch.setitem(NETWORKS, "mlp-500-500", small)
        patch.setattr(filter_prediction, "RECIPES", {"full": recipe})
        patch.setitem(TEST_ROWS, "mnist", TEST)
        outcome = MnistFilterPrediction().run(PredictingParameters(), context)
    return Ran(outcome, told, folder / "networks")


def test_every_metric_is_measured_in_its_unit_at_every_share(ran: Ran) -> None:
    wanted = {f"{name}.{s}-percent" for name in MnistFilterPrediction.metrics for s in (5, 10, 25)}
    assert set(ran.outcome.metrics) == wanted
    for key, measurement in ran.outcome.metrics.items():
        name = key.partition(".")[0]
        assert measurement.unit == MnistFilterPrediction.metrics[name].unit
        assert not name.startswith("error") or measurement.n == TEST
    assert FashionFilterPrediction.metrics == MnistFilterPrediction.metrics


@pytest.mark.parametrize("kind", [MnistFilterPrediction, FashionFilterPrediction])
def test_every_claim_of_the_record_finds_its_measurement(
    ran: Ran, kind: type[MnistFilterPrediction]
) -> None:
    claims = [c for c in load_catalog().get(PAPER).claims if c.benchmark == kind.name]
    assert len(claims) == 2
    for claim in claims:
        assert claim.ordering is not None
        for name in (claim.ordering.minuend, claim.ordering.subtrahend):
            assert f"{name}.{claim.layer}" in ran.outcome.metrics


def test_predicted_filters_beat_blank_ones_where_images_are_smooth(ran: Ran) -> None:
    found = {key: one.value for key, one in ran.outcome.metrics.items()}
    assert found["error_dense.5-percent"] < 0.2, "nothing was learned, so this test tells nothing"
    assert found["error_predicted.5-percent"] < found["error_blank.5-percent"]
    assert found["weight_error.25-percent"] < found["weight_error.5-percent"]
    assert found["weight_error.25-percent"] < np.sqrt(0.75)  # of blank filters


def test_a_file_holds_the_kept_weights_and_no_more(ran: Ran) -> None:
    dense = 4 * (UNITS * 10 + UNITS + 10)
    for share, atoms in ((5, 39), (25, 196)):
        size = ran.outcome.metrics[f"file_bytes.{share}-percent"].value
        assert dense + 4 * UNITS * atoms < size < dense + 4 * UNITS * atoms + 1000
    assert ran.outcome.network_file == ran.folder / "predicted-25.netc"


def test_the_picture_shows_kept_predicted_and_true_filters(ran: Ran) -> None:
    assert [one.title for one in ran.outcome.pictures] == [
        f"Filters from {share} per cent of their pixels" for share in (5, 25)
    ]
    held = Compressed.load(ran.folder / "dense.netc").formats["ip1.weight"].decode().numpy()
    largest = held[np.linalg.norm(held, axis=1).argmax()].reshape(28, 28)
    for one, atoms in zip(ran.outcome.pictures, (39, 196), strict=True):
        assert (one.width, one.height) == (12 * 29 + 1, 3 * 29 + 1)
        drawn = np.frombuffer(base64.b64decode(one.pixels), np.uint8)
        drawn = drawn.reshape(one.height, one.width)
        kept, _, true = (drawn[1 + 29 * row :][:28, 1:29] for row in range(3))
        assert (kept != 128).sum() <= atoms
        # On one scale: where a pixel is kept it looks as it does in the true filter, blank is grey.
        assert np.array_equal(kept[kept != 128], true[kept != 128])
        assert np.corrcoef(true.ravel(), largest.ravel())[0, 1] > 0.999


def test_progress_rises(ran: Ran) -> None:
    shares = [share for share, _ in ran.told]
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1


def test_all_ways_start_from_the_same_pixels_and_smooth_filters_come_back() -> None:
    generator = np.random.default_rng(0)
    place = np.arange(28) / 28
    waves = [np.outer(np.sin(6 * place + a), np.cos(5 * place + b)).ravel() for a, b in
             generator.uniform(0, 6, (20, 2))]  # fmt: skip
    filters = np.array(waves)
    covariance = np.cov(filters, rowvar=False)
    held = dict(predictions(filters, 0.25, covariance, CONFIG, seed=5))
    assert list(held) == [BLANK, KERNEL, COVARIANCE]
    assert all(np.array_equal(one.values, held[BLANK].values) for one in held.values())
    blank = held[BLANK].decode().numpy()
    assert ((blank == 0) | np.isclose(blank, filters)).all()
    assert (blank != 0).sum() == 20 * 196
    assert relative_error(blank, filters) == pytest.approx(np.sqrt(0.75), abs=0.05)
    for how in (KERNEL, COVARIANCE):
        assert relative_error(held[how].decode().numpy(), filters) < 0.2
    others = dict(predictions(filters, 0.25, covariance, CONFIG, seed=6))
    assert not np.array_equal(others[BLANK].values, held[BLANK].values)


def test_tiles_share_a_scale_down_a_column_and_grey_is_zero() -> None:
    above = np.array([[[0.0, 1.0]], [[0.0, 0.0]]])
    beneath = np.array([[[-2.0, 2.0]], [[0.0, 0.0]]])
    drawn = tiles([above, beneath])
    white = [255] * 7
    assert drawn.tolist() == [
        white,
        [255, 128, 192, 255, 128, 128, 255],
        white,
        [255, 1, 255, 255, 128, 128, 255],
        white,
    ]


def test_it_takes_no_other_method(tmp_path: Path) -> None:
    context = Context(PAPER, "r", "full", 0, "mnist", "cpu", tmp_path, {})
    for method in (None, DeepCompression()):
        with pytest.raises(UnsuitableTask, match="predicting-parameters"):
            MnistFilterPrediction().run(method, context)
