"""Ternary products on each path: against dense ones, exact sums, rounding, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.kernels import low_precision
from methods.kernels.activations import rounded
from methods.kernels.ternary import TernaryRows

PATHS = ["avx512-vnni", "avx512", "loops", "torch"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch, choose):
    choose(request.param, monkeypatch)
    return request.param


def drawn_signs(generator, outputs, inputs, density=0.6):
    signs = generator.integers(0, 2, (outputs, inputs)) * 2 - 1
    return (signs * (generator.random((outputs, inputs)) < density)).astype(np.int8)


def check_float(rows, x):
    weight = rows.decode(x.device).double()
    found, expected = rows.product(x), x.double() @ weight.T
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    allowed = rows.tolerance * (x.double().abs() @ weight.abs().T) + 1e-37
    assert bool(((found - expected).abs() <= allowed).all())


def check_integers(rows, whole):
    """Bit for bit what numpy finds in 64 bits."""
    found = rows.integer_product(torch.from_numpy(whole))
    signs, x = rows.signs.astype(np.int64), whole.astype(np.int64)
    wanted = [x @ (signs > 0).T, x @ (signs < 0).T]
    if rows.one_scale:
        wanted = [wanted[0] - wanted[1]]
    assert len(found) == len(wanted)
    for sums, expected in zip(found, wanted, strict=True):
        assert sums.dtype == torch.int32
        np.testing.assert_array_equal(sums.numpy(), expected)


def check_int8(rows, x):
    """The exact sums of the rounded activations, scaled in float64 and rounded once."""
    whole, scales = rounded(x)
    signs, q = rows.signs.astype(np.int64), whole.numpy().astype(np.int64)
    plus, minus = q @ (signs > 0).T, q @ (signs < 0).T
    if rows.one_scale:
        wanted = (plus - minus) * (scales.numpy() * rows.positive)
    else:
        wanted = (rows.positive * plus - rows.negative * minus) * scales.numpy()
    found = rows.product_int8(x)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), wanted.astype(np.float32))


scales = st.sampled_from([(0.7, 0.7), (0.7, 0.4), (0.0, 1.5), (1e-30, 1e30)])


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 200)),
    rows=st.integers(0, 4),
    scales=scales,
    density=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_products_of_any_size(choose, path, shape, rows, scales, density, seed):
    generator = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose(path, monkeypatch)
        held = TernaryRows(drawn_signs(generator, *shape, density), *scales)
        x = torch.from_numpy(generator.standard_normal((rows, shape[1])).astype(np.float32))
        check_float(held, x)
        check_int8(held, x)
        check_integers(held, generator.integers(-128, 128, (rows, shape[1])).astype(np.int8))


@pytest.mark.parametrize("negative", [1.0, 0.5])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", [-128, 127])
def test_long_sums_of_one_sign(path, negative, sign, value):
    """The largest sums that 16 bits (51 look-ups) and one stretch of a dot product may meet."""
    inputs = low_precision.EXACT_INPUTS + 1003
    signs = np.full((3, inputs), sign, np.int8)
    signs[1] = 0
    held = TernaryRows(signs, 1.0, negative)
    check_integers(held, np.full((1, inputs), value, np.int8))


def test_long_sums_hold_the_tolerance(path):
    generator = np.random.default_rng(0)
    held = TernaryRows(np.abs(drawn_signs(generator, 64, 9216)), 0.3, 0.2)
    check_float(held, torch.from_numpy(generator.random((3, 9216), np.float32)))


def test_worked_numbers(path):
    held = TernaryRows(np.array([[1, 0, -1], [-1, -1, 1]], np.int8), 2.0, 0.5)
    x = torch.tensor([[1.0, -127.0, 4.0]])
    assert held.product(x).tolist() == [[0.0, 71.0]]
    assert held.product_int8(x).tolist() == [[0.0, 71.0]]
    plus, minus = held.integer_product(torch.tensor([[1, -127, 4]], dtype=torch.int8))
    assert (plus.tolist(), minus.tolist()) == ([[1, 4]], [[4, -126]])


def test_rounding_is_to_the_nearest_even_of_127_steps(path):
    """0.5 and 1.5 steps go to 0 and 2; what is tiny or all zero has no step of its own."""
    held = TernaryRows(np.eye(4, dtype=np.int8), 1.0, 1.0)
    x = torch.tensor([[127.0, 0.5, 1.5, -2.5]])
    assert held.product_int8(x).tolist() == [[127.0, 0.0, 2.0, -2.0]]
    assert held.product_int8(torch.zeros(2, 4)).tolist() == [[0.0] * 4] * 2
    tiny = torch.tensor([[1e-45, -1e-45, 0.0, 1e-45], [3e38, -3e38, 1e38, 0.0]])
    found = held.product_int8(tiny)
    assert torch.equal(found[0], tiny[0])
    assert torch.allclose(found[1], tiny[1], rtol=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_give_nan_and_leave_others_alone(path, bad):
    generator = np.random.default_rng(1)
    for negative in (0.7, 0.4):
        held = TernaryRows(drawn_signs(generator, 20, 30), 0.7, negative)
        x = torch.from_numpy(generator.standard_normal((3, 30)).astype(np.float32))
        wanted = held.product_int8(x)
        x[1, 29] = bad
        found = held.product_int8(x)
        assert bool(found[1].isnan().all())
        assert torch.equal(found[[0, 2]], wanted[[0, 2]])
        one = held.product_int8(x[1:2])
        assert bool(one.isnan().all())
        assert not bool(held.product(x)[1].isfinite().all())


def test_shapes_and_types_of_the_input(path):
    generator = np.random.default_rng(2)
    held = TernaryRows(drawn_signs(generator, 9, 10), 0.7, 0.4)
    x = torch.from_numpy(generator.standard_normal((2, 3, 10)).astype(np.float32)).requires_grad_()
    for product in (held.product, held.product_int8):
        found = product(x)
        assert found.shape == (2, 3, 9)
        assert not found.requires_grad
        torch.testing.assert_close(found[1, 2], product(x[1, 2]))
        turned = x.detach()[0].T.contiguous().T
        torch.testing.assert_close(product(turned), found[0])
        torch.testing.assert_close(product(x.detach()[0].double()), found[0])
        one = x.detach()[0, :1]
        assert torch.equal(product(one), product(one.clone()))
        spread = torch.zeros(1, 20)
        spread[:, ::2] = one
        assert torch.equal(product(spread[:, ::2]), product(one))
        assert product(torch.zeros(0, 10)).shape == (0, 9)
        for shape in [(10, 11), (9,), ()]:
            with pytest.raises(ValueError, match="an input of shape"):
                product(torch.zeros(shape))
    for outputs, inputs in [(0, 10), (9, 0), (0, 0)]:
        empty = TernaryRows(np.zeros((outputs, inputs), np.int8), 0.7, 0.7)
        for product in (empty.product, empty.product_int8):
            assert torch.equal(product(torch.zeros(2, inputs)), torch.zeros(2, outputs))
        assert empty.integer_product(torch.zeros(2, inputs).to(torch.int8))[0].shape[1] == outputs
    for wrong in (torch.zeros(2, 10), torch.zeros(2, 11).to(torch.int8)):
        with pytest.raises(ValueError, match="int8"):
            held.integer_product(wrong)


def test_what_is_no_ternary_matrix_is_refused():
    whole = np.zeros((2, 3), np.int8)
    for signs, positive, negative in [
        (whole[0], 1, 1), (whole + 2, 1, 1), (whole - 2, 1, 1), (whole, -1, 1), (whole, 1, -1e-9),
        (whole, np.nan, 1), (whole, 1, np.inf), (whole, 1e39, 1),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            TernaryRows(signs, positive, negative)
    with pytest.raises(ValueError, match="32 bits"):
        TernaryRows(np.zeros((1, 2**24), np.int8), 1, 1)


def test_bytes_read_are_about_two_bits_a_weight(choose):
    signs = drawn_signs(np.random.default_rng(3), 512, 1200)
    for path, negative, bits in [
        ("avx512-vnni", 0.7, 2), ("avx512-vnni", 0.4, 32 / 15), ("avx512", 0.7, 32 / 15),
        ("loops", 0.7, 2), ("torch", 0.7, 32),
    ]:  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            try:
                choose(path, patch)
            except pytest.skip.Exception:
                continue
            assert 8 * TernaryRows(signs, 0.7, negative).bytes_read == bits * signs.size
