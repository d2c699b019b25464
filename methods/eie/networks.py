"""Compressed networks on the machine: which layers it can run, and a whole network through it.

Han et al. 2016, sections III and VI: fully connected layers and LSTMs are products of a matrix
with a vector, with ReLU on the way to the next layer. An LSTM is one matrix of its four gates by
[x_t, h_{t-1}], with the sum of its two biases as the last column, as NT-LSTM of Table III. What
its gates do with the products is outside the machine, in float32; h comes back to it rounded to
the format of the layer's activations, as x does. The codebook of a layer has 15 values beside 0:
weights of more values are clustered again, the bias along with them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from methods.compressed import Compressed
from methods.describe import describe, is_plain
from methods.eie.coded import SHARED_VALUES, CodedLayer, relative_change
from methods.eie.datapath import (
    Formats,
    choose_formats,
    dequantize,
    fixed_outputs,
    float_outputs,
)
from methods.eie.encode import EncodedLayer, encode
from methods.eie.machine import Machine, Simulation, simulate
from methods.networks import LastStep
from registry.errors import UserError

Floats = NDArray[np.float32]
Multiply = Callable[["MachineLayer", Floats], Floats]

GATES = 4
UNNAMED = "unnamed"
"""A layer whose tensors have no prefix: the network is this layer alone."""
NO_PRODUCT = "the machine multiplies a matrix with a vector"
REASONS = {
    "convolution": f"{NO_PRODUCT}, a convolution is none",
    "convolution-1d": f"{NO_PRODUCT}, a convolution is none",
    "max-pooling": "the machine has no pooling",
    "average-pooling": "the machine has no pooling",
    "embedding": f"{NO_PRODUCT}, an embedding is looked up",
    "normalisation": "the machine has no normalisation",
    "relu": "the machine has ReLU right behind a layer of its own only",
}
_GATED = (
    "of recurrent layers the machine runs an LSTM of one layer and one direction, without "
    "projection"
)


@dataclass(frozen=True, eq=False)
class MachineLayer:
    """A layer that the machine runs."""

    name: str
    kind: Literal["linear", "lstm"]
    coded: CodedLayer
    values: int
    """Different weights other than 0 before they were coded, the bias left out."""
    relu: bool = False
    change: float = 0.0
    """Of the weights by their coding, relative: norm of the difference over norm."""
    bias_change: float | None = None
    """The same of the bias, which has no values of its own; None where there is none."""

    @property
    def clustered(self) -> bool:
        """Whether its weights had more values than a codebook holds."""
        return self.values > SHARED_VALUES


@dataclass(frozen=True)
class CodedNetwork:
    """The layers of a network for the machine, in order, and those that it cannot run."""

    layers: tuple[MachineLayer, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Layer -> why."""
    loose: str | None = None
    """Why the layers do not follow one another, so that only each alone can run; None: they do."""


@dataclass(frozen=True)
class _Part:
    """One layer as found: its kind by the names of ``methods.layer_kinds``, and ``lstm``."""

    kind: str
    name: str
    tensors: Mapping[str, Floats] = field(default_factory=dict)
    why: str | None = None
    """Why the machine cannot run it, where its kind alone does not tell."""


def coded_network(source: Compressed | nn.Module) -> CodedNetwork:
    """The layers of a compressed network, or of any module, for the machine.

    Raises:
        UserError: a weight that is not finite, or no layer that the machine can run.
    """
    loose: str | None = None
    if isinstance(source, nn.Module):
        parts, loose = _of_module(source)
    elif source.layers:
        parts = _of_layers(source)
        if any(entry.inputs not in ((), (at - 1,)) for at, entry in enumerate(source.layers)):
            loose = "a layer takes something else than what the layer before it gives"
    else:
        parts = _of_tensors({name: _array(one) for name, one in source.tensors().items()})
        loose = (
            "the file holds tensors without the order of their layers, and each matrix counts as a "
            "fully connected layer"
        )
    layers: list[MachineLayer] = []
    refused: dict[str, str] = {}
    behind = False  # whether a layer of the machine gives what comes next
    for part in parts:
        if part.kind == "linear":
            layers.append(_linear(part))
            behind = True
        elif part.kind == "lstm" and part.why is None:
            layers.append(_lstm(part))
            behind = True
        elif part.kind == "relu" and behind:
            layers[-1] = replace(layers[-1], relu=True)
        elif part.kind != "flatten":
            refused[part.name] = part.why or REASONS.get(
                part.kind, f"the machine has no {part.kind}"
            )
            behind = False
    if not layers:
        told = "; ".join(f"{name}: {why}" for name, why in refused.items()) or "it has no layers"
        raise UserError(f"the network has no layer that the machine can run ({told})")
    return CodedNetwork(tuple(layers), refused, loose)


