"""Survivors with their own values: laws, worked numbers, both kernels, damaged parts."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.sparse import Sparse


@pytest.fixture(params=["torch", "numba"])
def path(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("NETCOMPRESS_KERNELS", request.param)
    return request.param


def make(shape, density, seed, index_bits=None, value_dtype="float32"):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < density
    dense = torch.randn(shape, generator=generator)
    return Sparse.from_mask(dense, mask, index_bits=index_bits, value_dtype=value_dtype)


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
densities = st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0])
seeds = st.integers(0, 2**31)
widths = st.none() | st.integers(1, 12)
types = st.sampled_from(["float32", "float16"])


@settings.get_profile("laws")
@given(any_shapes, densities, seeds, st.integers(1, 12), types)
def test_what_is_packed_comes_back(round_trip, shape, density, seed, index_bits, value_dtype):
    round_trip(make(shape, density, seed, index_bits, value_dtype))


@settings(max_examples=120, deadline=None)
@given(st.tuples(st.integers(0, 12), st.integers(0, 60)), densities, seeds, widths, types)
def test_laws(laws, shape, density, seed, index_bits, value_dtype):
    laws(make(shape, density, seed, index_bits, value_dtype), 5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_products_on_both_paths(laws, convolution_law, path, groups, density):
    laws(make((40, 70), density, 1))
    held = make((4, 3, 3, 2), density, 2)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


def test_padding_holds_no_value():
    # Two bits: a symbol is a step of 1 to 3, or passes over 3 places; steps here are 1, 4, 7, 3.
    held = Sparse((20,), np.array([0, 4, 11, 14]), np.array([1.0, 2.0, 3.0, 4.0]), index_bits=2)
    assert held.size_bytes()["values"] == 16
    parts = held.pack()
    # Symbols 0, 3 0, 3 3 0, 2 in fields of two bits: the table's byte 30 says so.
    assert parts["tables"] == bytes([2, 7, 30])
    assert parts["positions"] == bytes([0b00110011, 0b11001000])
    assert Sparse.unpack((20,), parts).positions.tolist() == [0, 4, 11, 14]


def test_one_bit_is_a_mask():
    held = Sparse((9,), np.array([1, 2, 8]), np.ones(3), index_bits=1)
    assert held.pack()["positions"] == bytes([0b10011111, 0b00000000])


@pytest.mark.parametrize("density", [0.01, 0.05, 0.1, 0.3, 0.5])
def test_places_cost_about_their_entropy(density):
    count = 100_000
    sizes = make((count,), density, 3).size_bytes()
    entropy = -(density * np.log2(density) + (1 - density) * np.log2(1 - density)) * count / 8
    assert sizes["positions"] + sizes["tables"] < 1.04 * entropy + 60


def test_the_shortest_width_is_taken():
    for density in (0.02, 0.4):
        chosen = make((60, 50), density, 1)
        lengths = {
            bits: len(b"".join(make((60, 50), density, 1, bits).pack().values()))
            for bits in range(1, 13)
        }
        assert lengths[chosen.index_bits] == min(lengths.values())


def test_a_survivor_of_value_zero_stays_and_odd_values_are_kept(round_trip):
    dense = torch.tensor([[0.0, 1.0, float("nan"), float("inf")]])
    held = Sparse.from_mask(dense, torch.tensor([[True, False, True, True]]))
    assert round_trip(held).positions.tolist() == [0, 2, 3]


def test_what_is_no_layer_is_refused():
    for positions, values in [([4], [1.0]), ([1, 1], [1.0, 2.0]), ([-1], [1.0]), ([0], [1.0, 2.0])]:
        with pytest.raises(ValueError):
            Sparse((4,), np.array(positions), np.array(values))
    with pytest.raises(ValueError):
        Sparse((4,), np.array([0]), np.ones(1), index_bits=13)


def test_missing_unknown_and_cut_parts_are_refused():
    parts = make((20, 30), 0.2, 5, 3).pack()
    for part, content in parts.items():
        with pytest.raises(FormatError):
            Sparse.unpack((20, 30), {k: v for k, v in parts.items() if k != part})
        for size in range(len(content)):
            with pytest.raises(FormatError):
                Sparse.unpack((20, 30), parts | {part: content[:size]})
        with pytest.raises(FormatError):
            Sparse.unpack((20, 30), parts | {part: content + b"\0"})
    for other in ({"more": b""}, {"tables": b"\x20" + parts["tables"][1:]},
                  {"values": parts["values"] + bytes(4)}):  # fmt: skip
        with pytest.raises(FormatError):
            Sparse.unpack((20, 30), parts | other)
    with pytest.raises(FormatError):
        Sparse.unpack((2, 30), parts)
    with pytest.raises(FormatError, match="padding"):  # one padding symbol, no value
        Sparse.unpack((9,), {"values": b"", "positions": b"\xc0", "tables": bytes([2, 1, 30])})


def test_unpacking_takes_memory_by_the_bytes_not_by_the_claims():
    size = 1 << 20
    held = Sparse((size,), np.arange(0, size, 64), np.ones(size // 64), index_bits=1)
    parts = held.pack()
    tracemalloc.start()
    try:
        assert Sparse.unpack((size,), parts) == held
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with pytest.raises(FormatError, match="symbols"):
            Sparse.unpack((1000,), parts)
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * size
    assert refused < 1 << 20


@settings(max_examples=120, deadline=None)
@given(st.data(), st.integers(1, 12), types)
def test_changed_parts_are_another_layer_or_a_format_error(data, index_bits, value_dtype):
    held = make((9, 31), 0.2, data.draw(st.integers(0, 20)), index_bits, value_dtype)
    parts = dict(held.pack())
    part = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[part])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Sparse.unpack(held.shape, parts | {part: bytes(content)})
    except FormatError:
        return
    assert tuple(found.decode().shape) == held.shape
    assert Sparse.unpack(held.shape, found.pack()) == found
