"""Training with few multiplications: gradients, updates, statistics, what is kept."""

import copy
import math
from collections import OrderedDict

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from methods.checks import WatchedTask
from methods.few_multiplications import (
    FewMultiplications,
    FewMultiplicationsConfig,
    Training,
    _slips,
    drawn_layers,
    recompute_statistics,
    squared_hinge,
    train,
)
from methods.method import UnsuitableTask
from methods.normalised_networks import (
    normalised_convnet,
    normalised_convnet_colour,
    normalised_mlp,
    normalised_mlp_3x1024,
)
from methods.sampled_layers import (
    start_ranges,
    threshold_,
)
from methods.seeds import seeded
from methods.stand_ins import in_place_of
from methods.training import ClassificationTask

METHOD = FewMultiplications()


def short(**settings):
    return FewMultiplicationsConfig(**({"train_epochs": 2, "learning_rate": 0.05} | settings))


def normalised_task(seed: int = 0) -> ClassificationTask:
    """Eight clouds of points for a network with batch normalisation."""
    generator = seeded(seed)
    centres = torch.randn(8, 20, generator=generator)
    labels = torch.randint(8, (600,), generator=generator)
    inputs = centres[labels] + torch.randn(600, 20, generator=generator)

    def fresh(own: int) -> nn.Sequential:
        return normalised_mlp((20, 32, 32, 8), own)

    return ClassificationTask(
        "clouds", fresh(0), fresh, (inputs[:400], labels[:400]), (inputs[400:], labels[400:]),
        batch_size=20,
    )  # fmt: skip


def test_scales_on_mnist_are_the_authors():
    network = normalised_mlp_3x1024(0)
    layers = drawn_layers(network, METHOD.applies_to)
    scales = [high / 2 for high in start_ranges(network, layers).values()]
    assert [f"{one:.5f}" for one in scales] == ["0.02880", "0.02706", "0.02706", "0.03809"]


def test_a_pooling_counts_in_the_range_of_the_convolution_before_it():
    network = normalised_convnet(1, 0, divisor=8)
    ranges = start_ranges(network, drawn_layers(network, METHOD.applies_to))
    assert ranges["conv1"] == pytest.approx(math.sqrt(6 / (9 + 16 * 9)))
    assert ranges["conv2"] == pytest.approx(math.sqrt(6 / (16 * 9 + 16 * 9 / 4)))
    assert ranges["conv7"] == pytest.approx(math.sqrt(6 / (64 * 4 + 128 * 4)))
    assert ranges["ip8"] == pytest.approx(math.sqrt(6 / 256))


def test_networks_have_the_papers_sizes():
    assert normalised_mlp_3x1024(0)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    x, sizes = torch.zeros(1, 1, 32, 32), []
    for layer in normalised_convnet(1, 0, divisor=32).eval():
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            sizes.append(x.shape[-1])
    assert sizes == [30, 28, 14, 13, 12, 6, 5, 4, 2, 1]
    assert sum(p.numel() for p in normalised_convnet_colour(0).parameters() if p.dim() > 1) == (
        5_272_960
    )


@pytest.mark.parametrize("weights", ["binary", "ternary"])
def test_weights_start_and_stay_within_their_ranges(weights):
    task = WatchedTask()
    made = METHOD.compress(task, short(weights=weights), seed=0)
    for name, inputs, outputs in (("ip1", 48, 64), ("ip2", 64, 24), ("ip3", 24, 4)):
        within = math.sqrt(6 / (inputs + outputs)) / 2
        largest = float(made.formats[f"{name}.weight"].decode().abs().max())
        assert largest == pytest.approx(within)  # half of the weights started beyond


def test_at_full_precision_weights_are_not_clipped():
    config = short(weights="real", quantized_back_propagation=False, train_epochs=1)
    made = METHOD.compress(WatchedTask(), config, seed=0)
    assert float(made.formats["ip1.weight"].decode().abs().max()) > math.sqrt(6 / 112) / 2


