"""Trained ternary quantization: gradients against finite differences, training, files."""

import copy
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from methods.checks import WatchedTask, small_network
from methods.compressed import Compressed
from methods.formats.ternary import Ternary
from methods.formats.uniform import Uniform
from methods.method import UnsuitableTask
from methods.networks import lenet_5
from methods.residual_networks import residual_network
from methods.seeds import seeded
from methods.ternary_weights import Rule, TernaryWeight
from methods.trained_ternary_quantization import (
    RECIPES,
    TrainedTernaryConfig,
    TrainedTernaryQuantization,
    _drop,
    ternary_layers,
)
from methods.user_data import DatalessTask
from methods.weights import require_weights


def layer(seed: int, rows: int = 5, columns: int = 7) -> nn.Linear:
    made = nn.Linear(columns, rows, bias=False).double()
    with torch.no_grad():
        made.weight.normal_(generator=seeded(seed))
    return made


def ternary(module: nn.Module, **rule: object) -> TernaryWeight:
    (weight,) = require_weights(module).handled
    return TernaryWeight(weight, Rule(**rule))  # type: ignore[arg-type]


seeds = st.integers(0, 2**31)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0, 0.9), st.floats(0.01, 3), st.floats(0.01, 3))
def test_the_scales_gradients_are_the_finite_differences_of_a_fixed_assignment(
    seed: int, threshold: float, positive: float, negative: float
) -> None:
    """Eq. 2, with the minus that the paper does not print for the negative scale."""
    module = layer(seed)
    one = ternary(module, threshold=threshold)
    with torch.no_grad():
        one.positive.fill_(positive)
        one.negative.fill_(negative)
    x, wanted = (torch.randn(4, n, generator=seeded(seed + n)).double() for n in (7, 5))

    def loss(plus: float, minus: float) -> torch.Tensor:
        weight = plus * (one.signs > 0).double() - minus * (one.signs < 0).double()
        return functional.mse_loss(functional.linear(x, weight), wanted)

    one.quantize()
    functional.mse_loss(module(x), wanted).backward()
    one.restore()
    step = 1e-6
    for scale, difference in (
        (one.positive, loss(positive + step, negative) - loss(positive - step, negative)),
        (one.negative, loss(positive, negative + step) - loss(positive, negative - step)),
    ):
        assert scale.grad is not None
        assert scale.grad.item() == pytest.approx(float(difference) / (2 * step), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0, 0.9), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_copys_gradient_is_scaled_by_the_side_and_by_one_where_a_weight_is_zero(
    seed: int, threshold: float, dead: float
) -> None:
    """Eq. 3."""
    module = layer(seed)
    one = ternary(module, threshold=threshold, dead_zone_gradient=dead)
    before = module.weight.detach().clone()
    one.quantize()
    signs, value = one.signs.clone(), module.weight.detach().clone()
    gradient = torch.randn(5, 7, generator=seeded(seed)).double()
    module.weight.grad = gradient.clone()
    one.restore()
    assert torch.equal(module.weight.detach(), before)
    factor = torch.where(signs > 0, one.positive.detach(), torch.tensor(dead).double())
    factor = torch.where(signs < 0, one.negative.detach(), factor)
    torch.testing.assert_close(module.weight.grad, factor * gradient)
    limit = threshold * before.abs().max()
    assert torch.equal(signs, torch.where(before.abs() > limit, before.sign(), 0.0))
    assert set(value.unique().tolist()) <= {
        one.positive.item(), 0.0, -one.negative.item()
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(0, 34))
def test_a_share_of_zeros_is_met_to_the_weight_and_the_smallest_are_zero(
    seed: int, zeros: int
) -> None:
    module = layer(seed)
    one = ternary(module, zeros=zeros / 35)
    assert int((one.signs == 0).sum()) == zeros
    magnitudes = module.weight.detach().abs()
    if zeros > 0:
        assert magnitudes[one.signs == 0].max() < magnitudes[one.signs != 0].min()


def test_scales_start_at_the_mean_magnitude_or_at_one() -> None:
    module = layer(3)
    weight = module.weight.detach()
    one = ternary(module, threshold=0.2)
    for scale, members in ((one.positive, one.signs > 0), (one.negative, one.signs < 0)):
        assert scale.item() == pytest.approx(float(weight.abs()[members].mean()))
    one = ternary(module, initial_scale="one")
    assert one.positive.item() == one.negative.item() == 1.0


def test_a_side_that_no_weight_is_on_starts_at_the_threshold_and_not_at_a_mean_of_none() -> None:
    module = layer(1)
    with torch.no_grad():
        module.weight.abs_()
    one = ternary(module, threshold=0.5)
    assert one.negative.item() == pytest.approx(0.5 * module.weight.abs().max().item())
    with torch.no_grad():
        module.weight.zero_()
    one = ternary(module)
    one.quantize()
    assert not module.weight.any()
    assert one.positive.item() == 0.0


