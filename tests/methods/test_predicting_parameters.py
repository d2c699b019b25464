"""The method: settings of the authors' grid, every dictionary, counts, users' networks."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.formats.fixed_factor import FixedFactor
from methods.formats.low_rank import LowRank
from methods.method import UnsuitableTask
from methods.networks import mlp_500_500
from methods.predicting_parameters import PredictingParameters, counts_of
from methods.prediction.builder import make_plan
from methods.prediction.settings import (
    PredictingParametersConfig,
    atoms_of,
    balanced_range,
    low_rank_of,
)
from methods.training import ClassificationTask

SIDE, CLASSES = 6, 4
SHORT = {
    "dictionary_epochs": 20,
    "dictionary_units": 30,
    "pretraining_epochs": 2,
    "pretraining_batch_size": 20,
    "train_epochs": 40,
    "learning_rate": 0.3,
    "covariance_ridge": 0.1,
    "momentum": 0.9,
}
CHOICES = {
    "none": Dense,
    "low-rank": LowRank,
    "random": "uniform",
    "random-connections": "positions",
    "squared-exponential": "squared-exponential",
    "covariance": "covariance",
    "covariance-squared": "covariance",
    "autoencoder": "atoms",
}


def small_mlp(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                ip1=nn.Linear(SIDE**2, 40),
                sigmoid1=nn.Sigmoid(),
                ip2=nn.Linear(40, 30),
                sigmoid2=nn.Sigmoid(),
                ip3=nn.Linear(30, CLASSES),
            )
        )


def small_convnet(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 9, 3, padding=1),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(9, 16, 3, padding="same"),
                relu2=nn.ReLU(),
                flatten=nn.Flatten(),
                ip1=nn.Linear(16 * 9, CLASSES),
            )
        )


def task_of(fresh, rows=200, flat=False, batch_size=20):
    """Blurred patterns by class, between 0 and 1."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(CLASSES, 1, SIDE, SIDE, generator=generator)
    targets = torch.arange(rows) % CLASSES
    inputs = (centres[targets] + 0.5 * torch.randn(rows, 1, SIDE, SIDE, generator=generator)) * 2
    inputs = inputs.sigmoid().flatten(1) if flat else inputs.sigmoid()
    held = (inputs, targets)
    return ClassificationTask("small", fresh(0), fresh, held, held, batch_size=batch_size)


def compress(fresh, seed=0, flat=False, **values):
    config = PredictingParametersConfig(**SHORT | values)
    task = task_of(fresh, flat=flat)
    return task, PredictingParameters().compress(task, config, seed=seed)


def test_the_authors_grid():
    """784-500-500-10, with shares evenly spaced from 20/784 to 1: atoms and learned weights."""
    shares = np.linspace(20 / 784, 1, 10)
    wanted = {0: (20, 12, 16_000), 1: (104, 66, 85_000), 2: (189, 121, 155_000),
              4: (359, 229, 294_000), 9: (784, 500, 642_000)}  # fmt: skip
    for at, (first, second, learned) in wanted.items():
        assert (atoms_of(784, shares[at]), atoms_of(500, shares[at])) == (first, second)
        assert 500 * (first + second) == learned
    assert atoms_of(25, 0.24) == 6  # the convolutions' settings
    assert atoms_of(1600, 0.24) == 384
    assert atoms_of(3, 0.01) == 1
    assert low_rank_of(784, 500, 1.0) == 305  # break-even with the dense layer
    assert low_rank_of(784, 500, 200 * 1284 / 392_000) == 200


@pytest.mark.parametrize("rank", [1, 4, 15])
def test_factors_of_the_balanced_range_spread_their_product_as_wide_as_dense_weights(rank):
    chance, r = torch.Generator().manual_seed(rank), balanced_range(0.05, rank)
    left, right = (torch.empty(400, rank).uniform_(-r, r, generator=chance) for _ in range(2))
    spread = float((left @ right.T).std())
    assert spread == pytest.approx(0.05 / math.sqrt(3), rel=0.1)


def test_the_defaults_are_the_authors_and_take_a_kernel_then_an_autoencoder():
    config = PredictingParametersConfig()
    assert (config.pretraining_epochs, config.dictionary_epochs, config.train_epochs) == (
        50, 50, 100
    )  # fmt: skip
    method = PredictingParameters()
    x = torch.rand(4, 1, 28, 28)
    held = (x, torch.zeros(4, dtype=torch.int64))
    task = ClassificationTask("m", mlp_500_500(0), mlp_500_500, held, held)
    plan = make_plan(task, mlp_500_500(0), config, method.applies_to)
    assert [(place.name, choice) for place, choice in plan.hidden] == [
        ("ip1", "squared-exponential"), ("ip2", "autoencoder")
    ]  # fmt: skip
    assert plan.hidden[0][0].grid == (1, 28, 28)


