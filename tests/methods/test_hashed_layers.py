"""Layers of few stored values: gradients against dense references, and the counts of the paper."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from methods import hashed_layers
from methods.equal_storage import Budget, narrowed, narrowed_widths, parameters_of, share_of
from methods.formats.fixed_factor import FixedFactor
from methods.formats.sparse import Sparse
from methods.hashed_layers import HashedLinear, RandomEdges, RandomFactor
from methods.hashing import buckets_and_signs, packed_index
from methods.kernels.choice import VARIABLE
from methods.kernels.hashed import HashedIndex
from methods.method import UnsuitableTask
from methods.networks import mlp_3x1000, mlp_1000


@pytest.fixture(params=["numba", "torch"])
def kernels(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param


def hashed(inputs, outputs, share, seed=0, **settings):
    layer = nn.Linear(inputs, outputs)
    return HashedLinear(layer, Budget.of(layer, share, True), seed, **settings)


@pytest.mark.parametrize(("weights", "buckets"), [(1, 1), (7, 7), (3000, 5), (5000, 1200)])
def test_both_ways_equal_a_dense_one_hot_matrix(kernels, weights, buckets):
    index = packed_index(3, weights, buckets)
    places, signs = buckets_and_signs(index)
    matrix = torch.zeros(weights, buckets)
    matrix[torch.arange(weights), torch.from_numpy(places)] = torch.from_numpy(signs)
    held = HashedIndex(index, buckets)
    generator = torch.Generator().manual_seed(0)
    # Whole numbers, so that no order of summation rounds.
    values = torch.randint(-9, 9, (buckets,), generator=generator).float()
    gradient = torch.randint(-9, 9, (weights,), generator=generator).float()
    assert torch.equal(held.spread(values), matrix @ values)
    assert torch.equal(held.collect(gradient), matrix.T @ gradient)
    assert torch.equal(held.occupancy(), matrix.abs().sum(0))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.data())
def test_collecting_is_the_transpose_of_spreading(weights, data):
    """<spread(w), g> = <w, collect(g)>, whatever the index."""
    buckets = data.draw(st.integers(1, weights))
    held = HashedIndex(
        packed_index(data.draw(st.integers(0, 2**64 - 1)), weights, buckets), buckets
    )
    generator = torch.Generator().manual_seed(weights)
    values = torch.randint(-9, 9, (buckets,), generator=generator).float()
    gradient = torch.randint(-9, 9, (weights,), generator=generator).float()
    assert held.spread(values) @ gradient == values @ held.collect(gradient)


def test_an_index_outside_the_values_is_refused():
    with pytest.raises(ValueError, match="of 3 values"):
        HashedIndex(np.array([6], np.uint32), 3)


@pytest.mark.parametrize("rescaled", [False, True])
def test_the_layer_equals_torchs_own_gradients(kernels, rescaled):
    """Outputs and gradients against a dense layer whose weight torch gathers itself."""
    layer = hashed(30, 20, 0.2, rescale_gradient=rescaled)
    x = torch.randn(8, 30, requires_grad=True)
    towards = torch.randn(8, 20)
    values = layer.values.detach().clone().requires_grad_()
    bias_values = layer.bias_values.detach().clone().requires_grad_()
    seeds = {role: held.seed for role, held in layer.formats().items()}
    at, sign = buckets_and_signs(packed_index(seeds["weight"], 600, 120))
    bias_at, bias_sign = buckets_and_signs(packed_index(seeds["bias"], 20, 4))
    dense = (values[at] * torch.from_numpy(sign)).view(20, 30)
    bias = bias_values[bias_at] * torch.from_numpy(bias_sign)
    given_x = x.detach().clone().requires_grad_()
    wanted = functional.linear(given_x, dense, bias)
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    (wanted * towards).sum().backward()
    (found * towards).sum().backward()
    torch.testing.assert_close(x.grad, given_x.grad)
    shares = torch.from_numpy(np.bincount(at, minlength=120)).clamp(min=1) if rescaled else 1
    torch.testing.assert_close(layer.values.grad, values.grad / shares)
    counted = torch.from_numpy(np.bincount(bias_at, minlength=4)).clamp(min=1) if rescaled else 1
    torch.testing.assert_close(layer.bias_values.grad, bias_values.grad / counted)


@pytest.mark.parametrize("piece_bytes", [1, 4 * 30 * 6, 10**6])
def test_pieces_give_what_the_whole_gives(kernels, monkeypatch, piece_bytes):
    """Inputs whose gradient nobody wants go through pieces; in more dimensions too."""
    monkeypatch.setattr(hashed_layers, "PIECE_BYTES", piece_bytes)
    layer = hashed(30, 20, 0.2)
    x, towards = torch.randn(2, 4, 30), torch.randn(2, 4, 20)
    found = layer(x)
    (found * towards).sum().backward()
    by_pieces, layer.values.grad = layer.values.grad, None
    wanted = functional.linear(x, layer.weight, layer.bias)
    (wanted * towards).sum().backward()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(by_pieces, layer.values.grad)
    assert layer(torch.empty(0, 30)).shape == (0, 20)


def test_a_second_derivative_is_refused():
    layer = hashed(6, 5, 0.5)
    (first,) = torch.autograd.grad(layer(torch.randn(2, 6)).sum(), layer.values, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        first.sum().backward()


def test_a_backward_pass_after_a_step_is_refused():
    layer = hashed(6, 5, 0.5)
    found = layer(torch.randn(2, 6)).sum()
    with torch.no_grad():
        layer.values.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        found.backward()


def test_two_passes_before_a_step_add_up():
    layer = hashed(6, 5, 0.5)
    x = torch.randn(2, 6)
    (layer(x).sum() + layer(2 * x).sum()).backward()
    both = layer.values.grad.clone()
    layer.values.grad = None
    layer(3 * x).sum().backward()
    torch.testing.assert_close(both, layer.values.grad)


def test_baselines_store_as_many_values():
    """Of each layer: random edges exactly, the factor's rank down to a whole one."""
    layer = nn.Linear(48, 64)
    budget = Budget.of(layer, 0.25, True)
    edges, factor = RandomEdges(layer, budget, 0), RandomFactor(layer, budget, 0)
    assert edges.values.numel() + edges.bias.numel() == budget.total
    held = edges.formats()["weight"]
    assert isinstance(held, Sparse)
    assert torch.equal(held.decode(), edges.weight)
    assert factor.values.numel() + factor.bias.numel() <= budget.total
    assert factor.values.numel() + factor.bias.numel() > budget.total - 64
    learned = factor.formats()["weight"]
    assert isinstance(learned, FixedFactor)
    torch.testing.assert_close(learned.decode(), factor.weight)
    assert float(factor.get_buffer("fixed").std()) == pytest.approx(48**-0.5, rel=0.15)
    assert RandomEdges(nn.Linear(9, 4), Budget(1, 1), 0).values.numel() == 1
    assert RandomFactor(nn.Linear(9, 4), Budget(1, 1), 0).values.numel() == 4


