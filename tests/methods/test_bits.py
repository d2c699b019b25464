"""Fields, varints and bounded reading."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.bits import MAX_WIDTH, Reader, pack_fields, packed_bytes, unpack_fields, write_varint
from methods.formats.format import FormatError


@st.composite
def fields(draw):
    width = draw(st.integers(1, MAX_WIDTH))
    values = draw(st.lists(st.integers(0, 2**width - 1), max_size=40))
    return width, np.array(values, np.uint32)


@settings(max_examples=1000, deadline=None)
@given(fields())
def test_fields_come_back(case):
    width, values = case
    data = pack_fields(values, width)
    assert len(data) == packed_bytes(width, values.size)
    bits = "".join(f"{value:0{width}b}" for value in values.tolist())
    assert data == bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))
    assert np.array_equal(unpack_fields(data, width, values.size), values)


@pytest.mark.parametrize("width", [1, 3, 7, 8, 13, 32])
def test_many_fields_come_back_across_chunks(width):
    values = np.random.default_rng(width).integers(0, 2**width, 30_011).astype(np.uint32)
    assert np.array_equal(unpack_fields(pack_fields(values, width), width, values.size), values)


def test_bytes_that_are_no_fields_are_refused():
    for data, width, count in [(b"\x00", 4, 3), (b"\x00\x00", 4, 2), (b"\x01", 4, 1), (b"", 33, 0)]:
        with pytest.raises(FormatError):
            unpack_fields(data, width, count)
    with pytest.raises(FormatError):
        unpack_fields(b"", 8, 1 << 60)
    with pytest.raises(ValueError):
        pack_fields(np.array([8], np.uint32), 3)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_varints_come_back(value):
    data = write_varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    reader = Reader(data)
    assert reader.varint("x") == value
    reader.finish("x")


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x80\x00", b"\xff\x80\x00", b"\xff" * 9 + b"\x02", b"\x80" * 11]
)
def test_varints_cut_short_padded_or_too_large_are_refused(data):
    with pytest.raises(FormatError, match="size"):
        Reader(data).varint("size")


def test_reader_names_what_is_cut_short():
    reader = Reader(b"abc")
    assert reader.take(2, "head") == b"ab"
    with pytest.raises(FormatError, match="tail needs 2 bytes where 1 are left"):
        reader.take(2, "tail")
    with pytest.raises(FormatError, match="300, more than 200"):
        Reader(write_varint(300)).varint("count", 200)
    with pytest.raises(FormatError, match="1 bytes too many behind head"):
        reader.finish("head")
