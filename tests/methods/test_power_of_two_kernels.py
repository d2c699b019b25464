"""Products by shifts on each path: exact sums of 32 and 64 bits, ranges, float ones, bad input."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from methods.kernels.activations import rounded
from methods.kernels.power_of_two import PowerOfTwoRows

PATHS = ["avx512-vnni", "avx512", "loops", "torch"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch, choose):
    choose(request.param, monkeypatch)
    return request.param


def drawn(generator, outputs, inputs, bits, least=-6, scale=1.0):
    sign = 1 << (bits - 1)
    codes = generator.integers(0, 2 * sign, (outputs, inputs)).astype(np.uint8)
    codes[codes == sign] = 0
    return PowerOfTwoRows(codes, bits, least, scale)


def whole_weights(rows):
    """Weights over the least power that occurs, as Python's integers."""
    sign = 1 << (rows.bits - 1)
    found = np.zeros(rows.codes.shape, object)
    for place, code in np.ndenumerate(rows.codes):
        if code:
            power = 1 << ((int(code) & (sign - 1)) - 1 - rows.low)
            found[place] = -power if code >= sign else power
    return found


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 70)),
    rows=st.integers(0, 3),
    bits=st.integers(2, 8),
    scale=st.sampled_from([1.0, 0.7]),
    seed=st.integers(0, 2**31),
)
def test_products_of_any_size(choose, path, shape, rows, bits, scale, seed):
    generator = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose(path, monkeypatch)
        held = drawn(generator, *shape, bits, -40, scale)
        x = torch.from_numpy(generator.standard_normal((rows, shape[1])).astype(np.float32))
        weight = held.decode(x.device).double()
        found, expected = held.product(x), x.double() @ weight.T
        assert found.dtype == torch.float32
        allowed = held.tolerance * (x.double().abs() @ weight.abs().T)
        assert bool(((found - expected).abs() <= allowed).all())
        whole, scales = rounded(x)
        wide = whole.numpy().astype(object) @ whole_weights(held).T
        factors = scales.numpy() * float(np.float32(scale)) * 2.0 ** (held.least + held.low)
        wanted = wide.astype(np.float64).reshape(rows, shape[0]) * factors
        np.testing.assert_allclose(held.product_int8(x).numpy(), wanted, rtol=1e-6, atol=0)
        q = generator.integers(-128, 128, (rows, shape[1])).astype(np.int8)
        if len(held._ranges) > 1:
            with pytest.raises(ValueError, match="too far apart"):
                held.integer_product(torch.from_numpy(q))
            return
        sums = held.integer_product(torch.from_numpy(q))
        assert sums.dtype == (torch.int64 if held.wide else torch.int32)
        exact = (q.astype(object) @ whole_weights(held).T).reshape(rows, shape[0])
        assert sums.tolist() == exact.tolist()


@pytest.mark.parametrize(
    ("bits", "inputs", "wide"),
    [(4, 2**18 - 1, False), (4, 2**18, True), (5, 1023, False), (5, 1024, True)],
)
def test_sums_take_64_bits_only_where_they_must(path, bits, inputs, wide):
    """The largest sum there can be is reached, on both sides of 2^31."""
    sign = 1 << (bits - 1)
    codes = np.full((1, inputs), 2 * sign - 1, np.uint8)
    codes[0, 0] = sign + 1  # the least power, so that the span is the whole
    held = PowerOfTwoRows(codes, bits, 0)
    assert held.wide == wide
    found = held.integer_product(torch.full((1, inputs), -128, dtype=torch.int8))
    assert found.tolist() == [[128 * ((inputs - 1) * 2 ** (sign - 2) + 1)]]


def test_exponents_far_apart_are_summed_in_ranges(path):
    """2^126 beside 1: what cancels in the high range leaves the low one exact."""
    codes = np.array([[127, 255, 1, 129 + 60]], np.uint8)
    held = PowerOfTwoRows(codes, 8, -126)
    assert len(held._ranges) > 1
    x = torch.tensor([[127.0, 127.0, 1.0, 0.0]])
    assert held.product_int8(x).tolist() == [[2.0**-126]]
    with pytest.raises(ValueError, match="too far apart"):
        held.integer_product(x.to(torch.int8))


