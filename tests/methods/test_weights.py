"""Which tensors of a network are weights, which stay dense and why, and what is one tensor."""

import copy

import pytest
import torch
from torch import nn

from methods.weights import find_ties, find_weights, memory_key, parameter_count, tensor_state
from registry.errors import UserError

LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), ["weight"]),
    "convolution 1d": (lambda: nn.Conv1d(4, 6, 3, groups=2, stride=2, dilation=2), ["weight"]),
    "convolution 2d": (lambda: nn.Conv2d(4, 6, 3, groups=2, stride=2, dilation=2), ["weight"]),
    "embedding": (lambda: nn.Embedding(9, 4), ["weight"]),
    "lstm": (lambda: nn.LSTM(3, 4), ["weight_ih_l0", "weight_hh_l0"]),
    "lstm with projection": (
        lambda: nn.LSTM(3, 4, proj_size=2),
        ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"],
    ),
    "gru, two layers": (
        lambda: nn.GRU(3, 4, 2, bias=False),
        ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"],
    ),
    "rnn, both ways": (
        lambda: nn.RNN(3, 4, bidirectional=True),
        [f"weight_{part}_l0{way}" for way in ("", "_reverse") for part in ("ih", "hh")],
    ),
    "lstm cell": (lambda: nn.LSTMCell(3, 4), ["weight_ih", "weight_hh"]),
    "gru cell": (lambda: nn.GRUCell(3, 4), ["weight_ih", "weight_hh"]),
    "rnn cell": (lambda: nn.RNNCell(3, 4), ["weight_ih", "weight_hh"]),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_weights_of_a_layer_are_found_under_their_names(layer):
    make, roles = LAYERS[layer]
    network = nn.ModuleDict({"inner": nn.ModuleList([make()])})
    found = find_weights(network)
    assert [one.name for one in found.handled] == [f"inner.0.{role}" for role in roles]
    state = network.state_dict()
    for one, role in zip(found.handled, roles, strict=True):
        assert (one.role, one.module_name, one.names) == (role, "inner.0", (one.name,))
        assert one.module is network["inner"][0]
        assert one.shape == state[one.name].shape
        assert one.tensor.data_ptr() == state[one.name].data_ptr()
    assert {*found.dense, *(one.name for one in found.handled)} == set(state)
    assert all("bias" in name for name in found.dense)


class Odd(nn.Module):
    """A module of the user's own."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(2, 3))
        self.gain = nn.Parameter(torch.ones(3))
        self.register_buffer("table", torch.ones(2, 2))
        self.register_buffer("scratch", torch.ones(2, 2), persistent=False)


def test_what_stays_dense_has_its_reason():
    network = nn.ModuleDict(
        {
            "conv": nn.Conv2d(1, 2, 3),
            "norm": nn.BatchNorm2d(2),
            "layer": nn.LayerNorm(4),
            "up": nn.ConvTranspose2d(2, 2, 3),
            "odd": Odd(),
            "empty": nn.Linear(0, 3),
            "endless": nn.Linear(2, 2, bias=False),
        }
    )
    with torch.no_grad():
        network["endless"].weight[0, 0] = float("inf")
    dense = find_weights(network).dense
    for name, reason in {
        "conv.bias": "a bias",
        "norm.weight": "scale and shift",
        "norm.bias": "scale and shift",
        "norm.running_var": "statistics",
        "norm.num_batches_tracked": "statistics",
        "layer.weight": "scale and shift",
        "up.weight": "ConvTranspose2d",
        "up.bias": "a bias",
        "odd.matrix": "known here (Odd)",
        "odd.gain": "fewer than two dimensions",
        "odd.table": "a buffer",
        "empty.weight": "empty",
        "endless.weight": "not finite",
    }.items():
        assert reason in dense[name], name
    assert "odd.scratch" not in dense
    assert list(dense) == [name for name in network.state_dict() if name != "conv.weight"]


def test_the_method_says_which_modules_it_takes():
    network = nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1))
    found = find_weights(
        network, lambda module: None if isinstance(module, nn.Linear) else "only matrices"
    )
    assert [one.name for one in found.handled] == ["0.weight"]
    assert found.dense["1.weight"] == "only matrices"


def tied():
    network = nn.ModuleDict(
        {"emb": nn.Embedding(5, 3), "out": nn.Linear(3, 5), "twin": nn.Linear(2, 2)}
    )
    network["out"].weight = network["emb"].weight
    network["again"] = network["twin"]
    return network


def test_tied_parameters_are_one_weight_with_several_names():
    network = tied()
    found = find_weights(network)
    assert [one.names for one in found.handled] == [
        ("emb.weight", "out.weight"),
        ("twin.weight", "again.weight"),
    ]
    assert parameter_count(network) == 15 + 5 + 4 + 2
    only = find_weights(network, lambda m: None if isinstance(m, nn.Linear) else "rows")
    assert only.handled[0].name == "emb.weight"
    assert only.handled[0].module is network["out"]
    none = find_weights(network, lambda m: f"no {type(m).__name__}")
    assert none.handled == ()
    assert none.dense["emb.weight"] == "no Embedding"
    assert none.dense["out.weight"] == "no Linear"


def test_ties_survive_copies_and_state_dicts_and_equal_values_are_no_tie():
    network = copy.deepcopy(tied())
    wanted = {
        "out.weight": "emb.weight", "again.weight": "twin.weight", "again.bias": "twin.bias",
    }  # fmt: skip
    assert find_ties(network.state_dict()) == wanted
    assert find_ties({"a": torch.ones(3), "b": torch.ones(3)}) == {}
    whole = torch.arange(12.0).reshape(3, 4)
    assert find_ties({"a": whole, "b": whole[:2], "c": whole.T, "d": whole.detach()}) == {"d": "a"}
    assert memory_key(torch.empty(0)) != memory_key(torch.empty(0))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.LazyLinear(3), "has no values yet"),
        (nn.Linear(2, 2, device="meta"), "has no values yet"),
    ],
)
def test_what_has_no_values_is_refused(network, message):
    with pytest.raises(UserError, match=message):
        tensor_state(network)


def test_extra_state_is_refused():
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"version": 3}

    with pytest.raises(UserError, match=r"_extra_state is a dict"):
        tensor_state(Extra(2, 2))
