"""Trained ternary quantization: two learned scales a layer, and zero.

Zhu, Han, Mao, Dally: "Trained Ternary Quantization", ICLR 2017, arXiv 1612.01064, and the authors'
code (czhu95/ternarynet at 1a67251).

1. A weight is the layer's positive scale where its float32 copy is above a threshold, the negative
   scale's opposite where it is below minus the threshold, else zero (eq. 1). The threshold is
   t = 0.05 of the largest magnitude, the same t in all layers, or what makes a given share of the
   weights zero (section 3).
2. Training from a trained network: a scale gets the summed gradients of the weights that take it,
   the copy that of its ternary value times its scale, or times 1 where it is zero (eqs. 2 and 3).
   The printed gradient of the negative scale lacks its minus; the authors' code has it.
3. A file holds the signs in two bits a weight and the two scales (``methods.formats.ternary``).

For comparison, with the same training: one scale by least squares (ternary weight networks) and no
zeros (binary weight networks), whose gradients go straight through to the copy.

Differences: scales start at the mean magnitude of their weights where no batch normalisation
follows to absorb the authors' 1; a scale that training drives below zero stops there. Layers that
are frozen (``requires_grad`` False) stay float32 where the network is trained. Binary weights have
one scale a layer, where their authors have one for each filter.
"""

import copy
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from torch import nn

from methods.compressed import Compressed
from methods.formats.format import Format
from methods.formats.ternary import Coding
from methods.method import MethodConfig, Task, UnsuitableTask
from methods.ternary_weights import (
    Rule,
    Snapshot,
    TernaryWeight,
    Training,
    Weights,
    train_ternary,
)
from methods.training import cosine
from methods.weights import Weight, holds_weights, require_weights

NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class TrainedTernaryConfig(MethodConfig):
    """Hyper-parameters; the defaults are those of the authors' residual networks on CIFAR-10."""

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Of a layer's largest magnitude: t of section 3."""
    zeros: Annotated[float, Field(ge=0, lt=1)] | None = None
    """A share of the weights of each layer to be zero, in place of the threshold."""
    weights: Weights = "trained"
    """The method (``trained``), or one scale a layer (``shared``), or no zeros (``binary``)."""
    full_precision: Literal["first-and-last", "first", "last", "none"] = "first-and-last"
    """Layers that stay float32; the residual networks of the authors' code keep the first alone."""
    initial_scale: Literal["auto", "one", "mean"] = "auto"
    """Of both scales: 1 as in the authors' code, the mean magnitude of their weights, or the one
    that suits: 1 where the network has batch normalisation."""
    dead_zone_gradient: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Factor of a zero's gradient (eq. 3); at 0 a zero could never leave."""
    train_epochs: Annotated[int, Field(ge=0, le=10_000)] = 400
    optimizer: Literal["auto", "sgd", "adam"] = "auto"
    """Of the authors' residual networks (sgd) or of their AlexNet (adam). A scale gets the sum of
    many gradients: without batch normalisation, where only adam bears that, auto takes it."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: 0.1 for sgd and 0.0001 for adam, the authors'."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """None: 0.0002 for sgd and 0.000005 for adam, the authors'."""
    decay_scales: bool = True
    """Whether the decay counts for the scales, too, as in the authors' code."""
    schedule: Literal["steps", "cosine"] = "steps"
    """The authors' drops, at the same shares of the training, or half a cosine."""
    coding: Coding = "two-bit"
    """Of the signs in the file."""

    @model_validator(mode="after")
    def _is_whole(self) -> "TrainedTernaryConfig":
        if self.weights == "binary" and self.zeros:
            raise ValueError("zeros: binary weights have none")
        return self

    @property
    def epochs(self) -> int:
        return self.train_epochs


