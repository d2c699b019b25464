"""What a share of a network's storage is, layer by layer, and narrower networks that fill it.

Chen et al., ICML 2015, section 6, compare networks that store the same number of values.
"""

import copy
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import nn

from methods.method import UnsuitableTask


def share_of(count: int, compression: float) -> int:
    """ceil(compression x count): how many values stand for ``count`` at this compression."""
    # As the fraction that is meant: 0.1 as a float is a little more, and would add a value.
    return math.ceil(Fraction(compression).limit_denominator(1 << 24) * count)


@dataclass(frozen=True)
class Budget:
    """Values that a fully connected layer may store."""

    weights: int
    biases: int
    """0 where it has none."""

    @classmethod
    def of(cls, layer: nn.Linear, compression: float, hash_biases: bool) -> "Budget":
        """At ``compression`` (above 0, at most 1) of weights, and of biases if they are hashed."""
        outputs = 0 if layer.bias is None else layer.out_features
        biases = share_of(outputs, compression) if hash_biases else outputs
        return cls(share_of(layer.weight.numel(), compression), biases)

    @property
    def total(self) -> int:
        return self.weights + self.biases

    def beside_biases(self, layer: nn.Linear) -> int:
        """What is left for weights where every bias is stored; one at least."""
        biases = 0 if layer.bias is None else layer.out_features
        return max(1, self.total - biases)


def parameters_of(widths: Sequence[int], biases: Sequence[bool]) -> int:
    """Weights and biases of fully connected layers between ``widths``, in order."""
    pairs = zip(itertools.pairwise(widths), biases, strict=True)
    return sum(inputs * outputs + outputs * bias for (inputs, outputs), bias in pairs)


def narrowed_widths(widths: Sequence[int], biases: Sequence[bool], most: int) -> tuple[int, ...]:
    """``widths`` with the hidden ones narrowed alike until at most ``most`` values are stored.

    The widest hidden layer is as wide as it may be, the others in proportion, rounded down to one
    unit at least. Inputs and outputs stay.

    Raises:
        UnsuitableTask: even one unit in each hidden layer stores more.
    """
    hidden = widths[1:-1]
    widest = max(hidden, default=1)

    def at(width: int) -> tuple[int, ...]:
        scaled = (max(1, one * width // widest) for one in hidden)
        return (widths[0], *scaled, widths[-1])

    least, most_wide = 0, widest  # the count grows with the width: halve what is between
    while least < most_wide:
        middle = (least + most_wide + 1) // 2
        if parameters_of(at(middle), biases) <= most:
            least = middle
        else:
            most_wide = middle - 1
    if least == 0:
        raise UnsuitableTask(
            f"{most} values are too few for hidden layers of one unit each: raise compression"
        )
    return at(least)


def narrowed(network: nn.Module, most: int) -> nn.Sequential:
    """A network like ``network`` whose hidden layers are so narrow that it stores ``most`` values.

    Args:
        network: a plain ``nn.Sequential`` of fully connected layers and layers without numbers.

    Raises:
        UnsuitableTask: it is another kind of network, or ``most`` is too little.
    """
    layers: Iterable[tuple[str, nn.Module]] = ()
    if type(network) is nn.Sequential:
        layers = list(network.named_children())
    linear = [one for _, one in layers if type(one) is nn.Linear]
    rest = [one for _, one in layers if type(one) is not nn.Linear]
    if not linear or any(True for one in rest for _ in one.state_dict()):
        raise UnsuitableTask(
            "a narrower network needs a plain nn.Sequential in which only fully connected layers "
            "hold numbers"
        )
    for before, behind in itertools.pairwise(linear):
        if before.out_features != behind.in_features:
            raise UnsuitableTask(
                f"{before.out_features} units go into a layer of {behind.in_features} inputs, so "
                "the network cannot be narrowed"
            )
    biases = [one.bias is not None for one in linear]
    widths = narrowed_widths(
        [linear[0].in_features, *(one.out_features for one in linear)], biases, most
    )
    sizes = iter(zip(itertools.pairwise(widths), biases, strict=True))
    made: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in layers:
        if type(layer) is nn.Linear:
            (inputs, outputs), bias = next(sizes)
            made[name] = nn.Linear(inputs, outputs, bias, device=layer.weight.device)
        else:
            made[name] = copy.deepcopy(layer)
    return nn.Sequential(made)
