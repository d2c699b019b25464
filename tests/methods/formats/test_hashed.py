"""Hashed weights: laws, the hash functions for ever, worked numbers, and damaged parts."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.hashed import Hashed
from methods.hashing import (
    GOLDEN,
    MAX_SEED,
    buckets_and_signs,
    derived_seed,
    index_pieces,
    mix,
    packed_index,
)

seeds = st.integers(0, MAX_SEED)


def make(shape, share, seed):
    weights = math.prod(shape)
    count = min(weights, max(1, round(share * weights)))
    values = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    return Hashed(shape, values, seed)


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
shares = st.floats(0, 1)


@settings.get_profile("laws")
@given(any_shapes, shares, seeds)
def test_what_is_packed_comes_back(round_trip, shape, share, seed):
    round_trip(make(shape, share, seed))


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(0, 12), st.integers(0, 60)), shares, seeds)
def test_laws(laws, shape, share, seed):
    laws(make(shape, share, seed), 3)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(convolution_law, groups):
    held = make((4, 3, 3, 2), 0.2, 1)
    convolution_law(held, groups)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


@settings(max_examples=60, deadline=None)
@given(any_shapes, shares, seeds)
def test_each_weight_is_a_stored_value_with_its_sign(shape, share, seed):
    held = make(shape, share, seed)
    places, signs = buckets_and_signs(packed_index(seed, held.weights, held.values.size))
    wanted = signs * held.values[places]
    assert held.decode().numpy().tobytes() == wanted.reshape(shape).tobytes()


def test_values_that_are_no_numbers_come_back(round_trip):
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40], np.float32)
    round_trip(Hashed((7, 9), odd, 3))


def test_the_hash_gives_these_numbers_for_ever():
    """SplitMix64 from 0 as its authors publish it; all else as first released."""
    states = np.array([GOLDEN * step % 2**64 for step in (1, 2, 3)], np.uint64)
    assert [hex(one) for one in mix(states).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]
    assert derived_seed(0, 0) == 16294208416658607535
    assert derived_seed(1, 2, 3) == 1072907043932612987
    assert packed_index(2015, 8, 1000).tolist() == [246, 1605, 952, 1578, 1929, 1417, 415, 1470]
    assert packed_index(0, 4, 7).tolist() == [3, 3, 13, 2]


def test_worked_numbers():
    held = Hashed((2, 2), np.array([1, 2, 3, 4]), 0)
    assert packed_index(0, 4, 4).tolist() == [3, 1, 7, 0]
    assert held.decode().tolist() == [[-2.0, -1.0], [-4.0, 1.0]]
    assert held.pack() == {
        "values": bytes.fromhex("0000803f000000400000404000008040"),
        "seed": bytes(8),
    }
    assert Hashed((3,), np.ones(2), 258).pack()["seed"] == bytes([2, 1, 0, 0, 0, 0, 0, 0])


def test_pieces_are_those_of_the_whole():
    whole = packed_index(5, 40_000, 777)
    parts = {place.start: piece for place, piece in index_pieces(5, 40_000, 777)}
    assert len(parts) > 2
    assert np.array_equal(np.concatenate([parts[start] for start in sorted(parts)]), whole)
    # A weight's hash depends on its place alone.
    assert np.array_equal(packed_index(5, 100, 777), whole[:100])


def test_buckets_and_signs_are_even_and_independent():
    """Chi-squared over buckets and signs together, and over neighbours: 6 deviations at most."""
    weights, buckets = 200_000, 100
    index = packed_index(11, weights, buckets)
    pairs = [
        (np.bincount(index, minlength=2 * buckets), weights),
        (np.bincount(index[:-1] % 20 * 20 + index[1:] % 20, minlength=400), weights - 1),
    ]
    other = packed_index(12, weights, buckets)
    pairs.append((np.bincount(index % 20 * 20 + other % 20, minlength=400), weights))
    for counts, total in pairs:
        expected = total / counts.size
        chi_squared = float(((counts - expected) ** 2 / expected).sum())
        freedom = counts.size - 1
        assert abs(chi_squared - freedom) < 6 * math.sqrt(2 * freedom)


def test_a_hashed_product_is_unbiased():
    """The sign makes the mean of a virtual product over seeds that of no sharing: here 0."""
    x = torch.ones(1, 200)
    values = np.full(5, 1.0)
    products = torch.cat([Hashed((4, 200), values, seed).multiply(x) for seed in range(400)])
    deviation = math.sqrt(200 / products.numel())
    assert abs(float(products.mean())) < 5 * deviation
    assert float(products.var()) == pytest.approx(200, rel=0.2)


def test_bytes_are_values_and_a_seed():
    assert make((1000, 784), 1 / 8, 0).size_bytes() == {"values": 4 * 98_000, "seed": 8}


def test_the_product_is_not_decoded_each_time(monkeypatch):
    held = make((4, 6), 0.5, 0)
    first = held.multiply(torch.ones(1, 6))
    monkeypatch.setattr(Hashed, "decode", None)
    assert torch.equal(held.multiply(torch.ones(1, 6)), first)


@pytest.mark.parametrize(
    ("shape", "count", "seed"),
    [((2, 3), 0, 0), ((2, 3), 7, 0), ((0, 3), 1, 0), ((2, 3), 2, -1), ((2, 3), 2, 2**64)],
)
def test_what_is_no_hashed_layer_is_refused(shape, count, seed):
    with pytest.raises(ValueError, match=r"values for|seed"):
        Hashed(shape, np.ones(count), seed)


def test_values_are_a_list():
    with pytest.raises(ValueError, match="a list"):
        Hashed((2, 3), np.ones((2, 2)), 0)


def test_missing_unknown_and_cut_parts_are_refused():
    shape = (7, 10)
    parts = make(shape, 0.1, 5).pack()
    for part, content in parts.items():
        with pytest.raises(FormatError):
            Hashed.unpack(shape, {k: v for k, v in parts.items() if k != part})
        for other in (content[:-1], content + b"\0", b""):
            with pytest.raises(FormatError):
                Hashed.unpack(shape, parts | {part: other})
    with pytest.raises(FormatError):
        Hashed.unpack(shape, parts | {"more": b""})
    with pytest.raises(FormatError, match="7 values for a tensor of 6"):
        Hashed.unpack((2, 3), parts)


def test_nothing_is_allocated_from_a_shape():
    parts = make((7, 10), 0.1, 5).pack()
    tracemalloc.start()
    try:
        assert Hashed.unpack((2**15, 2**16), parts).shape == (2**15, 2**16)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < 1 << 20


@settings(max_examples=60, deadline=None)
@given(st.data(), seeds)
def test_changed_parts_are_another_layer(data, seed):
    held = make((5, 13), 0.3, seed)
    parts = dict(held.pack())
    part = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[part])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    found = Hashed.unpack(held.shape, parts | {part: bytes(content)})
    assert found != held
    assert tuple(found.decode().shape) == held.shape
    assert Hashed.unpack(held.shape, found.pack()) == found
