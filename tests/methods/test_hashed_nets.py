"""HashedNets: what a file holds, training, distillation, dropout, and a network of one's own."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from methods.checks import WatchedTask
from methods.compress import Request, carry_out, compress
from methods.distillation import Taught, soft_target_loss
from methods.equal_storage import share_of
from methods.formats.hashed import Hashed
from methods.hashed_nets import (
    HashedNets,
    HashedNetsConfig,
    dropped_inputs,
    inverse_decay,
)
from methods.kernels.choice import VARIABLE
from registry.errors import UserError

LAYERS = ["hashed", "random-edges", "low-rank", "narrow"]


def short(**settings):
    return HashedNetsConfig(**({"train_epochs": 2, "learning_rate": 0.05} | settings))


def test_layers_of_one_seed_share_no_pattern():
    made = HashedNets().compress(WatchedTask(), short(train_epochs=0), seed=0)
    seeds = [held.seed for held in made.formats.values()]
    assert len(set(seeds)) == len(seeds) == 6


@pytest.mark.parametrize("hash_biases", [True, False])
def test_a_file_holds_the_budget(hash_biases):
    config = short(compression=0.1, hash_biases=hash_biases, train_epochs=0)
    made = HashedNets().compress(WatchedTask(), config, seed=0)
    for name, (inputs, outputs) in {"ip1": (48, 64), "ip2": (64, 24), "ip3": (24, 4)}.items():
        layer = nn.Linear(inputs, outputs)
        weight, bias = made.formats[f"{name}.weight"], made.formats[f"{name}.bias"]
        assert isinstance(weight, Hashed)
        assert weight.values.size == share_of(layer.weight.numel(), 0.1)
        stored = bias.size_bytes()
        assert stored.get("values", 0) // 4 == (share_of(outputs, 0.1) if hash_biases else outputs)
        within = inputs**-0.5
        assert 0.5 * within < np.abs(weight.values).max() <= within  # as it started


@pytest.mark.parametrize("layers", LAYERS)
def test_training_learns_and_the_file_gives_what_was_trained(layers):
    task = WatchedTask()
    config = short(layers=layers, compression=0.5, train_epochs=8, dropout=0.0)
    before = HashedNets().compress(task, config.model_copy(update={"train_epochs": 0}), seed=0)
    after = HashedNets().compress(task, config, seed=0)
    assert task.validation_score(after.network) < task.validation_score(before.network) - 0.2
    assert after.metadata["layers"] == layers


def test_the_teacher_is_left_alone_and_teaches():
    task = WatchedTask()
    before = copy.deepcopy(task.network.state_dict())
    task.network.train()
    plain = HashedNets().compress(task, short(), seed=0)
    taught = HashedNets().compress(task, short(distil=True), seed=0)
    assert task.network.training
    assert all(torch.equal(one, before[name]) for name, one in task.network.state_dict().items())
    assert plain.to_bytes() != taught.to_bytes()


def test_soft_targets_by_hand():
    own, taught = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 0.0]])
    outputs, label = torch.cat([own, taught], dim=1), torch.tensor([1])
    hard = functional.cross_entropy(own, label)
    shares = functional.softmax(taught / 2, dim=1)
    soft = -(shares * functional.log_softmax(own / 2, dim=1)).sum()
    found = soft_target_loss(outputs, label, temperature=2, weight=0.25)
    torch.testing.assert_close(found, 0.75 * hard + 0.25 * 4 * soft)
    torch.testing.assert_close(soft_target_loss(outputs, label, temperature=2, weight=0), hard)
    teacher = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    student = Taught(nn.Linear(3, 2), teacher).train()
    assert len(list(student.parameters())) == 2
    x = torch.randn(4, 3)
    assert torch.equal(student(x)[:, 2:], teacher.eval()(x))


def test_dropout_follows_its_seed_and_keeps_the_mean():
    network = nn.Sequential(nn.Linear(400, 1, bias=False), nn.ReLU(), nn.Linear(1, 1))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    x = torch.ones(200, 400)
    found = []
    for seed in (1, 1, 2):
        with dropped_inputs(network.train(), 0.25, seed):
            found.append(network[0](x).detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    kept = found[0] * 0.75 / 400  # a share of the inputs
    assert float(kept.mean()) == pytest.approx(0.75, abs=0.01)
    with dropped_inputs(network.eval(), 0.25, 1):
        assert float(network[0](x).detach()[0]) == 400
    assert float(network.train()[0](x).detach()[0]) == 400  # the hooks are gone


def test_the_rate_falls_with_the_steps():
    rate = inverse_decay(1e-4)
    found = [rate(0.5) for _ in range(10_001)]
    assert found[0] == 1
    assert found[1] == pytest.approx(1 / 1.0001)
    assert found[10_000] == pytest.approx(0.5)


def test_the_rate_of_each_step_is_the_papers(monkeypatch):
    """The optimizer that is handed over: momentum, no L2, the 1/t rate."""
    seen = []
    step = torch.optim.SGD.step

    def watched(self, *given):
        group = self.param_groups[0]
        seen.append((group["lr"], group["momentum"], group["weight_decay"]))
        return step(self, *given)

    task = WatchedTask()
    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    HashedNets().compress(task, short(train_epochs=1, learning_rate=0.1), seed=0)
    wanted = [(pytest.approx(0.1 / (1 + 1e-4 * t)), 0.9, 0) for t in range(4)]
    assert seen == wanted


class Branches(nn.Module):
    """A linear layer used twice, one read by its weight, a convolution and a normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 4, 5, padding=2)
        self.norm = nn.LayerNorm(12)
        self.twice = nn.Linear(12, 12)
        self.alias = self.twice
        self.read = nn.Linear(48, 6, bias=False)
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.convolution(x.unsqueeze(1)).relu())
        x = self.alias(self.twice(x).relu())
        return self.out(functional.linear(x.flatten(1), self.read.weight).relu())


