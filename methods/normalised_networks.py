"""Networks with batch normalisation before each ReLU, and after the last layer too.

Lin et al., ICLR 2016, and the authors' code: no layer has a bias of its own, a pooling comes before
the normalisation, epsilon is 1e-4, convolutions are not padded.
"""

import itertools
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from methods.sampled_layers import start, start_ranges

EPSILON = 1e-4
NORMALISED_MLP_WEIGHTS = 2_910_208
"""784-1024-1024-1024-10."""
NORMALISED_CONVNET_WEIGHTS = 5_272_960
"""128C3-128C3-P2-256C2-256C2-P2-512C2-512C2-P2-1024C2-1024FC-10 on colour images of 32x32."""


def normalised_mlp(widths: Sequence[int], seed: int, *, normalised: bool = True) -> nn.Sequential:
    """Fully connected layers ``ip1``, ``norm1``, ``relu1``, ... to ``norm`` of the last.

    Args:
        widths: inputs, hidden units and classes. Input (batch, 1, 28, 28) or (batch, inputs).
        normalised: False: biases in place of normalisations.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    last = len(widths) - 1
    for at, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        layers[f"ip{at}"] = nn.Linear(inputs, outputs, bias=not normalised)
        if normalised:
            layers[f"norm{at}"] = nn.BatchNorm1d(outputs, eps=EPSILON)
        if at < last:
            layers[f"relu{at}"] = nn.ReLU()
    return _started(nn.Sequential(layers), seed)


def normalised_convnet(
    channels: int, seed: int, *, divisor: int = 1, classes: int = 10
) -> nn.Sequential:
    """The paper's convolutional network, its widths divided by ``divisor``.

    Map sizes are 32, 30, 28, 14, 13, 12, 6, 5, 4, 2 and 1. Input (batch, channels, 32, 32), output
    scores (batch, classes).
    """
    plan = ((128, 3, False), (128, 3, True), (256, 2, False), (256, 2, True), (512, 2, False),
            (512, 2, True), (1024, 2, False))  # fmt: skip
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for at, (full, kernel, pooled) in enumerate(plan, start=1):
        width = full // divisor
        layers[f"conv{at}"] = nn.Conv2d(channels, width, kernel, bias=False)
        if pooled:
            layers[f"pool{at}"] = nn.MaxPool2d(2)
        layers[f"norm{at}"] = nn.BatchNorm2d(width, eps=EPSILON)
        layers[f"relu{at}"] = nn.ReLU()
        channels = width
    layers["flatten"] = nn.Flatten()
    layers["ip8"] = nn.Linear(channels, channels, bias=False)
    layers["norm8"] = nn.BatchNorm1d(channels, eps=EPSILON)
    layers["relu8"] = nn.ReLU()
    layers["ip9"] = nn.Linear(channels, classes, bias=False)
    layers["norm9"] = nn.BatchNorm1d(classes, eps=EPSILON)
    return _started(nn.Sequential(layers), seed)


def normalised_mlp_3x1024(seed: int) -> nn.Sequential:
    """The paper's MNIST network, 784-1024-1024-1024-10."""
    return _with_weights(normalised_mlp((784, 1024, 1024, 1024, 10), seed), NORMALISED_MLP_WEIGHTS)


def normalised_mlp_3x256(seed: int) -> nn.Sequential:
    """784-256-256-256-10, which the paper does not have."""
    return normalised_mlp((784, 256, 256, 256, 10), seed)


def normalised_convnet_colour(seed: int) -> nn.Sequential:
    """The paper's CIFAR-10 network."""
    return _with_weights(normalised_convnet(3, seed), NORMALISED_CONVNET_WEIGHTS)


def normalised_convnet_narrow(seed: int) -> nn.Sequential:
    """The same for grey images with an eighth of the width, which the paper does not have."""
    return normalised_convnet(1, seed, divisor=8)


def _started(network: nn.Sequential, seed: int) -> nn.Sequential:
    layers = {
        name: one for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)
    }
    start(network, layers, start_ranges(network, layers), seed)
    return network


def _with_weights(network: nn.Sequential, expected: int) -> nn.Sequential:
    count = sum(one.numel() for one in network.parameters() if one.dim() > 1)
    if count != expected:
        raise AssertionError(f"the network has {count} weights, not {expected}")
    return network
