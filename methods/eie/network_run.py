"""A compressed network on the machine: every layer that it takes, and the accuracy where data are.

Without data each layer is run on activations that are drawn. With data the network runs layer by
layer: the counters are those of the first row, since the machine takes one input at a time, and
the accuracy is that of all rows but those on which the fixed-point formats were chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from methods.compressed import Compressed
from methods.eie.draw import random_activation
from methods.eie.machine import Machine
from methods.eie.networks import CodedNetwork, MachineLayer, NetworkOnMachine, coded_network
from methods.eie.report import LayerRun, counters, layer_json, machine_json, total, total_energy
from methods.eie.request import Request, run_layer
from methods.seeds import seeded
from methods.user_data import read_data, try_out
from registry.errors import UserError

FIXED_BITS = 16
CHOOSING_SHARE = 10
"""One row in so many is for choosing the formats."""
MOST_CHOOSING_ROWS = 256
ROWS_AT_ONCE = 1_024


@dataclass(frozen=True)
class Accuracy:
    """Shares of rows that are classified rightly."""

    rows: int
    as_stored: float
    """The network of the file, in float32."""
    coded: float
    """With at most 15 shared values a layer, biases coded too, in float32 on the machine."""
    fixed: float
    """The same in 16-bit fixed point."""


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """Every layer that ran."""

    layers: tuple[LayerRun, ...]
    remarks: tuple[str, ...]
    accuracy: Accuracy | None = None

    def as_json(self) -> dict[str, Any]:
        """The keys of a layer as totals, ``layers`` with those of each, and ``accuracy``."""
        everything = [run.simulation for run in self.layers]
        document = counters(total(everything), total_energy(everything))
        document["overflow"] = [
            f"{run.name}: {text}" for run in self.layers for text in run.simulation.overflow
        ]
        document["layers"] = [layer_json(run) for run in self.layers]
        if self.accuracy is not None:
            document["accuracy"] = {
                "rows": self.accuracy.rows,
                "as_stored": self.accuracy.as_stored,
                "coded": self.accuracy.coded,
                f"fixed_{FIXED_BITS}": self.accuracy.fixed,
            }
        return {**document, "machine": machine_json(everything[0])}


def simulate_network(request: Request, machine: Machine) -> NetworkRun:
    """Every layer of a .netc file that the machine takes.

    Raises:
        UserError: the file or the data cannot be read, the machine takes no layer, or with data
            not the whole network.
    """
    path = request.network
    if path is None:
        raise UserError("give --network FILE.netc")
    held = Compressed.load(path)
    try:
        network = coded_network(held)
    except UserError as fault:
        raise UserError(f"{path}: {fault}") from fault
    remarks = tuple(_remarks(network))
    if request.data is not None:
        return _with_data(path, held, network, request.data, machine, remarks)
    density, seed = request.activation_density or 0.0, request.seed or 0
    runs = [
        _named(
            layer,
            run_layer(
                layer.coded, random_activation(layer.coded.inputs, density, seed + place), machine
            ),
        )
        for place, layer in enumerate(network.layers)
    ]
    return NetworkRun(tuple(runs), remarks)


def _named(layer: MachineLayer, run: LayerRun) -> LayerRun:
    return replace(run, name=layer.name, change=layer.change, bias_change=layer.bias_change)


def _remarks(network: CodedNetwork) -> list[str]:
    left = [] if network.loose is None else [f"every layer runs alone: {network.loose}"]
    left += [f"layer {name} is left out: {why}" for name, why in network.refused.items()]
    return left + [line for layer in network.layers for line in _lost(layer)]


def _lost(layer: MachineLayer) -> list[str]:
    """What the layer's 15 values cannot say."""
    lost = []
    if layer.clustered:
        lost.append(
            f"layer {layer.name}: its {layer.values:,} values are clustered to 15, which changes "
            f"the weights by {layer.change:.2%}"
        )
    if layer.bias_change:
        lost.append(
            f"layer {layer.name}: its bias takes the nearest of the weights' values, which changes "
            f"it by {layer.bias_change:.2%}"
        )
    return lost


def _with_data(
    path: Path,
    held: Compressed,
    network: CodedNetwork,
    data: Path,
    machine: Machine,
    remarks: tuple[str, ...],
) -> NetworkRun:
    try:
        whole = NetworkOnMachine(network, machine)
    except UserError as fault:
        raise UserError(
            f"{path}: {fault}: give --activation-density in place of --data, and every layer that "
            "the machine takes runs alone"
        ) from fault
    x, y = read_data(data)
    rows = x.to(torch.float32)
    stored = held.network.eval()
    try:
        if not bool(torch.isfinite(rows).all()):
            raise UserError("x holds values beyond the range of float32")
        try_out(stored, rows, y, torch.device("cpu"))
    except UserError as fault:
        raise UserError(f"{data}: {fault}") from fault
    order = torch.randperm(len(rows), generator=seeded(0))
    chosen = min(len(rows) // CHOOSING_SHARE, MOST_CHOOSING_ROWS)
    if not machine.signed and bool((rows < 0).any()):
        remarks = (
            *remarks,
            f"{data}: what is below 0 in x is not broadcast: --signed sends it too",
        )
    formats = whole.choose_formats(rows[order[:chosen]].numpy(), FIXED_BITS)
    counts = np.zeros(3, np.int64)
    for start in range(chosen, len(rows), ROWS_AT_ONCE):
        part = order[start : start + ROWS_AT_ONCE]
        given, labels = rows[part].numpy(), y[part].numpy()
        with torch.inference_mode():
            scores = (stored(rows[part]).numpy(), whole.floats(given), whole.fixed(given, formats))
        counts += [_right(one, labels) for one in scores]
    measured = len(rows) - chosen
    steps = whole.simulations(rows[:1].numpy())
    runs = [_named(layer, LayerRun.of(layer.coded, steps[layer.name])) for layer in network.layers]
    accuracy = Accuracy(measured, *(int(count) / measured for count in counts))
    counted = f"the counters are those of the first of {len(rows):,} rows"
    return NetworkRun(tuple(runs), (*remarks, counted), accuracy)


def _right(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> int:
    return int((scores.argmax(axis=1) == labels).sum())


def accuracy_rows(accuracy: Accuracy) -> list[tuple[str, str]]:
    """For a table: what was measured, and the accuracy."""
    shares: Mapping[str, float] = {
        "the network of the file, float32": accuracy.as_stored,
        "coded for the machine, float32": accuracy.coded,
        f"the machine, {FIXED_BITS}-bit fixed point": accuracy.fixed,
    }
    return [(name, f"{share:.2%}") for name, share in shares.items()]
