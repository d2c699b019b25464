"""The points of HashedNets' tables and figures: depth and compression, with what they store.

Chen et al., ICML 2015. A network of "3 layers" has one hidden layer of 1000 units, one of "5
layers" has three. At compression ``1/n`` a hashed layer stores ``ceil(weights / n)`` values and
``ceil(biases / n)`` more (the authors' code hashes biases apart from weights).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

INPUTS, HIDDEN, CLASSES = 784, 1000, 10
NETWORK_NAMES = {3: "mlp-1000", 5: "mlp-3x1000"}
"""By the paper's count of layers: names of ``methods.networks.NETWORKS``."""


@dataclass(frozen=True)
class Point:
    """One point: so many layers, and a stored value for each ``times`` weights."""

    layers: int
    """As the paper counts: the input is one."""
    times: int

    @property
    def name(self) -> str:
        """As metrics name it: ``3-layers-1-8``, or ``3-layers-1`` for the full network."""
        share = "1" if self.times == 1 else f"1-{self.times}"
        return f"{self.layers}-layers-{share}"

    @property
    def network(self) -> str:
        return NETWORK_NAMES[self.layers]

    @property
    def compression(self) -> float:
        return 1 / self.times

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, hidden units, classes."""
        return self.of_width(HIDDEN)

    def of_width(self, hidden: int) -> tuple[int, ...]:
        """The same depth with other hidden layers."""
        return (INPUTS, *[hidden] * (self.layers - 2), CLASSES)

    @property
    def stored(self) -> int:
        """Values that the hashed network stores."""
        return stored_values(self.widths, self.times)

    @property
    def equal_width(self) -> int:
        """Hidden units of the widest dense network of that depth that stores no more."""
        within = range(1, HIDDEN + 1)
        return max(one for one in within if stored_values(self.of_width(one), 1) <= self.stored)


def stored_values(widths: Sequence[int], times: int) -> int:
    """Values stored for weights and biases together, ``ceil(count / times)`` of each layer's."""
    return sum(
        -(-(inputs * outputs) // times) - (-outputs // times)
        for inputs, outputs in itertools.pairwise(widths)
    )