@pytest.mark.parametrize("choice", CHOICES)
def test_each_dictionary_learns_and_is_stored(choice, tmp_path):
    task, made = compress(small_mlp, first=choice, others="covariance", share=0.3, store="factors")
    made.save(tmp_path / "network.netc")
    again = Compressed.load(tmp_path / "network.netc")
    assert task.validation_score(again.network) < 0.3  # by chance: 0.75
    first, second = again.formats["ip1.weight"], again.formats["ip2.weight"]
    assert isinstance(again.formats["ip3.weight"], Dense)
    assert second.dictionary.kind == "covariance"
    if choice in ("none", "low-rank"):
        assert isinstance(first, CHOICES[choice])
        learned = 40 * 36 if choice == "none" else low_rank_of(36, 40, 0.3) * (36 + 40)
        stored = learned
    else:
        assert first.dictionary.kind == CHOICES[choice]
        learned, stored = 10 * 40, first.stored_weights
        assert (first.dictionary.atoms, first.dictionary.columns) == (10, 5)
        assert second.dictionary.seed != first.dictionary.seed
    counts = counts_of(again)
    assert counts.weights == 36 * 40 + 40 * 30
    assert counts.learned == learned + 12 * 30
    assert counts.stored == stored + second.stored_weights
    assert again.metadata["method"] == "predicting-parameters"


def test_random_connections_leave_all_else_zero():
    _, made = compress(
        small_mlp, first="random-connections", share=0.3, columns=4, pretraining_epochs=0
    )
    held = made.formats["ip1.weight"]
    dense = held.decode()
    rule = held.dictionary
    for place, alpha in zip(rule.places(40), rule.draws(36), strict=True):
        outside = np.setdiff1d(np.arange(36), alpha)
        assert not dense[place][:, outside].any()
        assert dense[place][:, alpha].all()


def test_what_takes_less_densely_is_stored_densely():
    _, factors = compress(small_mlp, share=0.9, store="factors")
    _, smallest = compress(small_mlp, share=0.9)
    assert isinstance(factors.formats["ip2.weight"], FixedFactor)
    assert isinstance(smallest.formats["ip2.weight"], Dense)
    assert torch.equal(
        factors.formats["ip2.weight"].decode(), smallest.formats["ip2.weight"].decode()
    )
    assert smallest.metadata["remark"].endswith("so dense are ip2.weight")
    assert "remark" not in factors.metadata
    assert len(smallest.to_bytes()) < len(factors.to_bytes())
    assert counts_of(smallest).learned == counts_of(factors).learned == 32 * 40 + 36 * 30
    assert counts_of(smallest).stored == 32 * 40 + 40 * 30


def test_a_convolutional_network_takes_kernels_within_channels():
    task, made = compress(small_convnet, share=0.24, learning_rate=0.05)
    first, second = made.formats["conv1.weight"], made.formats["conv2.weight"]
    assert (first.dictionary.grid, second.dictionary.grid) == ((1, 3, 3), (9, 3, 3))
    assert (first.dictionary.atoms, second.dictionary.atoms) == (2, 19)
    assert first.dictionary.columns == 8  # of nine filters: one column has two
    assert first.dictionary.scale == 3.0
    assert task.validation_score(made.network) < 0.3
    _, of_patches = compress(small_convnet, others="autoencoder", store="factors", train_epochs=1)
    assert of_patches.formats["conv2.weight"].dictionary.kind == "atoms"


def test_seeds_give_their_own_draws_and_the_same_seed_the_same_file():
    one, again, other = (compress(small_mlp, seed=seed, train_epochs=1)[1] for seed in (3, 3, 4))
    assert one.to_bytes() == again.to_bytes()
    rules = [made.formats["ip1.weight"].dictionary for made in (one, other)]
    assert not np.array_equal(rules[0].draws(36)[0], rules[1].draws(36)[0])


def test_choices_and_shares_by_layer():
    _, made = compress(
        small_mlp, dictionaries={"ip2": "random"}, shares={"ip1": 0.1}, share=0.5, train_epochs=1
    )
    assert made.formats["ip1.weight"].dictionary.atoms == 3
    assert made.formats["ip2.weight"].dictionary.kind == "uniform"
    assert made.formats["ip2.weight"].dictionary.atoms == 20


def test_flat_inputs_have_a_grid_where_the_user_gives_one():
    _, made = compress(small_mlp, flat=True, train_epochs=1, store="factors")
    assert made.formats["ip1.weight"].dictionary.kind == "covariance"
    _, made = compress(small_mlp, flat=True, train_epochs=1, grid=(1, SIDE, SIDE))
    assert made.formats["ip1.weight"].dictionary.grid == (1, SIDE, SIDE)


