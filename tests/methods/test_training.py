"""The one training loop: frozen layers are computed once, and nothing changes by it."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from methods.method import UnsuitableTask
from methods.networks import LENET_5_PARAMETERS, lenet_5
from methods.prune import frozen
from methods.seeds import seeded
from methods.training import ClassificationTask, frozen_layers

ROWS = 40


class Counted(nn.Conv2d):
    """Counts its forward passes."""

    passes = 0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return super().forward(input)


def small(seed: int, convolution: type[nn.Conv2d] = nn.Conv2d) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = OrderedDict(
        conv=convolution(1, 3, 3), pool=nn.MaxPool2d(2), flatten=nn.Flatten(), ip=nn.Linear(27, 4)
    )
    return nn.Sequential(layers)


def task_of(network: nn.Module) -> ClassificationTask:
    inputs = torch.rand(ROWS, 1, 8, 8, generator=seeded(1))
    targets = torch.randint(0, 4, (ROWS,), generator=seeded(2))
    rows = (inputs, targets)
    return ClassificationTask("small", network, small, rows, rows, batch_size=8)


def trained(network: nn.Sequential) -> dict[str, torch.Tensor]:
    with frozen(network, except_for={"ip"}):
        task_of(network).fit(network, 2, learning_rate=0.1, seed=3)
    return {name: tensor.detach().clone() for name, tensor in network.named_parameters()}


def test_frozen_layers_run_once_a_row_and_stay_as_they_were():
    network = small(0, Counted)
    before = network.conv.weight.detach().clone()
    weights = trained(network)
    assert network.conv.passes == 2  # one row for its size, then all rows at once
    assert torch.equal(weights["conv.weight"], before)
    assert not torch.equal(weights["ip.weight"], small(0).ip.weight)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_they_give_what_training_through_them_gives(monkeypatch):
    once = trained(small(0))
    monkeypatch.setattr("methods.training.frozen_layers", lambda network: [])
    each_time = trained(small(0))
    for name, weight in once.items():
        assert torch.allclose(weight, each_time[name], atol=1e-6)


def test_they_are_not_kept_where_that_takes_too_much_memory(monkeypatch):
    monkeypatch.setattr("methods.training.FROZEN_BYTES", 27 * 4 * ROWS - 1)
    network = small(0, Counted)
    trained(network)
    assert network.conv.passes > ROWS / 8


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm2d(3)])
def test_a_layer_that_differs_in_training_is_never_taken_for_frozen(layer):
    network = small(0)
    before = nn.Sequential(network.conv, layer, *list(network)[1:])
    for parameter in (*network.conv.parameters(), *layer.parameters()):
        parameter.requires_grad_(False)
    assert frozen_layers(before) == []
    assert frozen_layers(network) == list(network)[:3]
    assert frozen_layers(small(0)) == []


def test_training_that_diverges_is_told_and_not_stored():
    with pytest.raises(UnsuitableTask, match="diverges"):
        task_of(small(0)).fit(small(0), 30, learning_rate=1e6, seed=3)


def test_lenet_5_has_the_papers_shapes():
    network = lenet_5(0)
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    assert shapes["conv1.weight"] == (20, 1, 5, 5)
    assert shapes["conv2.weight"] == (50, 20, 5, 5)
    assert shapes["ip1.weight"] == (500, 800)
    assert shapes["ip2.weight"] == (10, 500)
    weights = sum(p.numel() for name, p in network.named_parameters() if name.endswith("weight"))
    assert (weights, LENET_5_PARAMETERS - weights) == (430_500, 580)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