class TrainedTernaryQuantization:
    """The plugin."""

    name: ClassVar[str] = "trained-ternary-quantization"
    paper: ClassVar[str] = "2017-trained-ternary-quantization"
    Config: ClassVar[type[TrainedTernaryConfig]] = TrainedTernaryConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with weights: nothing asks for more than a tensor of them."""
        return holds_weights(module)

    def compress(self, task: Task, config: TrainedTernaryConfig, *, seed: int) -> Compressed:
        """Train a copy of ``task.network`` with ternary weights.

        Without training data the weights become ternary as they are, with the mean magnitudes
        as scales.

        Raises:
            UnsuitableTask: no layer with weights is left between those that stay float32.
        """
        return self.compress_and_tell(task, config, seed=seed)[0]

    def compress_and_tell(
        self, task: Task, config: TrainedTernaryConfig, *, seed: int
    ) -> tuple[Compressed, list[Snapshot]]:
        """As ``compress``; with densities and scales before training and after each epoch."""
        network = copy.deepcopy(task.network)
        metadata = {"method": self.name}
        trains = task.can_train and config.train_epochs > 0
        if not task.can_train:
            metadata["remark"] = "no data: weights were rounded, and nothing was trained"
        rule = _rule(network, config, trains)
        layers = [
            one for one in ternary_layers(network, config) if one.tensor.requires_grad or not trains
        ]
        if not layers:
            raise UnsuitableTask(
                "every layer that would be ternary is frozen: set requires_grad on those that may "
                "change"
            )
        weights = [TernaryWeight(one, rule) for one in layers]
        if trains:
            told = train_ternary(task, network, weights, _training(network, config), seed=seed)
        else:
            told = []
            for one in weights:
                one.quantize()
        formats: dict[str, Format] = {one.weight.name: one.format(config.coding) for one in weights}
        return Compressed.from_module(network, formats, metadata=metadata), told


def ternary_layers(network: nn.Module, config: TrainedTernaryConfig) -> list[Weight]:
    """The weights that become ternary, in the order of the network.

    Raises:
        UnsuitableTask: none.
    """
    found = require_weights(network).handled
    layers = list(dict.fromkeys(weight.module for weight in found))
    kept: list[nn.Module] = []
    if config.full_precision in ("first-and-last", "first"):
        kept.append(layers[0])
    if config.full_precision in ("first-and-last", "last"):
        kept.append(layers[-1])
    left = [weight for weight in found if weight.module not in kept]
    if not left:
        raise UnsuitableTask(
            f"the network has {len(layers)} layers with weights, of which full_precision = "
            f"{config.full_precision} leaves none to be ternary: set it to none, first or last"
        )
    return left


def _is_normalised(network: nn.Module) -> bool:
    return any(isinstance(module, NORMALISATIONS) for module in network.modules())


def _rule(network: nn.Module, config: TrainedTernaryConfig, trains: bool) -> Rule:
    absorbed: Literal["one", "mean"] = "one" if trains and _is_normalised(network) else "mean"
    return Rule(
        weights=config.weights,
        threshold=config.threshold,
        zeros=config.zeros,
        initial_scale=absorbed if config.initial_scale == "auto" else config.initial_scale,
        dead_zone_gradient=config.dead_zone_gradient,
    )


@dataclass(frozen=True)
class Recipe:
    """What the authors' code trains one of their networks with."""

    learning_rate: float
    weight_decay: float
    drops: Sequence[tuple[float, float]]
    """From a share of the training on, the rate is multiplied by a factor."""


RECIPES: Mapping[Literal["sgd", "adam"], Recipe] = {
    # The released log of ResNet-20: 400 epochs, drops at 82, 123 and 301.
    "sgd": Recipe(0.1, 2e-4, ((82 / 400, 0.1), (123 / 400, 0.1), (301 / 400, 0.2))),
    # That of AlexNet: 80 epochs, drops at 56 and 64.
    "adam": Recipe(1e-4, 5e-6, ((56 / 80, 0.2), (64 / 80, 0.2))),
}


def _training(network: nn.Module, config: TrainedTernaryConfig) -> Training:
    by_network: Literal["sgd", "adam"] = "sgd" if _is_normalised(network) else "adam"
    optimizer = by_network if config.optimizer == "auto" else config.optimizer
    recipe = RECIPES[optimizer]
    rate, decay = config.learning_rate, config.weight_decay
    return Training(
        epochs=config.train_epochs,
        optimizer=optimizer,
        learning_rate=recipe.learning_rate if rate is None else rate,
        momentum=config.momentum,
        weight_decay=recipe.weight_decay if decay is None else decay,
        decay_scales=config.decay_scales,
        schedule=cosine if config.schedule == "cosine" else functools.partial(_drop, recipe.drops),
    )


def _drop(drops: Sequence[tuple[float, float]], share: float) -> float:
    """The factor of the rate at a share of the training done."""
    return math.prod(factor for start, factor in drops if share >= start)
