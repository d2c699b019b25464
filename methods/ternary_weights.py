"""Weights that are ternary in every forward pass while a float32 copy of them is trained.

Zhu et al., ICLR 2017, section 3. Besides the paper's two trained scales, the forms that it is held
against: one scale by least squares (ternary weight networks, Li and Liu 2016, arXiv 1605.04711) and
no zeros (after the binary weight networks of Rastegari et al., ECCV 2016, who have a scale for each
filter; here a layer has one, and gradients go straight through).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from methods.formats.ternary import Coding, Ternary
from methods.formats.uniform import Uniform
from methods.method import Task
from methods.weights import Weight

Weights = Literal["trained", "shared", "binary"]
"""Two trained scales; one scale, the mean magnitude; one such scale and no zeros."""
ADAM_EPSILON = 1e-5
"""Of the authors' AlexNet."""
SHARED_THRESHOLD = 0.7
"""Of the mean magnitude, in ternary weight networks (Li and Liu 2016, eq. 6)."""


@dataclass(frozen=True)
class Rule:
    """How a tensor becomes ternary."""

    weights: Weights = "trained"
    threshold: float = 0.05
    """Of the largest magnitude (section 3, and the authors' code); of ``trained`` alone."""
    zeros: float | None = None
    """A share of weights to be zero, in place of the threshold."""
    initial_scale: Literal["mean", "one"] = "mean"
    """Of ``trained``: the mean magnitude of the weights that take the scale, or 1."""
    dead_zone_gradient: float = 1.0
    """What the gradient of a zero is multiplied by on its way to the copy."""

    def limit(self, weight: torch.Tensor) -> float:
        """The magnitude up to which a weight is zero; negative where none is."""
        if self.zeros is not None:
            rank = round(self.zeros * weight.numel())
            return float(weight.abs().flatten().kthvalue(rank).values) if rank else -1.0
        if self.weights == "binary":
            return -1.0
        if self.weights == "shared":
            return SHARED_THRESHOLD * float(weight.abs().mean())
        least, most = torch.aminmax(weight)
        return self.threshold * max(-float(least), float(most))

    def members(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which weights take the positive and which the negative scale (eq. 1): 1 or 0 each.

        Where no weight is to be zero, 0 counts as positive.
        """
        limit = self.limit(weight)
        if limit < 0:
            return (weight >= 0).to(weight.dtype), (weight < 0).to(weight.dtype)
        return (weight > limit).to(weight.dtype), (weight < -limit).to(weight.dtype)


class TernaryWeight:
    """One weight tensor of a network in training: its parameter holds the copy between steps."""

    def __init__(self, weight: Weight, rule: Rule) -> None:
        self.weight = weight
        self.rule = rule
        assert isinstance(weight.tensor, nn.Parameter)
        self._parameter = weight.tensor
        self._copy: torch.Tensor | None = None
        """Where the parameter holds the ternary values: its own."""
        self._plus, self._minus = rule.members(weight.tensor.detach())
        self.positive = nn.Parameter(self._start(self._plus))
        self.negative = nn.Parameter(self._start(self._minus))

    def _start(self, members: torch.Tensor) -> torch.Tensor:
        """The limit itself where no weight takes the scale: a mean of none is no number."""
        own = self._parameter.detach()
        if self.rule.weights == "trained" and self.rule.initial_scale == "one":
            return own.new_tensor(1.0)
        return _mean_magnitude(own, members, max(0.0, self.rule.limit(own)))

    @property
    def scales(self) -> list[nn.Parameter]:
        """Those to be trained along with the network."""
        return [self.positive, self.negative] if self.rule.weights == "trained" else []

    @property
    def signs(self) -> torch.Tensor:
        """-1, 0 or 1 for each weight, in the weight's type."""
        return self._plus - self._minus

    @property
    def density(self) -> float:
        """The share of weights that are not zero."""
        return float((self._plus + self._minus).mean())

    def assign(self) -> None:
        """Members, and scales that are not trained, from the parameter's own values."""
        own = self._parameter.detach()
        self._plus, self._minus = self.rule.members(own)
        if self.rule.weights != "trained":
            scale = _mean_magnitude(own, self._plus + self._minus, 0.0)
            with torch.no_grad():
                self.positive.copy_(scale)
                self.negative.copy_(scale)

    def quantize(self) -> None:
        """Put the ternary values (eq. 1) into the parameter, and keep its own aside."""
        self.assign()
        self._copy = self._parameter.data
        value = self._plus * self.positive.detach()
        value -= self._minus * self.negative.detach()
        self._parameter.data = value

    def restore(self) -> None:
        """Give the parameter its own values back, and the gradients of section 3.

        That of the negative scale has a minus: the weight is ``-negative`` there. The paper prints
        none, its authors' code has it.
        """
        assert self._copy is not None, "quantize comes first"
        gradient = self._parameter.grad
        self._parameter.data = self._copy
        if gradient is None or self.rule.weights != "trained":
            return
        plus, minus = self._plus, self._minus
        with torch.no_grad():
            self.positive.grad = (gradient * plus).sum()
            self.negative.grad = -(gradient * minus).sum()
            zero = self.rule.dead_zone_gradient
            factor = plus * (self.positive - zero)
            factor += minus * (self.negative - zero)
            gradient.mul_(factor.add_(zero))

    def keep_positive(self) -> None:
        """After a step: a scale that left its side stops at zero, as a file holds none below."""
        with torch.no_grad():
            for scale in self.scales:
                scale.clamp_min_(0)

    def format(self, coding: Coding) -> Ternary | Uniform:
        """What a file holds, of the values that ``quantize`` has put into the parameter."""
        if self.rule.weights == "binary":
            codes = self._plus.flatten().to(torch.uint8).cpu().numpy()
            scale = self.positive.detach().reshape(1).cpu().numpy()
            shape = tuple(self._parameter.shape)
            return Uniform(shape, codes, scale, bits=1, granularity="tensor")
        scales = self.positive.item(), self.negative.item()
        return Ternary.from_signs(self.signs, *scales, coding=coding)


def _mean_magnitude(weight: torch.Tensor, members: torch.Tensor, otherwise: float) -> torch.Tensor:
    count = members.sum()
    if not float(count):
        return weight.new_tensor(otherwise)
    return (weight.abs() * members).sum() / count


@dataclass(frozen=True)
class Snapshot:
    """One weight tensor after some epochs of training."""

    epoch: int
    """Done so far; 0 is before the first step."""
    name: str
    density: float
    positive: float
    negative: float


@dataclass(frozen=True)
class Training:
    """How the network is trained: gradient descent with momentum, or Adam, and weight decay."""

    epochs: int
    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    momentum: float
    weight_decay: float
    """Of weights, not of biases and normalisations."""
    decay_scales: bool
    """Whether it counts for the scales, too."""
    schedule: Callable[[float], float]


def train_ternary(
    task: Task,
    network: nn.Module,
    weights: Sequence[TernaryWeight],
    training: Training,
    *,
    seed: int,
) -> list[Snapshot]:
    """Train ``network`` in place; afterwards its parameters hold the ternary values.

    Returns:
        Densities and scales before the first step and after each epoch.
    """
    scales = [scale for one in weights for scale in one.scales]
    told: list[Snapshot] = []
    recorded = -1

    def record(epoch: int) -> None:
        nonlocal recorded
        recorded = epoch
        told.extend(
            Snapshot(epoch, one.weight.name, one.density, one.positive.item(), one.negative.item())
            for one in weights
        )

    def schedule(share: float) -> float:
        # Told at each step: here an epoch's last step is done, and its values stand as written.
        if (epoch := math.floor(share * training.epochs + 1e-9)) > recorded:
            _each(weights, TernaryWeight.assign)
            record(epoch)
        return training.schedule(share)

    def optimizer(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        known = {id(scale) for scale in scales}
        decayed: list[nn.Parameter] = []
        kept: list[nn.Parameter] = []
        for one in parameters:
            decays = training.decay_scales if id(one) in known else one.dim() > 1
            (decayed if decays else kept).append(one)
        groups = [(decayed, training.weight_decay), (kept, 0.0)]
        made = [{"params": held, "weight_decay": decay} for held, decay in groups if held]
        if training.optimizer == "adam":
            return torch.optim.Adam(made, lr=training.learning_rate, eps=ADAM_EPSILON)
        return torch.optim.SGD(made, lr=training.learning_rate, momentum=training.momentum)

    def after_step() -> None:
        for one in weights:
            one.keep_positive()

    trained = [one for one in network.parameters() if one.requires_grad]
    task.fit(
        network,
        training.epochs,
        learning_rate=training.learning_rate,
        seed=seed,
        optimizer=optimizer,
        schedule=schedule,
        before_forward=lambda: _each(weights, TernaryWeight.quantize),
        before_step=lambda: _each(weights, TernaryWeight.restore),
        after_step=after_step,
        parameters=[*trained, *scales],
    )
    _each(weights, TernaryWeight.quantize)
    record(training.epochs)
    return told


def _each(weights: Sequence[TernaryWeight], do: Callable[[TernaryWeight], None]) -> None:
    for one in weights:
        do(one)
