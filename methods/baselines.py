"""Plain baselines: what anybody would try before reading a paper.

No paper claims these, and none is a straw man: each is the usual form of its technique, stored as
exact bytes and measured like every method here. All but the retraining of ``MagnitudePruning`` run
without any data, on weights of every kind of layer; biases and normalisations stay as they are.
"""

import copy
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.formats.format import Format
from methods.formats.sparse import Sparse
from methods.formats.uniform import Granularity
from methods.method import MethodConfig, Task, UnsuitableTask
from methods.prune import Masks, density_schedule, prune_to, retrain
from methods.rounding import round_to_nearest
from methods.weights import Weight, holds_weights, require_weights

HALF_MAX = 65504.0
"""The largest float16."""
Density = Annotated[float, Field(gt=0.0, le=1.0)]
ScaleDtype = Literal["float32", "float16"]


class Float16Config(MethodConfig):
    """Nothing to choose."""


class Float16:
    """Weights as 16-bit floating-point numbers."""

    name: ClassVar[str] = "float16"
    paper: ClassVar[str] = "baselines"
    Config: ClassVar[type[Float16Config]] = Float16Config
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "nothing"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with weights."""
        return holds_weights(module)

    def compress(self, task: Task, config: Float16Config, *, seed: int) -> Compressed:
        """Round each weight to the nearest float16.

        Raises:
            UnsuitableTask: no weights, or one that is beyond the range of float16.
        """
        formats: dict[str, Format] = {}
        for weight in require_weights(task.network).handled:
            if float(weight.tensor.detach().abs().max()) > HALF_MAX:
                raise UnsuitableTask(f"{weight.name} holds weights beyond {HALF_MAX:.0f}")
            formats[weight.name] = Dense(weight.tensor, storage="float16")
        return Compressed.from_module(task.network, formats, metadata={"method": self.name})


class Int8Config(MethodConfig):
    """Nothing to choose but the type of the scales."""

    scale_dtype: ScaleDtype = "float32"


class Int8:
    """8-bit whole numbers, symmetric, one scale for each output channel, rounded to nearest."""

    name: ClassVar[str] = "int8-rtn"
    paper: ClassVar[str] = "baselines"
    Config: ClassVar[type[Int8Config]] = Int8Config
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "nothing"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with weights."""
        return holds_weights(module)

    def compress(self, task: Task, config: Int8Config, *, seed: int) -> Compressed:
        """Round each weight to the nearest of 255 levels.

        Raises:
            UnsuitableTask: no weights.
        """
        formats: dict[str, Format] = {
            weight.name: round_to_nearest(
                weight.tensor, 8, symmetric=True, scale_dtype=config.scale_dtype
            )
            for weight in require_weights(task.network).handled
        }
        return Compressed.from_module(task.network, formats, metadata={"method": self.name})


class UniformConfig(MethodConfig):
    """The grid."""

    bits: Literal[1, 2, 3, 4, 5, 6, 7, 8, 16] = 8
    granularity: Granularity = "channel"
    """What has a scale of its own: the tensor, each output channel, or each group of inputs."""
    group_size: Annotated[int, Field(ge=1, le=2**20)] = 64
    """Consecutive inputs of a channel; for granularity ``group`` only."""
    symmetric: bool = False
    """Whether the grid is even around 0; else it spans the least to the greatest weight."""
    scale_dtype: ScaleDtype = "float32"


