"""Steps that papers share: magnitude pruning and weight sharing."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from methods.cluster import initial_centroids, kmeans
from methods.networks import LENET_300_100_PARAMETERS, float32_bytes, lenet_300_100
from methods.prune import apply_masks, density_schedule, magnitude_mask

values = arrays.arrays(
    np.float32, st.integers(1, 200), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


@given(weights=values, density=st.floats(0, 1))
def test_exactly_the_share_survives_and_no_survivor_is_smaller_than_a_pruned_weight(
    weights, density
):
    tensor = torch.from_numpy(weights)
    mask = magnitude_mask(tensor, density)
    assert int(mask.sum()) == round(density * tensor.numel())
    kept, gone = tensor[mask].abs(), tensor[~mask].abs()
    if len(kept) and len(gone):
        assert kept.min() >= gone.max()


def test_a_density_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        magnitude_mask(torch.ones(3), 1.5)


@given(target=st.floats(0.01, 1), rounds=st.integers(1, 10))
def test_the_schedule_falls_to_the_target(target, rounds):
    schedule = density_schedule(target, rounds)
    assert len(schedule) == rounds
    assert schedule[-1] == target
    assert all(a >= b for a, b in pairwise(schedule))


def test_masks_are_applied_in_place():
    network = nn.Sequential(nn.Linear(4, 2))
    mask = torch.tensor([[True, False, True, False], [False, True, False, True]])
    apply_masks(network, {"0.weight": mask})
    assert (network[0].weight[~mask] == 0).all()
    assert (network[0].weight[mask] != 0).any()


@given(
    weights=values,
    clusters=st.integers(1, 20),
    how=st.sampled_from(["linear", "density", "random"]),
)
def test_each_value_has_its_nearest_centroid_and_each_centroid_is_its_members_mean(
    weights, clusters, how
):
    centroids, codes = kmeans(weights, clusters, how, seed=3)
    assert len(centroids) <= clusters
    assert (np.diff(centroids) > 0).all()
    data = weights.astype(np.float64)
    distance = np.abs(data[:, None] - centroids[None, :])
    assert np.allclose(distance[np.arange(len(data)), codes], distance.min(axis=1), atol=1e-9)
    for code in range(len(centroids)):
        assert centroids[code] == pytest.approx(data[codes == code].mean(), abs=1e-9)


def test_as_many_clusters_as_values_lose_nothing():
    weights = np.array([-1.0, 0.25, 2.0, 7.0])
    centroids, codes = kmeans(weights, 4, "density")
    assert centroids[codes] == pytest.approx(weights)


def test_the_three_initialisations_are_the_papers():
    weights = np.array([0.0, 0.0, 0.0, 1.0, 10.0])
    assert initial_centroids(weights, 3, "linear", 0) == pytest.approx([0, 5, 10])
    assert initial_centroids(weights, 5, "density", 0) == pytest.approx(
        np.quantile(weights, [0.1, 0.3, 0.5, 0.7, 0.9])
    )
    assert set(initial_centroids(weights, 3, "random", 0)) <= set(weights)


def test_linear_initialisation_keeps_the_large_weights():
    # Section 3.2: density and random leave no centroid near the few large weights.
    generator = np.random.default_rng(0)
    weights = np.concatenate([generator.normal(0, 0.05, 2000), [1.5, -1.5]])
    ends = {how: initial_centroids(weights, 8, how, 0)[-1] for how in ("linear", "density")}
    assert ends["linear"] == 1.5
    assert ends["density"] < 0.2


def test_nothing_and_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="nothing to cluster"):
        kmeans(np.empty(0), 4)
    with pytest.raises(ValueError, match="finite"):
        kmeans(np.array([1.0, np.nan]), 2)


def test_the_network_has_the_published_size():
    network = lenet_300_100(0)
    assert float32_bytes(network) == 4 * LENET_300_100_PARAMETERS == 1_066_440
    same = lenet_300_100(0)
    assert all(map(torch.equal, network.parameters(), same.parameters()))
    assert not torch.equal(network.ip1.weight, lenet_300_100(1).ip1.weight)
