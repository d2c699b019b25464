"""Any network by any method: what goes in comes back, by the library's verb."""

import copy
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import netcompress
from methods.compress import compress
from methods.compressed import Compressed, load
from methods.describe import describe
from methods.formats.dense import Dense
from methods.size_report import file_report
from methods.user_data import DatalessTask, classification_task, read_data, untrained
from methods.weights import find_ties, find_weights
from registry.errors import UserError

METHOD = '''
"""Rounds weights to float16 and trains for as many epochs as it is told."""
from typing import Any, ClassVar
from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.method import MethodConfig, UnsuitableTask
from methods.weights import find_weights

class HalvesConfig(MethodConfig):
    rounds: int = 0
    storage: str = "float16"

class Halves:
    name: ClassVar[str] = "halves"
    paper: ClassVar[str] = "2016-halves"
    Config: ClassVar[type[HalvesConfig]] = HalvesConfig
    starts_from: ClassVar[str] = "trained"
    needs: ClassVar[str] = "nothing"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module):
        return "rows are not rounded" if type(module).__name__ == "GRU" else None

    def compress(self, task, config, *, seed):
        if config.rounds:
            task.fit(task.network, config.rounds, learning_rate=0.1, seed=seed)
        found = find_weights(task.network, self.applies_to)
        formats = {one.name: Dense(one.tensor, config.storage) for one in found.handled}
        return Compressed.from_module(task.network, formats, {"method": self.name})
'''


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    path = tmp_path_factory.mktemp("method") / "halves_method.py"
    path.write_text(METHOD, "utf-8")
    return str(path)