def rows(inputs=12, classes=3, count=200):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = 2 * torch.randn(classes, inputs, generator=generator)
    return centres[labels] + torch.randn(count, inputs, generator=generator), labels


@pytest.mark.parametrize("layers", LAYERS[:3])
def test_a_network_of_ones_own(layers, tmp_path):
    x, labels = rows()
    network = Branches()
    made = compress(
        network, "hashed-nets", (x, labels), layers=layers, train_epochs=20, compression=0.5,
        learning_rate=0.02, dropout=0.1,
    )  # fmt: skip
    kinds = {name: held.kind for name, held in made.formats.items()}
    weight = {"hashed": "hashed", "random-edges": "sparse", "low-rank": "fixed-factor"}[layers]
    for name in ("twice", "read", "out"):
        assert kinds[f"{name}.weight"] == weight
    assert kinds["convolution.weight"] == kinds["norm.weight"] == "dense"
    again = Branches()
    made.save(tmp_path / "own.netc")
    type(made).load(tmp_path / "own.netc", into=again)
    with torch.inference_mode():
        assert torch.equal(again.eval()(x), made.network.eval()(x))
        right = (again(x).argmax(1) == labels).double().mean()
    assert right > 0.6  # of three classes


def test_biases_that_are_hashed_are_not_told_as_dense():
    x, labels = rows()
    network = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    for hash_biases, told in ((True, set()), (False, {"0.bias", "2.bias"})):
        settings = {"train_epochs": 1, "hash_biases": hash_biases}
        done = carry_out(Request(network, "hashed-nets", settings, data=(x, labels)))
        assert set(done.dense) == told


def test_tied_weights_stay_dense():
    words = nn.Embedding(9, 6)
    network = nn.Sequential(OrderedDict(words=words, out=nn.Linear(6, 9), more=nn.Linear(9, 4)))
    network.out.weight = words.weight
    assert list(HashedNets()._linear_layers(network)) == ["more"]


@pytest.mark.parametrize(
    ("network", "settings", "said"),
    [
        (nn.Sequential(nn.Conv1d(1, 4, 12), nn.Flatten()), {}, "no weights to compress"),
        (nn.Linear(12, 3), {}, "no fully connected layer within.*put it into an nn.Sequential"),
        (Branches(), {"layers": "narrow"}, "plain nn.Sequential"),
        (
            nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
            {"layers": "narrow"},
            "plain nn.Sequential",
        ),
        (
            nn.Sequential(nn.Linear(12, 4), nn.GLU(), nn.Linear(2, 3)),
            {"layers": "narrow"},
            "4 units go into a layer of 2 inputs",
        ),
        (nn.Sequential(nn.Linear(12, 3)), {"layers": "narrow", "compression": 0.1}, "too few"),
        (nn.Sequential(nn.Linear(12, 3).double()), {}, "call float"),
    ],
)
def test_what_it_cannot_do_is_said(network, settings, said):
    x, labels = rows()
    if isinstance(network[0] if isinstance(network, nn.Sequential) else None, nn.Conv1d):
        x = x.unsqueeze(1)
    with pytest.raises(UserError, match=said):
        compress(network, "hashed-nets", (x, labels), train_epochs=1, **settings)


def test_without_data_it_says_so():
    with pytest.raises(UserError, match="needs training data"):
        compress(nn.Sequential(nn.Linear(12, 3)), "hashed-nets")


def test_it_says_which_layers_it_takes():
    class Own(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return -super().forward(input)

    takes = HashedNets().applies_to
    assert takes(nn.Linear(2, 2)) is None
    for other in (nn.Conv2d(1, 1, 1), nn.Embedding(2, 2), nn.LSTM(2, 2), Own(2, 2)):
        assert type(other).__name__ in str(takes(other))


def test_seeds_differ_and_agree():
    made = [
        HashedNets().compress(WatchedTask(), short(train_epochs=1), seed=seed).to_bytes()
        for seed in (0, 0, 1)
    ]
    assert made[0] == made[1] != made[2]


def test_both_kernels_train_to_the_same(monkeypatch):
    pytest.importorskip("numba")
    found = []
    for path in ("numba", "torch"):
        monkeypatch.setenv(VARIABLE, path)
        found.append(HashedNets().compress(WatchedTask(), short(), seed=0).tensors())
    for name, one in found[0].items():
        torch.testing.assert_close(one, found[1][name], rtol=1e-3, atol=1e-5)
