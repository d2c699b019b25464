"""Powers of two: laws, the nearest power by hand, exact bytes, damaged and hostile parts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.formats.format import FormatError
from methods.formats.power_of_two import WIDTHS, PowerOfTwo, levels


def make(shape, bits, seed, least=-5, scale=1.0):
    generator = np.random.default_rng(seed)
    sign = 1 << (bits - 1)
    codes = generator.integers(0, 2 * sign, math.prod(shape))
    codes[codes == sign] = 0
    least = min(least, 127 - levels(bits))
    return PowerOfTwo(shape, codes, bits=bits, least=least, scale=scale)


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
widths, seeds = st.sampled_from(WIDTHS), st.integers(0, 2**31)
leasts = st.sampled_from([-126, -5, 0, 1, 64])
scales = st.sampled_from([1.0, 0.7, 1.999, 1e-3])


@settings.get_profile("laws")
@given(any_shapes, widths, seeds, leasts)
def test_what_is_packed_comes_back(round_trip, shape, bits, seed, least):
    round_trip(make(shape, bits, seed, least))


@settings(max_examples=120, deadline=None)
@given(
    st.tuples(st.integers(0, 40), st.integers(0, 200)), widths, seeds, st.integers(-50, 0), scales
)
def test_laws(laws, shape, bits, seed, least, scale):
    """Products stay within float32's range."""
    laws(make(shape, bits, seed, least - levels(bits) // 2, scale), 4)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(convolution_law, groups):
    held = make((4, 3, 3, 2), 4, 1, scale=0.3)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


@pytest.mark.parametrize("bits", WIDTHS)
def test_values_are_signed_powers_of_two_times_the_scale(bits):
    held = make((300,), bits, 3, scale=0.7)
    values = held.decode().numpy().astype(np.float64) / np.float64(np.float32(0.7))
    sizes = np.abs(values[values != 0])
    exponents = np.log2(sizes)
    assert (exponents == np.round(exponents)).all()
    assert -5 <= exponents.min() <= exponents.max() <= -5 + levels(bits) - 1
    assert ((held.codes == 0) == (values == 0)).all()
    assert held.size_bytes() == {"codes": -(-300 * bits // 8), "scales": 4, "tables": 2}


def test_worked_bytes():
    codes = np.array([0, 1, 2, 3, 5, 6, 7, 0])
    held = PowerOfTwo((2, 4), codes, bits=3, least=-2, scale=2.0)
    assert held.decode().tolist() == [[0.0, 0.5, 1.0, 2.0], [-0.5, -1.0, -2.0, 0.0]]
    assert held.pack() == {
        "codes": bytes([0b00000101, 0b00111011, 0b10111000]),
        "scales": bytes.fromhex("00000040"),
        "tables": bytes([3, 0xFE]),
    }


def test_nearest_powers_by_hand():
    """Of 1 and 2 the nearer: 1.5 is between them and goes to 1; 0.0625 is between 0 and 0.125."""
    weight = torch.tensor([1.0, -1.49, 1.5, 1.51, -1.3, 0.374, 0.376, 0.0625, -0.0626, 0.19, 0.0])
    held = PowerOfTwo.from_tensor(weight, 4)
    assert held.least == -5  # seven exponents, the last one that of 2
    held = PowerOfTwo.from_tensor(torch.cat([weight, torch.tensor([4.0, 0.063])]), 4)
    assert held.least == -4
    held = PowerOfTwo.from_tensor(weight, 3)
    assert held.least == -1
    assert held.decode().tolist() == [1, -1, 1, 2, -1, 0.5, 0.5, 0, 0, 0, 0]
    held = PowerOfTwo.from_tensor(torch.tensor([1.0, 0.374, 0.376, 0.25, 0.125, -0.126]), 3)
    assert held.decode().tolist() == [1, 0.25, 0.5, 0.25, 0, -0.25]
    assert PowerOfTwo.from_tensor(torch.zeros(2, 3), 5).decode().tolist() == [[0.0] * 3] * 2


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=30),
    widths,
    st.sampled_from([1.0, 0.7, 1.3, 2e-38, 3e38]),
)
def test_each_weight_goes_to_the_nearest_value(weights, bits, scale):
    weight = torch.tensor(weights)
    held = PowerOfTwo.from_tensor(weight, bits, scale=scale)
    grid = np.ldexp(np.float64(np.float32(scale)), held.least + np.arange(levels(bits)))
    grid = np.concatenate([[0.0], grid, -grid])
    wanted = np.abs(weight.numpy().astype(np.float64)[:, None] - grid).min(1)
    gap = np.abs(weight.numpy().astype(np.float64) - held.decode().numpy())
    assert (gap <= wanted * (1 + 1e-6) + 2.0**-127).all()


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 1}, {"bits": 9}, {"codes": np.array([0, 1, 4, 0])}, {"codes": np.array([0])},
        {"codes": np.array([0, 1, 8, 0])}, {"codes": np.array([0, 1, -1, 0])}, {"least": -127},
        {"least": 126}, {"scale": 0.0}, {"scale": -1.0}, {"scale": np.nan}, {"scale": np.inf},
        {"scale": 1e39}, {"scale": 1e-40}, {"least": -126, "scale": 0.5},
        {"least": 125, "scale": 2.0},
    ],
)  # fmt: skip
def test_what_is_no_such_tensor_is_refused(change):
    whole = {"codes": np.array([0, 1, 2, 7]), "bits": 3, "least": 0}
    PowerOfTwo((2, 2), **whole)
    with pytest.raises(ValueError):
        PowerOfTwo((2, 2), **(whole | change))