class Everything(nn.Module):
    """Every kind of layer that is handled, ties, buffers of all types, and a forward pass."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(11, 8)
        self.conv1 = nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.conv2 = nn.Conv2d(1, 2, (3, 1), stride=(2, 1), padding=(1, 0), bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.lstm = nn.LSTM(8, 6, 2, bidirectional=True, batch_first=True, proj_size=4)
        self.gru = nn.GRU(8, 5, batch_first=True)
        self.cell = nn.RNNCell(5, 8)
        self.layer_norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 11, bias=False)
        self.out.weight = self.emb.weight
        self.same_cell = self.cell
        for name in ("int64", "int32", "int16", "int8", "uint8", "bool", "float64", "bfloat16"):
            dtype = getattr(torch, name)
            self.register_buffer(f"buffer_{name}", torch.arange(5).to(dtype))
        self.register_buffer("odd", torch.tensor([float("nan"), -0.0, float("inf")]))
        self.register_buffer("same_odd", self.odd)

    def forward(self, x):
        h = self.conv1(self.emb(x).transpose(1, 2)).transpose(1, 2)
        h, _ = self.lstm(self.norm(self.conv2(h[:, None])).mean(1))
        _, last = self.gru(h)
        return self.out(self.layer_norm(self.same_cell(last[-1])))


def everything(dtype=torch.float32, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Everything()
        network.norm.running_mean.uniform_()
        network.norm.num_batches_tracked.fill_(2**40 + 1)
    if dtype != torch.float32:
        network.to(dtype)
    return network.eval()


def octets(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def same_to_the_bit(one, other):
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert (tensor.dtype, tensor.shape) == (other[name].dtype, other[name].shape), name
        assert torch.equal(octets(tensor), octets(other[name])), name


ROWS = torch.arange(33).reshape(3, 11) % 11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_layer_comes_back_in_its_own_type(dtype, halves, tmp_path):
    network = everything(dtype)
    before = copy.deepcopy(network.state_dict())
    compressed = compress(network, halves)
    same_to_the_bit(network.state_dict(), before)
    assert compressed.save(tmp_path / "a.netc") == sum(compressed.size_bytes().values())
    read = load(tmp_path / "a.netc")
    assert read.to_bytes() == (tmp_path / "a.netc").read_bytes() == compressed.to_bytes()

    handled = {name for one in find_weights(network).handled for name in one.names}
    tensors = read.tensors()
    assert list(tensors) == list(before)
    for name, tensor in tensors.items():
        wanted = before[name]
        if name in handled and not name.startswith("gru"):
            wanted = wanted.half().to(dtype)
        same_to_the_bit({name: tensor}, {name: wanted})
    assert len(handled) == 22

    other = everything(dtype, seed=1)
    load(tmp_path / "a.netc", into=other)
    same_to_the_bit(other.state_dict(), tensors)
    assert other.out.weight is other.emb.weight
    assert torch.equal(other(ROWS), compressed.network(ROWS))


def test_ties_stay_ties_and_are_stored_once(halves):
    network = everything()
    compressed = compress(network, halves)
    read = Compressed.from_bytes(compressed.to_bytes())
    tensors = read.tensors()
    assert dict(read.ties) == find_ties(network.state_dict())
    assert set(read.ties) >= {"out.weight", "same_odd", "same_cell.weight_hh"}
    for name, first in read.ties.items():
        assert tensors[name] is tensors[first]
        assert sum(size for part, size in read.size_bytes().items()
                   if part.startswith(f"{name}/")) <= 2  # fmt: skip
    assert compressed.network.out.weight is compressed.network.emb.weight
    same_to_the_bit(compressed.network.state_dict(), tensors)


def test_equal_tensors_that_are_not_tied_do_not_become_tied():
    network = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    network["b"].load_state_dict(network["a"].state_dict())
    tensors = Compressed.from_bytes(Compressed.from_module(network, {}).to_bytes()).tensors()
    assert tensors["a.weight"] is not tensors["b.weight"]


def test_a_tie_that_the_file_breaks_or_leaves_out():
    network = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    network["b"].weight = network["a"].weight
    state = {name: torch.rand(one.shape) for name, one in network.state_dict().items()}
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(UserError, match=r"a\.weight and b\.weight are one tensor"):
        Compressed.from_tensors(state, {}).fill(network)
    same_to_the_bit(network.state_dict(), before)
    del state["a.weight"]
    Compressed.from_tensors(state, {}).fill(network)
    assert torch.equal(network["a"].weight, state["b.weight"])


def test_a_module_that_does_not_fit_is_left_as_it_was():
    network = nn.Linear(3, 2)
    before = copy.deepcopy(network.state_dict())
    for state, message in (
        ({"weight": torch.ones(2, 3)}, "it lacks bias"),
        ({**before, "gain": torch.ones(1)}, "only the file has gain"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(2)}, r"weight is \(3, 2\) in the file"),
    ):
        with pytest.raises(UserError, match=message):
            Compressed.from_tensors(state, {}).fill(network)
        same_to_the_bit(network.state_dict(), before)


def test_formats_go_under_any_name_of_a_tied_tensor():
    network = everything()
    held = Dense(network.out.weight, "float16")
    compressed = Compressed.from_module(network, {"out.weight": held})
    assert compressed.formats["emb.weight"] is compressed.formats["out.weight"] is held
    both = {"emb.weight": Dense(network.out.weight), "out.weight": held}
    with pytest.raises(UserError, match="two different formats"):
        Compressed.from_module(network, both)


SEQUENTIALS = {
    "convolution 1d": (
        lambda: nn.Sequential(
            nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), nn.BatchNorm1d(6),
            nn.Tanh(), nn.Flatten(), nn.Linear(24, 3), nn.LogSoftmax(1),
        ),
        lambda: torch.randn(5, 4, 9),
    ),
    "convolution 2d": (
        lambda: nn.Sequential(
            OrderedDict(
                body=nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.SiLU()),
                head=nn.Sequential(nn.Flatten(), nn.Linear(36, 2), nn.GELU(), nn.Softmax(-1)),
            )
        ),
        lambda: torch.randn(2, 3, 5, 5),
    ),
    "embedding": (
        lambda: nn.Sequential(
            nn.Embedding(7, 4), nn.Sigmoid(), nn.Flatten(), nn.Dropout(), nn.Linear(12, 2)
        ),
        lambda: torch.randint(7, (4, 3)),
    ),
    "no scale": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), nn.Identity()),
        lambda: torch.randn(2, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", SEQUENTIALS)
def test_a_sequential_of_known_layers_runs_from_the_file_alone(which, halves, tmp_path):
    make, rows = SEQUENTIALS[which]
    network = make()
    x = rows()
    network.train()
    network(x)
    network.eval()
    compress(network, halves).save(tmp_path / "a.netc")
    read = load(tmp_path / "a.netc")
    network.load_state_dict(read.tensors())
    assert torch.allclose(read.network(x), network(x), atol=1e-6)
    if x.is_floating_point():
        assert torch.allclose(read.network(x.half()), network(x), atol=1e-2)


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (nn.Conv1d(4, 2, 3), torch.ones(1, 3, 9), "takes .batch, 4, length"),
        (nn.Embedding(7, 4), torch.tensor([7]), "0 to 6"),
        (nn.Embedding(7, 4), torch.tensor([0.5]), "0 to 6"),
        (nn.BatchNorm1d(4), torch.ones(2, 3), "takes .batch, 4"),
    ],
)
def test_rows_of_another_kind_are_one_message(layer, x, message):
    network = Compressed.from_module(nn.Sequential(layer), {}).network
    with pytest.raises(UserError, match=message):
        network(x)


class Doubles(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Backwards(nn.Sequential):
    def forward(self, x):
        for layer in reversed(list(self)):
            x = layer(x)
        return x


def hooked():
    network = nn.Sequential(nn.Linear(3, 3))
    network[0].register_forward_hook(lambda module, inputs, output: output + 1)
    return network


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(Doubles(3, 3)),
        Backwards(nn.Linear(3, 3), nn.ReLU()),
        hooked(),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))),
        nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)),
    ],
    ids=["subclass", "own forward", "hook", "parametrised", "no statistics"],
)
def test_what_computes_something_else_is_stored_as_tensors_and_runs(network):
    with pytest.raises(UserError):
        describe(network)
    compressed = Compressed.from_module(network.eval(), {})
    assert compressed.layers == ()
    x = torch.randn(4, 3)
    assert torch.equal(compressed.network(x), network(x))
    with pytest.raises(UserError, match="into=module"):
        _ = Compressed.from_bytes(compressed.to_bytes()).network


def test_a_layer_that_comes_twice_is_there_twice():
    shared = nn.Linear(3, 3)
    network = nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU())
    compressed = Compressed.from_module(network, {})
    assert [entry.name for entry in compressed.layers] == ["0", "1", "2", "3"]
    x = torch.randn(4, 3)
    read = Compressed.from_bytes(compressed.to_bytes())
    assert torch.allclose(read.network(x), network(x), atol=1e-6)
    assert compressed.metadata == {}


def test_the_reference_counts_parameters_alone_and_ties_once(halves, tmp_path):
    network = everything(torch.float16)
    compress(network, halves).save(tmp_path / "a.netc")
    report = file_report(tmp_path / "a.netc")
    assert report["reference_bytes"] == 4 * sum(p.numel() for p in network.parameters())
    own = {one.data_ptr(): one for one in network.state_dict().values()}.values()
    assert report["original_bytes"] == sum(one.numel() * one.element_size() for one in own)


def rows_and_labels(n=65, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator)
    return x, (x[:, 0] > 0).long()


def small():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2)
        )


def test_a_method_may_train_on_data_and_seeds_are_kept(halves, tmp_path):
    x, y = rows_and_labels(72)  # 65 rows to train on: the 65th would be a batch of its own
    np.savez(tmp_path / "d.npz", x=x.numpy(), y=y.numpy().astype(np.uint8))
    one = compress(small(), halves, (x, y), rounds=3)
    two = compress(small(), halves, tmp_path / "d.npz", rounds=3)
    other = compress(small(), halves, (x.numpy(), y.tolist()), seed=1, rounds=3)
    assert one.to_bytes() == two.to_bytes() != other.to_bytes()
    assert one.to_bytes() != compress(small(), halves).to_bytes()
    task = classification_task("small", small(), read_data((x, y)), torch.device("cpu"))
    assert task.validation_score(task.network) * 8 == pytest.approx(
        round(task.validation_score(task.network) * 8)
    )
    seen = sum(len(targets) for _, targets, _ in task.train_batches(0))
    assert seen == 64


def test_without_data_nothing_is_trained(halves):
    with pytest.raises(UserError, match=r"halves on network: needs training data: give --data"):
        compress(small(), halves, rounds=1)
    task = DatalessTask("n", small(), torch.device("cpu"))
    task.fit(task.network, 0)
    for call in (lambda: task.fresh_network(0), lambda: task.train_batches(0),
                 lambda: task.validation_score(task.network)):  # fmt: skip
        with pytest.raises(Exception, match="needs training data"):
            call()


def test_a_fresh_network_is_drawn_anew_by_its_seed():
    network = small()
    one, two = untrained(network, 3), untrained(network, 3)
    same_to_the_bit(one.state_dict(), two.state_dict())
    assert not torch.equal(one[0].weight, network[0].weight)
    with pytest.raises(Exception, match="reset_parameters"):
        untrained(nn.ParameterDict({"a": nn.Parameter(torch.ones(2))}), 0)


X, Y = rows_and_labels(30)
BAD_DATA = {
    "regression": ((X, Y.float()), "a regression target is not"),
    "two columns": ((X, torch.stack([Y, Y], 1)), "n rows and n labels"),
    "other length": ((X, Y[:-1]), "n rows and n labels"),
    "few rows": ((X[:5], Y[:5]), "fewer than 20"),
    "negative": ((X, Y - 1), "labels start at 0"),
    "not finite": ((X / 0, Y), "not finite"),
    "three": ((X, Y, Y), "give a pair"),
    "text": ((X, ["a"] * 30), "give a pair"),
    "other width": ((X[:, :3], Y), r"does not take rows of x, \(3,\)"),
    "more classes": ((X, Y + 5), r"\(2, 7\) or more belong"),
    "no file": ("none.npz", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_cannot_be_used(case, halves):
    data, message = BAD_DATA[case]
    with pytest.raises(UserError, match=message):
        compress(small(), halves, data)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"PK\3\4"), "no .npz file"),
        (lambda path: path.write_bytes(b""), "no .npz file"),
        (lambda path: np.savez(path, x=X.numpy()), r"no array y \(it holds x\)"),
        (lambda path: np.savez(path, x=X.numpy(), y=np.array([{}] * 30)), "cannot be read"),
        (lambda path: np.savez(path, x=X.numpy(), y=np.array(["a"] * 30)), "holds no numbers"),
        (lambda path: lying(path), "cannot be read"),
        (lambda path: cut(path), "no .npz file"),
    ],
    ids=["beginning", "empty", "no y", "objects", "text", "lying", "cut"],
)
def test_data_files_that_are_damaged_or_hostile(write, message, tmp_path, halves):
    path = tmp_path / "d.npz"
    write(path)
    with pytest.raises(UserError, match=message) as caught:
        compress(small(), halves, path)
    assert str(path) in str(caught.value)


def lying(path):
    """An array that says it has 2^50 rows."""
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (1125899906842624,), }".ljust(117)
    npy = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + head.encode() + b"\n" + bytes(40)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy)
        archive.writestr("y.npy", npy)


def cut(path):
    np.savez(path, x=X.numpy(), y=Y.numpy())
    path.write_bytes(path.read_bytes()[:-30])


def test_what_fails_within_a_method_or_a_forward_is_one_message(tmp_path, halves):
    broken = tmp_path / "broken_method.py"
    broken.write_text(METHOD.replace("if config.rounds:", "1 / 0\n        if config.rounds:"))
    with pytest.raises(UserError, match="failed on network: ZeroDivisionError"):
        compress(small(), str(broken))
    with pytest.raises(UserError, match="unknown method"):
        compress(small(), "no-such-method")
    with pytest.raises(UserError, match="unknown device"):
        compress(small(), halves, device="tpu")
    with pytest.raises(UserError, match="for a factory"):
        compress(small(), halves, weights="w.pt")


def test_the_library_has_the_verb():
    assert netcompress.compress is compress
