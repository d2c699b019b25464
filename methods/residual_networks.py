"""Residual networks of the CIFAR-10 kind, with normalisation and ReLU before each convolution.

He, Zhang, Ren, Sun: "Identity Mappings in Deep Residual Networks", ECCV 2016, in the form that
Zhu et al., ICLR 2017, trained: n blocks a stage, 16, 32 and 64 channels, no biases in convolutions,
shortcuts by average pooling and channels of zeros. Their ResNet-20, 32, 44 and 56 have 3, 5, 7 and
9 blocks a stage on colour images of 32x32.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from methods.seeds import seeded

CHANNELS = (16, 32, 64)


class Geometry(NamedTuple):
    """Of a block: channels in and out; the map is halved where they differ."""

    inputs: int
    outputs: int

    @property
    def stride(self) -> int:
        return 1 if self.inputs == self.outputs else 2

    @property
    def padding(self) -> tuple[int, int]:
        """Channels of zeros before and after those of the shortcut."""
        more = self.outputs - self.inputs
        return more // 2, more - more // 2


class PreActivationBlock(nn.Module):
    """Two convolutions of 3x3 beside a shortcut; (batch, inputs, h, w) to (batch, outputs, ...).

    The very first block of a network has no normalisation of its own: one comes before it.
    """

    def __init__(self, geometry: Geometry, *, first: bool = False) -> None:
        super().__init__()
        self.geometry = geometry
        inputs, outputs = geometry
        self.norm1 = None if first else nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, geometry.stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = x if self.norm1 is None else functional.relu(self.norm1(x))
        inner = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        result: torch.Tensor = inner + self._shortcut(x)
        return result

    def _shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.geometry.stride == 1:
            return x
        before, after = self.geometry.padding
        return functional.pad(functional.avg_pool2d(x, 2), (0, 0, 0, 0, before, after))


def residual_network(blocks: int, seed: int, *, channels: int = 1, size: int = 28) -> nn.Sequential:
    """A network of ``6 blocks + 2`` layers with weights.

    Args:
        blocks: in each of the three stages.
        channels: of the images, which are squares of ``size``, a multiple of 4.

    Input (batch, channels, size, size), output logits (batch, 10). Weights start normally
    distributed by the fan-out of each convolution (He et al. 2015), the last layer's uniformly.

    Raises:
        ValueError: no block, or a size that cannot be halved twice.
    """
    if blocks < 1 or size % 4:
        raise ValueError(f"{blocks} blocks a stage on images of {size}x{size}")
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv0=nn.Conv2d(channels, CHANNELS[0], 3, 1, 1, bias=False),
        norm0=nn.BatchNorm2d(CHANNELS[0]),
        relu0=nn.ReLU(),
    )
    before = CHANNELS[0]
    for stage, width in enumerate(CHANNELS, start=1):
        for block in range(blocks):
            first = stage == 1 and block == 0
            layers[f"stage{stage}-{block}"] = PreActivationBlock(
                Geometry(before, width), first=first
            )
            before = width
    layers |= OrderedDict[str, nn.Module](
        norm=nn.BatchNorm2d(before),
        relu=nn.ReLU(),
        pool=nn.AvgPool2d(size // 4),
        flatten=nn.Flatten(),
        linear=nn.Linear(before, 10),
    )
    network = nn.Sequential(layers)
    _initialise(network, seeded(seed))
    return network


def _initialise(network: nn.Sequential, generator: torch.Generator) -> None:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size)
                module.weight.normal_(0, math.sqrt(2 / fan_out), generator=generator)
            elif isinstance(module, nn.Linear):
                within = 1 / math.sqrt(module.in_features)
                module.weight.uniform_(-within, within, generator=generator)
                module.bias.zero_()


def resnet_8(seed: int) -> nn.Sequential:
    """One block a stage, on grey images of 28x28."""
    return residual_network(1, seed)


def resnet_14(seed: int) -> nn.Sequential:
    """Two blocks a stage, on grey images of 28x28."""
    return residual_network(2, seed)


def resnet_20(seed: int) -> nn.Sequential:
    """Three blocks a stage, on grey images of 28x28."""
    return residual_network(3, seed)