class Own(nn.Module):
    """A user's module: its own forward, a layer that is reused, one without a bias, one unused."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({"wide": nn.Linear(36, 24, bias=False)})
        self.norm = nn.BatchNorm1d(24)
        self.twice = nn.Linear(24, 24)
        self.alias = self.twice
        self.head = nn.Linear(24, CLASSES)
        self.unused = nn.Linear(5, 5)

    def forward(self, x):
        hidden = torch.relu(self.norm(self.body["wide"](x.flatten(1))))
        return self.head(torch.relu(self.alias(torch.relu(self.twice(hidden)))))


def own(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Own()


def test_a_users_own_module_is_filled(tmp_path):
    task, made = compress(own, share=0.4, learning_rate=0.03)
    made.save(tmp_path / "own.netc")
    module = own(9)
    held = Compressed.load(tmp_path / "own.netc", into=module)
    assert task.validation_score(module) < 0.3
    assert held.formats["body.wide.weight"].dictionary.kind == "squared-exponential"
    for dense in ("twice.weight", "head.weight", "unused.weight"):  # a tied layer stays dense
        assert isinstance(held.formats[dense], Dense)
    assert counts_of(held).weights == 36 * 24


def one_layer(seed):
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, CLASSES))


@pytest.mark.parametrize(
    ("fresh", "values", "said"),
    [
        (one_layer, {}, "never predicted"),
        (small_mlp, {"dictionaries": {"ip3": "random"}}, "ip3.*those that can: ip1, ip2"),
        (small_mlp, {"shares": {"ip9": 0.5}}, "ip9"),
        (small_mlp, {"others": "squared-exponential"}, "ip2: its inputs lie on no grid"),
        (small_mlp, {"grid": (1, 5, 5), "pretraining_epochs": 0}, r"ip1: a grid of \(1, 5, 5\)"),
    ],
)
def test_what_cannot_be_is_told(fresh, values, said):
    with pytest.raises(UnsuitableTask, match=said):
        compress(fresh, **values)


def test_without_data_nothing_is_trained():
    task = task_of(small_mlp)
    task.can_train = False
    with pytest.raises(UnsuitableTask, match="needs training data"):
        PredictingParameters().compress(task, PredictingParametersConfig(), seed=0)


def test_it_says_which_layers_it_takes():
    method = PredictingParameters()
    assert method.applies_to(nn.Linear(3, 3)) is None
    assert method.applies_to(nn.Conv2d(4, 4, 3)) is None
    assert "groups" in method.applies_to(nn.Conv2d(4, 4, 3, groups=2))
    assert "reflect" in method.applies_to(nn.Conv2d(4, 4, 3, padding_mode="reflect"))
    assert "LSTM" in method.applies_to(nn.LSTM(3, 3))
    attention = nn.MultiheadAttention(4, 2).out_proj  # its weight is read by its owner
    assert method.applies_to(attention) is not None


def test_decay_takes_twice_its_coefficient_from_learned_weights_and_nothing_from_biases():
    """One step: the sum of squares has twice the weight as its gradient (pylearn2's cost)."""
    task = task_of(small_mlp, batch_size=200)

    def made(weight_decay):
        values = SHORT | {"learning_rate": 0.5, "train_epochs": 1, "pretraining_epochs": 0}
        config = PredictingParametersConfig(
            **values, first="random", others="none", weight_decay=weight_decay
        )
        return PredictingParameters().compress(task, config, seed=0).formats

    without, small, large = made(0.0), made(0.01), made(0.02)
    start = (without["ip1.weight"].values - small["ip1.weight"].values) / (2 * 0.01 * 0.5)
    assert abs(start).max() == pytest.approx(0.1, rel=0.05)  # where they start
    twice = without["ip1.weight"].values - large["ip1.weight"].values
    assert np.allclose(twice, 2 * 0.02 * 0.5 * start, atol=1e-6)
    for dense in ("ip2.weight", "ip3.weight"):
        assert not torch.equal(without[dense].decode(), small[dense].decode())
    for bias in ("ip1.bias", "ip2.bias", "ip3.bias"):
        assert torch.equal(without[bias].decode(), large[bias].decode())


def test_norms_stay_below_their_limit_in_training():
    _, made = compress(small_mlp, first="random", others="none", max_norm=0.2, pretraining_epochs=0)
    assert np.linalg.norm(made.formats["ip1.weight"].values, axis=0).max() <= 0.2 + 1e-6
    for dense in ("ip2.weight", "ip3.weight"):
        assert float(made.formats[dense].decode().norm(dim=1).max()) <= 0.2 + 1e-6
