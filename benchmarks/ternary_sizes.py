"""Bytes of ternary networks by arithmetic, on the networks of trained ternary quantization.

Zhu et al., ICLR 2017: two bits a ternary weight and two float32 scales a layer; what stays float32
is each network's first layer, its biases and the two trained vectors of each normalisation, and in
AlexNet and the LeNets the last layer. Running statistics are left out on both sides. AlexNet is the
one of the authors' code: a first kernel of 12x12, normalisation, no dropout.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from benchmarks.imagenet_networks import Stack
from methods.formats.ternary import TRITS
from methods.networks import lenet_5, lenet_300_100
from methods.residual_networks import residual_network
from methods.trained_ternary_quantization import TrainedTernaryConfig, ternary_layers
from methods.weights import parameter_count
from registry.record import Paper
from registry.vocabulary import Metric, load_vocabulary

FLOAT32_BYTES = 4
SCALES = 2
RESNETS: Mapping[str, int] = {"resnet-20": 3, "resnet-32": 5, "resnet-44": 7, "resnet-56": 9}
"""Blocks a stage of the paper's networks on CIFAR-10."""
DENSITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
"""Per cent of weights that are not zero."""


@dataclass(frozen=True)
class Ternary:
    """A network of which some layers are ternary."""

    parameters: int
    layers: tuple[int, ...]
    """Weights of each ternary layer."""

    @property
    def float32_values(self) -> int:
        """Parameters that stay float32, without the scales."""
        return self.parameters - sum(self.layers)

    @property
    def layer_bytes(self) -> int:
        """Of the ternary layers with their scales."""
        scales = SCALES * FLOAT32_BYTES
        return sum(math.ceil(weights / 4) + scales for weights in self.layers)

    @property
    def bytes(self) -> int:
        return self.layer_bytes + FLOAT32_BYTES * self.float32_values

    @property
    def five_trit_bytes(self) -> int:
        """With five weights a byte."""
        codes = sum(math.ceil(weights / TRITS) for weights in self.layers)
        scales = SCALES * FLOAT32_BYTES * len(self.layers)
        return codes + scales + FLOAT32_BYTES * self.float32_values

    def metrics(self, name: str) -> Found:
        """Each metric of the network."""
        weights, dense = sum(self.layers), FLOAT32_BYTES * self.parameters
        yield f"parameters.{name}", self.parameters
        yield f"ternary_weights.{name}", weights
        yield f"dense_bytes.{name}", dense
        yield f"bytes.{name}", self.bytes
        yield f"ratio.{name}", dense / self.bytes
        yield f"five_trit_ratio.{name}", dense / self.five_trit_bytes
        yield f"ternary_ratio.{name}", FLOAT32_BYTES * weights / self.layer_bytes
        yield f"bits_per_weight.{name}", 8 * self.layer_bytes / weights


def alexnet() -> Ternary:
    """Of the authors' code: all but the first convolution and the last layer ternary."""
    layers = (
        Stack(224)
        .convolution("conv0", 96, 12, stride=4)
        .convolution("conv1", 256, 5, padding=2, groups=2)
        .pooling("pool1", 3, 2)
        .convolution("conv2", 384, 3, padding=1)
        .pooling("pool2", 3, 2)
        .convolution("conv3", 384, 3, padding=1, groups=2)
        .convolution("conv4", 256, 3, padding=1, groups=2)
        .pooling("pool4", 3, 2)
        .connected("fc0", 4096)
        .connected("fc1", 4096)
        .connected("fct", 1000)
        .network("alexnet")
        .weighted
    )
    first, *between, last = layers
    # A normalisation, which has two vectors, stands in place of each bias between.
    trained = sum(layer.weights + 2 * layer.outputs for layer in between)
    return Ternary(
        first.weights + trained + last.parameters, tuple(layer.weights for layer in between)
    )


def counted(network: nn.Module, **config: str) -> Ternary:
    """A network as it is, with the layers ternary that the method would take."""
    layers = ternary_layers(network, TrainedTernaryConfig.model_validate(config))
    return Ternary(parameter_count(network), tuple(one.tensor.numel() for one in layers))


def networks() -> Iterator[tuple[str, Ternary]]:
    """By the names that the record gives them."""
    yield "alexnet", alexnet()
    for name, blocks in RESNETS.items():
        network = residual_network(blocks, 0, channels=3, size=32)
        # Their code means to leave the last layer out, but tests for another name.
        yield name, counted(network, full_precision="first")
        yield f"{name}-last-float32", counted(network)
    yield "lenet-300-100", counted(lenet_300_100(0), full_precision="none")
    yield "lenet-300-100-last-float32", counted(lenet_300_100(0), full_precision="last")
    yield "lenet-5", counted(lenet_5(0))


def entropy_bits(density: float) -> float:
    """Bits a weight that an ideal code needs, where both signs are as frequent."""
    shares = (1 - density, density / 2, density / 2)
    return -sum(share * math.log2(share) for share in shares if share > 0)


class TernarySizes(Arithmetic):
    """Every network of the paper, and the bits of a weight by density."""

    name: ClassVar[str] = "ternary-sizes"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """The same whatever the record says."""
        return Outcome(without_interval(dict(_found()), self.metrics))


def _found() -> Found:
    for name, network in networks():
        yield from network.metrics(name)
    for percent in DENSITIES:
        point = f"{percent}-percent-density"
        yield f"entropy_bits.{point}", entropy_bits(percent / 100)
        yield f"two_bit_bits.{point}", 2.0
        yield f"five_trit_bits.{point}", 8 / TRITS
