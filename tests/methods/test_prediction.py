"""Dictionaries, factored layers, what layers are given, and autoencoders."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from methods.method import UnsuitableTask
from methods.prediction.dictionaries import (
    KINDS,
    STORED_KINDS,
    Dictionary,
    ridge_predictor,
    squared_exponential,
)
from methods.prediction.inputs import PATCHES, covariance, layer_inputs, trace
from methods.prediction.layers import Predicted, TwoFactors, limit_norms, with_fixed_first
from methods.prediction.pretraining import pretrain_layer, train_dictionary
from methods.training import ClassificationTask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def predicted(layer, kind, share=0.3, columns=3, seed=1):
    inputs = layer.weight[0].numel()
    pool = 2 * inputs if kind == "atoms" else 0
    grid = (1, 1, inputs) if kind == "squared-exponential" else (0, 0, 0)
    rule = Dictionary(kind, max(1, int(share * inputs)), columns, seed, 0.7, 0.1, grid, pool)
    stored = None
    if kind in STORED_KINDS:
        rows = np.random.default_rng(seed).standard_normal((2 * inputs, inputs))
        stored = rule.select(rows if pool else np.cov(rows.T).reshape(inputs, inputs))
    return Predicted(layer, rule, stored, init_range=0.5, generator=generator(seed))


# Dictionaries


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**64 - 1), st.floats(0.0, 1.0))
def test_each_column_draws_without_replacement(inputs, columns, seed, share):
    rule = Dictionary("positions", int(share * inputs), columns, seed)
    drawn = rule.draws(inputs)
    assert len(drawn) == columns
    for alpha in drawn:
        assert len(alpha) == rule.atoms
        assert (np.diff(alpha) > 0).all()
        assert not alpha.size or 0 <= alpha[0] <= alpha[-1] < inputs


def test_columns_and_seeds_draw_their_own():
    draws = {
        tuple(alpha.tolist())
        for seed in (0, 1, 2**32, 2**63)
        for alpha in Dictionary("positions", 20, 10, seed).draws(784)
    }
    assert len(draws) == 40


def test_each_input_is_drawn_as_often():
    counts = np.zeros(50)
    for alpha in Dictionary("positions", 10, 4000, 7).draws(50):
        counts[alpha] += 1
    # 800 times each, with a deviation of 25: five of them hold for all fifty.
    assert abs(counts - 800).max() < 125


def test_the_kernel_is_that_of_distances_within_a_channel():
    grid, scale = (2, 3, 4), 1.3
    kernel = squared_exponential(grid, scale)
    places = list(np.ndindex(grid))
    for n, (c, y, x) in enumerate(places):
        for m, (d, v, u) in enumerate(places):
            wanted = np.exp(-0.5 * ((y - v) ** 2 + (x - u) ** 2) / scale**2) if c == d else 0
            assert kernel[n, m] == pytest.approx(wanted, abs=1e-12)
    alpha = np.array([1, 5, 23])
    assert np.array_equal(squared_exponential(grid, scale, alpha), kernel[alpha])


def test_the_predictor_is_kernel_ridge_regression():
    """Against the dual form, weight by weight; without ridge it meets what it was given."""
    kernel = squared_exponential((1, 5, 6), 1.5)
    alpha = np.array([0, 7, 8, 15, 22, 29])
    known = np.random.default_rng(0).standard_normal(6)
    for ridge in (0.1, 1e-9):
        found = ridge_predictor(kernel[alpha], alpha, ridge) @ known
        dual = np.linalg.inv(kernel[np.ix_(alpha, alpha)] + ridge * np.eye(6)) @ known
        assert np.allclose(found, [kernel[n, alpha] @ dual for n in range(30)], atol=1e-9)
    assert np.allclose(found[alpha], known, atol=1e-6)


def test_smooth_filters_are_told_by_a_quarter_of_their_pixels():
    """The paper's premise, in small: less error than half, where a random basis gains nothing."""
    grid = (1, 12, 12)
    roots = np.linalg.cholesky(squared_exponential(grid, 2.0) + 1e-6 * np.eye(144))
    filters = roots @ np.random.default_rng(1).standard_normal((144, 20))
    rule = Dictionary("squared-exponential", 36, 1, 3, 2.0, 0.01, grid)
    factor = next(rule.factors(144)).astype(np.float64)
    known = filters[rule.draws(144)[0]]
    assert np.linalg.norm(factor @ known - filters) < 0.5 * np.linalg.norm(filters)
    blank = next(Dictionary("positions", 36, 1, 3).factors(144)).astype(np.float64)
    assert np.linalg.norm(blank @ known - filters) > 0.7 * np.linalg.norm(filters)


