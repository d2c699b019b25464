"""HashedNets: weights that a hash function ties together at random, trained from scratch.

Chen, Wilson, Tyree, Weinberger, Chen: "Compressing Neural Networks with the Hashing Trick", ICML
2015, arXiv 1504.04788.

1. Each fully connected layer keeps ``ceil(c x weights)`` values, and as large a share for its
   biases; two hash functions say which value each weight uses, and with which sign (section 4.2).
2. The network is trained from scratch; the gradient of a value is the signed sum over the weights
   that use it (section 4.3). Dropout of inputs and hidden units, stochastic gradient descent with
   momentum, a rate that falls as 1/t.
3. A file holds the values and a seed for each tensor (``methods.formats.hashed``).

The baselines of section 6 at equal storage are here too: random edges removed (RER), a low rank
with one factor fixed at random (LRD), a narrower dense network (NN); and dark knowledge (DK),
training on the outputs of the full network, for each of them.

Differences: another hash function than the authors' xxHash, with functions of its own for each
layer; what the last epoch gives is kept, not the best of the validation split.
"""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from methods.compressed import Compressed
from methods.distillation import Taught, soft_target_loss
from methods.equal_storage import Budget, narrowed
from methods.formats.format import Format
from methods.hashed_layers import HashedLinear, RandomEdges, RandomFactor, StoredLinear
from methods.hashing import derived_seed
from methods.method import MethodConfig, Task, UnsuitableTask
from methods.seeds import seeded
from methods.stand_ins import in_place_of
from methods.training import cosine
from methods.weights import require_weights

Layers = Literal["hashed", "random-edges", "low-rank", "narrow"]
_DROPOUT, _START = 2**32, 2**32 + 1
"""Uses of the seed beside the layers', which are numbered from 0."""


class HashedNetsConfig(MethodConfig):
    """Hyper-parameters; the defaults are those of the authors' program."""

    compression: Annotated[float, Field(gt=0, le=1)] = 0.125
    """Stored values over weights, the same in each layer."""
    layers: Layers = "hashed"
    """What stands for the fully connected layers: the method, or a baseline of equal storage."""
    hash_biases: bool = True
    """Whether biases share values as well. It counts for the budget of the baselines too."""
    rescale_gradient: bool = False
    """Divide the gradient of a value by how many weights use it."""
    train_epochs: Annotated[int, Field(ge=0, le=10_000)] = 1000
    """At most so many in the authors' program, which stops by the validation split."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["inverse", "cosine"] = "inverse"
    """The rate at step t is divided by 1 + ``decay`` t, or falls to 0 along half a cosine."""
    decay: Annotated[float, Field(ge=0)] = 1e-4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Of the inputs of each fully connected layer, so of the network's inputs and hidden units."""
    distil: bool = False
    """Train on the outputs of the trained reference besides (HashNet_DK; DK where narrow)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the soft targets; not published. Higher ones diverge at this rate where values are few."""
    soft_weight: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Of the soft targets in the loss; not published."""

    @property
    def epochs(self) -> int:
        return self.train_epochs


class HashedNets:
    """The plugin."""

    name: ClassVar[str] = "hashed-nets"
    paper: ClassVar[str] = "2015-hashed-nets"
    Config: ClassVar[type[HashedNetsConfig]] = HashedNetsConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "scratch"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Fully connected layers, which the paper is about."""
        if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
            return None
        return f"{type(module).__name__} is no plain fully connected layer, which alone is hashed"

    def compress(self, task: Task, config: HashedNetsConfig, *, seed: int) -> Compressed:
        """Train the architecture of ``task.network`` from scratch in fewer values.

        All that is not fully connected is trained with it and stored as it is.

        Raises:
            UnsuitableTask: no data, no fully connected layer, or a network that the configuration
                does not fit.
        """
        network = task.fresh_network(seed)
        linear = self._linear_layers(network)
        budgets = {
            name: Budget.of(layer, config.compression, config.hash_biases)
            for name, layer in linear.items()
        }
        metadata = {"method": self.name, "layers": config.layers}
        if config.layers == "narrow":
            network = narrowed(network, sum(budget.total for budget in budgets.values()))
            _start(network.to(task.device), seed)
            train(task, network, config, seed)
            return Compressed.from_module(network, {}, metadata=metadata)
        stored = {
            name: _stored(layer, budgets[name], config, derived_seed(seed, at)).to(task.device)
            for at, (name, layer) in enumerate(linear.items())
        }
        with in_place_of(network, linear, stored):
            train(task, network, config, seed)
        formats: dict[str, Format] = {}
        for name, layer in stored.items():
            formats |= {f"{name}.{role}": held for role, held in layer.formats().items()}
            _fill(linear[name], layer, formats[f"{name}.weight"])
        return Compressed.from_module(network, formats, metadata=metadata)

    def _linear_layers(self, network: nn.Module) -> dict[str, nn.Linear]:
        """Those to replace, by name; a weight that another module has as well stays dense."""
        found: dict[str, nn.Linear] = {}
        for weight in require_weights(network, self.applies_to).handled:
            holders = {network.get_submodule(name.rpartition(".")[0]) for name in weight.names}
            if holders == {weight.module} and isinstance(weight.module, nn.Linear):
                if weight.tensor.dtype != torch.float32:
                    raise UnsuitableTask(
                        f"{weight.name} holds {weight.tensor.dtype}: call float() on the network, "
                        "as values are trained in float32"
                    )
                found[weight.module_name] = weight.module
        if not found:
            raise UnsuitableTask(
                "no fully connected layer within the network has weights of its own"
            )
        if "" in found:
            raise UnsuitableTask(
                "no fully connected layer within the network, which is one itself: put it into an "
                "nn.Sequential"
            )
        return found


