"""The nine layers of EIE's Table III: their sizes, and the densities that they are drawn with.

Han et al., ISCA 2016. ``printed`` densities stand in Table III, rounded and averaged over inputs.
``inferred`` ones differ from them in one number a layer: the density that makes the expected
entries, padding included, equal to the theoretical time of Table IV. That column is then met by
construction; only the actual times test anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.eie_tables import PAPER, PrintedTables
from methods.eie.coded import CodedLayer
from methods.eie.draw import random_activation, random_layer
from methods.eie.encode import SPAN
from methods.eie.machine import Machine
from registry.catalog import PAPERS_FOLDER
from registry.errors import UserError
from registry.record import Paper
from registry.yaml_reader import read_model

PES = Machine().pes
CLOCK_HZ = Machine().clock_mhz * 1e6

Densities = Literal["printed", "inferred"]
Free = Literal["weights", "activations"]


@dataclass(frozen=True)
class EieLayer:
    """A row of Table III with its two times of Table IV."""

    id: str
    name: str
    outputs: int
    inputs: int
    weight_density: float
    activation_density: float
    """Both as printed, as fractions."""
    theoretical_seconds: float
    actual_seconds: float
    """Both as printed in Table IV."""

    @property
    def free(self) -> Free:
        """Which density is inferred: that of the weights where all activations are non-zero."""
        return "weights" if self.activation_density == 1.0 else "activations"

    def densities(self, which: Densities) -> tuple[float, float]:
        """Of the weights and of the activations, as fractions."""
        if which == "printed":
            return self.weight_density, self.activation_density
        return inferred_densities(self)


@cache
def eie_paper() -> Paper:
    """The record that comes with the package."""
    return read_model(PAPERS_FOLDER / f"{PAPER}.yaml", Paper)


def expected_slice_entries(rows: int, density: float) -> float:
    """Expected entries, padding included, of one column's slice with ``rows`` local rows.

    Each weight survives independently. A padding entry belongs to each survivor at local row i
    for each m >= 1 with 16 m <= i if the 16 m rows before it are zeros.
    """
    first = np.arange(SPAN, rows, SPAN)
    padding = float(((rows - first) * (1.0 - density) ** first).sum()) * density
    return rows * density + padding


def expected_column_entries(outputs: int, density: float, pes: int = PES) -> float:
    """Expected entries of a whole column over all PEs, rows dealt out in turn."""
    short, longer = divmod(outputs, pes)
    return (
        longer * expected_slice_entries(short + 1, density)
        + (pes - longer) * expected_slice_entries(short, density)
    )  # fmt: skip


def expected_theoretical_seconds(
    layer: EieLayer, weight_density: float, activation_density: float
) -> float:
    """Expected entries of the broadcast columns over 64 PEs and 800 MHz; no bias."""
    columns = activation_density * layer.inputs
    return columns * expected_column_entries(layer.outputs, weight_density) / (PES * CLOCK_HZ)


@cache
def inferred_densities(layer: EieLayer) -> tuple[float, float]:
    """The printed densities with the free one solved for the printed theoretical time."""
    weights, activations = layer.weight_density, layer.activation_density
    if layer.free == "activations":
        whole = expected_theoretical_seconds(layer, weights, 1.0)
        return weights, layer.theoretical_seconds / whole
    solved = _solved(
        lambda density: expected_theoretical_seconds(layer, density, activations),
        layer.theoretical_seconds,
    )
    return solved, activations


def _solved(function: Callable[[float], float], wanted: float) -> float:
    """Where a function that rises on 0 to 1 takes the wanted value, by bisection.

    Raises:
        UserError: it does not reach the value.
    """
    low, high = 0.0, 1.0
    if function(high) < wanted:
        raise UserError(f"no density gives a theoretical time of {wanted} seconds")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < wanted else (low, middle)
    return (low + high) / 2


def drawn(
    layer: EieLayer, densities: Densities, seed: int, draw: int = 0
) -> tuple[CodedLayer, NDArray[np.float32]]:
    """The layer and an input at random, the same for the same arguments.

    Args:
        draw: one of many with the same seed.

    Returns:
        The layer without a bias, and its activation, float32 (inputs).
    """
    weights, _ = layer.densities(densities)
    of_weights, _ = _seeds(layer, seed, draw)
    coded = random_layer(layer.outputs, layer.inputs, weights, of_weights)
    return coded, drawn_activation(layer, densities, seed, draw)


def drawn_activation(
    layer: EieLayer, densities: Densities, seed: int, draw: int = 0
) -> NDArray[np.float32]:
    """The input of ``drawn`` alone, float32 (inputs)."""
    _, activations = layer.densities(densities)
    return random_activation(layer.inputs, activations, _seeds(layer, seed, draw)[1])


def _seeds(layer: EieLayer, seed: int, draw: int) -> tuple[int, int]:
    """Of weights and activations, for each layer its own, though some are of one shape."""
    own = crc32(layer.id.encode())
    of_weights, of_activations = np.random.SeedSequence([seed, own, draw]).generate_state(2)
    return int(of_weights), int(of_activations)


def _read(printed: PrintedTables) -> tuple[EieLayer, ...]:
    return tuple(
        EieLayer(
            id=row.id,
            name=row.label or row.id,
            outputs=int(printed.number("table-3", row.id, "outputs")),
            inputs=int(printed.number("table-3", row.id, "inputs")),
            weight_density=printed.number("table-3", row.id, "weight_density"),
            activation_density=printed.number("table-3", row.id, "activation_density"),
            theoretical_seconds=printed.number("table-4", row.id, "theoretical"),
            actual_seconds=printed.number("table-4", row.id, "actual"),
        )
        for row in printed.table("table-3").rows
    )


LAYERS: tuple[EieLayer, ...] = _read(PrintedTables(eie_paper()))
"""In the order of Table III: Alex-6, Alex-7, Alex-8, VGG-6, VGG-7, VGG-8, NT-We, NT-Wd, NT-LSTM."""


def layer_named(name: str) -> EieLayer:
    """The layer of that id or name, in any case of letters.

    Raises:
        UserError: there is none.
    """
    for layer in LAYERS:
        if name.lower() in (layer.id, layer.name.lower()):
            return layer
    known = ", ".join(layer.name for layer in LAYERS)
    raise UserError(f"no layer {name!r} in Table III: take one of {known}")