def test_random_factors_are_of_their_scale():
    gaussian = next(Dictionary("gaussian", 200, 1, 0, scale=0.25).factors(500))
    assert gaussian.std() == pytest.approx(0.25, rel=0.02)
    assert gaussian.mean() == pytest.approx(0, abs=0.005)
    uniform = next(Dictionary("uniform", 200, 1, 0, scale=0.1).factors(500))
    assert uniform.min() == pytest.approx(-0.1, abs=1e-4)
    assert uniform.max() == pytest.approx(0.1, abs=1e-4)
    assert uniform.mean() == pytest.approx(0, abs=0.001)


# Layers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 200])
def test_a_predicted_layer_is_the_dense_one_of_its_weight(kind, batch):
    layer = predicted(nn.Linear(20, 11), kind)
    x, hidden = randn(batch, 20), randn(batch, 11)
    assert layer.weight.shape == (11, 20)
    dense = layer.weight.detach().requires_grad_()
    wanted = functional.linear(x, dense, layer.bias)
    assert torch.allclose(layer(x), wanted, atol=1e-4)
    assert torch.allclose(layer.from_features(layer.features(x)), wanted, atol=1e-4)
    assert torch.allclose(layer.backward_product(hidden), hidden @ dense, atol=1e-4)
    (wanted * hidden).sum().backward()
    (layer(x) * hidden).sum().backward()
    for place, fixed in zip(layer.places, layer.fixed, strict=True):
        chained = fixed @ dense.grad[place].T
        assert torch.allclose(layer.values.grad[:, place], chained, rtol=1e-3, atol=1e-3)
    assert torch.allclose(layer.to_format().decode(), layer.weight, atol=1e-5)
    assert not any(parameter.shape == layer.fixed.shape for parameter in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_predicted_convolution_is_that_of_its_weight(kind):
    layer = predicted(nn.Conv2d(3, 7, (3, 2), (2, 1), "valid", bias=False), kind)
    x = randn(2, 3, 9, 8)
    assert torch.allclose(layer(x), functional.conv2d(x, layer.weight, None, (2, 1)), atol=1e-5)
    same = predicted(nn.Conv2d(3, 7, 3, padding=1, dilation=2), kind)
    wanted = functional.conv2d(x, same.weight, same.bias, padding=1, dilation=2)
    assert torch.allclose(same(x), wanted, atol=1e-5)
    assert torch.allclose(same.to_format().decode(), same.weight, atol=1e-5)


def test_two_factors_are_both_learned():
    layer = TwoFactors(nn.Linear(20, 11), 3, init_range=0.5, generator=generator())
    x, hidden = randn(4, 20), randn(4, 11)
    assert torch.allclose(layer(x), functional.linear(x, layer.weight, layer.bias), atol=1e-5)
    assert torch.allclose(layer.backward_product(hidden), hidden @ layer.weight, atol=1e-5)
    layer(x).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    assert layer.learned_weights == 3 * (20 + 11)
    assert torch.allclose(layer.to_format().decode(), layer.weight, atol=1e-5)
    filters = TwoFactors(nn.Conv2d(3, 7, 3), 2, init_range=0.5, generator=generator())
    images = randn(2, 3, 6, 6)
    wanted = functional.conv2d(images, filters.weight, filters.bias)
    assert torch.allclose(filters(images), wanted, atol=1e-5)


def test_the_first_fixed_factor_stands_apart_and_parameters_are_shared():
    first = predicted(nn.Linear(20, 11), "squared-exponential")
    network = nn.Sequential(nn.Flatten(), first, nn.Sigmoid(), nn.Linear(11, 4))
    x = randn(6, 4, 5)
    apart = with_fixed_first(network, 6, 2**20)
    assert apart is not network
    assert torch.allclose(apart(x), network(x), atol=1e-5)
    learned = [one for one in apart.parameters() if one.requires_grad]
    assert {id(one) for one in learned} == {id(one) for one in network.parameters()}
    assert with_fixed_first(network, 2**20, 2**20) is network
    assert with_fixed_first(nn.Sequential(nn.Linear(20, 4)), 6, 2**20)[0].in_features == 20


def test_norms_are_limited_in_place_and_small_ones_are_left():
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    filters = torch.full((1, 1, 2, 2), 1.0).to(memory_format=torch.channels_last)
    limit_norms([weight.T.T, filters], 1.0)
    assert torch.allclose(weight, torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
    assert torch.allclose(filters, torch.full((1, 1, 2, 2), 0.5))


# What layers are given


def image_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(1, 3, 3),
                relu=nn.ReLU(),
                pool=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                drop=nn.Dropout(0.5),
                ip1=nn.Linear(27, 8),
                norm=nn.BatchNorm1d(8),
                sigmoid=nn.Sigmoid(),
                ip2=nn.Linear(8, 4),
            )
        )


