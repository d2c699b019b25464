"""Networks as ``nn.Sequential``; children's names are the papers' layer names."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from methods.residual_networks import resnet_8, resnet_14, resnet_20
from methods.seeds import seeded

LENET_300_100_PARAMETERS = 266_610
"""Deep Compression, section 5.1: 266,200 weights and 410 biases."""
LENET_5_PARAMETERS = 431_080
"""Deep Compression, section 5.1: 430,500 weights and 580 biases."""
MLP_1000_PARAMETERS = 795_010
"""784-1000-10, the "3 layers" of HashedNets and of Q-CNN."""
MLP_3X1000_PARAMETERS = 2_797_010
"""784-1000-1000-1000-10, their "5 layers"."""
MLP_500_500_PARAMETERS = 648_010
"""784-500-500-10, the network of Predicting Parameters' grid on MNIST."""
CONVNET_64_64_PARAMETERS = 114_378
"""Two convolutions of 64 filters of 5x5, each pooled, then 1024-10: 1,664 + 102,464 + 10,250."""
LSTM_100_PARAMETERS = 46_509
"""Four gates of 100 units with 12 inputs and two biases each, and 100 to 9 with biases."""


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


def mlp(widths: Sequence[int], seed: int) -> nn.Sequential:
    """Fully connected layers ``ip1``, ``ip2``, ... with ReLU between them.

    Args:
        widths: inputs, hidden units and classes. Input (batch, 1, 28, 28) or (batch, inputs).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    last = len(widths) - 1
    for at, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        layers[f"ip{at}"] = nn.Linear(inputs, outputs)
        if at < last:
            layers[f"relu{at}"] = nn.ReLU()
    return _initialise(nn.Sequential(layers), seeded(seed))


def mlp_1000(seed: int) -> nn.Sequential:
    """784-1000-10 with ReLU (Chen et al. 2015, Wu et al. 2016: "3 layers")."""
    return _with_parameters(mlp((784, 1000, 10), seed), MLP_1000_PARAMETERS)


def mlp_3x1000(seed: int) -> nn.Sequential:
    """784-1000-1000-1000-10 with ReLU (Chen et al. 2015, Wu et al. 2016: "5 layers")."""
    return _with_parameters(mlp((784, 1000, 1000, 1000, 10), seed), MLP_3X1000_PARAMETERS)


def mlp_500_500(seed: int) -> nn.Sequential:
    """784-500-500-10 with sigmoid units (Denil et al. 2013, the authors' MNIST grid).

    Weights start uniformly within 0.1, those of the output layer within 0.02, biases at 0.
    """
    network = nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            ip1=nn.Linear(784, 500),
            sigmoid1=nn.Sigmoid(),
            ip2=nn.Linear(500, 500),
            sigmoid2=nn.Sigmoid(),
            ip3=nn.Linear(500, 10),
        )
    )
    ranges = {"ip1": 0.1, "ip2": 0.1, "ip3": 0.02}
    return _uniform(_with_parameters(network, MLP_500_500_PARAMETERS), ranges, seeded(seed))


def convnet_64_64(seed: int) -> nn.Sequential:
    """Two convolutions of 64 filters of 5x5 with ReLU and pooling, then 1024-10.

    Denil et al. 2013, the authors' MNIST convolution settings. Weights start uniformly within
    0.05. Input (batch, 1, 28, 28), output logits (batch, 10).
    """
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 64, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(64, 64, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            ip1=nn.Linear(1024, 10),
        )
    )
    ranges = {"conv1": 0.05, "conv2": 0.05, "ip1": 0.05}
    return _uniform(_with_parameters(network, CONVNET_64_64_PARAMETERS), ranges, seeded(seed))


def _uniform(
    network: nn.Sequential, ranges: Mapping[str, float], generator: torch.Generator
) -> nn.Sequential:
    """Weights drawn uniformly within the range of their layer; zero biases."""
    with torch.no_grad():
        for name, within in ranges.items():
            network.get_parameter(f"{name}.weight").uniform_(-within, within, generator=generator)
            network.get_parameter(f"{name}.bias").zero_()
    return network


class LastStep(nn.LSTM):
    """An LSTM of one layer that gives what it holds after each sequence's last valid step.

    Input (batch, time, inputs + 1) as ``with_lengths`` makes it, output (batch, units).
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        steps: torch.Tensor = super().forward(x[..., :-1])[0]
        last = lengths_of(x) - 1
        return steps[torch.arange(len(steps), device=x.device), last]


def with_lengths(rows: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Sequences with one more channel at the end: 1 at valid steps and 0 at those that fill up.

    Args:
        rows: (batch, time, inputs).
        lengths: (batch), each from 1 to time.
    """
    steps = torch.arange(rows.shape[1], device=rows.device)
    valid = steps < lengths.to(rows.device).unsqueeze(1)
    return torch.cat([rows, valid.unsqueeze(2).to(rows.dtype)], dim=2)


def lengths_of(x: torch.Tensor) -> torch.Tensor:
    """(batch) int64, of what ``with_lengths`` made."""
    return x[..., -1].sum(dim=1).long()


def lstm_100(seed: int) -> nn.Sequential:
    """An LSTM of 100 units over 12 channels, and nine classes at its last step.

    Input (batch, time, 13) as ``with_lengths`` makes it, output logits (batch, 9). All start
    uniformly within 1/sqrt(100), the biases of the forget gates at 1.
    """
    network = nn.Sequential(OrderedDict(lstm=LastStep(12, 100), output=nn.Linear(100, 9)))
    _with_parameters(network, LSTM_100_PARAMETERS)
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.1, 0.1, generator=generator)
        network.get_parameter("lstm.bias_ih_l0")[100:200] = 1.0
        network.get_parameter("lstm.bias_hh_l0")[100:200] = 0.0
    return network


def _with_parameters(network: nn.Sequential, expected: int) -> nn.Sequential:
    count = sum(parameter.numel() for parameter in network.parameters())
    if count != expected:
        raise AssertionError(f"the network has {count} parameters, not {expected}")
    return network


NETWORKS: dict[str, Callable[[int], nn.Sequential]] = {
    "lenet-300-100": lenet_300_100,
    "lenet-5": lenet_5,
    "mlp-1000": mlp_1000,
    "mlp-3x1000": mlp_3x1000,
    "mlp-500-500": mlp_500_500,
    "convnet-64-64": convnet_64_64,
    "lstm-100": lstm_100,
    "resnet-8": resnet_8,
    "resnet-14": resnet_14,
    "resnet-20": resnet_20,
}
"""Untrained networks by name, from a seed."""


def float32_bytes(network: nn.Module) -> int:
    """Bytes of all parameters in float32: what compression ratios are taken against."""
    return 4 * sum(parameter.numel() for parameter in network.parameters())
