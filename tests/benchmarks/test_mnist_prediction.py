"""Prediction curves of the MLP and the convolutional network, whole, on a few made-up images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import convnet_prediction, mnist_prediction
from benchmarks.benchmark import Benchmark, Context, Measurement, Outcome
from benchmarks.convnet_prediction import (
    FASHION_RATES,
    MNIST_RATES,
    FashionConvnetPrediction,
    MnistConvnetPrediction,
    Rates,
)
from benchmarks.curves import place_of
from benchmarks.measure import FileReport
from benchmarks.mnist import TEST_ROWS
from benchmarks.mnist_prediction import (
    COLUMN_SERIES,
    FashionMlpPrediction,
    MnistMlpPrediction,
    MnistPredictionRecipe,
    rises,
)
from benchmarks.prediction_points import (
    DICTIONARIES,
    Measured,
    at_share,
    curve_metrics,
    predicted_share,
)
from benchmarks.several_files import report_on_folder
from benchmarks.splits import ImageSplit
from methods.deep_compression import DeepCompression
from methods.method import UnsuitableTask
from methods.predicting_parameters import Counts, PredictingParameters
from methods.prediction.settings import PredictingParametersConfig
from registry.catalog import load_catalog

TRAIN, TEST = 120, 40
PAPER = "2013-predicting-parameters"
CONFIGURATION = {
    "dictionary_epochs": 1,
    "dictionary_units": 600,
    "pretraining_epochs": 1,
    "train_epochs": 1,
    "learning_rate": 0.1,
}
BENCHMARKS: list[type[Benchmark]] = [
    MnistMlpPrediction,
    FashionMlpPrediction,
    MnistPredictionRecipe,
    MnistConvnetPrediction,
    FashionConvnetPrediction,
]
ON_CLOTHING = (FashionMlpPrediction, FashionConvnetPrediction)
SOONER_AND_LATER = [
    pytest.param(kind, marks=pytest.mark.trust if kind in ON_CLOTHING else ())
    for kind in BENCHMARKS
]
"""Those on clothing take the same steps at fewer points."""


def made_up_images(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bright square for each label, at a place of its own, in noise."""
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    images = generator.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
        image[top : top + 8, left : left + 5] = 250
    return images, labels


@dataclass
class Ran:
    outcome: Outcome
    told: list[tuple[float, str]]


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Made-up images in place of both data sets, files read back in this process."""
    generator = np.random.default_rng(7)
    images = ImageSplit(*made_up_images(TRAIN, generator), *made_up_images(TEST, generator))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.mnist.load", lambda name: images)
        patch.setattr("benchmarks.measure.load", lambda name: images)
        patch.setattr(
            "benchmarks.prediction_points.measure_folder_in_new_process", report_on_folder
        )
        for data in ("mnist", "fashion-mnist"):
            patch.setitem(TEST_ROWS, data, TEST)
        for module in (mnist_prediction, convnet_prediction):
            short = module.RECIPES["full"].model_copy(update={"rows": 50})
            patch.setattr(module, "RECIPES", {"full": short, "quick": short})
        yield tmp_path_factory.mktemp("prediction")


class RunOnDemand(dict[str, Ran]):
    """Each benchmark at full scale, by name, run when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> Ran:
        told: list[tuple[float, str]] = []
        folder = self._folder / name
        folder.mkdir()
        kind = next(one for one in BENCHMARKS if one.name == name)
        outcome = kind().run(PredictingParameters(), context(folder, name, told))
        return self.setdefault(name, Ran(outcome, told))


@pytest.fixture(scope="module")
def ran(patched: Path) -> RunOnDemand:
    return RunOnDemand(patched)


