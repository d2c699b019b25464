"""Three values a tensor: laws in all codings, exact bytes, damaged and hostile parts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.ternary import CODINGS, Ternary


def make(shape, density, seed, coding="two-bit", positive=0.7, negative=0.4):
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randn(shape, generator=generator).sign()
    signs *= torch.rand(shape, generator=generator) < density
    return Ternary.from_signs(signs, positive, negative, coding=coding)


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
densities = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
seeds = st.integers(0, 2**31)
codings = st.sampled_from(CODINGS)
scales = st.floats(0, 1024, width=32)


@settings.get_profile("laws")
@given(any_shapes, densities, seeds, codings, scales, scales)
def test_what_is_packed_comes_back(round_trip, shape, density, seed, coding, positive, negative):
    round_trip(make(shape, density, seed, coding, positive, negative))


@settings(max_examples=120, deadline=None)
@given(st.tuples(st.integers(0, 40), st.integers(0, 300)), densities, seeds, st.booleans())
def test_laws(laws, shape, density, seed, one_scale):
    laws(make(shape, density, seed, negative=0.7 if one_scale else 0.4), 4)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(convolution_law, groups):
    held = make((4, 3, 3, 2), 0.6, 1)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


@settings(max_examples=60, deadline=None)
@given(any_shapes, densities, seeds)
def test_at_most_three_values_and_the_codings_hold_the_same(shape, density, seed):
    held = make(shape, density, seed)
    values = {float(value) for value in held.decode().unique()}
    assert values <= {float(np.float32(0.7)), 0.0, -float(np.float32(0.4))}
    for coding in CODINGS:
        other = held.recoded(coding)
        assert other.coding == coding
        assert torch.equal(other.decode(), held.decode())
        assert other.recoded("two-bit") == held


def test_bytes_are_two_bits_a_weight_and_two_scales():
    """ceil(2 n / 8) and 8 bytes, five weights a byte, and about the entropy at density 0.2."""
    held = make((300, 101), 0.2, 3)
    weights = 300 * 101
    assert held.size_bytes() == {"codes": -(-2 * weights // 8), "scales": 8, "tables": 1}
    assert held.recoded("five-trits").size_bytes()["codes"] == -(-weights // 5)
    coded = held.recoded("entropy").size_bytes()
    entropy = -0.8 * np.log2(0.8) - 0.2 * np.log2(0.1)  # 0.92 bits
    assert 0.98 * entropy * weights < 8 * coded["codes"] < 1.03 * entropy * weights


def test_worked_bytes():
    signs = np.array([1, 0, -1, -1, 0, 0, 1])
    held = Ternary((7,), signs, 2.0, 0.5)
    assert held.pack()["codes"] == bytes([0b01001010, 0b00000100])
    assert held.pack()["scales"] == np.array([2.0, 0.5], "<f4").tobytes()
    packed = held.recoded("five-trits").pack()["codes"]
    assert packed == bytes([81 + 2 * 9 + 2 * 3, 27])
    assert held.decode().tolist() == [2.0, 0.0, -0.5, -0.5, 0.0, 0.0, 2.0]
    assert held.zeros == pytest.approx(3 / 7)
    assert Ternary((0,), np.empty(0, np.int8), 1, 1).zeros == 0.0


def test_a_negative_zero_scale_is_stored_as_zero(round_trip):
    round_trip(Ternary((2,), np.array([1, -1]), -0.0, 0.0))


def test_what_is_no_ternary_tensor_is_refused():
    for signs, positive, negative in [
        (np.array([0]), 1, 1), (np.array([0, 2]), 1, 1), (np.array([-2, 0]), 1, 1),
        (np.array([0, 1]), -1, 1), (np.array([0, 1]), 1, -1e-9), (np.array([0, 1]), np.nan, 1),
        (np.array([0, 1]), 1, np.inf), (np.array([0, 1]), 1e39, 1),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            Ternary((2,), signs, positive, negative)


@pytest.mark.parametrize("coding", CODINGS)
def test_missing_unknown_and_cut_parts_are_refused(cut_parts_are_refused, coding):
    held = make((20, 33), 0.4, 5, coding)
    parts = held.pack()
    cut_parts_are_refused(held)
    for shape in ((20, 34), (1, 1), (0, 3)):
        with pytest.raises(FormatError):
            Ternary.unpack(shape, parts)
    with pytest.raises(FormatError, match="no coding"):
        Ternary.unpack((20, 33), parts | {"tables": b"\x03"})
    with pytest.raises(FormatError):
        Ternary.unpack((20, 33), parts | {"more": b""})


@pytest.mark.parametrize(
    "scales", [(-1.0, 1.0), (1.0, -1.0), (-0.0, 1.0), (np.nan, 1.0), (1.0, np.inf)]
)
def test_scales_that_no_training_gives_are_refused_on_read(scales):
    parts = make((20, 33), 0.4, 5).pack()
    with pytest.raises(FormatError, match="scales"):
        Ternary.unpack((20, 33), parts | {"scales": np.array(scales, "<f4").tobytes()})


def test_codes_that_stand_for_nothing_are_refused():
    two = Ternary((4,), np.zeros(4, np.int8), 1, 1)
    with pytest.raises(FormatError, match="a code is 3"):
        Ternary.unpack((4,), two.pack() | {"codes": bytes([0b00001100])})
    five = two.recoded("five-trits").pack()
    with pytest.raises(FormatError, match="243"):
        Ternary.unpack((4,), five | {"codes": bytes([243])})
    with pytest.raises(FormatError, match="behind the last weight"):
        Ternary.unpack((4,), five | {"codes": bytes([1])})


def test_nothing_is_allocated_from_a_shape_that_the_bytes_do_not_fill(refused_cheaply):
    refused_cheaply([make((20, 33), 0.4, 5, coding) for coding in CODINGS], [(2**31,)])


@settings(max_examples=150, deadline=None)
@given(st.data(), densities, codings)
def test_changed_parts_are_another_tensor_or_a_format_error(changed, data, density, coding):
    held = make((9, 31), density, data.draw(st.integers(0, 20)), coding)
    changed(data, held)
