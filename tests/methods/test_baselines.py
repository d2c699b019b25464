"""Plain baselines on small networks: what each stores, and that none needs data to begin with."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from methods.baselines import HALF_MAX
from methods.discovery import load_method
from methods.formats.dense import Dense
from methods.formats.sparse import Sparse
from methods.formats.uniform import Uniform
from methods.method import UnsuitableTask, parse_config
from methods.training import ClassificationTask

NAMES = ["float16", "int8-rtn", "uniform", "magnitude-pruning"]


class WithoutData:
    """A task of somebody who has weights and nothing else."""

    name = "mine"

    def __init__(self, network):
        self.network = network

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


class Recurrent(nn.Module):
    """Kinds of layer that the papers' networks have not."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.mix = nn.Conv1d(6, 8, 3, groups=2)
        self.norm = nn.BatchNorm1d(8)
        self.memory = nn.LSTM(8, 5, batch_first=True)
        self.out = nn.Linear(5, 4)

    def forward(self, x):
        mixed = self.norm(self.mix(self.embed(x).transpose(1, 2)))
        return self.out(self.memory(mixed.transpose(1, 2))[0])


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 20), nn.ReLU(),
        nn.Linear(20, 3),
    )  # fmt: skip


def compress(name, module, seed=0, **values):
    method = load_method(name)
    return method.compress(WithoutData(module), parse_config(method, values), seed=seed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [network, Recurrent])
def test_weights_are_compressed_without_data_and_all_else_stays(name, make):
    module = make()
    before = copy.deepcopy(module.state_dict())
    held = compress(name, module)
    assert type(held).from_bytes(held.to_bytes()).to_bytes() == held.to_bytes()
    kind = {"float16": Dense, "magnitude-pruning": Sparse}.get(name, Uniform)
    tensors = held.tensors()
    assert list(tensors) == list(before)
    for key, value in before.items():
        assert torch.equal(module.state_dict()[key], value)
        if "weight" in key and value.dim() > 1:
            assert isinstance(held.formats[key], kind)
            assert len(b"".join(held.formats[key].pack().values())) < 4 * value.numel() + 40
        else:
            assert torch.equal(tensors[key], value)
    assert all(load_method(name).applies_to(m) is None for m in (nn.LSTM(2, 2), nn.Conv1d(1, 1, 1)))
    assert "ReLU" in load_method(name).applies_to(nn.ReLU())


def test_float16_is_the_nearest_and_refuses_what_is_beyond_it():
    module = network()
    held = compress("float16", module)
    assert torch.equal(held.tensors()["0.weight"], module[0].weight.half().float())
    with torch.no_grad():
        module[3].weight[0, 0] = 2 * HALF_MAX
    with pytest.raises(UnsuitableTask, match=r"3\.weight"):
        compress("float16", module)


def test_int8_is_within_half_a_step_of_each_channel():
    module = network()
    held = compress("int8-rtn", module)
    weight, found = module[3].weight.detach(), held.formats["3.weight"]
    assert isinstance(found, Uniform)
    assert (found.bits, found.is_symmetric, len(found.scales)) == (8, True, 20)
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((found.decode() - weight).abs() <= 0.501 * step).all()


def test_uniform_takes_what_its_configuration_says():
    module = network()
    errors = []
    for bits in (2, 3, 4, 8, 16):
        found = compress("uniform", module, bits=bits).formats["3.weight"]
        assert isinstance(found, Uniform)
        assert found.bits == bits
        errors.append(float((found.decode() - module[3].weight.detach()).norm()))
    assert errors == sorted(errors, reverse=True)
    group = compress("uniform", module, granularity="group", group_size=50).formats["3.weight"]
    assert isinstance(group, Uniform)
    assert len(group.scales) == 20 * 3
    tensor = compress("uniform", module, granularity="tensor", symmetric=True).formats["3.weight"]
    assert isinstance(tensor, Uniform)
    assert (len(tensor.scales), tensor.is_symmetric) == (1, True)
    for wrong in ({"bits": 9}, {"granularity": "row"}, {"group_size": 0}):
        with pytest.raises(ValueError):
            compress("uniform", module, **wrong)


def test_the_largest_survive_with_their_own_values():
    module = network()
    held = compress("magnitude-pruning", module, density=0.25, densities={"5": 0.5}).formats
    for key, density in (("0.weight", 0.25), ("3.weight", 0.25), ("5.weight", 0.5)):
        found, weight = held[key], dict(module.named_parameters())[key].detach().flatten()
        assert isinstance(found, Sparse)
        assert found.survivors == round(density * weight.numel())
        kept = set(found.positions.tolist())
        assert kept == set(weight.abs().argsort(descending=True)[: found.survivors].tolist())
        assert np.array_equal(found.values, weight[found.positions].numpy())
    half = compress("magnitude-pruning", module, value_dtype="float16").formats["3.weight"]
    assert isinstance(half, Sparse)
    assert half.values.dtype == np.float16
    with pytest.raises(UnsuitableTask, match="ip9"):
        compress("magnitude-pruning", module, densities={"ip9": 0.5})


def test_a_network_without_weights_is_refused():
    for name in NAMES:
        with pytest.raises(UnsuitableTask, match="no weights to compress"):
            compress(name, nn.Sequential(nn.ReLU()))


def test_retraining_keeps_what_was_pruned_at_zero_and_lowers_the_loss():
    torch.manual_seed(1)
    inputs = torch.randn(64, 1, 8, 8)
    data = (inputs, inputs.flatten(1)[:, :3].argmax(1))
    task = ClassificationTask("mine", network(), network, data, data, batch_size=16)
    method = load_method("magnitude-pruning")
    kept = {"density": 0.3, "rounds": 2, "learning_rate": 0.1}
    config = parse_config(method, kept | {"round_epochs": 10, "final_epochs": 15})
    assert config.epochs == 25
    once = method.compress(task, parse_config(method, {"density": 0.3}), seed=0)
    again = method.compress(task, config, seed=0)
    loss = []
    for held in (once, again):
        assert isinstance(held.formats["3.weight"], Sparse)
        assert held.formats["3.weight"].survivors == round(0.3 * 20 * 144)
        outputs = held.network(data[0])
        loss.append(float(nn.functional.cross_entropy(outputs, data[1])))
    assert loss[1] < 0.8 * loss[0]