def test_clipping_twice_is_clipping_once():
    network = normalised_mlp((20, 32, 8), 0)
    layers = drawn_layers(network, METHOD.applies_to)
    scales = {name: high / 2 for name, high in start_ranges(network, layers).items()}
    training = Training(layers, scales, short())
    training.clip()
    once = copy.deepcopy(network.state_dict())
    training.clip()
    assert all(torch.equal(one, once[name]) for name, one in network.state_dict().items())
    assert float(layers["ip1"].weight.detach().abs().max()) == pytest.approx(scales["ip1"])


def test_the_squared_hinge_by_hand():
    outputs = torch.tensor([[2.0, 0.5, -3.0], [0.0, 0.0, 0.0]])
    found = squared_hinge(outputs, torch.tensor([0, 2]))
    # (0 + 1.5^2 + 0) and (1 + 1 + 1), averaged
    assert float(found) == pytest.approx((2.25 + 3) / 2)


def test_the_rate_falls_once_an_epoch_by_the_same_factor(monkeypatch):
    config = FewMultiplicationsConfig()
    assert config.rate(0) == 0.3
    assert config.rate(1) / config.rate(0) == pytest.approx(0.99660, abs=5e-6)
    assert config.rate(999) * 0.9966 == pytest.approx(0.01, rel=1e-3)
    convolutional = FewMultiplicationsConfig(train_epochs=300, final_learning_rate=0.001)
    assert convolutional.rate(1) / 0.3 == pytest.approx(0.98117, abs=5e-6)
    seen = []
    step = torch.optim.SGD.step

    def watched(self, *given):
        group = self.param_groups[0]
        seen.append((group["lr"], group["momentum"], group["weight_decay"]))
        return step(self, *given)

    task = normalised_task()
    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    METHOD.compress(task, short(learning_rate=0.16, final_learning_rate=0.01), seed=0)
    assert seen == [(pytest.approx(0.16), 0, 0)] * 20 + [(pytest.approx(0.04), 0, 0)] * 20


COLUMNS = [
    {"weights": "real", "quantized_back_propagation": False},
    {"weights": "binary", "quantized_back_propagation": False},
    {"weights": "binary"},
    {"weights": "ternary"},
    {"weights": "ternary", "authors_slips": True},
    {"weights": "ternary", "linear_exponents": [-4, 3]},
    {"weights": "ternary", "loss": "cross-entropy"},
]


@pytest.mark.parametrize("settings", COLUMNS)
def test_every_way_of_training_learns(settings):
    task = normalised_task()
    config = short(train_epochs=6, learning_rate=0.1, **settings)
    made = METHOD.compress(task, config, seed=0)
    assert task.validation_score(made.network) < 0.25  # chance is 7/8
    assert set(made.formats) == set(task.network.state_dict())
    assert {one.kind for one in made.formats.values()} == {"dense"}


def test_a_convolutional_network_learns():
    generator = seeded(0)
    labels = torch.randint(4, (200,), generator=generator)
    inputs = 0.3 * torch.randn(200, 1, 32, 32, generator=generator)
    for row, label in enumerate(labels.tolist()):
        inputs[row, 0, 8 * label : 8 * label + 8] += 1

    def fresh(seed):
        return normalised_convnet(1, seed, divisor=32, classes=4)

    task = ClassificationTask(
        "bars", fresh(0), fresh, (inputs[:150], labels[:150]), (inputs[150:], labels[150:]),
        batch_size=25,
    )  # fmt: skip
    for settings in ({}, {"authors_slips": True}, COLUMNS[0]):
        config = short(train_epochs=4, learning_rate=0.1, final_learning_rate=0.05, **settings)
        made = METHOD.compress(task, config, seed=0)
        assert task.validation_score(made.network) < 0.3


