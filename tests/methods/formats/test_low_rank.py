"""Two stored factors: laws, worked numbers, damaged parts."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.low_rank import LowRank
from methods.formats.uniform import rows_and_width


def make(shape, rank, seed, factor_dtype="float32"):
    outputs, inputs = rows_and_width(shape)
    generator = np.random.default_rng(seed)
    left = generator.standard_normal((outputs, min(rank, max(outputs, inputs, 1))))
    right = generator.standard_normal((left.shape[1], inputs))
    return LowRank(shape, left, right, factor_dtype=factor_dtype)


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
ranks = st.integers(0, 8)
seeds = st.integers(0, 2**31)
types = st.sampled_from(["float32", "float16"])


@settings.get_profile("laws")
@given(any_shapes, ranks, seeds, types)
def test_what_is_packed_comes_back(round_trip, shape, rank, seed, factor_dtype):
    round_trip(make(shape, rank, seed, factor_dtype))


@settings(max_examples=120, deadline=None)
@given(st.tuples(st.integers(0, 30), st.integers(0, 60)), ranks, seeds, types)
def test_laws(laws, shape, rank, seed, factor_dtype):
    laws(make(shape, rank, seed, factor_dtype), 3)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 8])
def test_convolution(convolution_law, rank, groups):
    held = make((8, 3, 3, 2), rank, 1)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


def test_factors_that_cancel_are_rounded_by_the_weights(laws):
    """Each product is 1e4 times as large as the weight: float32 factors would be wrong by 1e-3."""
    generator = np.random.default_rng(0)
    left, right = generator.standard_normal((40, 2)), generator.standard_normal((2, 50))
    left[:, 1], right[1] = left[:, 0], -right[0]
    left, right = left.astype(np.float32), (right * 1e4).astype(np.float32)
    right[1] += generator.standard_normal(50).astype(np.float32)
    laws(LowRank((40, 50), left, right))


def test_worked_numbers(monkeypatch):
    held = LowRank((2, 3), np.array([[1.0], [-2.0]]), np.array([[0.5, 0.0, 4.0]]))
    assert held.decode().tolist() == [[0.5, 0.0, 4.0], [-1.0, 0.0, -8.0]]
    assert held.rank == 1
    assert held.stored_weights == 5
    assert held.pack()["tables"] == b"\x00\x01"
    assert held.size_bytes() == {"left": 8, "right": 12, "tables": 2}
    half = make((30, 20), 4, 0, "float16")
    assert half.size_bytes() == {"left": 240, "right": 160, "tables": 2}
    few = make((40, 50), 2, 0)
    monkeypatch.setattr(LowRank, "decode", None)
    assert few.multiply(torch.ones(3, 50)).shape == (3, 40)
    with pytest.raises(ValueError, match="nothing is multiplied"):
        make((3,), 1, 0).multiply(torch.ones(1, 3))


def test_what_is_no_layer_is_refused():
    for left, right in [((2, 1), (2, 3)), ((3, 1), (1, 3)), ((2, 1), (1, 4)), ((2,), (1, 3))]:
        with pytest.raises(ValueError):
            LowRank((2, 3), np.zeros(left), np.zeros(right))
    with pytest.raises(ValueError, match="float16"):
        LowRank((1, 1), np.full((1, 1), 1e9), np.ones((1, 1)), factor_dtype="float16")


@pytest.mark.parametrize("factor_dtype", ["float32", "float16"])
def test_missing_unknown_and_cut_parts_are_refused(cut_parts_are_refused, factor_dtype):
    held = make((6, 9), 2, 5, factor_dtype)
    parts = held.pack()
    cut_parts_are_refused(held)
    for other in ({"more": b""}, {"tables": b"\x02\x02"}, {"tables": b"\x00\x03"}):
        with pytest.raises(FormatError):
            LowRank.unpack((6, 9), parts | other)


def test_nothing_is_allocated_from_counts_that_the_bytes_do_not_fill():
    tracemalloc.start()
    try:
        for shape in [(2**15, 2**16), (0, 2**31), (2**31, 0)]:
            parts = {"left": bytes(64), "right": b"", "tables": b"\x00\xff\xff\x03"}
            with pytest.raises(FormatError):
                LowRank.unpack(shape, parts)
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused < 1 << 20


@settings(max_examples=120, deadline=None)
@given(st.data(), types)
def test_changed_parts_are_another_layer_or_a_format_error(changed, data, factor_dtype):
    held = make((5, 7), 2, data.draw(st.integers(0, 20)), factor_dtype)
    changed(data, held)
