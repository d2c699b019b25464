"""The method `eie`: 15 shared values beside 0, for the layers that the machine can run."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from methods.checks import WatchedTask
from methods.compress import compress
from methods.compressed import Compressed
from methods.eie.coded import CodedLayer
from methods.eie.encode import decode, encode
from methods.eie.networks import coded_network
from methods.eie.plugin import (
    Eie,
    EieConfig,
    densities_of,
    leave_out_zeros,
    machine_layer,
    share_beside_zero,
)
from methods.formats.sparse_codebook import SparseCodebook
from methods.method import UnsuitableTask
from methods.networks import NETWORKS
from methods.prune_and_share import Codebook
from methods.user_data import DatalessTask

SHORT = {"rounds": 2, "round_epochs": 1, "final_epochs": 1, "codebook_epochs": 1}
WEIGHTS = ("ip1.weight", "ip2.weight", "ip3.weight")


@pytest.fixture(scope="module")
def task() -> WatchedTask:
    return WatchedTask()


@pytest.fixture(scope="module")
def compressed(task: WatchedTask) -> Compressed:
    return Eie().compress(task, EieConfig(**SHORT), seed=0)


def small_network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = OrderedDict(
            conv=nn.Conv2d(1, 4, 3),
            flatten=nn.Flatten(),
            ip=nn.Linear(144, 12),
            out=nn.Linear(12, 4),
        )
        return nn.Sequential(layers)


def sparse(held: Compressed, name: str) -> SparseCodebook:
    found = held.formats[name]
    assert isinstance(found, SparseCodebook)
    return found


def shared(held: Compressed) -> set[str]:
    return {name for name, one in held.formats.items() if isinstance(one, SparseCodebook)}


def test_codes_positions_and_the_zero_slot_are_the_machines(compressed: Compressed) -> None:
    for name, density in zip(WEIGHTS, (0.1, 0.1, 0.1), strict=True):
        held = sparse(compressed, name)
        assert held.codebook[0] == 0
        assert held.codebook.size <= 16
        assert held.weight_bits <= 4
        assert held.index_bits == 4
        assert held.codes.min() >= 1
        assert 0 < held.survivors <= round(density * held.weights)


@pytest.mark.parametrize("pes", [1, 4, 64])
def test_the_machine_takes_what_the_file_holds(compressed: Compressed, pes: int) -> None:
    for name in WEIGHTS:
        held = sparse(compressed, name)
        table = np.zeros(16, np.float32)
        table[: held.codebook.size] = held.codebook
        weight = held.decode().numpy()
        bias = compressed.tensors()[name.replace("weight", "bias")].numpy()
        layer = CodedLayer.from_weights(weight, table, bias)
        assert np.array_equal(layer.weight(), weight)
        assert decode(encode(layer, pes)).is_same(layer)


def test_each_weight_takes_the_nearest_of_sixteen_values() -> None:
    network = nn.Sequential(OrderedDict(ip=nn.Linear(40, 30)))
    before = network.ip.weight.detach().clone().double().flatten()
    task = DatalessTask("mine", network, torch.device("cpu"))
    held = Eie().compress(task, EieConfig(), seed=0)
    assert "nothing was pruned" in held.metadata["remark"]
    coded = sparse(held, "ip.weight")
    table = torch.from_numpy(coded.codebook.astype(np.float64))
    assert len(table) == 16
    after = held.tensors()["ip.weight"].double().flatten()
    nearest = (before[:, None] - table).abs().amin(dim=1)
    assert torch.allclose((before - after).abs(), nearest, atol=1e-7)
    vanished = int((after == 0).sum())
    assert 0 < vanished == coded.weights - coded.survivors
    assert torch.equal(network.ip.weight.detach().double().flatten(), before)


def test_a_weight_between_zero_and_its_centroid_vanishes() -> None:
    # Sixteen values, 1 and 2 in one cluster: a start spaced linearly from 1 to 72 by 71 / 14.
    values = [1.0, 2.0, *(1 + 71 / 14 * step for step in range(1, 15))]
    network = nn.Sequential(OrderedDict(ip=nn.Linear(16, 1)))
    with torch.no_grad():
        network.ip.weight.copy_(torch.tensor([values]))
    # The centroid of 1 and 2 is 1.5, to which both are nearer than to 0; of 0.1 and 1 it is 0.55.
    for first, survives in ((1.0, True), (0.1, False)):
        with torch.no_grad():
            network.ip.weight[0, 0] = first
            network.ip.weight[0, 1] = 2.0 if survives else 1.0
        masks = {"ip.weight": torch.ones(1, 16, dtype=torch.bool)}
        one = nn.Sequential(OrderedDict(ip=nn.Linear(16, 1)))
        one.load_state_dict(network.state_dict())
        books = share_beside_zero(one, masks, EieConfig(), 0)
        assert isinstance(books["ip.weight"], Codebook)
        assert bool(masks["ip.weight"][0, 0]) is survives
        assert int(masks["ip.weight"].sum()) == 15 + survives
        assert bool(one.ip.weight[0, 0] != 0) is survives


def test_zeros_that_are_there_already_are_not_clustered() -> None:
    network = nn.Sequential(OrderedDict(ip=nn.Linear(20, 10), dead=nn.Linear(10, 3)))
    with torch.no_grad():
        network.ip.weight.copy_(torch.tensor(range(200)).reshape(10, 20) % 5 - 2.0)
        network.dead.weight.zero_()
    task = DatalessTask("mine", network, torch.device("cpu"))
    held = Eie().compress(task, EieConfig(), seed=0)
    ip = sparse(held, "ip.weight")
    assert sorted(ip.codebook.tolist()) == [-2, -1, 0, 1, 2]
    assert ip.survivors == 160
    assert torch.equal(held.tensors()["ip.weight"], network.ip.weight)
    assert sparse(held, "dead.weight").survivors == 0
    masks = {"ip.weight": network.ip.weight > 0}
    leave_out_zeros(network, masks)
    assert int(masks["ip.weight"].sum()) == 80


def test_centroids_are_trained_and_assignments_are_not(
    task: WatchedTask, compressed: Compressed
) -> None:
    plain = Eie().compress(task, EieConfig(**{**SHORT, "codebook_epochs": 0}), seed=0)
    for name in WEIGHTS:
        one, other = sparse(plain, name), sparse(compressed, name)
        assert np.array_equal(one.codes, other.codes)
        assert np.array_equal(one.positions, other.positions)
        assert not np.array_equal(one.codebook, other.codebook)
        assert other.codebook[0] == 0
    assert task.validation_score(compressed.network) < 0.4


def test_convolutions_and_embeddings_stay_dense_with_why() -> None:
    network = small_network()
    held = compress(network, "eie")
    assert shared(held) == {"ip.weight", "out.weight"}
    assert torch.equal(held.tensors()["conv.weight"], network.conv.weight)
    assert torch.equal(held.tensors()["ip.bias"], network.ip.bias)
    for module, why in (
        (nn.Conv2d(1, 1, 3), "convolution"),
        (nn.Embedding(3, 2), "looked up"),
        (nn.ReLU(), "no weights"),
    ):
        assert why in str(Eie().applies_to(module))
    for module in (nn.Linear(2, 2), nn.LSTM(2, 2), nn.GRUCell(2, 2)):
        assert Eie().applies_to(module) is None


def test_recurrent_layers_by_the_densities_that_are_asked_for() -> None:
    network = nn.ModuleDict({"table": nn.Embedding(12, 6), "lstm": nn.LSTM(6, 5)})
    task = DatalessTask("mine", network, torch.device("cpu"))
    config = EieConfig(densities={"lstm.weight_hh_l0": 0.5})
    held = Eie().compress(task, config, seed=0)
    assert sparse(held, "lstm.weight_hh_l0").survivors <= 50
    assert sparse(held, "lstm.weight_ih_l0").survivors > 60
    assert shared(held) == {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}
    assert held.metadata["remark"] == "no training data: nothing was retrained"


def test_densities_are_those_of_deep_compressions_tables() -> None:
    for name, wanted in (
        ("lenet-300-100", {"ip1": 0.08, "ip2": 0.09, "ip3": 0.26}),
        ("lenet-5", {"ip1": 0.08, "ip2": 0.19}),
    ):
        assert densities_of(name, NETWORKS[name](0), EieConfig()) == wanted
    own = densities_of("mine", small_network(), EieConfig(densities={"ip": 0.3}))
    assert own == {"ip": 0.3, "out": 0.1}


@pytest.mark.parametrize(
    ("asked", "why"),
    [("conv", r"stay dense: conv \(EIE takes ip, out\)"), ("fc", "has not: fc")],
)
def test_a_layer_that_is_none_for_the_machine_is_named(asked: str, why: str) -> None:
    with pytest.raises(UnsuitableTask, match=why):
        densities_of("mine", small_network(), EieConfig(densities={asked: 0.1}))


def test_a_network_of_convolutions_alone_is_refused() -> None:
    task = DatalessTask("mine", nn.Sequential(nn.Conv2d(1, 2, 3)), torch.device("cpu"))
    with pytest.raises(UnsuitableTask, match="convolution"):
        Eie().compress(task, EieConfig(), seed=0)


def test_both_matrices_of_a_recurrent_layer_share_the_machines_one_table() -> None:
    network = nn.Sequential(OrderedDict(lstm=nn.LSTM(9, 7, num_layers=2), out=nn.Linear(7, 6)))
    held = Eie().compress(DatalessTask("mine", network, torch.device("cpu")), EieConfig(), seed=0)
    tables = {name: sparse(held, name).codebook.tolist() for name in sorted(shared(held))}
    for layer in ("_l0", "_l1"):
        assert tables[f"lstm.weight_ih{layer}"] == tables[f"lstm.weight_hh{layer}"]
    assert len({tuple(table) for table in tables.values()}) == 3
    single = nn.Sequential(OrderedDict(lstm=nn.LSTM(9, 7), out=nn.Linear(7, 6)))
    held = Eie().compress(DatalessTask("mine", single, torch.device("cpu")), EieConfig(), seed=0)
    coded = coded_network(held)
    assert [(one.kind, one.change) for one in coded.layers] == [("lstm", 0.0), ("linear", 0.0)]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("ip1.weight", "ip1.weight"),
        ("a.weight_ih_l1_reverse", "a.weight_l1_reverse"),
        ("a.weight_hh_l1_reverse", "a.weight_l1_reverse"),
        ("cell.weight_hh", "cell.weight"),
        ("a.weight_hr_l0", "a.weight_hr_l0"),
        ("weight_ih_maker.weight", "weight_ih_maker.weight"),
    ],
)
def test_what_is_one_layer_of_the_machine(name: str, layer: str) -> None:
    assert machine_layer(name) == layer