def _linear(part: _Part) -> MachineLayer:
    weight, bias = part.tensors["weight"], part.tensors.get("bias")
    return _machine_layer(part.name, "linear", weight, bias)


def _lstm(part: _Part) -> MachineLayer:
    held = part.tensors
    weight = np.concatenate([held["weight_ih"], held["weight_hh"]], axis=1)
    bias = held["bias_ih"] + held["bias_hh"] if "bias_ih" in held else None
    return _machine_layer(part.name, "lstm", weight, bias)


def _machine_layer(
    name: str, kind: Literal["linear", "lstm"], weight: Floats, bias: Floats | None
) -> MachineLayer:
    try:
        coded = CodedLayer.from_pruned(weight, bias)
    except UserError as fault:
        raise UserError(f"layer {name}: {fault}") from fault
    after = coded.bias()
    return MachineLayer(
        name,
        kind,
        coded,
        _values(weight),
        change=relative_change(weight, coded.weight()),
        bias_change=None if bias is None or after is None else relative_change(bias, after),
    )


def _values(weight: Floats) -> int:
    return int(np.unique(weight[weight != 0]).size)


def _array(tensor: torch.Tensor) -> Floats:
    return np.ascontiguousarray(tensor.detach().cpu().to(torch.float32).numpy())


def _of_layers(source: Compressed) -> list[_Part]:
    formats = list(source.formats.values())
    return [
        _Part(
            entry.kind,
            entry.name,
            {role: _array(formats[at].decode()) for role, at in entry.tensors.items()},
        )
        for entry in source.layers
    ]


def _of_module(network: nn.Module) -> tuple[list[_Part], str | None]:
    """A plain sequential's layers in order; of another module, its parts by name."""
    if is_plain(network):
        state = network.state_dict()
        return [
            _Part(
                one.kind,
                one.name,
                {role: _array(state[name]) for role, name in one.tensors.items()},
            )
            for one in describe(network)
        ], None
    loose = None
    if not (
        type(network) is nn.Sequential
        and all(type(one) in _IN_ORDER or is_plain(nn.Sequential(one)) for one in network)
    ):
        loose = f"{type(network).__name__} may do anything between its layers"
    return [
        part for name, one in network.named_modules() for part in _of_leaf(name or UNNAMED, one)
    ], loose


_IN_ORDER = (LastStep, nn.Dropout, nn.Identity)


def _of_leaf(name: str, module: nn.Module) -> Iterator[_Part]:
    """Nothing for containers, and for what does nothing when a network is used."""
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        tensors = {
            role.removesuffix("_l0"): _array(one)
            for role, one in module.named_parameters(recurse=False)
        }
        yield _recurrent(name, tensors, isinstance(module, nn.LSTM | nn.LSTMCell))
    elif not any(True for _ in module.children()) and not isinstance(
        module, nn.Dropout | nn.Identity
    ):
        plain = nn.Sequential()
        plain.add_module(name.rpartition(".")[2] or "layer", module)
        if is_plain(plain):
            found = describe(plain)[0]
            own = dict(module.named_parameters(recurse=False))
            held = {role: _array(own[role]) for role in found.tensors if role in own}
            yield _Part(found.kind, name, held)
        else:
            yield _Part(type(module).__name__, name)


def _of_tensors(tensors: Mapping[str, Floats]) -> list[_Part]:
    """By the names that PyTorch gives: ``x.weight`` with ``x.bias``, ``x.weight_ih_l0``, ..."""
    groups: dict[str, dict[str, Floats]] = {}
    for name, tensor in tensors.items():
        layer, _, role = name.rpartition(".")
        layer = layer or UNNAMED
        groups.setdefault(layer, {})[role] = tensor
    found = []
    for layer, held in groups.items():
        roles = {role.removesuffix("_l0"): tensor for role, tensor in held.items()}
        if "weight_ih" in roles and "weight_hh" in roles:
            found.append(_recurrent(layer, roles, gated=True))
        elif set(held) <= {"weight", "bias"} and held.get("weight", np.empty(0)).ndim == 2:
            found.append(_Part("linear", layer, held))
        else:
            roles_held = ", ".join(sorted(held))
            found.append(_Part("tensors", layer, why=f"no layer of the machine is {roles_held}"))
    return found


