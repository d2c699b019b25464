"""Product quantization as a format: laws, Table 1's sizes, worked numbers, damaged parts."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.product_quantized import (
    ProductQuantized,
    code_bits,
    codes_shape,
    stored_bytes,
    subspace_count,
)


def make(shape, width, codewords, seed, whole=False):
    """``whole``: small integers, of which no sum is rounded."""
    width = min(width, max(1, shape[1]))
    codewords = min(codewords, max(1, math.prod((shape[0], *shape[2:]))))
    generator = np.random.default_rng(seed)
    books = (subspace_count(shape[1], width), codewords, width)
    values = generator.integers(-8, 9, books) if whole else generator.standard_normal(books)
    codes = generator.integers(0, codewords, codes_shape(shape, width))
    return ProductQuantized(shape, codes, values.astype(np.float32))


any_shapes = st.lists(st.integers(0, 6), min_size=2, max_size=5).map(tuple)
widths, sizes, seeds = st.integers(1, 9), st.integers(1, 256), st.integers(0, 2**31)


@settings.get_profile("laws")
@given(any_shapes, widths, sizes, seeds)
def test_what_is_packed_comes_back(round_trip, shape, width, codewords, seed):
    round_trip(make(shape, width, codewords, seed))


@settings(max_examples=120, deadline=None)
@given(st.tuples(st.integers(0, 40), st.integers(0, 60)), widths, sizes, seeds)
def test_laws(laws, shape, width, codewords, seed):
    laws(make(shape, width, codewords, seed), 3)


@pytest.mark.parametrize("kernels", ["auto", "torch"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_convolution(convolution_law, monkeypatch, kernels, groups, width):
    monkeypatch.setenv("NETCOMPRESS_KERNELS", kernels)
    held = make((4, 5, 3, 2), width, 20, 1)
    convolution_law(held, groups)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


@pytest.mark.parametrize("kernels", ["auto", "torch"])
@pytest.mark.parametrize("batch", [1, 40])
def test_a_product_of_whole_numbers_is_exact(monkeypatch, kernels, batch):
    monkeypatch.setenv("NETCOMPRESS_KERNELS", kernels)
    held = make((70, 37), 4, 32, 2, whole=True)
    x = torch.randint(-9, 10, (batch, 37), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(held.multiply(x), x @ held.decode().T)


def test_nothing_is_decoded_for_a_product(monkeypatch):
    held, x = make((6, 8), 4, 4, 0), torch.ones(1, 8)
    first = held.multiply(x)
    monkeypatch.setattr(ProductQuantized, "decode", None)
    assert torch.equal(held.multiply(x), first)
    with pytest.raises(ValueError, match="nothing is multiplied"):
        make((6, 8, 3), 4, 4, 0).multiply(x)


def test_worked_numbers():
    books = np.array([[[1, 2], [3, 4], [5, 6]], [[7, 99], [8, 99], [9, 99]]], np.float32)
    held = ProductQuantized((3, 3), np.array([[0, 2, 1], [1, 1, 0]]), books)
    assert held.decode().tolist() == [[1, 2, 8], [5, 6, 8], [3, 4, 7]]
    assert (held.subspace, held.codewords, held.subspaces, held.code_bits) == (2, 3, 2, 2)
    stored = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9], "<f4").tobytes()
    # Codes 0, 2, 1, 1, 1, 0 of two bits each.
    assert held.pack() == {"codebooks": stored, "codes": b"\x25\x40", "tables": b"\x02\x03"}
    kernel = ProductQuantized((2, 3, 1, 2), np.array([[[[0, 2], [1, 1]], [[1, 0], [2, 0]]]]), books)
    assert kernel.decode().tolist() == [
        [[[1, 3]], [[2, 4]], [[8, 9]]],
        [[[5, 1]], [[6, 2]], [[8, 7]]],
    ]


def test_sizes_are_those_of_table_1():
    # 4 C_s K + (1/8) d_k^2 M C_t log2 K bytes.
    held = make((96, 64, 5, 5), 8, 128, 0)
    assert held.size_bytes() == {
        "codebooks": 4 * 64 * 128, "codes": 25 * 8 * 96 * 7 // 8, "tables": 3,
    }  # fmt: skip
    assert stored_bytes((4096, 9216), 4, 32) == 4 * 9216 * 32 + 2304 * 4096 * 5 // 8
    # The released AlexNet: conv2 has 6 subspaces of the 48 channels of a group, fc7 1024 of 4.
    assert codes_shape((256, 48, 5, 5), 8) == (5, 5, 6, 256)
    assert codes_shape((4096, 4096), 4) == (1024, 4096)
    # The MNIST networks: 12.1 and 13.4 times smaller with a float32 last layer.
    hidden = stored_bytes((1000, 784), 4, 32)
    assert 4 * 794_000 / (hidden + 40_000) == pytest.approx(12.083, abs=5e-4)
    deep = hidden + 2 * stored_bytes((1000, 1000), 4, 32) + 40_000
    assert 4 * 2_794_000 / deep == pytest.approx(13.443, abs=5e-4)


def test_a_code_is_as_wide_as_it_must_be():
    assert [code_bits(k) for k in (1, 2, 3, 4, 5, 16, 17, 32, 128, 129, 256)] == [
        1, 1, 2, 2, 3, 4, 5, 5, 7, 8, 8,
    ]  # fmt: skip


def test_odd_values_are_kept_and_an_empty_tensor_too(round_trip):
    odd = np.array([[[np.nan, np.inf], [-0.0, 1e-40]]], np.float32)
    round_trip(ProductQuantized((3, 2), np.array([[0, 1, 1]]), odd))
    for shape in [(0, 3), (3, 0), (0, 0), (2, 3, 0, 2)]:
        again = round_trip(make(shape, 2, 3, 0))
        assert tuple(again.decode().shape) == shape


@pytest.mark.parametrize(
    "change",
    [
        {"shape": (4,)}, {"shape": (5, 5)}, {"shape": (4, 4)},
        {"codes": np.full((3, 4), 3)}, {"codes": np.full((3, 4), -1)},
        {"codes": np.zeros((2, 4), int)}, {"codebooks": np.zeros((2, 3, 2))},
        {"codebooks": np.zeros((3, 6))}, {"codebooks": np.zeros((3, 0, 2))},
        {"codebooks": np.zeros((3, 5, 2))}, {"codebooks": np.zeros((1, 3, 6))},
        {"codebooks": np.zeros((3, 3, 0))},
    ],
)  # fmt: skip
def test_what_is_no_product_quantization_is_refused(change):
    whole = {"shape": (4, 5), "codes": np.zeros((3, 4), int), "codebooks": np.zeros((3, 3, 2))}
    ProductQuantized(**whole)
    with pytest.raises(ValueError):
        ProductQuantized(**(whole | change))
    with pytest.raises(ValueError, match="1 to 256 codewords, not 257"):
        ProductQuantized((999, 1), np.zeros((1, 999), int), np.zeros((1, 257, 1)))


def test_missing_unknown_and_cut_parts_are_refused():
    shape = (7, 10)
    parts = make(shape, 4, 5, 5).pack()
    for part, content in parts.items():
        with pytest.raises(FormatError):
            ProductQuantized.unpack(shape, {k: v for k, v in parts.items() if k != part})
        for size in range(len(content)):
            with pytest.raises(FormatError):
                ProductQuantized.unpack(shape, parts | {part: content[:size]})
        with pytest.raises(FormatError):
            ProductQuantized.unpack(shape, parts | {part: content + b"\0"})
    bad = b"\xff" * len(parts["codes"])
    for other in ({"more": b""}, {"tables": b"\x00\x05"}, {"tables": b"\x04\x00"},
                  {"tables": b"\x0b\x05"}, {"tables": b"\x04\x81\x02"}, {"tables": b"\x84\x00\x05"},
                  {"codes": bad}):  # fmt: skip
        with pytest.raises(FormatError):
            ProductQuantized.unpack(shape, parts | other)
    for other in [(7, 11), (8, 10), (70,), (7, 10, 2)]:
        with pytest.raises(FormatError):
            ProductQuantized.unpack(other, parts)


def test_nothing_is_allocated_from_sizes_that_the_bytes_do_not_fill():
    parts = make((7, 10), 4, 5, 5).pack()
    tracemalloc.start()
    try:
        for shape in [(2**31, 1), (2**15, 2**16), (1, 2**31), (2**30, 10), (7, 10, 2**20)]:
            with pytest.raises(FormatError):
                ProductQuantized.unpack(shape, parts)
        for tables in (b"\xff\xff\xff\xff\x07\x05", b"\x0a\xff\x01"):
            with pytest.raises(FormatError):
                ProductQuantized.unpack((7, 10), parts | {"tables": tables})
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused < 1 << 20


@settings(max_examples=120, deadline=None)
@given(st.data(), widths, sizes, seeds)
def test_changed_parts_are_another_layer_or_a_format_error(data, width, codewords, seed):
    held = make((5, 13), width, codewords, seed)
    parts = dict(held.pack())
    part = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[part])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = ProductQuantized.unpack(held.shape, parts | {part: bytes(content)})
    except FormatError:
        return
    assert tuple(found.decode().shape) == held.shape
    assert ProductQuantized.unpack(held.shape, found.pack()) == found


def test_equality_sees_every_part():
    held = make((6, 9), 4, 8, 1)
    other_code, other_value = held.codes.copy(), held.codebooks.copy()
    other_code[0, 0] ^= 1
    other_value[0, 0, 0] += 1
    assert held == make((6, 9), 4, 8, 1)
    assert held != ProductQuantized((6, 9), other_code, held.codebooks)
    assert held != ProductQuantized((6, 9), held.codes, other_value)
    assert held != make((9, 6), 4, 8, 1)
    assert held.weights == math.prod((6, 9))