def test_weights_that_are_not_finite_are_refused():
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            PowerOfTwo.from_tensor(torch.tensor([1.0, bad]), 4)
        with pytest.raises(ValueError, match="scale"):
            PowerOfTwo.from_tensor(torch.tensor([1.0]), 4, scale=bad)


def test_missing_unknown_and_cut_parts_are_refused(cut_parts_are_refused):
    held = make((7, 11), 3, 5)
    parts = held.pack()
    cut_parts_are_refused(held)
    for shape in ((7, 12), (1, 1), (0, 3)):
        with pytest.raises(FormatError):
            PowerOfTwo.unpack(shape, parts)
    for tables in (b"\x01\x00", b"\x09\x00", b"\x03\x81", b"\x03\x7e", b"\x03\x80"):
        with pytest.raises(FormatError):
            PowerOfTwo.unpack((7, 11), parts | {"tables": tables})
    for scale in (0.0, -1.0, np.nan, np.inf, 1e-40):
        with pytest.raises(FormatError, match="scale"):
            PowerOfTwo.unpack((7, 11), parts | {"scales": np.array(scale, "<f4").tobytes()})
    with pytest.raises(FormatError):
        PowerOfTwo.unpack((7, 11), parts | {"more": b""})


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_code_that_stands_for_no_weight_is_refused(bits):
    parts = PowerOfTwo((1,), np.zeros(1, np.int64), bits=bits, least=0).pack()
    with pytest.raises(FormatError, match="stands for no weight"):
        PowerOfTwo.unpack((1,), parts | {"codes": b"\x80"})


def test_nothing_is_allocated_from_a_shape_that_the_bytes_do_not_fill(refused_cheaply):
    refused_cheaply([make((7, 11), 3, 5)], [(2**31,), (2**15, 2**16)])


@settings(max_examples=150, deadline=None)
@given(st.data(), widths)
def test_changed_parts_are_another_tensor_or_a_format_error(changed, data, bits):
    held = make((9, 13), bits, data.draw(st.integers(0, 20)))
    found = changed(data, held)
    assert found is None or bool(found.decode().isfinite().all())