def test_the_same_seed_gives_the_same_file_and_another_seed_another():
    made = [METHOD.compress(normalised_task(), short(), seed=seed).to_bytes() for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_statistics_are_the_mean_over_training_minibatches_with_real_weights():
    task = normalised_task()
    network = task.fresh_network(3)
    network.ip1.weight.data.mul_(2)
    recompute_statistics(task, network, 0)
    inputs = torch.cat([rows for rows, _, _ in task.train_batches(0)])
    z = inputs @ network.ip1.weight.detach().T
    torch.testing.assert_close(network.norm1.running_mean, z.mean(0), rtol=1e-4, atol=1e-5)
    assert network.norm1.num_batches_tracked == 20
    assert network.norm1.momentum == 0.1
    assert not network.norm1.training
    before = copy.deepcopy(network.state_dict())
    recompute_statistics(task, network, 0)  # from nothing: the same again
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


def kept_of(errors, **settings):
    """How many epochs the kept network was trained for, by made-up validation errors."""
    task = normalised_task()
    seen = []

    def score(network):
        seen.append(copy.deepcopy(network.state_dict()))
        return errors[len(seen) - 1]

    task.validation_score = score
    network = task.fresh_network(0)
    layers = drawn_layers(network, METHOD.applies_to)
    ranges = start_ranges(network, layers)
    scales = {name: high / 2 for name, high in ranges.items()}
    train(task, network, Training(layers, scales, short(**settings)), 0)
    state = network.state_dict()
    return [all(torch.equal(state[n], one[n]) for n in state) for one in seen].index(True)


def test_the_best_epoch_is_kept_and_of_equal_ones_the_later():
    each = {"train_epochs": 4, "evaluate_every": 1}
    assert kept_of([0.3, 0.1, 0.1, 0.2], **each) == 2
    assert kept_of([0.3, 0.1, 0.2, 0.2], **each) == 1
    assert kept_of([0.3], keep="last", **each) == 0  # looked at once, at the end
    assert kept_of([0.1, 0.3], train_epochs=3, evaluate_every=2) == 0  # after epochs 2 and 3


def test_epochs_see_the_rows_in_orders_of_their_own():
    orders = []
    task = normalised_task()
    batches = task._batches

    def watched(inputs, targets, seed):
        orders.append(seed)
        return batches(inputs, targets, seed)

    task._batches = watched
    METHOD.compress(task, short(train_epochs=3, keep="last"), seed=0)
    assert len(set(orders)) == 4  # three epochs, and the statistics


def test_the_authors_slip_leaves_out_the_normalisation():
    """The weights' gradient is that of the error after the normalisation, as their code has it."""
    network = normalised_mlp((6, 5, 3), 0)
    layers = drawn_layers(network, METHOD.applies_to)
    scales = {name: high / 2 for name, high in start_ranges(network, layers).items()}
    found = {}
    for slips in (False, True):
        config = short(weights="real", authors_slips=slips, linear_exponents=None)
        training = Training(layers, scales, config)
        sampled = training.sampled(0)
        network.zero_grad()
        x = torch.randint(0, 2, (8, 6), generator=seeded(1)).float()  # rounded to itself
        with in_place_of(network, layers, sampled), _slips(network, training, sampled):
            errors = {}

            def note(module, inputs, output, errors=errors):
                output.register_hook(lambda error: errors.update(after=error))

            handle = network.norm1.register_forward_hook(note)
            network.train()(x).square().sum().backward()
            handle.remove()
        found[slips] = network.ip1.weight.grad.clone()
        assert sampled["ip1"].error is None or slips
        if slips:
            torch.testing.assert_close(found[True], errors["after"].T @ x)
    assert not torch.allclose(found[True], found[False])


def test_thresholds_leave_three_values_or_two():
    network = normalised_mlp((20, 32, 8), 0)
    layers = drawn_layers(network, METHOD.applies_to)
    scales = {name: high / 2 for name, high in start_ranges(network, layers).items()}
    before = layers["ip1"].weight.detach().clone()
    threshold_(layers, scales, "ternary")
    after, scale = layers["ip1"].weight.detach(), scales["ip1"]
    assert torch.equal(after != 0, before.abs() > scale / 2)
    assert bool((after * before >= 0).all())
    assert sorted({round(one / scale, 4) for one in after.unique().tolist()}) == [-1, 0, 1]
    threshold_(layers, scales, "binary")
    assert len(layers["ip1"].weight.detach().unique()) == 2


class Own(nn.Module):
    """A layer used twice, one in words of padding, one of another kind, one that is frozen."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Linear(20, 20)
        self.frozen = nn.Linear(20, 20)
        self.frozen.requires_grad_(False)
        self.other = nn.Conv1d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm1d(40)
        with torch.no_grad():
            self.norm.weight.fill_(3)
        self.norm.requires_grad_(False)
        self.out = nn.Linear(40, 8)

    def forward(self, x):
        x = self.frozen(self.twice(self.twice(x).relu()).relu())
        return self.out(self.norm(self.other(x.unsqueeze(1)).flatten(1)).relu())


def test_a_network_of_ones_own_is_trained_and_frozen_parts_stay():
    clouds = normalised_task()
    first = Own()
    own = ClassificationTask(
        "own", first, lambda seed: copy.deepcopy(first), clouds._train, clouds._validation,
        batch_size=20,
    )  # fmt: skip
    made = METHOD.compress(own, short(train_epochs=6, learning_rate=0.02), seed=0)
    assert not made.layers
    tensors = made.tensors()
    assert torch.equal(tensors["frozen.weight"], first.frozen.weight)
    assert not torch.equal(tensors["other.weight"], first.other.weight)
    assert own.validation_score(made.network) < 0.6
    assert bool((tensors["norm.weight"] == 3).all())


def test_real_weights_are_those_of_the_step_and_not_of_the_start():
    """Where the loop lays a network out anew, its parameters lie elsewhere than before."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding="same"), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip
    rows = torch.randn(64, 1, 4, 4, generator=seeded(0))
    data = rows, (rows.mean(dim=(1, 2, 3)) > 0).long()
    task = ClassificationTask("same", network, lambda seed: copy.deepcopy(network), data, data)
    config = short(weights="real", quantized_back_propagation=True, learning_rate=0.05)
    layers = drawn_layers(network, METHOD.applies_to)
    training = Training(layers, dict.fromkeys(layers, 1.0), config)
    (layer, *_) = training.sampled(0).values()
    network.to(memory_format=torch.channels_last)
    with torch.no_grad():
        layers["2"].weight.add_(1)
    layer.draw()
    assert torch.equal(layer.drawn, layers["2"].weight)
    METHOD.compress(task, config, seed=0)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: nn.Linear(20, 8), "nn.Sequential"),
        (lambda: nn.Sequential(nn.Linear(20, 8).double()), "float32"),
        (lambda: nn.Sequential(nn.ReLU()), "no weights"),
        (lambda: nn.Sequential(nn.Linear(20, 8)).requires_grad_(False), "trained with drawn"),
    ],
)
def test_what_cannot_be_trained_so_is_refused(network, words):
    task = normalised_task()
    task._fresh = lambda seed: network()
    with pytest.raises(UnsuitableTask, match=words):
        METHOD.compress(task, short(), seed=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"linear_exponents": (3, -4)},
        {"convolution_exponents": (-200, 3)},
        {"weights": "quaternary"},
        {"evaluate_every": 0},
        {"learning_rate": 0},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        FewMultiplicationsConfig(**settings)


def test_which_layers_it_takes():
    assert METHOD.applies_to(nn.Conv2d(1, 1, 3)) is None
    assert "padding" in str(METHOD.applies_to(nn.Conv2d(1, 1, 3, padding="same")))
    assert "padding" in str(METHOD.applies_to(nn.Conv2d(1, 1, 3, padding_mode="reflect")))
    assert METHOD.applies_to(nn.Embedding(3, 3)) is not None


def test_a_rate_that_is_too_high_says_so():
    network = OrderedDict(ip1=nn.Linear(20, 32), relu=nn.ReLU(), ip2=nn.Linear(32, 8))
    task = normalised_task()
    task._fresh = lambda seed: nn.Sequential(network)
    config = short(
        weights="real", quantized_back_propagation=False, learning_rate=1e6, final_learning_rate=1e6
    )
    with pytest.raises(UnsuitableTask, match="lower the rate"):
        METHOD.compress(task, config, seed=0)
