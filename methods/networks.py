"""The papers' networks as plain ``nn.Sequential``; children's names are the papers' layer names."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

LENET_300_100_PARAMETERS = 266_610
"""Deep Compression, section 5.1: 266,200 weights and 410 biases."""


def seeded(seed: int) -> torch.Generator:
    """A CPU generator: the one source of randomness of whoever holds it."""
    return torch.Generator().manual_seed(seed)


def _initialise(network: nn.Sequential, generator: torch.Generator) -> nn.Sequential:
    """He's uniform initialisation for ReLU networks, zero biases."""
    with torch.no_grad():
        for module in network:
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
    return network


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
    count = sum(parameter.numel() for parameter in network.parameters())
    if count != LENET_300_100_PARAMETERS:
        raise AssertionError(f"LeNet-300-100 has {count} parameters")
    return _initialise(network, seeded(seed))


NETWORKS: dict[str, Callable[[int], nn.Sequential]] = {"lenet-300-100": lenet_300_100}
"""Untrained networks by name, from a seed."""


def float32_bytes(network: nn.Module) -> int:
    """Bytes of all parameters in float32: what compression ratios are taken against."""
    return 4 * sum(parameter.numel() for parameter in network.parameters())
