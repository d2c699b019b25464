"""The convolutional network of Denil et al.'s MNIST settings with predicted weights.

Two convolutions of 64 filters of 5x5, trained from scratch for each point on a part of the
training images, for a few epochs (the record's runs say how many). At 24 per cent, ``predicted``
are the authors' settings: 6 of 25 and 384 of 1600 positions, a squared-exponential kernel within
each channel, eight columns of eight filters.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchmarks.benchmark import Context, Outcome, Scale
from benchmarks.mnist_prediction import Settings, dense, grid
from benchmarks.prediction_points import (
    at_share,
    curve_metrics,
    measure_points,
    predicted_share,
)
from benchmarks.reference import Recipe
from methods.method import Method
from registry.vocabulary import Metric, load_vocabulary

NETWORK = "convnet-64-64"
RECIPES: Mapping[Scale, Recipe] = {
    "full": Recipe(network=NETWORK, epochs=0, learning_rate=0.1, batch_size=100, rows=6_000),
    "quick": Recipe(network=NETWORK, epochs=0, learning_rate=0.1, batch_size=100, rows=500),
}
"""The network, the batch and the rows; how long it is trained, the run's configuration says."""
OTHER_CURVES = ("low_rank", "rand_fix_u", "rand_con", "se_emp", "se_emp2", "se_ae", "emp_emp")
KERNEL = "se_se"
"""What the vocabulary calls ``predicted``: the authors' dictionaries."""


class _ConvnetPrediction:
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
        found = curve_metrics(settings, measured)
        named = {key.replace(f"error_{KERNEL}", "error_predicted"): m for key, m in found.items()}
        named |= predicted_share(measured)
        remarks.append(f"trained on the first {recipe.rows:,} training images")
        return Outcome(named, remarks=remarks)


def curves(kernel: Sequence[str], others: Sequence[str]) -> Settings:
    """The dense network, the authors' kernels at more shares, the other dictionaries at fewer."""
    authors = [at_share(KERNEL, percent) for percent in kernel]
    return [dense(), *authors, *grid(OTHER_CURVES, others)]


class MnistConvnetPrediction(_ConvnetPrediction):
    """Digits."""

    name: ClassVar[str] = "mnist-convnet-prediction"
    settings: ClassVar[Mapping[Scale, Settings]] = {
        "full": curves(("5", "10", "24", "25", "50", "100"), ("5", "25")),
        "quick": curves(("25",), ()),
    }
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class FashionConvnetPrediction(_ConvnetPrediction):
    """Pieces of clothing."""

    name: ClassVar[str] = "fashion-convnet-prediction"
    settings: ClassVar[Mapping[Scale, Settings]] = {
        "full": curves(("5", "25", "100"), ("5", "25")),
        "quick": curves(("25",), ()),
    }
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
