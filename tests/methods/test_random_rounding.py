"""Draws of weights and roundings to powers of two: their means, their values, their ends."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.random_rounding import LARGEST, RandomBits, draw_weights, power_of_two

TRIES = 20_000
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def within_errors(found: torch.Tensor, mean: float, errors: float = 4.5) -> bool:
    """Whether the mean of ``found`` is near ``mean``, by its own standard error."""
    spread = float(found.double().std()) / math.sqrt(found.numel())
    return abs(float(found.double().mean()) - mean) <= errors * spread + 2**-16 * max(1, abs(mean))


@pytest.mark.parametrize("draw", ["binary", "ternary"])
@pytest.mark.parametrize("mean", [-1.0, -0.83, -0.5, -0.01, 0.0, 0.003, 0.3, 0.99, 1.0])
def test_a_drawn_weight_has_the_weight_as_its_mean(draw, mean):
    weight = torch.full((TRIES,), 0.03 * mean)
    drawn = draw_weights(weight, 0.03, draw, RandomBits(5))
    values = set(drawn.unique().tolist())
    assert values <= ({-1.0, 1.0} if draw == "binary" else {-1.0, 0.0, 1.0})
    assert within_errors(drawn, mean)
    if draw == "ternary" and mean:
        assert values <= {0.0, math.copysign(1, mean)}


@pytest.mark.parametrize("draw", ["binary", "ternary"])
def test_beyond_the_scale_the_draw_is_certain(draw):
    weight = torch.tensor([-2.0, -1.5, -1.0, 1.0, 1.5, 2.0]).repeat(TRIES, 1) * 0.03
    drawn = draw_weights(weight, 0.03, draw, RandomBits(1))
    assert torch.equal(drawn, weight.sign())


def test_a_ternary_zero_stays_zero():
    assert not draw_weights(torch.zeros(TRIES), 0.03, "ternary", RandomBits(1)).any()


def test_the_probability_is_met_to_sixteen_bits():
    """Over all 2^16 values of the random bits, counted and not drawn."""

    class EveryValue(RandomBits):
        def of_16(self, count):
            return np.arange(count, dtype=np.uint16)

    for mean in (0.1, 0.123456, 0.5, 0.9999):
        for draw, probability in (("ternary", mean), ("binary", (mean + 1) / 2)):
            drawn = draw_weights(torch.full((2**16,), mean), 1.0, draw, EveryValue(0))
            share = float((drawn == 1).double().mean())
            assert abs(share - probability) <= 2**-16


@given(finite)
def test_a_rounded_number_is_a_neighbouring_power_of_two_with_its_sign(value):
    rounded = power_of_two(torch.full((64,), value), RandomBits(3))
    if value == 0:
        assert not rounded.any()
        return
    assert bool(torch.isfinite(rounded).all())
    for one in rounded.unique().tolist():
        if abs(value) < 2.0**-126:  # float32 has no exponent of its own there
            assert abs(one) in (0.0, 2.0**-126)
            continue
        mantissa, exponent = math.frexp(abs(one))
        assert mantissa == 0.5
        assert math.copysign(1, one) == math.copysign(1, value)
        low = math.frexp(abs(value))[1] - 1
        assert exponent - 1 in (low, low + 1)
        assert abs(one) <= LARGEST


@given(st.integers(-126, 127), st.booleans())
def test_a_power_of_two_stays_what_it_is(exponent, negative):
    value = -(2.0**exponent) if negative else 2.0**exponent
    rounded = power_of_two(torch.full((32,), value), RandomBits(7))
    assert torch.equal(rounded, torch.full((32,), value))


@pytest.mark.parametrize("value", [1.5, -1.5, 0.3, -0.07, 3.9, 1.0001, 1000.7, 2.0**-126 * 0.4])
def test_a_rounded_number_has_the_number_as_its_mean(value):
    rounded = power_of_two(torch.full((TRIES,), value), RandomBits(2))
    scale = 2.0 ** math.floor(math.log2(abs(value)))
    assert within_errors(rounded.double() / scale, float(np.float32(value)) / scale)


@pytest.mark.parametrize("exponents", [(-4, 3), (-1, 0), (0, 0)])
def test_bounds_hold_and_beyond_them_the_rounding_is_certain(exponents):
    least, most = 2.0 ** exponents[0], 2.0 ** (exponents[1] + 1)
    values = torch.tensor([1e-9, least / 3, 0.9 * most, 1.5 * most, 1e9]).repeat(500, 1)
    rounded = power_of_two(values, RandomBits(2), exponents)
    assert float(rounded.min()) >= least
    assert float(rounded.max()) <= most
    assert bool((rounded[:, :2] == least).all())
    assert bool((rounded[:, 3:] == most).all())
    negative = power_of_two(-values, RandomBits(2), exponents)
    assert torch.equal(negative, -rounded)


def test_zero_is_zero_also_within_bounds_unless_the_authors_slip_is_wanted():
    zeros = torch.tensor([0.0, -0.0])
    assert not power_of_two(zeros, RandomBits(0), (-4, 3)).any()
    slipped = power_of_two(zeros, RandomBits(0), (-4, 3), -(2.0**-4))
    assert slipped.tolist() == [-0.0625, -0.0625]


def test_what_lies_otherwise_in_memory_is_rounded_all_the_same():
    x = torch.randn(4, 6, 5, 3, generator=torch.Generator().manual_seed(0))
    other = x.to(memory_format=torch.channels_last)
    rounded = power_of_two(other, RandomBits(0))
    assert bool(((rounded.abs() >= x.abs() / 2) & (rounded.abs() <= 2 * x.abs())).all())
    assert rounded.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, other)  # the input is left as it was
    drawn = draw_weights(other, 2.0, "ternary", RandomBits(0))
    assert bool((drawn * x >= 0).all())
    part = x[:, ::2]  # does not fill its memory
    assert power_of_two(part, RandomBits(0)).shape == part.shape


def test_the_same_seed_gives_the_same_draws():
    weight = torch.linspace(-1, 1, 1001)
    for make in (
        lambda seed: draw_weights(weight, 1.0, "binary", RandomBits(seed)),
        lambda seed: power_of_two(weight, RandomBits(seed)),
    ):
        assert torch.equal(make(4), make(4))
        assert not torch.equal(make(4), make(5))


@given(st.integers(0, 70))
def test_as_many_bits_come_as_are_asked_for(count):
    bits = RandomBits(0)
    assert bits.of_16(count).shape == (count,)
    small = bits.of_23(count)
    assert small.shape == (count,)
    assert count == 0 or (small.min() >= 0 and small.max() < 2**23)