class UniformRounding:
    """n-bit whole numbers, rounded to nearest on a grid over the range of the weights."""

    name: ClassVar[str] = "uniform"
    paper: ClassVar[str] = "baselines"
    Config: ClassVar[type[UniformConfig]] = UniformConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "nothing"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with weights."""
        return holds_weights(module)

    def compress(self, task: Task, config: UniformConfig, *, seed: int) -> Compressed:
        """Round each weight to the nearest level.

        Raises:
            UnsuitableTask: no weights.
        """
        formats: dict[str, Format] = {
            weight.name: round_to_nearest(
                weight.tensor,
                config.bits,
                granularity=config.granularity,
                group_size=config.group_size if config.granularity == "group" else None,
                symmetric=config.symmetric,
                scale_dtype=config.scale_dtype,
            )
            for weight in require_weights(task.network).handled
        }
        return Compressed.from_module(task.network, formats, metadata={"method": self.name})


class MagnitudePruningConfig(MethodConfig):
    """How much stays, and whether the survivors are retrained. By default nothing is."""

    density: Density = 0.1
    """Share of weights kept in each layer."""
    densities: dict[str, Density] = Field(default_factory=dict)
    """By the name of the layer (``conv1``) or of its weight, instead of ``density``."""
    rounds: Annotated[int, Field(ge=1, le=20)] = 1
    """Prunings, geometrically down to the density, each followed by retraining."""
    round_epochs: Annotated[int, Field(ge=0, le=200)] = 0
    """Epochs of retraining after each pruning but the last."""
    final_epochs: Annotated[int, Field(ge=0, le=200)] = 0
    """Epochs after the last one. Where all epochs are 0, no data are needed."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """At the start of each retraining, falling along a cosine."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """L2 of retraining; None keeps that of the task."""
    value_dtype: Literal["float32", "float16"] = "float32"
    """Of the stored survivors."""

    @property
    def epochs(self) -> int:
        return (self.rounds - 1) * self.round_epochs + self.final_epochs


class MagnitudePruning:
    """The smallest magnitudes of each layer go; the survivors keep values of their own."""

    name: ClassVar[str] = "magnitude-pruning"
    paper: ClassVar[str] = "baselines"
    Config: ClassVar[type[MagnitudePruningConfig]] = MagnitudePruningConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "nothing"
    """Retraining, which is off by default, needs the task's training data."""
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with weights."""
        return holds_weights(module)

    def compress(self, task: Task, config: MagnitudePruningConfig, *, seed: int) -> Compressed:
        """Prune a copy of ``task.network``, and retrain it where the configuration says so.

        Raises:
            UnsuitableTask: no weights, or a density for a layer that is not there.
        """
        network = copy.deepcopy(task.network)
        weights = require_weights(network).handled
        masks = _prune(task, network, _densities(weights, config), config, seed)
        formats: dict[str, Format] = {
            weight.name: Sparse.from_mask(
                weight.tensor, masks[weight.name], value_dtype=config.value_dtype
            )
            for weight in weights
        }
        return Compressed.from_module(network, formats, metadata={"method": self.name})


def _densities(weights: tuple[Weight, ...], config: MagnitudePruningConfig) -> dict[str, float]:
    """The share to keep by the name of the weight."""
    known = {one for weight in weights for one in (weight.module_name, *weight.names)}
    unknown = sorted(set(config.densities) - known)
    if unknown:
        raise UnsuitableTask(
            f"a density for layers that the network has not: {', '.join(unknown)} "
            f"(it has {', '.join(dict.fromkeys(weight.module_name for weight in weights))})"
        )
    found: dict[str, float] = {}
    for weight in weights:
        named = [name for name in (*weight.names, weight.module_name) if name in config.densities]
        found[weight.name] = config.densities[named[0]] if named else config.density
    return found


def _prune(
    task: Task,
    network: nn.Module,
    densities: Mapping[str, float],
    config: MagnitudePruningConfig,
    seed: int,
) -> Masks:
    """Prune in place, round by round; a round without epochs asks the task for nothing."""
    masks: Masks = {}
    schedules = {name: density_schedule(d, config.rounds) for name, d in densities.items()}
    for step in range(config.rounds):
        prune_to(network, masks, {name: by_step[step] for name, by_step in schedules.items()})
        last = step == config.rounds - 1
        retrain(
            task,
            network,
            masks,
            config.final_epochs if last else config.round_epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            seed=seed * 100 + step,
        )
    return masks
