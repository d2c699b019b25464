"""The rate of each network of HashedNets' benchmarks, since no rate suits all of them.

Chen et al., ICML 2015, tune the settings of every point. A stored value gets the summed gradients
of all weights that use it, so hashed layers want a lower rate than dense ones of the same error,
and low-rank and thinned layers a higher one. Each rate here is the best of those tried on MNIST,
by the error on the validation images with seed 0; the record tells what was tried.
"""

from collections.abc import Mapping

from benchmarks.hashed_points import Point
from methods.hashed_nets import Layers

LEARNING_RATES: Mapping[int, Mapping[Layers, Mapping[int, float]]] = {
    3: {
        "hashed": {8: 0.1, 16: 0.05, 32: 0.1, 64: 0.05},
        "narrow": {1: 0.2, 8: 0.2, 16: 0.2, 32: 0.1, 64: 0.05},
        "random-edges": {8: 0.8, 16: 0.8, 32: 0.8, 64: 0.8},
        "low-rank": {8: 0.8, 16: 0.8, 32: 0.8, 64: 1.6},
    },
    5: {
        "hashed": {8: 0.1, 64: 0.025},
        "narrow": {1: 0.1, 8: 0.1, 64: 0.1},
        "random-edges": {8: 0.4, 64: 0.8},
        "low-rank": {8: 0.2, 64: 0.4},
    },
}
"""By the paper's count of layers, what stands for them, and how many weights share a value."""


def learning_rate_of(point: Point, layers: Layers) -> float:
    """The rate chosen for such a network.

    Raises:
        KeyError: none was.
    """
    return LEARNING_RATES[point.layers][layers][point.times]
