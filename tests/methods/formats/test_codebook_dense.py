"""Shared values without pruning: laws, worked numbers, damaged parts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.codebook_dense import CodebookDense
from methods.formats.format import FormatError


def make(shape, k, seed, codebook_dtype="float32"):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(shape, generator=generator) * torch.rand(shape, generator=generator)
    return CodebookDense.from_codes(
        (spread * k).long(), torch.randn(k, generator=generator), codebook_dtype=codebook_dtype
    )


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
sizes = st.integers(1, 256)
seeds = st.integers(0, 2**31)
types = st.sampled_from(["float32", "float16"])


@settings.get_profile("laws")
@given(any_shapes, sizes, seeds, types)
def test_what_is_packed_comes_back(round_trip, shape, k, seed, codebook_dtype):
    round_trip(make(shape, k, seed, codebook_dtype))


@settings(max_examples=120, deadline=None)
@given(st.tuples(st.integers(0, 12), st.integers(0, 60)), sizes, seeds, types)
def test_laws(laws, shape, k, seed, codebook_dtype):
    laws(make(shape, k, seed, codebook_dtype), 4)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(convolution_law, groups):
    held = make((4, 3, 3, 2), 16, 1)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


def test_frequent_codes_are_short_and_a_flat_code_is_of_fixed_width():
    mostly_zero = np.array([0] * 960 + [1] * 20 + [2] * 10 + [3] * 10)
    held = CodebookDense((1000,), mostly_zero, np.arange(4.0))
    assert held.size_bytes()["codes"] == -(-(960 + 2 * 20 + 3 * 20) // 8)
    flat = CodebookDense((256,), np.arange(256), np.arange(256.0))
    assert flat.size_bytes() == {"codebook": 1024, "codes": 256, "tables": 2}


def test_no_weight_needs_no_codebook_and_odd_values_are_kept(round_trip):
    round_trip(CodebookDense((0, 3), np.empty(0, np.int64), np.empty(0, np.float32)))
    odd = np.array([np.nan, np.inf, -0.0], np.float32)
    again = round_trip(CodebookDense((3,), np.arange(3), odd))
    assert again.decode().numpy().tobytes() == odd.tobytes()


def test_what_is_no_layer_is_refused():
    for codes, codebook in [
        (np.array([0, 1]), np.ones(1)), (np.array([0, -1]), np.ones(2)),
        (np.array([0]), np.ones(1)), (np.array([0, 0]), np.ones(257)),
        (np.array([0, 0]), np.ones((1, 1))),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            CodebookDense((2,), codes, codebook)


def test_missing_unknown_and_cut_parts_are_refused(cut_parts_are_refused):
    held = make((20, 30), 16, 5)
    parts = held.pack()
    cut_parts_are_refused(held)
    for other in ({"more": b""}, {"tables": b"\x02" + parts["tables"][1:]},
                  {"codebook": bytes(4 * 257)}):  # fmt: skip
        with pytest.raises(FormatError):
            CodebookDense.unpack((20, 30), parts | other)


def test_nothing_is_allocated_from_a_shape_that_the_bytes_do_not_fill(refused_cheaply):
    fixed = CodebookDense((256,), np.arange(256), np.arange(256.0))
    refused_cheaply([make((20, 30), 16, 5), fixed], [(2**31,)])


@settings(max_examples=120, deadline=None)
@given(st.data(), sizes, types)
def test_changed_parts_are_another_layer_or_a_format_error(changed, data, k, codebook_dtype):
    held = make((9, 31), k, data.draw(st.integers(0, 20)), codebook_dtype)
    changed(data, held)
