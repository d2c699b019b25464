"""The papers' networks as plain ``nn.Sequential``; children's names are the papers' layer names."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

LENET_300_100_PARAMETERS = 266_610
"""Deep Compression, section 5.1: 266,200 weights and 410 biases."""
LENET_5_PARAMETERS = 431_080
"""Deep Compression, section 5.1: 430,500 weights and 580 biases."""


def seeded(seed: int) -> torch.Generator:
    """A CPU generator: the one source of randomness of whoever holds it."""
    return torch.Generator().manual_seed(seed)


def _initialise(network: nn.Sequential, generator: torch.Generator) -> nn.Sequential:
    """He's uniform initialisation, by whether ReLU follows the layer; zero biases."""
    layers = list(network)
    with torch.no_grad():
        for at, module in enumerate(layers):
            if not isinstance(module, nn.Linear | nn.Conv2d):
                continue
            until = next((one for one in layers[at + 1 :] if _acts(one)), None)
            linear = isinstance(module, nn.Conv2d) and not isinstance(until, nn.ReLU)
            nn.init.kaiming_uniform_(
                module.weight,
                nonlinearity="linear" if linear else "relu",
                generator=generator,
            )
            if module.bias is not None:
                module.bias.zero_()
    return network


def _acts(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear | nn.Conv2d | nn.ReLU)


def lenet_300_100(seed: int) -> nn.Sequential:
    """The 784-300-100-10 network of LeCun et al. 1998, with ReLU.

    Layers are named as in Deep Compression's Table 2. Input (batch, 1, 28, 28) or (batch, 784),
    output logits (batch, 10).
    """
    network = nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            ip1=nn.Linear(784, 300),
            relu1=nn.ReLU(),
            ip2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            ip3=nn.Linear(100, 10),
        )
    )
    return _initialise(_with_parameters(network, LENET_300_100_PARAMETERS), seeded(seed))


def lenet_5(seed: int) -> nn.Sequential:
    """LeNet-5 with the sizes of Caffe's MNIST example: 20 and 50 filters of 5x5, then 800-500-10.

    Nothing but pooling follows the convolutions; ReLU stands between ``ip1`` and ``ip2``. Layers
    are named as in Deep Compression's Table 3. Input (batch, 1, 28, 28), output logits (batch, 10).
    """
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, 5),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            ip1=nn.Linear(800, 500),
            relu1=nn.ReLU(),
            ip2=nn.Linear(500, 10),
        )
    )
    return _initialise(_with_parameters(network, LENET_5_PARAMETERS), seeded(seed))


def _with_parameters(network: nn.Sequential, expected: int) -> nn.Sequential:
    count = sum(parameter.numel() for parameter in network.parameters())
    if count != expected:
        raise AssertionError(f"the network has {count} parameters, not {expected}")
    return network


NETWORKS: dict[str, Callable[[int], nn.Sequential]] = {
    "lenet-300-100": lenet_300_100,
    "lenet-5": lenet_5,
}
"""Untrained networks by name, from a seed."""


def float32_bytes(network: nn.Module) -> int:
    """Bytes of all parameters in float32: what compression ratios are taken against."""
    return 4 * sum(parameter.numel() for parameter in network.parameters())
