"""One training step of a fully connected network, with every multiplication counted.

The step is the method's own: layers of ``methods.sampled_layers``, its loss, its update. Batch
normalisation is written out in single operations, so that its multiplications are those that
automatic differentiation makes of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from benchmarks.multiplication_counter import MultiplicationCounter, WrittenOutNormalisation
from methods.few_multiplications import squared_hinge
from methods.normalised_networks import normalised_mlp
from methods.sampled_layers import SampledLinear, Sampling, Weights, start_range
from methods.seeds import seeded

RATE = 0.3
_SEED = 2016
SCALE, NORMALISATION, LOSS, UPDATE, DRAWS = "scale", "normalisation", "loss", "update", "draws"


class Formula(Protocol):
    """What the paper's formula says of the network."""

    @property
    def product(self) -> int: ...

    @property
    def others(self) -> int: ...


@dataclass(frozen=True)
class Step:
    """How the step is made."""

    weights: Weights
    rounds_inputs: bool


@dataclass(frozen=True)
class Counted:
    """What a step multiplied."""

    real: int
    """Multiplications by real numbers within dense products."""
    shifts: int
    signs: int
    normalisation: int
    scale: int
    loss: int
    update: int
    draws: int

    def measured(self, name: str) -> Iterator[tuple[str, int]]:
        """Every metric of a step of that name."""
        yield f"counted_dense_real.{name}", self.real
        yield f"counted_dense_shifts.{name}", self.shifts
        yield f"counted_dense_signs.{name}", self.signs
        yield f"counted_normalisation.{name}", self.normalisation
        yield f"counted_layer_scale.{name}", self.scale
        yield f"counted_loss.{name}", self.loss
        yield f"counted_update.{name}", self.update
        yield f"counted_draws.{name}", self.draws
        yield f"counted_real_multiplications.{name}", self.total

    @property
    def total(self) -> int:
        """All multiplications by real numbers."""
        others = self.normalisation + self.scale + self.loss + self.update + self.draws
        return self.real + others


def counted_step(widths: Sequence[int], batch: int, *, normalised: bool, step: Step) -> Counted:
    """Run and count one step on made-up pixels.

    Args:
        widths: inputs, hidden units and classes.
        batch: rows of the minibatch.
        normalised: with batch normalisation, or with biases in its place.
    """
    network, sampled = _network(widths, normalised, step)
    generator = seeded(_SEED)
    x = torch.rand(batch, widths[0], generator=generator) - 0.1  # signed, as centred pixels are
    labels = torch.randint(widths[-1], (batch,), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, foreach=False)
    counter = MultiplicationCounter()
    counter.rows = batch
    counter.watch(network, _part_of)
    with counter:
        with counter.of(DRAWS):
            for layer in sampled:
                layer.draw()
        outputs = network(x)
        with counter.of(LOSS):
            loss = squared_hinge(outputs, labels)
            counter.is_backward = True
            loss.backward()  # type: ignore[no-untyped-call]
        with counter.of(UPDATE):
            optimizer.step()
    return _summed(counter)


def _network(
    widths: Sequence[int], normalised: bool, step: Step
) -> tuple[nn.Sequential, list[SampledLinear]]:
    layers: list[nn.Module] = []
    for at, layer in enumerate(normalised_mlp(widths, _SEED, normalised=normalised)):
        if isinstance(layer, nn.Linear):
            sampling = Sampling(step.weights, step.rounds_inputs)
            layers.append(SampledLinear(layer, start_range(layer) / 2, sampling, at))
        elif isinstance(layer, nn.BatchNorm1d):
            # Scales start at 1, by which no product is one; after a step they are any number.
            layer.weight.data.uniform_(0.5, 1.5, generator=seeded(at))
            layers.append(WrittenOutNormalisation(layer))
        elif not isinstance(layer, nn.Flatten):
            layers.append(layer)
    return nn.Sequential(*layers), [one for one in layers if isinstance(one, SampledLinear)]


def _part_of(module: nn.Module) -> str | None:
    if isinstance(module, SampledLinear):
        return SCALE
    if isinstance(module, WrittenOutNormalisation):
        return NORMALISATION
    return "rectifier" if isinstance(module, nn.ReLU) else None


def _summed(counter: MultiplicationCounter) -> Counted:
    def dense(kind: str) -> int:
        return sum(count for (_, found), count in counter.dense.items() if found == kind)

    def real(part: str) -> int:
        return sum(n for (at, kind), n in counter.others.items() if (at, kind) == (part, "real"))

    unknown = {part for part, _ in counter.others} - {SCALE, NORMALISATION, LOSS, UPDATE, DRAWS}
    if unknown:
        raise AssertionError(f"multiplications of {', '.join(sorted(unknown))} have no place")
    return Counted(
        real=dense("real"),
        shifts=dense("shift"),
        signs=dense("sign"),
        normalisation=real(NORMALISATION),
        scale=real(SCALE),
        loss=real(LOSS),
        update=real(UPDATE),
        draws=real(DRAWS),
    )


def differences(formula: Formula, full: Counted, left: Counted) -> Iterator[str]:
    """Each difference between the paper's formula and the counted steps, in words."""
    yield (
        f"dense products at full precision: the formula has {3 * formula.product:,}, a step has "
        f"{full.real:,}: the error of the first layer's inputs, "
        f"{3 * formula.product - full.real:,} products, is needed by nobody and not computed"
    )
    yield (
        f"dense products of ternary connect with quantized back-propagation: {left.real:,} by real "
        f"numbers, {left.signs:,} by -1, 0 or 1, {left.shifts:,} by powers of two"
    )
    yield (
        f"beside dense products the formula has {formula.others:,}. Its three a unit and example, "
        "our reading of errors times the derivative of ReLU, are none in a step: that derivative "
        "is 0 or 1 and selects"
    )
    if left.normalisation:
        yield (
            f"batch normalisation: {left.normalisation:,} in a step as automatic differentiation "
            "writes it out, without running means, divisions and roots; doubling is a shift"
        )
    yield (
        f"not in the formula: {left.loss:,} of the loss; {left.update:,} of the rate times the "
        f"gradients; {left.scale:,} of each layer's constant scale W0; {left.draws:,} of weights "
        "over W0 for the draw, none where they are kept so; none for rounding inputs, which adds "
        "random bits and clears others"
    )
    yield (
        f"by real numbers in all: {full.total:,} at full precision, {left.total:,} left, a share "
        f"of {left.total / full.total:.4g}"
    )
