"""Layers and activations drawn at random, from shapes, densities and a seed."""

import math

import numpy as np
from numpy.typing import NDArray

from methods.eie.coded import SHARED_VALUES, CodedLayer
from registry.errors import UserError

CODEBOOK = np.array([0, *range(-7, 0), *range(1, 9)], np.float32) / np.float32(16)
"""Any 15 values will do: no time depends on them."""
MAX_SURVIVORS = 1 << 27
"""The paper's largest layer with no weight pruned has 103 million; so many run in some 9 GB."""


def random_layer(outputs: int, inputs: int, density: float, seed: int) -> CodedLayer:
    """A layer in which each weight survives with probability ``density``, on its own.

    Codes are even over the 15 values. There is no bias.

    Raises:
        UserError: no rows or columns, too many weights, or a density outside 0 to 1.
    """
    _check_density("weight density", density)
    if outputs < 1 or inputs < 1:
        raise UserError(f"a layer of {outputs} outputs and {inputs} inputs is empty")
    total = outputs * inputs
    if total * density > MAX_SURVIVORS or total > 1 << 48 or outputs >= 1 << 31:
        raise UserError(
            f"{outputs} x {inputs} at density {density:g} are more than {MAX_SURVIVORS:,} weights"
        )
    generator = np.random.default_rng([seed, 0])
    places = _places(total, density, generator)
    columns, rows = np.divmod(places, outputs)
    starts = np.zeros(inputs + 1, np.int64)
    np.cumsum(np.bincount(columns, minlength=inputs), out=starts[1:])
    codes = generator.integers(1, SHARED_VALUES + 1, places.size, np.uint8)
    return CodedLayer(outputs, inputs, CODEBOOK, starts, rows.astype(np.int32), codes)


def random_activation(inputs: int, density: float, seed: int) -> NDArray[np.float32]:
    """(inputs) float32: round(density * inputs) values above 0 at random places, zeros elsewhere.

    Raises:
        UserError: a density outside 0 to 1.
    """
    _check_density("activation density", density)
    generator = np.random.default_rng([seed, 1])
    activation = np.zeros(inputs, np.float32)
    chosen = generator.permutation(inputs)[: round(density * inputs)]
    activation[chosen] = generator.uniform(0.1, 1.0, chosen.size)
    return activation


def _places(total: int, density: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rising places of survivors among ``total``: the steps between them are geometric."""
    if density == 0:
        return np.empty(0, np.int64)
    found, end = [], -1
    while end < total:
        left = (total - end) * density
        steps = generator.geometric(density, size=int(left + 4 * math.sqrt(left) + 16))
        places = end + np.cumsum(np.minimum(steps, total + 1))
        found.append(places)
        end = int(places[-1])
    places = np.concatenate(found)
    return places[: int(np.searchsorted(places, total))]


def _check_density(name: str, density: float) -> None:
    if not 0 <= density <= 1:  # NaN is neither
        raise UserError(f"{name}: {density:g}, where 0 to 1 belong")
