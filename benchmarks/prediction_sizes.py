"""Learned weights of predicted layers, counted from the settings in the authors' code.

Denil et al. 2013, ``mdenil/parameter_prediction``: a layer of n_v inputs and n_h units is the
product of a fixed factor and a learned one of ``n_atoms x n_h``, whatever the number of columns;
two learned factors of rank k hold ``k (n_v + n_h)``. Output layers and biases are always learned.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from registry.record import Paper
from registry.vocabulary import Metric, load_vocabulary

MLP_WIDTHS = (784, 500, 500, 10)
GRID_POINTS = 10
"""examples/multijob/mnist_0001: shares evenly spaced from 20/784 to 1."""
TIMIT_WIDTHS = (429, 1024, 1024, 183)
TIMIT_SHARE = 0.5
COLUMNS = (1, 5, 10)


@dataclass(frozen=True)
class PredictedLayer:
    """One layer of which a share is learned."""

    inputs: int
    """For a convolution: channels x height x width of a filter."""
    outputs: int
    atoms: int
    """Of the fixed factor, in each column; or the rank."""
    learns_both: bool = False

    @property
    def weights(self) -> int:
        """Of the dense layer."""
        return self.inputs * self.outputs

    @property
    def learned(self) -> int:
        """Weights that are learned."""
        return self.atoms * (self.outputs + (self.inputs if self.learns_both else 0))


@dataclass(frozen=True)
class Setting:
    """Predicted layers, and what is learned beside them."""

    layers: tuple[PredictedLayer, ...]
    others: int | None = None
    """Weights of the output layer and all biases; None where the setting is of layers alone."""

    def counts(self, name: str) -> Found:
        """Each metric of the setting."""
        learned = sum(layer.learned for layer in self.layers)
        yield f"learned_weights.{name}", learned
        yield f"learned_share.{name}", learned / sum(layer.weights for layer in self.layers)
        yield f"atoms.{name}", self.layers[0].atoms
        if self.others is not None:
            yield f"learned_parameters.{name}", learned + self.others


def mlp_setting(widths: tuple[int, ...], atoms: tuple[int, ...]) -> Setting:
    """Fully connected layers of ``widths``, all but the last predicted with so many atoms."""
    pairs = zip(widths[:-2], widths[1:-1], atoms, strict=True)
    others = widths[-2] * widths[-1] + sum(widths[1:])
    return Setting(tuple(PredictedLayer(*pair) for pair in pairs), others)


def settings() -> Iterator[tuple[str, Setting]]:
    """The authors' settings by the names that the record gives them."""
    for share in np.linspace(20 / 784, 1, GRID_POINTS).tolist():
        # Half a billionth: 20/784 times 784 must not fall to 19.
        atoms = tuple(int(width * share + 5e-10) for width in MLP_WIDTHS[:-2])
        name = "p-100" if share == 1 else f"p-{100 * share:.1f}"
        yield name, mlp_setting(MLP_WIDTHS, atoms)
    # examples/oldapi_examples, one hidden layer
    yield "kernel-150", Setting((PredictedLayer(784, 500, 150),))
    yield "connections-100", Setting((PredictedLayer(784, 500, 100),))
    yield "fixed-factor-200", Setting((PredictedLayer(784, 500, 200),))
    yield "low-rank-200", Setting((PredictedLayer(784, 500, 200, learns_both=True),))
    # mnist_conv: 64 filters of 5x5, on one channel and on 64
    yield "convolution-1", Setting((PredictedLayer(25, 64, 6),))
    yield "convolution-2", Setting((PredictedLayer(1600, 64, 384),))
    for columns in COLUMNS:
        # experiments/timit divides the inputs by the columns before it takes its share.
        atoms = tuple(int((width // columns) * TIMIT_SHARE) for width in TIMIT_WIDTHS[:-2])
        yield f"timit-{columns}-columns", mlp_setting(TIMIT_WIDTHS, atoms)


class PredictionSizes(Arithmetic):
    """Learned weights and shares of the settings in the authors' code."""

    name: ClassVar[str] = "prediction-sizes"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """Every setting; the record takes no part."""
        values = {key: value for name, setting in settings() for key, value in setting.counts(name)}
        return Outcome(without_interval(values, self.metrics))
