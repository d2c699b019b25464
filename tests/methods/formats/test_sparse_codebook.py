"""Deep Compression's format: laws, the paper's counts, kernels, damaged parts."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.sparse_codebook import SparseCodebook

PATHS = ["torch", "numba"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("NETCOMPRESS_KERNELS", request.param)
    return request.param


def make(shape, density, k, seed, index_bits=5, codebook_dtype="float32"):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < density
    return SparseCodebook.from_codes(
        mask,
        torch.randint(max(k, 1), shape, generator=generator),
        torch.randn(k, generator=generator),
        index_bits=index_bits,
        codebook_dtype=codebook_dtype,
    )


densities = st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0])
shapes = st.tuples(st.integers(0, 12), st.integers(0, 60))
seeds = st.integers(0, 2**31)


index_widths = st.integers(1, 12)
codebook_types = st.sampled_from(["float32", "float16"])


@settings.get_profile("laws")
@given(shapes, densities, st.integers(0, 256), seeds, index_widths, codebook_types)
def test_what_is_packed_comes_back(round_trip, shape, density, k, seed, index_bits, codebook_dtype):
    density = density if k else 0.0
    round_trip(make(shape, density, k, seed, index_bits, codebook_dtype))


@settings(max_examples=300, deadline=None)
@given(shapes, densities, st.integers(1, 256), seeds, index_widths, codebook_types)
@example(shape=(1, 21), density=1.0, k=1, seed=21, index_bits=1, codebook_dtype="float32")
def test_laws(laws, shape, density, k, seed, index_bits, codebook_dtype):
    laws(make(shape, density, k, seed, index_bits, codebook_dtype), seed % 97)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (300, 7), (4000, 1)])
@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_laws_on_both_paths(laws, path, shape, density):
    laws(make(shape, density, 16, 1))


def test_paths_agree(monkeypatch):
    pytest.importorskip("numba")
    held = make((100, 300), 0.1, 32, 3)
    x = torch.randn(9, 300)
    products = []
    for one in PATHS:
        monkeypatch.setenv("NETCOMPRESS_KERNELS", one)
        products.append(held.multiply(x))
    magnitudes = x.abs() @ held.decode().abs().T
    assert bool(((products[0] - products[1]).abs() <= held.tolerance * magnitudes).all())


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_convolutions_on_both_paths(convolution_law, path, groups, density):
    held = make((6, 2, 3, 2), density, 16, 2)
    convolution_law(held, groups)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(2, 1))


def test_a_survivor_of_value_zero_stays_a_survivor():
    mask = torch.tensor([[True, False, True]])
    held = SparseCodebook.from_codes(mask, torch.tensor([1, 0]), torch.tensor([0.5, 0.0]))
    again = SparseCodebook.unpack(held.shape, held.pack())
    assert again.positions.tolist() == [0, 2]
    assert again.decode().tolist() == [[0.0, 0.0, 0.5]]


def test_values_that_are_not_finite_are_kept():
    codebook = np.array([np.nan, np.inf, -0.0], np.float32)
    held = SparseCodebook((3,), np.arange(3), np.arange(3), codebook)
    again = SparseCodebook.unpack((3,), held.pack())
    assert again == held
    assert again.decode().numpy().tobytes() == codebook.tobytes()


def test_nearest_values_are_chosen():
    dense = torch.tensor([[0.9, -0.2, 0.4], [0.1, 5.0, -7.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    held = SparseCodebook.from_dense(dense, mask, torch.tensor([1.0, -1.0, 0.0]))
    assert held.decode().tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]


def test_the_papers_count():
    # Positions 1, 4 and 15 (from 1) with 3 index bits: four entries, one of them padding.
    held = SparseCodebook(
        (4, 4),
        np.array([0, 3, 14]),
        np.array([0, 0, 1]),
        np.array([1.0, 2.0, 3.0, 4.0]),
        index_bits=3,
    )
    assert (held.entries, held.padding_entries, held.survivors) == (4, 1, 3)
    assert held.paper_bits(huffman=False) == 4 * (2 + 3) + 32 * 4
    # Codes 0, 0, padding, 1: counts 2, 1, 1, so 1.5 bits; fields 0, 2, 7, 2: counts 1, 2, 1.
    assert held.code_bits_mean == held.index_bits_mean == 1.5
    assert held.paper_bits(huffman=True) == 4 * 3 + 32 * 4
    assert make((0, 5), 1, 8, 0).paper_bits(huffman=True) == 32 * 8


def test_parts_are_near_the_papers_count():
    held = make((300, 784), 0.08, 64, 0)
    sizes = held.size_bytes()
    assert sizes["codebook"] == 256
    assert sizes["codes"] + sizes["positions"] <= (held.paper_bits(True) - 32 * 64) / 8 + 2
    assert sizes["tables"] < 120


def test_a_tiny_layer_takes_fields_of_fixed_width():
    codes = np.arange(256)
    held = SparseCodebook((256,), codes, codes, codes.astype(np.float32))
    assert held.size_bytes()["codes"] == 256
    assert held.size_bytes()["tables"] < 12


def test_what_is_no_layer_is_refused():
    one = np.array([0.5], np.float32)
    with pytest.raises(ValueError):
        SparseCodebook((4,), np.array([4]), np.array([0]), one)
    with pytest.raises(ValueError):
        SparseCodebook((4,), np.array([0]), np.array([1]), one)
    with pytest.raises(ValueError):
        SparseCodebook((4,), np.array([0, 1]), np.array([0]), one)
    with pytest.raises(ValueError):
        make((4,), 1, 1, 0).multiply(torch.zeros(1, 4))


def test_missing_unknown_and_cut_parts_are_refused():
    parts = make((20, 30), 0.2, 16, 5).pack()
    for part, content in parts.items():
        with pytest.raises(FormatError):
            SparseCodebook.unpack((20, 30), {k: v for k, v in parts.items() if k != part})
        for size in range(len(content)):
            with pytest.raises(FormatError):
                SparseCodebook.unpack((20, 30), parts | {part: content[:size]})
        if part != "codebook":
            with pytest.raises(FormatError):
                SparseCodebook.unpack((20, 30), parts | {part: content + b"\0"})
    with pytest.raises(FormatError):
        SparseCodebook.unpack((20, 30), parts | {"more": b""})
    with pytest.raises(FormatError):
        SparseCodebook.unpack((2, 30), parts)


def test_unpacking_takes_memory_by_the_weights_not_by_the_claims():
    # 2^20 entries of one bit each, in a tensor of 2^20 weights: the densest that a file can be.
    size = 1 << 20
    held = SparseCodebook(
        (size,), np.arange(size), np.zeros(size, np.int64), np.ones(1), index_bits=1
    )
    parts = held.pack()
    assert len(parts["codes"]) == len(parts["positions"]) == size // 8
    tracemalloc.start()
    try:
        assert SparseCodebook.unpack((size,), parts).survivors == size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with pytest.raises(FormatError, match="entries"):
            SparseCodebook.unpack((1000,), parts)
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * size
    assert refused < 1 << 20


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_parts_are_another_layer_or_a_format_error(data):
    held = make((9, 31), 0.2, 8, data.draw(st.integers(0, 20)), 3)
    parts = dict(held.pack())
    part = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[part])
    for _ in range(data.draw(st.integers(1, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    parts[part] = bytes(content)
    try:
        found = SparseCodebook.unpack(held.shape, parts)
    except FormatError:
        return
    assert tuple(found.decode().shape) == held.shape
    assert SparseCodebook.unpack(held.shape, found.pack()) == found