class NoWholeProducts(TorchDispatchMode):
    """Refuses matrix products of whole numbers, as torch does on CUDA."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "mm" in str(func) and not args[0].is_floating_point():
            raise NotImplementedError(f"{func} of {args[0].dtype}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("span", [1, 7, 40, 44, 45, 53])
def test_torch_sums_whole_numbers_in_float64_alone(choose, monkeypatch, span):
    """Five inputs: 43 exponents have sums that float64 holds, and more are split."""
    choose("torch", monkeypatch)
    codes = np.array([[1, span, span, span, span], [span + 128, 1, 0, 129, span]], np.uint8)
    held = PowerOfTwoRows(codes, 8, -20)
    x = np.array([[-128] * 5, [127, 1, -3, 5, 127]], np.int8)
    with NoWholeProducts():
        sums = held.integer_product(torch.from_numpy(x))
    assert sums.dtype == (torch.int64 if held.wide else torch.int32)
    assert sums.tolist() == (x.astype(object) @ whole_weights(held).T).tolist()


def test_worked_numbers(path):
    """Weights 4, -1, 0 and -0.5."""
    held = PowerOfTwoRows(np.array([[4, 10, 0, 9]], np.uint8), 4, -1)
    x = torch.tensor([[1.0, 2.0, 127.0, -8.0]])
    assert held.product(x).tolist() == held.product_int8(x).tolist() == [[6.0]]
    sums = held.integer_product(x.to(torch.int8))
    assert (held.low, sums.tolist(), sums.dtype) == (0, [[12]], torch.int32)


def test_rows_that_are_not_finite_give_nan_and_leave_others_alone(path):
    held = drawn(np.random.default_rng(1), 20, 31, 4)
    x = torch.randn(3, 31, generator=torch.Generator().manual_seed(1))
    wanted = held.product_int8(x)
    x[1, 30] = np.inf
    found = held.product_int8(x)
    assert bool(found[1].isnan().all())
    assert torch.equal(found[[0, 2]], wanted[[0, 2]])


def test_shapes_and_bytes(path):
    generator = np.random.default_rng(2)
    for bits, read in [(4, 0.5), (5, 1)]:
        held = drawn(generator, 6, 10, bits)
        # Look-ups and dot products fill outputs up to 128, inputs to four.
        filled = 128 * 12 / 2 if (bits, path) == (4, "avx512-vnni") else 60 * read
        assert held.bytes_read == (60 * 4 if path == "torch" else filled)
        for product in (held.product, held.product_int8):
            assert product(torch.ones(2, 3, 10)).shape == (2, 3, 6)
            assert product(torch.ones(0, 10)).shape == (0, 6)
            with pytest.raises(ValueError, match="an input of shape"):
                product(torch.ones(1, 11))
        for outputs, inputs in [(0, 5), (5, 0)]:
            empty = drawn(generator, outputs, inputs, bits)
            for product in (empty.product, empty.product_int8):
                assert torch.equal(product(torch.ones(2, inputs)), torch.zeros(2, outputs))
    zero = PowerOfTwoRows(np.zeros((3, 5), np.uint8), 3, 0)
    assert torch.equal(zero.product_int8(torch.ones(1, 5)), torch.zeros(1, 3))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_largest_exponents_give_no_warning(path, bits):
    """A register has seven exponents; of fewer bits some of those would be none of float32's."""
    least = 127 - ((1 << (bits - 1)) - 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = PowerOfTwoRows(np.ones((2, 3), np.uint8), bits, least)
        for product in (held.product, held.product_int8):
            assert product(torch.tensor([[0.5, 0.0, 0.0]])).tolist() == [[2.0 ** (least - 1)] * 2]


@pytest.mark.parametrize(
    ("least", "scale"),
    [(-127, 1.0), (126, 1.0), (0, 0.0), (0, -1.0), (0, np.nan), (0, np.inf), (0, 1e39),
     (0, 1e-40), (-126, 0.5), (125, 2.0)],
)  # fmt: skip
def test_exponents_and_scales_that_are_not_normal_are_refused(least, scale):
    with pytest.raises(ValueError, match="allowed" if least else "the scale is"):
        PowerOfTwoRows(np.ones((2, 3), np.uint8), 3, least, scale)


def test_what_is_no_such_matrix_is_refused():
    codes = np.zeros((2, 3), np.uint8)
    for matrix, bits in [
        (codes[0], 4), (codes.astype(np.int64), 4), (codes, 1), (codes, 9), (codes + 8, 4),
        (codes + 16, 4),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            PowerOfTwoRows(matrix, bits, 0)
