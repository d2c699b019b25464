"""Binary products on each path: against dense ones, exact sums, scales, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.kernels.activations import rounded
from methods.kernels.binary import BinaryRows

PATHS = ["avx512-vnni", "loops", "torch"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch, choose):
    choose(request.param, monkeypatch)
    return request.param


def drawn(generator, outputs, inputs, by_output=True):
    scales = generator.standard_normal(outputs if by_output else 1)
    return BinaryRows(generator.random((outputs, inputs)) < 0.5, scales)


def signs_of(rows):
    return np.where(rows.plus, 1, -1).astype(np.int64)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 200)),
    rows=st.integers(0, 4),
    by_output=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_products_of_any_size(choose, path, shape, rows, by_output, seed):
    generator = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose(path, monkeypatch)
        held = drawn(generator, *shape, by_output)
        x = torch.from_numpy(generator.standard_normal((rows, shape[1])).astype(np.float32))
        weight = held.decode(x.device).double()
        found, expected = held.product(x), x.double() @ weight.T
        assert found.dtype == torch.float32
        allowed = held.tolerance * (x.double().abs() @ weight.abs().T)
        assert bool(((found - expected).abs() <= allowed).all())
        whole, scales = rounded(x)
        sums = whole.numpy().astype(np.int64) @ signs_of(held).T
        wanted = (sums * (scales.numpy() * held.scales.astype(np.float64))).astype(np.float32)
        np.testing.assert_array_equal(held.product_int8(x).numpy(), wanted)
        q = generator.integers(-128, 128, (rows, shape[1])).astype(np.int8)
        sums = held.integer_product(torch.from_numpy(q))
        assert sums.dtype == torch.int32
        np.testing.assert_array_equal(sums.numpy(), q.astype(np.int64) @ signs_of(held).T)


@pytest.mark.parametrize("value", [-128, 127])
def test_long_sums_of_one_sign(path, value):
    plus = np.ones((3, 150_001), np.bool_)
    plus[1] = False
    held = BinaryRows(plus, 1.0)
    found = held.integer_product(torch.full((1, 150_001), value, dtype=torch.int8))
    assert found.tolist() == [[150_001 * value, -150_001 * value, 150_001 * value]]


def test_worked_numbers(path):
    held = BinaryRows(np.array([[True, False, True], [False, False, True]]), np.array([2.0, -0.5]))
    x = torch.tensor([[1.0, -127.0, 4.0]])
    assert held.product(x).tolist() == held.product_int8(x).tolist() == [[264.0, -65.0]]
    assert held.integer_product(x.to(torch.int8)).tolist() == [[132, 130]]


def test_scales_and_activations_that_are_not_finite_stay_with_their_own(path):
    generator = np.random.default_rng(1)
    held = drawn(generator, 20, 30)
    held.scales[3] = np.nan
    x = torch.from_numpy(generator.standard_normal((3, 30)).astype(np.float32))
    x[1, 29] = np.inf
    for product in (held.product, held.product_int8):
        found = product(x)
        assert bool(found[:, 3].isnan().all())
        assert not bool(found[1].isfinite().any())
        assert bool(found[[0, 2]][:, [0, 1, 2, *range(4, 20)]].isfinite().all())


def test_shapes_and_bytes(path):
    held = drawn(np.random.default_rng(2), 512, 120)
    bits = {"avx512-vnni": 16 / 15, "loops": 1, "torch": 32}[path]
    assert 8 * held.bytes_read == bits * 512 * 120
    for product in (held.product, held.product_int8):
        assert product(torch.ones(2, 3, 120)).shape == (2, 3, 512)
        assert product(torch.ones(0, 120)).shape == (0, 512)
        with pytest.raises(ValueError, match="an input of shape"):
            product(torch.ones(1, 121))
    empty = BinaryRows(np.zeros((4, 0), np.bool_), 1.0)
    assert torch.equal(empty.product(torch.zeros(2, 0)), torch.zeros(2, 4))
    assert torch.equal(empty.product_int8(torch.zeros(2, 0)), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="int8"):
        held.integer_product(torch.ones(1, 120))


def test_what_is_no_binary_matrix_is_refused():
    plus = np.ones((2, 3), np.bool_)
    for matrix, scales in [
        (plus[0], 1.0), (plus.astype(np.int8), 1.0), (plus, np.ones(3)), (plus, np.ones((2, 1))),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            BinaryRows(matrix, scales)
