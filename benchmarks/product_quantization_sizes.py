"""Operations and sizes of product-quantized networks by arithmetic.

Wu, Leng, Wang, Hu, Cheng: "Quantized Convolutional Neural Networks for Mobile Devices", CVPR
2016. Four counts stand beside each other, since the printed numbers do not follow from one:

* ``formula``: Table 1 of the paper, which is also what the format holds: 4 C K bytes of codebooks
  and a code of log2 K bits for each kernel position, subspace and output. A grouped convolution
  has codebooks and subspaces for the channels of one group, as the released AlexNet has.
* ``padded``: the same with the last subspace of a convolution filled up, as the released AlexNet
  has its first.
* ``ratio``: the count that gives the printed digits of AlexNet. The weights are divided by the
  groups and the assignments are not; for whole networks each codebook of a convolution is
  charged one float an entry. Inferred from the digits, not read.
* ``container``: the released files, with their headers, their blocks and the biases.

One multiply-add is one operation, and so is one look-up with its addition. Look-up tables are made
at every position of the map that goes in, without its padding.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from benchmarks.imagenet_networks import NETWORKS, Layer, Network, Stack
from methods.formats.product_quantized import code_bits, stored_bytes, subspace_count
from registry.record import Paper
from registry.vocabulary import Metric, load_vocabulary

FLOAT_BYTES = 4
BLOCK_BYTES = 4096
"""Of the released assignment files (``FileIO.h``): a code never lies across two blocks."""


@dataclass(frozen=True)
class Setting:
    """Inputs of a subspace (C_s') and codewords (K) of a layer."""

    width: int
    codewords: int


CLASSES = Setting(1, 16)
"""Of the layer of 1,000 classes, throughout."""
CONVOLUTIONS: Mapping[str, Setting] = {
    "alexnet": Setting(8, 128),
    "caffenet": Setting(8, 128),
    "cnn-s": Setting(8, 128),
    "vgg-16": Setting(6, 128),
}
"""Of the convolutions in the table of whole networks."""
FULLY_CONNECTED = (Setting(3, 32), Setting(4, 32))
CONVOLUTIONS_ALONE: Mapping[str, Sequence[Setting]] = {
    "alexnet": (Setting(4, 64), Setting(6, 64), Setting(6, 128), Setting(8, 128)),
    "vgg-16": (Setting(6, 128),),
}
FULLY_CONNECTED_ALONE = (Setting(2, 16), Setting(3, 16), Setting(3, 32), Setting(4, 32))
MLPS: Mapping[str, Sequence[int]] = {
    "mnist-3-layers": (1000, 10),
    "mnist-5-layers": (1000, 1000, 1000, 10),
}
MLP_SETTING = Setting(4, 32)
"""Of all layers but the last, which stays float32: the printed 12.1 and 13.4 tell so."""


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer and its setting; None where it stays as it is."""

    layer: Layer
    setting: Setting | None

    @property
    def dense_bytes(self) -> int:
        return FLOAT_BYTES * self.layer.weights

    @property
    def subspaces(self) -> int:
        """M of one group."""
        assert self.setting is not None
        return subspace_count(self.layer.shape[1], self.setting.width)

    @property
    def is_convolution(self) -> bool:
        return self.layer.kind == "convolution"

    @property
    def operations(self) -> int:
        """Table 1: inner products with all codewords, then a look-up for each code used."""
        if self.setting is None:
            return self.layer.multiply_adds
        one = self.layer
        tables = one.input_size**2 * one.inputs * self.setting.codewords
        return tables + one.output_size**2 * one.outputs * one.kernel**2 * self.subspaces

    @property
    def formula_bytes(self) -> int:
        """Table 1, and what the format holds."""
        if self.setting is None:
            return self.dense_bytes
        return stored_bytes(self.layer.shape, self.setting.width, self.setting.codewords)

    @property
    def padded_bytes(self) -> int:
        """With the last subspace of a convolution filled up."""
        if self.setting is None or not self.is_convolution:
            return self.formula_bytes
        added = self.subspaces * self.setting.width - self.layer.shape[1]
        return self.formula_bytes + FLOAT_BYTES * added * self.setting.codewords

    def printed_bytes(self, *, is_whole_network: bool) -> float:
        """By the count that gives the printed digits."""
        if self.setting is None or not self.is_convolution:
            return self.formula_bytes
        one, setting = self.layer, self.setting
        floats = self.subspaces * setting.codewords * (1 if is_whole_network else setting.width)
        codes = one.kernel**2 * subspace_count(one.inputs, setting.width) * one.outputs
        return FLOAT_BYTES * floats + codes * math.log2(setting.codewords) / 8

    @property
    def container_bytes(self) -> int:
        """Files of assignments, of codebooks and of biases as the authors released them."""
        if self.setting is None:
            raise ValueError(f"{self.layer.name} is not quantized: no such file holds it")
        one, (width, codewords) = self.layer, (self.setting.width, self.setting.codewords)
        bits = code_bits(codewords)
        codes = one.kernel**2 * self.subspaces * one.outputs
        blocks = math.ceil(codes / (8 * BLOCK_BYTES // bits))
        axes = 4 if self.is_convolution else 2
        assignments = _header(axes) + 4 + BLOCK_BYTES * blocks
        codebooks = _header(3) + FLOAT_BYTES * self.subspaces * codewords * width
        return assignments + codebooks + _header(1) + FLOAT_BYTES * one.biases


def _header(axes: int) -> int:
    """An int32 for the number of axes and one for each."""
    return 4 + 4 * axes


@dataclass(frozen=True)
class QuantizedNetwork:
    """Layers with their settings, under the name that records use."""

    name: str
    layers: Sequence[QuantizedLayer]
    is_whole: bool = False
    """All layers of a network on ImageNet: only these have files and sizes of storage."""

    def measured(self) -> Found:
        """Every metric that applies."""
        layers = self.layers
        dense_operations = sum(one.layer.multiply_adds for one in layers)
        operations = sum(one.operations for one in layers)
        dense = sum(one.dense_bytes for one in layers)
        printed = sum(one.printed_bytes(is_whole_network=self.is_whole) for one in layers)
        formula = sum(one.formula_bytes for one in layers)
        padded = sum(one.padded_bytes for one in layers)
        found: dict[str, float] = {
            "dense_operations": dense_operations,
            "operations": operations,
            "speedup": dense_operations / operations,
            "ratio": dense / printed,
            "formula_bytes": formula,
            "formula_ratio": dense / formula,
            "padded_bytes": padded,
            "padded_ratio": dense / padded,
        }
        if self.is_whole:
            parameters = sum(one.layer.parameters for one in layers)
            found["reference_bytes"] = FLOAT_BYTES * parameters
            found["container_bytes"] = sum(one.container_bytes for one in layers)
        for metric, value in found.items():
            yield f"{metric}.{self.name}", value


class ProductQuantizationSizes(Arithmetic):
    """What the paper's formulas and its settings give for the networks of its tables."""

    name: ClassVar[str] = "product-quantization-sizes"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """All of them, whatever the record names."""
        values = dict(one for network in networks() for one in network.measured())
        return Outcome(without_interval(values, self.metrics))


def networks() -> list[QuantizedNetwork]:
    """Every network, or part of one, with each of its settings."""
    return [
        *(_whole(name, fc) for name in CONVOLUTIONS for fc in FULLY_CONNECTED),
        *(
            QuantizedNetwork(f"{name}-conv-{_words(setting)}", _all(_convolutions(name), setting))
            for name, settings in CONVOLUTIONS_ALONE.items()
            for setting in settings
        ),
        *(
            QuantizedNetwork(
                f"alexnet-conv2-{_words(setting)}",
                _all([_network("alexnet").layer("conv2")], setting),
            )
            for setting in CONVOLUTIONS_ALONE["alexnet"]
        ),
        *(one for setting in FULLY_CONNECTED_ALONE for one in _connected("caffenet", setting)),
        *(_mlp(name, widths) for name, widths in MLPS.items()),
    ]


def _words(setting: Setting) -> str:
    return f"{setting.width}-{setting.codewords}"


def _network(name: str) -> Network:
    return NETWORKS[{"vgg-16": "vgg16"}.get(name, name)]


def _convolutions(name: str) -> list[Layer]:
    return [one for one in _network(name).weighted if one.kind == "convolution"]


def _all(layers: Sequence[Layer], setting: Setting) -> list[QuantizedLayer]:
    return [QuantizedLayer(one, setting) for one in layers]


def _classified(name: str, setting: Setting) -> list[QuantizedLayer]:
    """The fully connected layers, the last one with its own setting."""
    *hidden, last = (one for one in _network(name).weighted if one.kind == "fully-connected")
    return [*_all(hidden, setting), QuantizedLayer(last, CLASSES)]


def _whole(name: str, fully_connected: Setting) -> QuantizedNetwork:
    layers = _all(_convolutions(name), CONVOLUTIONS[name]) + _classified(name, fully_connected)
    return QuantizedNetwork(f"{name}-{_words(fully_connected)}", layers, is_whole=True)


def _connected(name: str, setting: Setting) -> list[QuantizedNetwork]:
    """The two large layers, which the table counts, and all three."""
    layers = _classified(name, setting)
    words = _words(setting)
    return [
        QuantizedNetwork(f"{name}-fc-{words}", layers[:-1]),
        QuantizedNetwork(f"{name}-fc-and-classes-{words}", layers),
    ]


def _mlp(name: str, widths: Sequence[int]) -> QuantizedNetwork:
    stack = Stack(28, 1)
    for at, width in enumerate(widths, start=1):
        stack.connected(f"ip{at}", width)
    *hidden, last = stack.network(name).weighted
    return QuantizedNetwork(name, [*_all(hidden, MLP_SETTING), QuantizedLayer(last, None)])
