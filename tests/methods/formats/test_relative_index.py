"""Steps in narrow fields."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.relative_index import decode_positions, encode_positions


@settings(max_examples=600, deadline=None)
@given(st.integers(1, 12), st.lists(st.integers(1, 5000), max_size=30))
def test_positions_come_back(index_bits, gaps):
    positions = np.cumsum(np.array(gaps, np.int64)) - 1
    fields, is_padding = encode_positions(positions, index_bits)
    span = 2**index_bits
    assert fields.size == sum(-(-gap // span) for gap in gaps)
    assert is_padding.sum() == fields.size - len(gaps)
    assert not fields.size or fields.max() < span
    size = int(positions[-1]) + 1 if gaps else 0
    assert np.array_equal(decode_positions(fields, is_padding, index_bits, size), positions)


def test_the_papers_example_with_three_bits():
    # Fig. 2: entries at 1, 4 and 15 (from 1) are steps 1, 3, 8 (padding), 3; a field is step - 1.
    fields, is_padding = encode_positions(np.array([0, 3, 14]), 3)
    assert (fields + 1).tolist() == [1, 3, 8, 3]
    assert is_padding.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("gap", "padding"), [(1, 0), (31, 0), (32, 0), (33, 1), (64, 1), (65, 2), (3200, 99)]
)
def test_padding_starts_behind_the_span(gap, padding):
    _, is_padding = encode_positions(np.array([gap - 1]), 5)
    assert is_padding.sum() == padding


@pytest.mark.parametrize(
    ("fields", "padding", "size"),
    [
        ([7], [True], 100),  # padding last
        ([3, 0], [True, False], 100),  # padding that does not span the field
        ([7, 7], [False, False], 15),  # behind the tensor
        ([7], [False, False], 100),
    ],
)
def test_damaged_fields_are_refused(fields, padding, size):
    with pytest.raises(FormatError):
        decode_positions(np.array(fields, np.uint16), np.array(padding), 3, size)


@pytest.mark.parametrize("positions", [[3, 3], [4, 2], [-1, 2]])
def test_positions_must_rise(positions):
    with pytest.raises(ValueError):
        encode_positions(np.array(positions), 5)
