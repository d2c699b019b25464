"""The MLP of Denil et al. with predicted weights: every dictionary over the learned share.

The 784-500-500-10 network of sigmoid units is trained from scratch for each point. The curves are
trained for less time than the authors' settings: one epoch of pre-training a layer, a few epochs
all together at a higher rate (the record's runs say which). The recipe benchmark keeps the authors'
dictionaries, pre-training, rates and batches, and cuts the epochs alone.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.prediction_points import (
    Setting,
    at_share,
    curve_metrics,
    error_of,
    measure_points,
    predicted_share,
    series_of,
)
from benchmarks.reference import Recipe
from methods.method import Method
from registry.vocabulary import Metric, load_vocabulary

NETWORK = "mlp-500-500"
RECIPES: Mapping[Scale, Recipe] = {
    "full": Recipe(network=NETWORK, epochs=0, learning_rate=0.1, batch_size=100),
    "quick": Recipe(network=NETWORK, epochs=0, learning_rate=0.1, batch_size=100, rows=3_000),
}
"""The network, the batch and the rows; how long it is trained, the run's configuration says."""
DATA_MADE = ("se_emp", "se_ae", "emp_emp")
RANDOM = ("rand_fix_u", "rand_con")
CURVES = ("low_rank", *RANDOM, "se_emp2", *DATA_MADE)
LOW_RANK_RATES = {"learning_rate": 0.03, "pretraining_learning_rate": 0.01}
"""At the others' rates, 0.1 in training and in pre-training, both learned factors diverge. At
these the others are worse on the validation images than at their own."""
COLUMNS_SHARE = "10"
COLUMNS = (1, 10)
"""Beside 5, which all curves have."""
COLUMN_SERIES = ("rand_con", "se_emp")

Settings = Sequence[Setting]


def dense() -> Setting:
    """The network without predicted weights."""
    return at_share("nokernel", "100")


def grid(curves: Sequence[str], percents: Sequence[str]) -> Settings:
    """Each curve at each share."""
    return [
        at_share(one, percent, **(LOW_RANK_RATES if one == "low_rank" else {}))
        for one in curves
        for percent in percents
    ]


class _MlpPrediction:
    """Train a network for each setting, write it, read it back elsewhere, test what was read."""

    name: ClassVar[str]
    settings: ClassVar[Mapping[Scale, Settings]]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure every point.

        Raises:
            UnsuitableTask: the method is none that predicts parameters.
        """
        settings = self.settings[context.scale]
        recipe = RECIPES[context.scale]
        measured, remarks = measure_points(method, context, recipe, settings)
        curves = [setting for setting in settings if setting.point.endswith("percent")]
        found = curve_metrics(curves, measured)
        found |= predicted_share(measured)
        found |= rises(found)
        for series in COLUMN_SERIES:
            lines = [s for s in settings if s.series == series and s.point.endswith("columns")]
            for setting in lines:
                found[f"error_columns.{setting.key}"] = error_of(measured[setting.key])
            if lines:
                name = series_of(series)
                same = measured[f"{name}-{COLUMNS_SHARE}-percent"]
                found[f"error_columns.{name}-5-columns"] = error_of(same)
        return Outcome(found, remarks=remarks)


def rises(found: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """The error added from all weights learned to 5 per cent; of random dictionaries the least."""

    def rise(series: str) -> float:
        few, all_of_them = (found[f"error_{series}.{name}-percent"].value for name in ("5", "100"))
        return few - all_of_them

    if f"error_{RANDOM[0]}.100-percent" not in found:
        return {}
    values = {series: rise(series) for series in ("low_rank", *DATA_MADE)}
    values["random"] = min(rise(series) for series in RANDOM)
    return {f"rise_{name}": Measurement(value=v, unit="fraction") for name, v in values.items()}


def columns_settings() -> Settings:
    """One column, and ten, at one share."""
    share = float(COLUMNS_SHARE) / 100
    return [
        Setting(series, f"{columns}-columns", {"share": share, "columns": columns})
        for series in COLUMN_SERIES
        for columns in COLUMNS
    ]


class MnistMlpPrediction(_MlpPrediction):
    """Digits, all dictionaries."""

    name: ClassVar[str] = "mnist-mlp-prediction"
    settings: ClassVar[Mapping[Scale, Settings]] = {
        "full": [
            dense(),
            *grid(CURVES, ("2.6", "5", "25")),
            *grid(COLUMN_SERIES, (COLUMNS_SHARE,)),
            *grid(("low_rank", *RANDOM, *DATA_MADE), ("100",)),
            *columns_settings(),
        ],
        "quick": [dense(), *grid(CURVES, ("5",))],
    }
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class FashionMlpPrediction(_MlpPrediction):
    """Pieces of clothing, fewer shares."""

    name: ClassVar[str] = "fashion-mlp-prediction"
    settings: ClassVar[Mapping[Scale, Settings]] = {
        "full": [
            dense(),
            *grid(CURVES, ("5",)),
            *grid(("rand_con", "se_emp"), ("25",)),
            *grid(("low_rank", *RANDOM, *DATA_MADE), ("100",)),
        ],
        "quick": [dense(), *grid(("rand_con", "se_emp"), ("5",))],
    }
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class MnistPredictionRecipe(_MlpPrediction):
    """Digits by the authors' recipe, which is SE-AE, beside the dense network by the same."""

    name: ClassVar[str] = "mnist-prediction-recipe"
    settings: ClassVar[Mapping[Scale, Settings]] = {
        "full": [dense(), *grid(("se_ae",), ("2.6", "5", "13.4", "24.2"))],
        "quick": [dense(), *grid(("se_ae",), ("5",))],
    }
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
