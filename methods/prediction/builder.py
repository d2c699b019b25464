"""Predicted layers put into a network, from the input up.

Denil et al., NIPS 2013; the order of the authors' recipe: a layer's dictionary is made of what the
layers below give, then the layer is pre-trained.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from methods.formats.uniform import rows_and_width
from methods.method import Task, UnsuitableTask
from methods.prediction.dictionaries import LARGEST, SMALLEST, Dictionary, Kind
from methods.prediction.inputs import Place, covariance, layer_inputs, trace
from methods.prediction.layers import Factored, Predicted, TwoFactors
from methods.prediction.pretraining import pretrain_layer, train_dictionary
from methods.prediction.settings import (
    CONVOLUTION_RANGE,
    LINEAR_RANGE,
    RANDOM_RANGE,
    Choice,
    PredictingParametersConfig,
    atoms_of,
    balanced_range,
    low_rank_of,
)
from methods.weights import find_weights

KINDS_OF: dict[Choice, Kind] = {
    "random": "uniform",
    "random-connections": "positions",
    "squared-exponential": "squared-exponential",
    "covariance": "covariance",
    "covariance-squared": "covariance",
    "autoencoder": "atoms",
}
"""The rule of each choice that has a fixed factor."""


@dataclass(frozen=True)
class Plan:
    """Which layers are predicted, and how."""

    hidden: tuple[tuple[Place, Choice], ...]
    """From the input up, ``auto`` resolved."""
    output: nn.Module


def make_plan(
    task: Task,
    network: nn.Module,
    config: PredictingParametersConfig,
    applies_to: Callable[[nn.Module], str | None],
) -> Plan:
    """The layers that a run meets, but the last."""
    taken = {
        one.module_name
        for one in find_weights(network, applies_to).handled
        if len(one.names) == 1 and one.role == "weight"
    }
    x, _, _ = next(iter(task.train_batches(0)))
    places = [one for one in trace(network, x[:2]) if one.name in taken]
    if len(places) < 2:
        raise UnsuitableTask(
            "the network has no fully connected or convolutional layer before its last one, which "
            "is never predicted"
        )
    hidden = [one.name for one in places[:-1]]
    for named in (config.dictionaries, config.shares):
        if unknown := sorted(set(named) - set(hidden)):
            raise UnsuitableTask(
                f"the configuration names layers that cannot be predicted here: "
                f"{', '.join(unknown)} (those that can: {', '.join(hidden)})"
            )
    found: list[tuple[Place, Choice]] = []
    for at, place in enumerate(places[:-1]):
        layer = network.get_submodule(place.name)
        if at == 0 and config.grid is not None and isinstance(layer, nn.Linear):
            place = Place(place.name, config.grid, place.activation)
        choice = config.dictionaries.get(place.name, config.others if at else config.first)
        found.append((place, _resolved(choice, place, layer, is_first=at == 0)))
    return Plan(tuple(found), network.get_submodule(places[-1].name))


def _resolved(choice: Choice, place: Place, layer: nn.Module, *, is_first: bool) -> Choice:
    if choice == "squared-exponential" and place.grid is None:
        raise UnsuitableTask(
            f"{place.name}: its inputs lie on no grid that is known, which the squared-exponential "
            "kernel needs: give grid, or choose another dictionary"
        )
    if choice != "auto":
        return choice
    if isinstance(layer, nn.Conv2d) or (is_first and place.grid is not None):
        return "squared-exponential"
    return "covariance" if is_first else "autoencoder"


class Builder:
    """Puts predicted layers into a network, from the input up, and pre-trains each."""

    def __init__(
        self, task: Task, network: nn.Module, config: PredictingParametersConfig, seed: int
    ) -> None:
        self.layers: dict[str, nn.Module] = {}
        """By name, those that stay dense included."""
        self._task = task
        self._network = network
        self._config = config
        self._seed = seed

    def build(self, at: int, place: Place, choice: Choice) -> None:
        """Replace layer number ``at``."""
        dense = self._network.get_submodule(place.name)
        assert isinstance(dense, nn.Linear | nn.Conv2d)
        config, seed = self._config, self._seed * 100 + at
        rows: torch.Tensor | None = None
        is_linear = isinstance(dense, nn.Linear)
        pretrains = is_linear and config.pretraining_epochs > 0
        if pretrains or choice == "autoencoder":
            rows = torch.cat(list(self._inputs(dense, seed)))
        layer: nn.Module = dense
        if choice != "none":
            layer = self._factored(dense, place, choice, seed, rows)
            parent, _, role = place.name.rpartition(".")
            setattr(self._network.get_submodule(parent), role, layer)
        if pretrains:
            assert rows is not None
            assert isinstance(layer, Factored | nn.Linear)
            pretrain_layer(
                layer,
                rows,
                place.activation or nn.Sigmoid(),
                epochs=config.pretraining_epochs,
                learning_rate=config.pretraining_learning_rate,
                momentum=config.pretraining_momentum,
                decay=config.pretraining_decay,
                most_norm=config.max_norm,
                batch_size=config.pretraining_batch_size,
                seed=seed,
            )
        self.layers[place.name] = layer

    def _inputs(self, layer: nn.Module, seed: int) -> Iterable[torch.Tensor]:
        return layer_inputs(self._task, self._network, layer, seed=seed)

    def _factored(
        self,
        dense: nn.Linear | nn.Conv2d,
        place: Place,
        choice: Choice,
        seed: int,
        rows: torch.Tensor | None,
    ) -> Factored:
        config = self._config
        is_linear = isinstance(dense, nn.Linear)
        outputs, inputs = rows_and_width(tuple(dense.weight.shape))
        share = config.shares.get(place.name, config.share)
        init_range = config.init_range or (LINEAR_RANGE if is_linear else CONVOLUTION_RANGE)
        generator = torch.Generator().manual_seed(seed)
        if choice == "low-rank":
            rank = low_rank_of(inputs, outputs, share)
            if not is_linear and config.init_range is None:
                init_range = balanced_range(CONVOLUTION_RANGE, rank)
            return TwoFactors(dense, rank, init_range=init_range, generator=generator)
        rule = Dictionary(
            KINDS_OF[choice],
            atoms_of(inputs, share),
            min(config.columns if is_linear else config.convolution_columns, outputs),
            # Each layer draws from a stream of its own.
            (self._seed % 2**32) + (len(self.layers) << 32),
            ridge=config.ridge,
        )
        if choice == "random":
            rule = replace(rule, scale=RANDOM_RANGE)
        elif choice == "squared-exponential":
            scale = config.scale if is_linear else config.convolution_scale
            rule = replace(rule, scale=scale, grid=place.grid or (0, 0, 0))
        elif choice == "autoencoder":
            rule = replace(rule, pool=max(config.dictionary_units, rule.atoms))
        try:
            rule.check(inputs, outputs)
        except ValueError as fault:
            raise UnsuitableTask(f"{place.name}: {fault}") from fault
        rule, stored = self._with_data(rule, choice, dense, seed, rows)
        return Predicted(dense, rule, stored, init_range=init_range, generator=generator)

    def _with_data(
        self,
        rule: Dictionary,
        choice: Choice,
        dense: nn.Module,
        seed: int,
        rows: torch.Tensor | None,
    ) -> tuple[Dictionary, NDArray[np.float32] | None]:
        """The rule with what is stored of a dictionary that is made from the layer's inputs."""
        config = self._config
        if choice == "autoencoder":
            assert rows is not None
            learned = train_dictionary(
                rows,
                rule.pool,
                epochs=config.dictionary_epochs,
                learning_rate=config.dictionary_learning_rate,
                batch_size=config.pretraining_batch_size,
                seed=seed,
            )
            return rule, rule.select(learned.numpy())
        if rule.kind != "covariance":
            return rule, None
        given = iter((rows,)) if rows is not None else iter(self._inputs(dense, seed))
        kernel = covariance(given, squared=choice == "covariance-squared")
        if config.covariance_ridge is not None:
            ridge = config.covariance_ridge * float(kernel.diagonal().mean())
            rule = replace(rule, ridge=min(max(ridge, SMALLEST), LARGEST))
        return rule, rule.select(kernel.numpy())