def context(folder: Path, name: str, told: list[tuple[float, str]]) -> Context:
    data = "fashion-mnist" if name.startswith("fashion") else "mnist"
    return Context(
        PAPER, "r", "full", 3, data, "cpu", folder, CONFIGURATION,
        progress=lambda share, what: told.append((share, what)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", SOONER_AND_LATER)
def test_every_metric_is_measured_in_its_unit_at_places_of_a_chart(
    ran: dict[str, Ran], kind: type[Benchmark]
) -> None:
    found = ran[kind.name].outcome.metrics
    assert {key.partition(".")[0] for key in found} == set(kind.metrics)
    for key, measurement in found.items():
        metric, _, point = key.partition(".")
        assert measurement.unit == kind.metrics[metric].unit
        if metric.startswith("error"):
            assert measurement.n == TEST
        if kind.metrics[metric].per == "series":
            place = place_of(point)
            assert place is not None
            assert place.axis == ("columns" if metric == "error_columns" else "per cent")


@pytest.mark.parametrize("kind", SOONER_AND_LATER)
def test_every_claim_of_the_record_finds_its_measurement(
    ran: dict[str, Ran], kind: type[Benchmark]
) -> None:
    claims = [c for c in load_catalog().get(PAPER).claims if c.benchmark == kind.name]
    assert claims
    for claim in claims:
        suffix = f".{claim.layer}" if claim.layer else ""
        keys = [claim.measured_as]
        if claim.ordering is not None:
            keys = [claim.ordering.minuend + suffix, claim.ordering.subtrahend + suffix]
        assert all(key in ran[kind.name].outcome.metrics for key in keys), claim.id


@pytest.mark.parametrize("kind", SOONER_AND_LATER)
def test_progress_rises(ran: dict[str, Ran], kind: type[Benchmark]) -> None:
    shares = [share for share, _ in ran[kind.name].told]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] < 1


def test_learned_weights_are_the_share_and_stored_ones_what_data_made(
    ran: dict[str, Ran],
) -> None:
    found = ran["mnist-mlp-prediction"].outcome.metrics
    for line in ("rand-con", "rand-fix-u", "se-emp", "se-ae", "emp-emp"):
        assert found[f"learned_weights.{line}-5-percent"].value == 500 * (39 + 25)
        assert found[f"learned_weights.{line}-2.6-percent"].value == 16_000
        stored = found[f"stored_weights.{line}-5-percent"].value
        assert (stored == 32_000) == line.startswith("rand"), line
    # Ranks 15 and 12: two factors of at most 5 per cent of 392,000 and of 250,000 weights.
    assert found["learned_weights.low-rank-5-percent"].value == 1284 * 15 + 1000 * 12
    for percent in ("5", "25"):
        few = found[f"file_bytes.rand-con-{percent}-percent"].value
        learned = found[f"learned_weights.rand-con-{percent}-percent"].value
        others = 4 * (500 * 10 + 1010)
        assert 4 * learned + others < few < 4 * learned + others + 2000


def test_columns_hold_the_curves_five(ran: dict[str, Ran]) -> None:
    found = ran["mnist-mlp-prediction"].outcome.metrics
    for series in COLUMN_SERIES:
        line = series.replace("_", "-")
        assert found[f"error_columns.{line}-5-columns"] == found[f"error_{series}.10-percent"]
        assert f"error_columns.{line}-1-columns" in found
        assert f"error_columns.{line}-10-columns" in found


def test_the_authors_convolution_settings_stand_at_24_per_cent() -> None:
    config = at_share("se_se", "24").config(PredictingParametersConfig())
    assert (config.first, config.others) == DICTIONARIES["se_se"]
    assert (int(25 * config.share), int(1600 * config.share)) == (6, 384)
    assert (config.convolution_columns, config.convolution_scale, config.ridge) == (8, 3.0, 0.1)


@pytest.mark.parametrize(
    ("benchmark", "rates"),
    [(MnistConvnetPrediction, MNIST_RATES), (FashionConvnetPrediction, FASHION_RATES)],
)
def test_each_convolutional_network_has_a_rate_where_the_run_names_none(
    benchmark: type, rates: Rates
) -> None:
    unnamed = PredictingParametersConfig()
    named = PredictingParametersConfig(learning_rate=0.07)
    for setting in benchmark.settings["full"]:
        percent = setting.point.removesuffix("-percent")
        rate = rates[setting.series][percent]
        assert setting.config(unnamed).learning_rate == rate
        assert setting.config(named).learning_rate == 0.07


def made(wrong: int, learned: int, validation: float = 0.0) -> Measured:
    report = FileReport(file_bytes=10, size_bytes={}, wrong=wrong, n=100)
    return Measured(report, Counts(weights=1000, learned=learned, stored=learned), validation)


def test_the_predicted_share_is_chosen_by_the_validation_images_alone() -> None:
    networks = {"nokernel-100-percent": made(5, 1000, 0.05)}
    nothing = predicted_share(networks)
    assert (nothing["predicted_share"].value, nothing["predicted_share_increase"].value) == (0, 0)
    networks |= {"a-5-percent": made(1, 50, 0.06), "a-10-percent": made(7, 100, 0.05)}
    found = predicted_share(networks)  # fewer test errors at 5 per cent count for nothing
    assert found["predicted_share"].value == pytest.approx(0.9)
    assert found["predicted_share_increase"].value == pytest.approx(0.02)
    networks["b-5-percent"] = made(9, 50, 0.04)
    assert predicted_share(networks)["predicted_share"].value == pytest.approx(0.95)


@pytest.mark.parametrize("series", ["low-rank", "rand-con"])
def test_what_predicts_no_weights_is_not_counted(series: str) -> None:
    networks = {"nokernel-100-percent": made(5, 1000, 0.05), f"{series}-5-percent": made(1, 50)}
    assert predicted_share(networks)["predicted_share"].value == 0


def test_the_dense_error_stands_beside_each_share() -> None:
    settings = [at_share("nokernel", "100"), at_share("se_ae", "5")]
    measured = {"nokernel-100-percent": made(7, 1000), "se-ae-5-percent": made(9, 50)}
    found = curve_metrics(settings, measured)
    assert found["error_nokernel.5-percent"].value == 0.07
    assert found["error_nokernel.100-percent"].value == 0.07
    assert found["error_se_ae.5-percent"].value == 0.09
    assert "error_nokernel.nokernel" not in found


def test_rises_take_the_better_random_dictionary() -> None:
    few = {"low_rank": 0.2, "rand_fix_u": 0.3, "rand_con": 0.5, "se_emp": 0.1, "se_ae": 0.12}
    few |= {"emp_emp": 0.11}
    found = {}
    for series, error in few.items():
        for point, value in (("5", error), ("100", 0.05)):
            key = f"error_{series}.{point}-percent"
            found[key] = Measurement(value=value, unit="fraction")
    told = rises(found)
    assert told["rise_random"].value == pytest.approx(0.25)
    assert told["rise_se_emp"].value == pytest.approx(0.05)
    assert told["rise_low_rank"].value == pytest.approx(0.15)
    assert rises({}) == {}


def test_at_all_inputs_columns_have_the_same_factor() -> None:
    """What allows a single column at 100 per cent."""
    from methods.prediction.dictionaries import Dictionary

    for rule in (
        Dictionary("positions", 12, columns=3, seed=4),
        Dictionary("squared-exponential", 12, columns=3, seed=4, grid=(1, 3, 4)),
    ):
        several = list(rule.factors(12))
        [one] = list(replace(rule, columns=1).factors(12))
        assert all(np.array_equal(each, one) for each in several)


@pytest.mark.parametrize("kind", SOONER_AND_LATER)
def test_they_take_no_other_method(kind: type[Benchmark], tmp_path: Path) -> None:
    plain = Context(PAPER, "r", "full", 0, "mnist", "cpu", tmp_path, {})
    for method in (None, DeepCompression()):
        with pytest.raises(UnsuitableTask, match="predicting-parameters"):
            kind().run(method, plain)
