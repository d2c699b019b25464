"""Whole networks on the machine: they give what the same weights give in PyTorch."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from methods.compressed import Compressed
from methods.eie.machine import Machine
from methods.eie.networks import CodedNetwork, NetworkOnMachine, coded_network
from methods.formats.sparse_codebook import SparseCodebook
from methods.networks import LastStep, with_lengths
from methods.seeds import seeded
from registry.errors import UserError

SIGNED = Machine(pes=8, signed=True)


def pruned(network: nn.Module, values: int, seed: int = 0) -> nn.Module:
    """Two weights of three are 0, and the others take so many values; biases stay floats."""
    generator = seeded(seed)
    levels = torch.rand(values, generator=generator) - 0.5
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                chosen = torch.randint(0, values, parameter.shape, generator=generator)
                parameter.copy_(levels[chosen])
                parameter[torch.rand(parameter.shape, generator=generator) < 2 / 3] = 0
            else:
                parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
    return network.eval()


def perceptron() -> nn.Sequential:
    layers = OrderedDict(
        flatten=nn.Flatten(), ip1=nn.Linear(12, 30), relu=nn.ReLU(), ip2=nn.Linear(30, 5)
    )
    return nn.Sequential(layers)


def recurrent() -> nn.Sequential:
    return nn.Sequential(OrderedDict(lstm=LastStep(3, 6), output=nn.Linear(6, 4)))


def as_coded(network: nn.Sequential, coded: CodedNetwork) -> nn.Sequential:
    """The weights and biases that the machine holds, back in the module."""
    with torch.no_grad():
        for layer in coded.layers:
            module = network.get_submodule(layer.name)
            weight, bias = (
                torch.from_numpy(one) for one in (layer.coded.weight(), layer.coded.bias())
            )
            if isinstance(module, LastStep):
                inputs = module.input_size
                module.weight_ih_l0.copy_(weight[:, :inputs])
                module.weight_hh_l0.copy_(weight[:, inputs:])
                module.bias_ih_l0.copy_(bias)
                module.bias_hh_l0.zero_()
            else:
                module.weight.copy_(weight)
                module.bias.copy_(bias)
    return network


def sequences(rows: int = 7) -> torch.Tensor:
    generator = seeded(3)
    lengths = torch.randint(1, 6, (rows,), generator=generator)
    return with_lengths(torch.randn(rows, 5, 3, generator=generator), lengths)


@pytest.mark.parametrize("values", [15, 60])
def test_a_perceptron_gives_what_its_coded_weights_give(values: int) -> None:
    network = pruned(perceptron(), values)
    coded = coded_network(network)
    assert [layer.clustered for layer in coded.layers] == [values > 15] * 2
    assert [layer.relu for layer in coded.layers] == [True, False]
    if values == 15:
        assert np.array_equal(coded.layers[0].coded.weight(), network.ip1.weight.detach().numpy())
    inputs = torch.rand(9, 3, 4, generator=seeded(1))
    expected = as_coded(network, coded)(inputs).detach().numpy()
    for machine in (Machine(pes=4), SIGNED):  # where only ReLU keeps negative values back
        found = NetworkOnMachine(coded, machine).floats(inputs.numpy())
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_lstm_gives_what_its_coded_weights_give_in_the_signed_mode_only() -> None:
    network = pruned(recurrent(), 15)
    coded = coded_network(network)
    assert (coded.layers[0].coded.outputs, coded.layers[0].coded.columns) == (24, 10)
    inputs = sequences()
    expected = as_coded(network, coded)(inputs).detach().numpy()
    found = NetworkOnMachine(coded, SIGNED).floats(inputs.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    positive_only = NetworkOnMachine(coded, Machine(pes=8)).floats(inputs.numpy())
    assert np.abs(positive_only - expected).max() > 1e-2


@pytest.mark.parametrize("make", [perceptron, recurrent])
def test_sixteen_bits_stay_near_the_floats_and_eight_farther(make) -> None:
    on_machine = NetworkOnMachine(coded_network(pruned(make(), 15)), SIGNED)
    inputs = (sequences() if make is recurrent else torch.rand(9, 12, generator=seeded(1))).numpy()
    exact = on_machine.floats(inputs)
    apart = {}
    for bits in (8, 16):
        formats = on_machine.choose_formats(inputs, bits)
        apart[bits] = np.abs(on_machine.fixed(inputs, formats) - exact).max()
    assert apart[16] < 0.001 < apart[8] < 1.0


def test_each_product_is_simulated_once() -> None:
    inputs = sequences().numpy()
    runs = NetworkOnMachine(coded_network(pruned(recurrent(), 15)), SIGNED).simulations(inputs)
    assert len(runs["lstm"]) == inputs[:, :, -1].sum()
    assert len(runs["output"]) == len(inputs)
    # h is 0 before the first step: three inputs and the bias are sent, then six more.
    assert [runs["lstm"][at].broadcasts for at in (0, len(inputs))] == [4, 10]


def test_a_file_gives_what_its_network_gives(tmp_path: Path) -> None:
    network = pruned(perceptron(), 15)
    formats = {}
    for name in ("ip1.weight", "ip2.weight"):
        weight = network.get_parameter(name).detach()
        values, codes = torch.unique(weight[weight != 0], return_inverse=True)
        formats[name] = SparseCodebook.from_codes(weight != 0, codes, values)
    Compressed.from_module(network, formats).save(tmp_path / "network.netc")
    read = coded_network(Compressed.load(tmp_path / "network.netc"))
    for one, other in zip(read.layers, coded_network(network).layers, strict=True):
        assert one.coded.is_same(other.coded)
        assert (one.name, one.relu) == (other.name, other.relu)


def test_a_file_of_tensors_alone_gives_each_layer_and_no_whole(tmp_path: Path) -> None:
    network = pruned(recurrent(), 15)
    Compressed.from_module(network, {}).save(tmp_path / "network.netc")
    read = coded_network(Compressed.load(tmp_path / "network.netc"))
    for one, other in zip(read.layers, coded_network(network).layers, strict=True):
        assert one.coded.is_same(other.coded)
        assert (one.name, one.kind) == (other.name, other.kind)
    with pytest.raises(UserError, match="order of their layers"):
        NetworkOnMachine(read)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.first(x)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)], "0: .*convolution is none"),
        ([nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)], "1: the machine has no tanh"),
        ([nn.ReLU(), nn.Linear(4, 4)], "0: .*ReLU right behind"),
        ([nn.Linear(4, 4), nn.Tanh(), nn.ReLU(), nn.Linear(4, 2)], "2: .*ReLU right behind"),
        ([nn.Linear(4, 4), nn.GRU(4, 4)], "1: .*an LSTM of one layer"),
        ([nn.Linear(4, 4), nn.LSTM(4, 4, bidirectional=True)], "1: .*an LSTM of one layer"),
        ([nn.Linear(4, 4), nn.LSTM(4, 4, proj_size=2)], "1: .*an LSTM of one layer"),
        ([nn.Linear(4, 4), nn.LSTM(4, 4)], "between its layers"),
        ([Own()], "between its layers"),
    ],
)
def test_layers_that_the_machine_cannot_run_are_named(layers: list[nn.Module], words: str) -> None:
    coded = coded_network(nn.Sequential(*layers))
    assert coded.layers
    with pytest.raises(UserError, match=words):
        NetworkOnMachine(coded)


def test_a_network_without_any_layer_for_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"no layer that the machine can run .*conv"):
        coded_network(nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3))))


def test_weights_that_are_not_finite_and_inputs_of_another_shape_are_refused() -> None:
    network = pruned(perceptron(), 15)
    on_machine = NetworkOnMachine(coded_network(network))
    with pytest.raises(UserError, match="inputs"):
        on_machine.floats(np.zeros((1, 13), np.float32))
    with pytest.raises(UserError, match="time"):
        NetworkOnMachine(coded_network(pruned(recurrent(), 15))).floats(
            np.zeros((1, 3), np.float32)
        )
    with torch.no_grad():
        network.ip1.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        coded_network(network)