def _stored(layer: nn.Linear, budget: Budget, config: HashedNetsConfig, seed: int) -> StoredLinear:
    if config.layers == "random-edges":
        return RandomEdges(layer, budget, seed)
    if config.layers == "low-rank":
        return RandomFactor(layer, budget, seed)
    return HashedLinear(
        layer,
        budget,
        seed,
        hash_biases=config.hash_biases,
        rescale_gradient=config.rescale_gradient,
    )


def train(task: Task, network: nn.Module, config: HashedNetsConfig, seed: int) -> None:
    """The paper's training of ``network``, in place: section 6, and the authors' program."""
    trained = list(network.parameters())
    student, loss = network, None
    if config.distil:
        student = Taught(network, task.network)
        loss = functools.partial(
            soft_target_loss, temperature=config.temperature, weight=config.soft_weight
        )
    with dropped_inputs(network, config.dropout, derived_seed(seed, _DROPOUT)):
        task.fit(
            student,
            config.train_epochs,
            learning_rate=config.learning_rate,
            seed=seed,
            loss=loss,
            optimizer=lambda parameters: torch.optim.SGD(
                parameters, lr=config.learning_rate, momentum=config.momentum
            ),
            schedule=cosine if config.schedule == "cosine" else inverse_decay(config.decay),
            parameters=trained,
        )


def inverse_decay(decay: float) -> Callable[[float], float]:
    """1 / (1 + decay t) at the t-th call, from 0; the share of the training is not looked at."""
    steps = itertools.count()
    return lambda share: 1 / (1 + decay * next(steps))


@contextlib.contextmanager
def dropped_inputs(network: nn.Module, rate: float, seed: int) -> Iterator[None]:
    """Within it, fully connected layers lose each input with probability ``rate`` in training.

    What stays is divided by the share that stays. The draws come from ``seed`` alone.
    """
    generator = np.random.default_rng(seed)
    # Sixteen random bits for each input: a rate is met to 2^-17, and no time is lost on it.
    cut = round(rate * 2**16)

    def drop(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        if not module.training:
            return inputs
        drawn = generator.integers(0, 2**16, tuple(inputs[0].shape), np.uint16)
        kept = torch.from_numpy(drawn >= cut).to(inputs[0].device)
        return (inputs[0] * kept * (2**16 / (2**16 - cut)), *inputs[1:])

    kinds = (nn.Linear, StoredLinear)
    layers: Iterable[nn.Module] = (one for one in network.modules() if isinstance(one, kinds))
    hooks = [layer.register_forward_pre_hook(drop) for layer in layers] if cut else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _start(network: nn.Module, seed: int) -> None:
    """Weights and biases uniform within 1 / sqrt(inputs), as in the authors' program."""
    generator = seeded(derived_seed(seed, _START) & (2**63 - 1))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                within = 1 / math.sqrt(layer.in_features)
                for parameter in layer.parameters():
                    drawn = torch.empty(parameter.shape).uniform_(
                        -within, within, generator=generator
                    )
                    parameter.copy_(drawn)


def _fill(layer: nn.Linear, trained: StoredLinear, weight: Format) -> None:
    """What the file will hold, in the layer itself."""
    with torch.no_grad():
        layer.weight.copy_(weight.decode())
        if layer.bias is not None and trained.bias is not None:
            layer.bias.copy_(trained.bias)
