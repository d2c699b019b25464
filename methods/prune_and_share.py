"""Pruning and weight sharing, the stages that Deep Compression and EIE have in common.

Han, Mao, Dally: "Deep Compression", ICLR 2016, sections 2 and 3; the retraining of survivors is
that of Han, Pool, Tran, Dally: "Learning both Weights and Connections", NIPS 2015.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import nn

from methods.cluster import Initialisation, kmeans
from methods.method import MethodConfig, Task, UnsuitableTask
from methods.prune import Masks, density_schedule, frozen, prune_to, retrain
from methods.training import cosine
from methods.weights import AppliesTo, Weight, holds_weights, require_weights

Density = Annotated[float, Field(gt=0.0, le=1.0)]
WITHOUT_TRAINING = {
    "rounds": 1,
    "round_epochs": 0,
    "final_epochs": 0,
    "linear_rounds": 0,
    "codebook_epochs": 0,
}


class StagesConfig(MethodConfig):
    """Hyper-parameters of pruning and sharing, whatever the widths of codes and positions."""

    densities: dict[str, Density] | None = None
    """Share of weights kept, by layer name; None: the paper's of this network."""
    initialisation: Initialisation = "linear"
    """Section 3.2: linear is best."""
    rounds: Annotated[int, Field(ge=1, le=20)] = 6
    """Prune-and-retrain rounds; the paper iterates without saying how often."""
    round_epochs: Annotated[int, Field(ge=0, le=200)] = 8
    final_epochs: Annotated[int, Field(ge=0, le=200)] = 50
    """Of the last round."""
    linear_rounds: Annotated[int, Field(ge=0, le=20)] = 0
    """Rounds before these that prune and retrain the fully connected layers alone, all else fixed,
    down to their densities (Learning both Weights and Connections, section 3.5)."""
    linear_round_epochs: Annotated[int, Field(ge=0, le=200)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """At the start of each round, falling along a cosine: a tenth of the original rate (Learning
    both Weights and Connections, section 3.4), which is 0.1 for our references."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """L2 of retraining; None keeps the reference's (there, L2 in both phases is best)."""
    codebook_epochs: Annotated[int, Field(ge=0, le=200)] = 5
    codebook_learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """For summed gradients (eq. 3), which grow with a cluster's size; not published."""
    codebook_dtype: Literal["float32", "float16"] = "float32"

    @property
    def epochs(self) -> int:
        linear = self.linear_rounds * self.linear_round_epochs
        together = (self.rounds - 1) * self.round_epochs + self.final_epochs
        return linear + together + self.codebook_epochs


SomeConfig = TypeVar("SomeConfig", bound=StagesConfig)


def weights_by_layer(
    network: nn.Module, applies_to: AppliesTo = holds_weights
) -> dict[str, Weight]:
    """The weights to compress by the name of their layer, such as ``ip1``; where a layer holds
    several, by their own, such as ``lstm.weight_ih_l0``."""
    handled = require_weights(network, applies_to).handled
    return {weight.name.removesuffix(".weight"): weight for weight in handled}


def without_training(
    layers: Iterable[str], config: SomeConfig
) -> tuple[dict[str, float], SomeConfig, str]:
    """Densities by layer, configuration and remark where nothing can be retrained.

    Only what is asked for is pruned then.
    """
    asked = config.densities or {}
    pruned = "" if asked else ", so nothing was pruned"
    remark = f"no training data: nothing was retrained{pruned}"
    once = config.model_copy(update=WITHOUT_TRAINING)
    return {name: asked.get(name, 1.0) for name in layers}, once, remark


def _parameters(network: nn.Module, layers: Iterable[str]) -> dict[str, nn.Parameter]:
    """The weights of ``layers`` by their names as parameters."""
    known = dict(network.named_parameters())
    names = (f"{name}.weight" if f"{name}.weight" in known else name for name in layers)
    return {name: known[name] for name in names}


def prune(
    task: Task,
    network: nn.Module,
    densities: Mapping[str, float],
    config: StagesConfig,
    seed: int,
) -> Masks:
    """Stage 1, in place: the largest magnitudes survive and are retrained, round by round."""
    masks: Masks = {}
    names = dict(zip(densities, _parameters(network, densities), strict=True))
    linear = {
        name: density_schedule(densities[name], config.linear_rounds)
        for name, module in network.named_modules()
        if name in densities and isinstance(module, nn.Linear) and config.linear_rounds
    }
    together = {
        name: [d] * config.rounds if name in linear else density_schedule(d, config.rounds)
        for name, d in densities.items()
    }

    def a_round(schedules: Mapping[str, list[float]], step: int, epochs: int, seed: int) -> None:
        wanted = {names[name]: by_step[step] for name, by_step in schedules.items()}
        prune_to(network, masks, wanted)
        retrain(
            task,
            network,
            masks,
            epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            seed=seed,
        )

    for step in range(config.linear_rounds if linear else 0):
        with frozen(network, except_for=linear):
            a_round(linear, step, config.linear_round_epochs, seed * 100 + 50 + step)
    for step in range(config.rounds):
        last = step == config.rounds - 1
        epochs = config.final_epochs if last else config.round_epochs
        a_round(together, step, epochs, seed * 100 + step)
    return masks


@dataclass
class Codebook:
    """Shared weights of one tensor."""

    centroids: nn.Parameter
    """(k) float32; the same object where several tensors share a table."""
    codes: torch.Tensor
    """The centroid of each survivor, in row-major order: (survivors) int64."""
    positions: torch.Tensor
    """Of the survivors in the flattened weight: (survivors) int64."""


def share(
    network: nn.Module,
    masks: Masks,
    clusters: Mapping[str, int],
    config: StagesConfig,
    seed: int,
    table_of: Callable[[str], str] = lambda name: name,
) -> dict[str, Codebook]:
    """Stage 2a, in place: k-means of a layer's survivors to at most ``clusters`` values (eq. 2).

    Args:
        table_of: weights of which it says the same share their values.
    """
    parameters = dict(network.named_parameters())
    tables: dict[str, list[str]] = {}
    for name in masks:
        tables.setdefault(table_of(name), []).append(name)
    codebooks: dict[str, Codebook] = {}
    for names in tables.values():
        places = [masks[name].flatten().nonzero().squeeze(1) for name in names]
        survivors = [
            parameters[name].detach().flatten()[positions].float().cpu().numpy()
            for name, positions in zip(names, places, strict=True)
        ]
        for name, values in zip(names, survivors, strict=True):
            if values.size == 0:
                raise UnsuitableTask(f"no weight of {name} survives: raise its density")
        most = clusters[names[0].removesuffix(".weight")]
        together = np.concatenate(survivors)
        centroids, codes = kmeans(together, most, config.initialisation, seed=seed)
        device = parameters[names[0]].device
        shared = nn.Parameter(torch.from_numpy(centroids.astype(np.float32)).to(device))
        ends = np.cumsum([values.size for values in survivors])[:-1]
        for name, positions, own in zip(names, places, np.split(codes, ends), strict=True):
            codebooks[name] = Codebook(shared, torch.from_numpy(own).to(device), positions)
            _write_shared(parameters[name], codebooks[name])
    return codebooks


def summed_gradient(gradient: torch.Tensor, codebook: Codebook) -> torch.Tensor:
    """The gradient of each centroid: the sum over its members (eq. 3, Fig. 3).

    Args:
        gradient: of the dense weight, of its shape.

    Returns:
        (k), of the centroids' dtype.
    """
    summed = torch.zeros_like(codebook.centroids)
    of_members = gradient.reshape(-1)[codebook.positions].to(summed.dtype)
    return summed.index_add_(0, codebook.codes, of_members)


def _write_shared(weight: nn.Parameter, codebook: Codebook) -> None:
    """Put each survivor's centroid into the dense weight."""
    with torch.no_grad():
        # Row-major whatever the memory format; a copy, as the two may share memory and not strides.
        flat = weight.flatten().clone()
        flat[codebook.positions] = codebook.centroids[codebook.codes].to(flat.dtype)
        weight.copy_(flat.reshape(weight.shape))


def train_codebooks(
    task: Task,
    network: nn.Module,
    masks: Masks,
    codebooks: Mapping[str, Codebook],
    config: StagesConfig,
    seed: int,
) -> None:
    """Stage 2b, in place: centroids learn by the sum of their members' gradients (eq. 3).

    Biases, and whatever else is not shared, are trained along at the rate of retraining. The
    assignment of weights to centroids is fixed.
    """
    parameters = dict(network.named_parameters())
    biases = [parameter for name, parameter in parameters.items() if name not in masks]

    tables = {id(codebook.centroids): codebook.centroids for codebook in codebooks.values()}

    def sum_gradients() -> None:  # each step begins without gradients
        for name, codebook in codebooks.items():
            gradient = parameters[name].grad
            if gradient is not None:  # of a layer that takes part, and is not frozen
                summed, others = summed_gradient(gradient, codebook), codebook.centroids.grad
                codebook.centroids.grad = summed if others is None else others + summed

    def write_back() -> None:
        for name, codebook in codebooks.items():
            _write_shared(parameters[name], codebook)
            parameters[name].grad = None

    task.fit(
        network,
        config.codebook_epochs,
        learning_rate=config.codebook_learning_rate,
        optimizer=_codebook_optimizer(biases, config),
        schedule=cosine,
        before_step=sum_gradients,
        after_step=write_back,
        parameters=[*tables.values(), *biases],
        seed=seed * 100 + 99,
    )


def _codebook_optimizer(
    biases: list[nn.Parameter], config: StagesConfig
) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
    """Plain gradient descent on the centroids, at their own rate; biases at that of retraining."""
    known = {id(bias) for bias in biases}

    def make(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        centroids = [parameter for parameter in parameters if id(parameter) not in known]
        groups = [
            {"params": centroids, "lr": config.codebook_learning_rate},
            {"params": biases, "lr": config.learning_rate},
        ]
        return torch.optim.SGD([group for group in groups if group["params"]])

    return make
