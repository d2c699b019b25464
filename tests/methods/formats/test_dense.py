"""Dense tensors to the bit, in every stored type."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats import FORMATS
from methods.formats.dense import STORED, Dense
from methods.formats.format import FormatError, weight_count

dense_shapes = st.lists(st.integers(0, 5), max_size=4)
float_types = st.sampled_from(["float32", "float16", "bfloat16", "float64"])


@settings.get_profile("laws")
@given(st.data(), dense_shapes, st.sampled_from(list(STORED)))
def test_what_is_packed_comes_back(round_trip, data, shape, storage):
    count = math.prod(shape) * STORED[storage].itemsize
    if storage == "bool":
        octets = bytes(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    else:
        octets = data.draw(st.binary(min_size=count, max_size=count))
    parts = {"values": bytes([list(STORED).index(storage)]) + octets}
    held = Dense.unpack(tuple(shape), parts)  # any bits, those that are no number included
    assert held.pack() == parts
    round_trip(held)


@settings(max_examples=200, deadline=None)
@given(dense_shapes, float_types, st.integers(0, 9))
def test_laws(laws, shape, storage, seed):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    laws(Dense(values, storage))


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(convolution_law, groups):
    held = Dense(torch.randn(4, 3, 3, 2), "float16")
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


@pytest.mark.parametrize("storage", list(STORED))
def test_every_type_comes_back_to_the_bit(storage):
    width = STORED[storage].itemsize
    octets = bytes(range(256)) if storage != "bool" else bytes([0, 1] * 8)
    number = list(STORED).index(storage)
    parts = {"values": bytes([number]) + octets}
    held = Dense.unpack((len(octets) // width,), parts)  # infinities, NaNs and denormals included
    assert held.values.dtype == STORED[storage]
    assert held.pack() == parts


def test_layout_is_little_endian():
    assert Dense(torch.tensor([1.0, -2.0])).pack() == {
        "values": b"\x00" + bytes.fromhex("0000803f000000c0")
    }


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"values": b""},
        {"values": b"\x0a" + bytes(8)},
        {"values": b"\x00" + bytes(7)},
        {"values": b"\x00" + bytes(9)},
        {"values": b"\x09\x00\x02"},
        {"values": b"\x00" + bytes(8), "more": b""},
    ],
)
def test_damaged_parts_are_refused(parts):
    with pytest.raises(FormatError):
        Dense.unpack((2,), parts)


def test_shapes_are_bounded():
    assert weight_count((3, 4, 0)) == 0
    for shape in [(2**16, 2**16), (2**40, 0), (1,) * 9, (-1,)]:
        with pytest.raises(FormatError):
            weight_count(shape)


def test_every_kind_stands_under_its_name():
    assert set(FORMATS) >= {"dense", "sparse-codebook"}
    for kind in FORMATS:
        assert FORMATS[kind].kind == kind