def _recurrent(name: str, tensors: Mapping[str, Floats], gated: bool) -> _Part:
    shapes = {role: one.shape for role, one in tensors.items()}
    rows, inputs = shapes["weight_ih"] if len(shapes["weight_ih"]) == 2 else (0, 0)
    whole: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, inputs),
        "weight_hh": (rows, rows // GATES),
    }
    if "bias_ih" in tensors:
        whole |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    fits = gated and rows % GATES == 0 and shapes == whole
    return _Part("lstm", name, tensors, None if fits else _GATED)


class NetworkOnMachine:
    """A network whose layers all run on one machine, one after the other."""

    def __init__(self, network: CodedNetwork, machine: Machine | None = None) -> None:
        """Deal the layers out.

        Raises:
            UserError: a layer that the machine cannot run, or layers without an order.
        """
        if network.refused:
            told = "; ".join(f"{name}: {why}" for name, why in network.refused.items())
            raise UserError(f"the machine cannot run the whole network ({told})")
        if network.loose is not None:
            raise UserError(f"the network cannot run as a whole: {network.loose}")
        self.network = network
        self.machine = machine or Machine()
        self.encoded: Mapping[str, EncodedLayer] = {
            layer.name: encode(layer.coded, self.machine.pes) for layer in network.layers
        }

    def floats(self, inputs: Floats) -> Floats:
        """What the last layer gives in float32, (n, outputs).

        Args:
            inputs: (n, ...), and for an LSTM as ``methods.networks.with_lengths`` makes them.
        """
        return self._forward(inputs, self._float_product)

    def fixed(self, inputs: Floats, formats: Mapping[str, Formats]) -> Floats:
        """The same in fixed point, with the formats of each layer; numbers, not integers."""

        def product(layer: MachineLayer, given: Floats) -> Floats:
            chosen = formats[layer.name]
            sums = fixed_outputs(
                self.encoded[layer.name], given, chosen, signed=self.machine.signed
            )
            return dequantize(sums, chosen.accumulator)

        return self._forward(inputs, product)

    def choose_formats(self, inputs: Floats, bits: int) -> dict[str, Formats]:
        """Formats by layer for the ranges that it shows on ``inputs`` in float32."""
        signed = self.machine.signed
        return {
            name: choose_formats(self.encoded[name], np.concatenate(seen), bits=bits, signed=signed)
            for name, seen in self._seen(inputs).items()
        }

    def simulations(self, inputs: Floats) -> dict[str, list[Simulation]]:
        """Each product of each layer, run cycle by cycle on what float32 gives it.

        A fully connected layer has one for each input, an LSTM one for each step of each.
        """
        return {
            name: [
                simulate(self.encoded[name], one, self.machine) for given in seen for one in given
            ]
            for name, seen in self._seen(inputs).items()
        }

    def _seen(self, inputs: Floats) -> dict[str, list[Floats]]:
        """What each layer is given, batch after batch."""
        seen: dict[str, list[Floats]] = {layer.name: [] for layer in self.network.layers}

        def product(layer: MachineLayer, given: Floats) -> Floats:
            seen[layer.name].append(given)
            return self._float_product(layer, given)

        self._forward(inputs, product)
        return seen

    def _float_product(self, layer: MachineLayer, given: Floats) -> Floats:
        return float_outputs(self.encoded[layer.name], given, signed=self.machine.signed)

    def _forward(self, inputs: Floats, product: Multiply) -> Floats:
        held = np.asarray(inputs, np.float32)
        for layer in self.network.layers:
            if layer.kind == "lstm":
                held = _last_step(layer, held, product)
            else:
                held = product(layer, held.reshape(len(held), -1))
            if layer.relu:
                held = np.maximum(held, 0)
        return held


def _last_step(layer: MachineLayer, inputs: Floats, product: Multiply) -> Floats:
    """(n, units): h after the last valid step of each sequence, as ``LastStep`` gives it."""
    if inputs.ndim != 3:
        raise UserError(f"layer {layer.name!r} takes (n, time, inputs + 1), not {inputs.shape}")
    units = layer.coded.outputs // GATES
    lengths = inputs[:, :, -1].sum(axis=1)
    state = np.zeros((2, len(inputs), units), np.float32)
    hidden, cell = state
    for step in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > step)
        given = np.concatenate([inputs[rows, step, :-1], hidden[rows]], axis=1)
        hidden[rows], cell[rows] = _gates(product(layer, given), cell[rows])
    return hidden


def _gates(products: Floats, cell: Floats) -> tuple[Floats, Floats]:
    """h and c of the next step: eq. of PyTorch's LSTM, gates in the order input, forget, g, o."""
    into, forget, new, out = torch.from_numpy(products).chunk(GATES, dim=1)
    after = forget.sigmoid() * torch.from_numpy(cell) + into.sigmoid() * new.tanh()
    return (out.sigmoid() * after.tanh()).numpy(), after.numpy()