def test_random_edges_train_like_a_masked_layer():
    layer = RandomEdges(nn.Linear(20, 10), Budget(60, 3), 1)
    dense = layer.weight.detach().clone().requires_grad_()
    x, towards = torch.randn(5, 20), torch.randn(5, 10)
    (functional.linear(x, dense, layer.bias.detach()) * towards).sum().backward()
    (layer(x) * towards).sum().backward()
    positions = layer.get_buffer("positions")
    torch.testing.assert_close(layer.values.grad, dense.grad.view(-1)[positions])
    assert torch.equal(dense.nonzero(), layer.weight.nonzero())


@pytest.mark.parametrize(
    ("times", "stored_3", "stored_5", "width_3", "width_5"),
    [
        (1, 795_010, 2_797_010, 1000, 1000),
        (2, 397_505, 1_398_505, 499, 660),
        (4, 198_753, 699_253, 249, 424),
        (8, 99_377, 349_627, 124, 263),
        (16, 49_689, 174_815, 62, 157),
        (32, 24_846, 87_410, 31, 89),
        (64, 12_424, 43_706, 15, 48),
    ],
)
def test_stored_values_and_equal_widths(times, stored_3, stored_5, width_3, width_5):
    for make, stored, width in ((mlp_1000, stored_3, width_3), (mlp_3x1000, stored_5, width_5)):
        layers = [one for one in make(0) if isinstance(one, nn.Linear)]
        found = sum(Budget.of(one, 1 / times, True).total for one in layers)
        assert found == stored
        network = narrowed(make(0), found)
        hidden = {one.out_features for one in network if isinstance(one, nn.Linear)} - {10}
        assert hidden == {width}
        assert [name for name, _ in network.named_children()] == [
            name for name, _ in make(0).named_children()
        ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.data())
def test_a_narrowed_network_is_the_widest_that_fits(widths, data):
    biases = [data.draw(st.booleans()) for _ in widths[1:]]
    least = parameters_of([widths[0], *[1] * (len(widths) - 2), widths[-1]], biases)
    most = data.draw(st.integers(least, parameters_of(widths, biases)))
    found = narrowed_widths(widths, biases, most)
    assert parameters_of(found, biases) <= most
    hidden, widest = found[1:-1], max(widths[1:-1], default=1)
    if hidden and max(hidden) < widest:
        wider = [max(1, one * (max(hidden) + 1) // widest) for one in widths[1:-1]]
        assert parameters_of([widths[0], *wider, widths[-1]], biases) > most
    with pytest.raises(UnsuitableTask, match="raise compression"):
        narrowed_widths(widths, biases, least - 1)


def test_a_share_is_rounded_up_and_a_tenth_is_a_tenth():
    assert [share_of(10, one) for one in (1.0, 0.5, 0.1, 0.11, 0.001)] == [10, 5, 1, 2, 1]
    assert share_of(7000, 0.1) == 700
    assert share_of(784_000, 1 / 64) == 12_250


def test_widths_in_pairs_count_as_torch_does():
    widths = [5, 4, 3, 2]
    layers = [nn.Linear(a, b, bias=b != 3) for a, b in itertools.pairwise(widths)]
    wanted = sum(one.numel() for layer in layers for one in layer.parameters())
    assert parameters_of(widths, [True, False, True]) == wanted
