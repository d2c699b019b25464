"""Product quantization of a weight: what k-means must hold, and how a tensor is cut up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.product_quantized import ProductQuantized
from methods.product_quantization import (
    kmeans_by_subspace,
    lloyd,
    product_quantize,
    subspace_vectors,
)
from methods.seeds import seeded


def squared_error(weight: torch.Tensor, held: ProductQuantized) -> float:
    """The error of the weights (eq. 5, 7), summed over all subspaces."""
    return float((weight.double() - held.decode().double()).square().sum())


def weight_of(shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


def nearest(vectors, codebooks):
    return (vectors.unsqueeze(2) - codebooks.unsqueeze(1)).square().sum(3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=4).map(tuple),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 999),
)
def test_each_vector_has_its_nearest_codeword_and_each_codeword_is_the_mean_of_its_own(
    shape, width, codewords, seed
):
    weight = weight_of(shape, seed)
    held = product_quantize(weight, width, codewords, seed=seed)
    assert held.shape == shape
    assert held.subspace == min(width, shape[1])
    vectors = subspace_vectors(weight, held.subspace)
    assert held.codewords == min(codewords, vectors.shape[1])
    codes = torch.from_numpy(held.codes).long()
    by_row = codes.reshape(-1, *codes.shape[-2:]).transpose(0, 1).reshape(len(vectors), -1)
    distances = nearest(vectors, torch.from_numpy(held.codebooks))
    own = distances.gather(2, by_row.unsqueeze(2)).squeeze(2)
    assert bool((own <= distances.amin(2) + 1e-5).all())
    for subspace, taken in enumerate(by_row):
        for code in taken.unique():
            mean = vectors[subspace, taken == code].mean(0).numpy()
            assert held.codebooks[subspace, int(code)] == pytest.approx(mean, abs=1e-5)
    assert squared_error(weight, held) == pytest.approx(float(own.sum()), rel=1e-5, abs=1e-4)


def test_as_many_codewords_as_vectors_give_the_weight_itself():
    weight = weight_of((6, 10, 2, 2))
    held = product_quantize(weight, 4, 256, seed=0)
    assert held.codewords == 24
    assert torch.equal(held.decode(), weight)


def test_more_codewords_and_narrower_subspaces_are_nearer():
    weight = weight_of((200, 24))
    errors = [squared_error(weight, product_quantize(weight, 4, k, seed=0)) for k in (4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    errors = [squared_error(weight, product_quantize(weight, d, 16, seed=0)) for d in (1, 2, 4, 8)]
    assert errors == sorted(errors)


def test_clusters_that_are_there_are_found():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    own = torch.arange(400) % 4
    vectors = centres[own] + 0.1 * weight_of((400, 2))
    codebooks, codes = kmeans_by_subspace(vectors.unsqueeze(0), 4, seed=3, iterations=50)
    ordered = codebooks[0][codebooks[0].round().mul(torch.tensor([1.0, 2.0])).sum(1).argsort()]
    assert torch.allclose(ordered, centres, atol=0.05)
    assert len({(int(a), int(b)) for a, b in zip(own, codes[0], strict=True)}) == 4


def test_an_empty_cluster_takes_a_vector():
    places = torch.tensor([[10.0], [11.0], [15.0]]).repeat(20, 1).unsqueeze(0)
    # Nothing is near to two of the three centres.
    centres, codes = lloyd(places, torch.tensor([[[10.0], [100.0], [200.0]]]), 50)
    assert sorted(centres.flatten().tolist()) == [10, 11, 15]
    assert torch.equal(centres[0][codes[0]], places[0])
    # Three places and five codewords: two have nothing of their own, and none is lost.
    codebooks, codes = kmeans_by_subspace(places, 5, seed=0, iterations=50)
    assert torch.equal(codebooks[0][codes[0]], places[0])
    assert bool(codebooks.isfinite().all())


def test_subspaces_do_not_depend_on_each_other_and_positions_share_a_codebook():
    weight = weight_of((8, 6, 1, 3))
    vectors = subspace_vectors(weight, 4)
    assert tuple(vectors.shape) == (2, 24, 4)
    assert vectors[0, 8 + 5].tolist() == weight[5, :4, 0, 1].tolist()
    assert vectors[1, 5].tolist() == [*weight[5, 4:, 0, 0].tolist(), 0, 0]
    changed = weight.clone()
    changed[:, 4:] *= 2
    one, other = (product_quantize(w, 4, 5, seed=0) for w in (weight, changed))
    assert np.array_equal(one.codebooks[0], other.codebooks[0])
    assert one.codebooks.shape == (2, 5, 4)


def test_the_seed_decides_and_nothing_else():
    weight = weight_of((60, 16))
    first = product_quantize(weight, 4, 8, seed=1)
    torch.manual_seed(99)
    assert product_quantize(weight, 4, 8, seed=1) == first
    assert product_quantize(weight, 4, 8, seed=2) != first


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,)])
def test_what_has_nothing_to_cluster_is_refused(shape):
    with pytest.raises(ValueError, match="nothing to cluster"):
        product_quantize(torch.zeros(shape), 2, 2, seed=0)