def test_one_scale_is_the_least_squares_one_of_ternary_weight_networks() -> None:
    """Li and Liu 2016: threshold 0.7 of the mean magnitude, scale the mean of those above it."""
    module = layer(5, 40, 50)
    weight = module.weight.detach().clone()
    one = ternary(module, weights="shared")
    one.quantize()
    limit = 0.7 * weight.abs().mean()
    assert torch.equal(one.signs, torch.where(weight.abs() > limit, weight.sign(), 0.0))
    best = (weight * one.signs).sum() / (one.signs**2).sum()
    assert one.positive.item() == one.negative.item() == pytest.approx(float(best))
    module.weight.grad = torch.ones_like(weight)
    one.restore()
    assert torch.equal(module.weight.grad, torch.ones_like(weight))  # straight through
    assert one.scales == []


def test_binary_weights_have_no_zeros_and_are_stored_as_single_bits() -> None:
    module = layer(6)
    with torch.no_grad():
        module.weight[0, 0] = 0.0
    one = ternary(module, weights="binary")
    one.quantize()
    held = one.format("two-bit")
    assert isinstance(held, Uniform)
    assert held.bits == 1
    assert held.size_bytes()["codes"] == -(-35 // 8)
    torch.testing.assert_close(held.decode().double(), module.weight.detach(), rtol=1e-6, atol=0)


class Networks:
    """Small ones, trained once."""

    @functools.cached_property
    def task(self) -> WatchedTask:
        return WatchedTask()

    def made(self, **config: object) -> tuple[Compressed, WatchedTask]:
        values = {"full_precision": "none", "train_epochs": 4, "learning_rate": 0.003, **config}
        task = self.task
        method = TrainedTernaryQuantization()
        return method.compress(task, TrainedTernaryConfig.model_validate(values), seed=1), task


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks()


@pytest.mark.parametrize("weights", ["trained", "shared", "binary"])
def test_a_small_network_keeps_what_it_has_learned(networks: Networks, weights: str) -> None:
    made, task = networks.made(weights=weights)
    assert task.validation_score(made.network) <= task.validation_score(task.network) + 0.1
    for name, held in made.formats.items():
        if name.endswith("weight"):
            assert len(held.decode().unique()) <= 3


def test_the_file_holds_what_the_last_step_left_behind(networks: Networks) -> None:
    """Quantized once more after it, so that the file does not lag a step."""
    made, _ = networks.made()
    assert made.module is not None
    for name, parameter in made.module.named_parameters():
        torch.testing.assert_close(
            made.formats[name].decode(), parameter.detach(), rtol=1e-6, atol=0
        )


def test_the_negative_scale_moves_to_less_loss_and_not_away(networks: Networks) -> None:
    """With the printed sign it is driven to zero or grows without bound."""
    made, task = networks.made(train_epochs=12)
    for held in made.formats.values():
        if isinstance(held, Ternary):
            assert 0.3 < held.negative / held.positive < 3
    assert task.validation_score(made.network) <= 0.2


def test_densities_and_scales_are_told_after_each_epoch(networks: Networks) -> None:
    config = TrainedTernaryConfig(full_precision="none", train_epochs=3, learning_rate=0.003)
    made, told = TrainedTernaryQuantization().compress_and_tell(networks.task, config, seed=0)
    assert [one.epoch for one in told] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    for one in told[-3:]:
        held = made.formats[one.name]
        assert isinstance(held, Ternary)
        assert (one.positive, one.negative) == (held.positive, held.negative)
        assert one.density == pytest.approx(1 - held.zeros)
    assert {one.positive for one in told if one.name == "ip1.weight"} != {told[0].positive}


@pytest.mark.parametrize(
    ("full_precision", "left"),
    [
        ("none", ["conv1", "conv2", "ip1", "ip2"]), ("first", ["conv2", "ip1", "ip2"]),
        ("last", ["conv1", "conv2", "ip1"]), ("first-and-last", ["conv2", "ip1"]),
    ],
)  # fmt: skip
def test_the_first_and_the_last_layer_may_stay_float32(
    full_precision: str, left: list[str]
) -> None:
    config = TrainedTernaryConfig.model_validate({"full_precision": full_precision})
    assert [one.module_name for one in ternary_layers(lenet_5(0), config)] == left


def test_a_layer_with_two_weights_is_one_layer() -> None:
    network = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 5), nn.Linear(5, 3))
    names = [one.name for one in ternary_layers(network, TrainedTernaryConfig())]
    assert names == ["1.weight_ih_l0", "1.weight_hh_l0"]


def test_a_network_that_keeps_no_layer_to_be_ternary_is_refused() -> None:
    config = TrainedTernaryConfig()
    task = WatchedTask()
    task.network = nn.Sequential(nn.Linear(48, 4))
    with pytest.raises(UnsuitableTask, match=r"1 layers with weights.*full_precision"):
        TrainedTernaryQuantization().compress(task, config, seed=0)