def image_task(rows=60, batch_size=25):
    inputs, targets = randn(rows, 1, 8, 8).sigmoid(), torch.arange(rows) % 4
    held = (inputs, targets)
    network = image_network()
    return ClassificationTask(
        "images", network, lambda seed: image_network(), held, held, batch_size=batch_size
    )


def test_layers_come_in_the_order_of_a_run_with_their_grids():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = nn.Linear(6, 3), nn.Linear(12, 6)
            self.unused, self.tanh = nn.Linear(2, 2), nn.Tanh()

        def forward(self, x):
            return self.second(self.tanh(self.first(x.flatten(1))))

    places = trace(Crossed(), randn(2, 3, 4))
    assert [place.name for place in places] == ["first", "second"]
    assert [place.grid for place in places] == [(1, 3, 4), None]
    assert isinstance(places[0].activation, nn.Tanh)
    network = image_network().train()
    places = trace(network, randn(2, 1, 8, 8))
    assert [(one.name, one.grid) for one in places] == [
        ("conv", (1, 3, 3)), ("ip1", (3, 3, 3)), ("ip2", None)
    ]  # fmt: skip
    assert isinstance(places[0].activation, nn.ReLU)
    assert places[1].activation is None  # a normalisation stands between
    assert network.training


def test_a_layer_is_given_what_those_below_make():
    task = image_task()
    network = task.network.eval()
    for name in ("ip1", "ip2"):
        layer = network.get_submodule(name)
        rows = torch.cat(list(layer_inputs(task, network, layer, seed=3)))
        below = network[: list(network).index(layer)]
        wanted = torch.cat([below(x) for x, _, _ in task.train_batches(3)])
        assert torch.equal(rows, wanted)
        assert not rows.requires_grad
    layer = network.conv
    patches = torch.cat(list(layer_inputs(task, network, layer, seed=3)))
    assert patches.shape == (3 * 8 * 36, 9)  # all of eight images of each batch
    assert len(patches) < PATCHES
    made = functional.linear(patches, layer.weight.flatten(1), layer.bias)
    x = next(iter(task.train_batches(3)))[0][:8]
    wanted = layer(x).permute(0, 2, 3, 1).reshape(-1, 3)
    apart = (wanted[:, None] - made[None, : 8 * 36]).abs().amax(dim=2)
    assert bool((apart.amin(dim=1) < 1e-5).all())  # each output is some patch's
    assert not network.conv._forward_pre_hooks


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 8), st.booleans(), st.integers(0, 99))
def test_the_covariance_is_numpys(rows, inputs, squared, seed):
    x = randn(rows, inputs, seed=seed) + 5
    found = covariance(iter(x.split(7)), squared=squared)
    wanted = np.cov((x**2 if squared else x).double().numpy(), rowvar=False)
    assert np.allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-3)


# Autoencoders

RECIPE = {"learning_rate": 0.1, "batch_size": 10, "seed": 4}


def patterns(rows=200):
    """Rows between 0 and 1 that three numbers tell."""
    return (randn(rows, 3) @ randn(3, 12, seed=1)).sigmoid()


def reconstruction(rows, encode, decode):
    back = decode(torch.sigmoid(encode(rows)))
    return float(((torch.sigmoid(back) - rows) ** 2).sum(dim=1).mean())


def test_a_dictionary_learns_to_reconstruct():
    rows = patterns()
    start = train_dictionary(rows, 8, epochs=0, **RECIPE)
    assert start.shape == (8, 12)
    assert float(start.abs().max()) <= 0.001
    learned = train_dictionary(rows, 8, epochs=30, **RECIPE)
    # Biases are no part of it, so the atoms tell: their span holds what rows differ in.
    centred = rows - rows.mean(dim=0)

    def missed(atoms):
        basis = torch.linalg.qr(atoms.T).Q[:, :8]
        return float((centred - centred @ basis @ basis.T).norm() / centred.norm())

    random = randn(8, 12, seed=9)
    assert missed(learned) < 0.6 * missed(random)
    assert torch.equal(learned, train_dictionary(rows, 8, epochs=30, **RECIPE))


@pytest.mark.parametrize("kind", ["dense", "low-rank", *KINDS])
def test_pre_training_lowers_the_cost_and_what_is_fixed_stays(kind):
    rows, dense = patterns(), nn.Linear(12, 10)
    with torch.no_grad():
        dense.weight.copy_(0.1 * randn(10, 12, seed=5))
        dense.bias.zero_()
    layer = dense
    if kind == "low-rank":
        layer = TwoFactors(dense, 4, init_range=0.3, generator=generator())
    elif kind != "dense":
        layer = predicted(dense, kind, share=0.6)
    fixed = copy.deepcopy(getattr(layer, "fixed", None))

    def cost():
        with torch.no_grad():
            return reconstruction(rows, layer, lambda hidden: hidden @ layer.weight)

    before = cost()
    recipe = RECIPE | {"momentum": 0.7, "decay": 1.00004, "most_norm": 1.0}
    pretrain_layer(layer, rows, nn.Sigmoid(), epochs=5, **recipe)
    assert cost() < before
    if fixed is not None:
        assert torch.equal(layer.fixed, fixed)
    own = layer.weight if kind == "dense" else layer.values.T
    assert float(own.detach().norm(dim=1).max()) <= 1 + 1e-5


def test_inputs_beyond_one_are_decoded_linearly_and_divergence_is_told():
    rows = 3 * randn(200, 12)
    layer = predicted(nn.Linear(12, 10), "gaussian", share=1.0)
    recipe = RECIPE | {"momentum": 0.7, "decay": 1.0, "most_norm": 9.0}

    def unexplained():
        hidden = torch.sigmoid(layer(rows)).detach()
        back = torch.linalg.lstsq(hidden, rows).solution
        return float((hidden @ back - rows).norm())

    pretrain_layer(layer, rows, nn.Sigmoid(), epochs=20, **recipe)
    assert bool(torch.isfinite(layer.values).all())
    assert unexplained() < float(rows.norm())
    with pytest.raises(UnsuitableTask, match="lower pretraining_learning_rate"):
        pretrain_layer(layer, rows, nn.Identity(), epochs=9, **recipe | {"learning_rate": 1e9})