def test_a_frozen_layer_stays_float32_and_a_network_of_them_is_refused() -> None:
    task = WatchedTask()
    task.network.get_submodule("ip1").requires_grad_(False)
    config = TrainedTernaryConfig(full_precision="none", train_epochs=2, learning_rate=0.003)
    made = TrainedTernaryQuantization().compress(task, config, seed=0)
    kinds = [isinstance(made.formats[f"ip{at}.weight"], Ternary) for at in (1, 2, 3)]
    assert kinds == [False, True, True]
    assert torch.equal(made.tensors()["ip1.weight"], task.network.get_parameter("ip1.weight"))
    assert task.validation_score(made.network) <= task.validation_score(task.network) + 0.1
    task.network.get_submodule("ip2").requires_grad_(False)
    with pytest.raises(UnsuitableTask, match="frozen"):
        TrainedTernaryQuantization().compress(
            task, config.model_copy(update={"full_precision": "first-and-last"}), seed=0
        )


def test_the_recipe_follows_the_network() -> None:
    """The authors' residual networks with normalisation, else their AlexNet's Adam."""
    from methods.trained_ternary_quantization import _rule, _training

    config = TrainedTernaryConfig()
    with_norm, without = residual_network(1, 0), lenet_5(0)
    assert _training(with_norm, config).optimizer == "sgd"
    assert _training(with_norm, config).learning_rate == 0.1
    assert _training(with_norm, config).weight_decay == 2e-4
    assert _training(without, config).optimizer == "adam"
    assert _training(without, config).learning_rate == 1e-4
    assert _rule(with_norm, config, trains=True).initial_scale == "one"
    assert _rule(with_norm, config, trains=False).initial_scale == "mean"
    assert _rule(without, config, trains=True).initial_scale == "mean"


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, 1), (81, 1), (82, 0.1), (123, 0.01), (300, 0.01), (301, 0.002)]
)
def test_the_rate_drops_where_the_released_log_does(epoch: int, factor: float) -> None:
    assert _drop(RECIPES["sgd"].drops, epoch / 400) == pytest.approx(factor)


def test_biases_and_normalisations_do_not_decay_and_scales_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The authors' decay matches every variable named W, the scales Wp and Wn among them."""
    seen: list[torch.optim.Optimizer] = []
    own = torch.optim.Adam

    def spy(*arguments: object, **named: object) -> torch.optim.Optimizer:
        seen.append(own(*arguments, **named))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(torch.optim, "Adam", spy)
    for decay_scales, decayed in ((True, 3 + 6), (False, 3)):
        config = TrainedTernaryConfig(
            full_precision="none", train_epochs=1, weight_decay=0.5, decay_scales=decay_scales
        )
        TrainedTernaryQuantization().compress(WatchedTask(), config, seed=0)
        by_decay = {group["weight_decay"]: group["params"] for group in seen[-1].param_groups}
        assert len(by_decay[0.5]) == decayed
        assert len(by_decay[0.0]) == 3 + 6 - (decayed - 3)


def test_without_data_weights_are_rounded_and_the_file_says_so() -> None:
    network = small_network(0)
    task = DatalessTask("network", copy.deepcopy(network), torch.device("cpu"))
    made = TrainedTernaryQuantization().compress(task, TrainedTernaryConfig(), seed=0)
    assert "nothing was trained" in made.metadata["remark"]
    held = made.formats["ip2.weight"]
    assert isinstance(held, Ternary)
    weight = network.get_parameter("ip2.weight").detach()
    members = weight > 0.05 * weight.abs().max()
    assert held.positive == pytest.approx(float(weight[members].mean()), rel=1e-6)


def test_binary_weights_with_a_share_of_zeros_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="binary weights have none"):
        TrainedTernaryConfig(weights="binary", zeros=0.4)


def test_a_residual_network_trains_with_ternary_weights_and_runs_from_its_file() -> None:
    network = residual_network(1, 0, size=8)
    rows = torch.randn(96, 1, 8, 8, generator=seeded(0))
    labels = (rows.mean(dim=(1, 2, 3)) > 0).long()
    from methods.training import ClassificationTask

    task = ClassificationTask(
        "resnet", network, lambda seed: residual_network(1, seed, size=8),
        (rows, labels), (rows, labels), batch_size=32,
    )  # fmt: skip
    config = TrainedTernaryConfig(
        full_precision="first", train_epochs=3, optimizer="adam", learning_rate=0.003
    )
    made = TrainedTernaryQuantization().compress(task, config, seed=0)
    assert sum(isinstance(held, Ternary) for held in made.formats.values()) == 7
    back = Compressed.from_bytes(made.to_bytes())
    dense = copy.deepcopy(network)
    made.fill(dense)
    dense.eval()
    with torch.inference_mode():
        torch.testing.assert_close(back.network(rows), dense(rows), rtol=1e-4, atol=1e-5)
    size = sum(
        np.frombuffer(part, np.uint8).size for part in back.formats["linear.weight"].pack().values()
    )
    assert size == 640 // 4 + 8 + 1
