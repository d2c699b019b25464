"""What all kernels of low-precision weights hold: long sums, memory, and when formats take them."""

import tracemalloc
import warnings

import numpy as np
import pytest
import torch

from methods.formats.power_of_two import FEW, PowerOfTwo
from methods.formats.ternary import Ternary
from methods.formats.uniform import Uniform, scale_count
from methods.kernels.binary import BinaryRows
from methods.kernels.low_precision import TOLERANCE, LowPrecisionRows
from methods.kernels.power_of_two import PowerOfTwoRows
from methods.kernels.ternary import TernaryRows

PATHS = ["avx512-vnni", "avx512", "loops", "torch"]
ROWS = {
    "ternary": lambda plus: TernaryRows(2 * plus.astype(np.int8) - 1, 0.7, 0.4),
    "one scale": lambda plus: TernaryRows(2 * plus.astype(np.int8) - 1, 0.7, 0.7),
    "binary": lambda plus: BinaryRows(plus, 0.7),
    "four bits": lambda plus: PowerOfTwoRows(np.where(plus, 3, 11).astype(np.uint8), 4, -2, 0.7),
    "five bits": lambda plus: PowerOfTwoRows(np.where(plus, 3, 19).astype(np.uint8), 5, -2, 0.7),
}
LARGE = (64, 1024)


@pytest.fixture(params=PATHS)
def path(request, monkeypatch, choose):
    choose(request.param, monkeypatch)
    return request.param


@pytest.fixture(params=ROWS)
def make(request):
    return ROWS[request.param]


def formats(shape):
    """One of each, that a kernel could multiply."""
    generator, count = np.random.default_rng(0), shape[0] * shape[1]
    codes = generator.integers(0, 8, count)
    scales = [generator.random(scale_count(shape, kind, None)) for kind in ("tensor", "channel")]
    return [
        Ternary(shape, generator.integers(-1, 2, count), 0.7, 0.4),
        Uniform(shape, generator.integers(0, 2, count), scales[0], bits=1, granularity="tensor"),
        Uniform(shape, generator.integers(0, 2, count), scales[1], bits=1),
        PowerOfTwo(shape, np.where(codes == 4, 0, codes), bits=3, least=-3),
    ]


def refuse(monkeypatch, owner, name):
    def never(*arguments, **named):
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(owner, name, never)


@pytest.mark.parametrize("inputs", [25_088, 200_000])
def test_long_rows_of_equal_activations_hold_the_tolerance(path, make, inputs):
    """All partial sums grow alike and are rounded alike, so that errors do not cancel."""
    held = make(np.array([[True], [False]]).repeat(inputs, 1))
    assert held.tolerance == (inputs * 2.0**-24 if path == "torch" else TOLERANCE)
    for value in (0.1, 1 / 3, 0.7):
        x = torch.full((2, inputs), value)
        expected = x.double() @ held.decode(x.device).double().T
        gap = (held.product(x) - expected).abs()
        assert bool((gap <= held.tolerance * expected.abs()).all())


def test_a_negated_view_has_its_sign(path, make):
    """torch keeps the sign beside the memory."""
    held = make(np.random.default_rng(1).random((5, 12)) < 0.5)
    for rows in (1, 3):
        x = torch.randn(rows, 12, generator=torch.Generator().manual_seed(rows))
        turned = torch._neg_view(x)
        assert turned.is_neg()
        for product in (held.product, held.product_int8):
            assert torch.equal(product(turned), product(turned.clone()))
            assert not torch.equal(product(turned), product(x))
    whole = torch.arange(12, dtype=torch.int8).reshape(1, 12)
    found, wanted = (held.integer_product(v) for v in (torch._neg_view(whole), -whole))
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


def test_memory_that_was_given_back_is_refused(path, make):
    """Read by its address, 0 or a little more, it would end the process."""
    held = make(np.ones((5, 12), np.bool_))
    for dtype in (torch.float32, torch.float64, torch.int8):
        for take in (slice(0, 1), slice(2, 3), slice(0, 3)):
            whole = torch.ones(3, 12, dtype=dtype)
            x = whole[take]
            whole.untyped_storage().resize_(0)
            for product in (held.product, held.product_int8):
                with pytest.raises(ValueError, match="memory was given back"):
                    product(x)
            if dtype == torch.int8:
                with pytest.raises(ValueError, match="memory was given back"):
                    held.integer_product(x)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_a_matrix_without_weights_reads_nothing(path, make, shape):
    held = make(np.ones(shape, np.bool_))
    assert (held.bytes_read, held.float_bytes_read) == (0, 0)
    for product in (held.product, held.product_int8):
        assert torch.equal(product(torch.ones(2, shape[1])), torch.zeros(2, shape[0]))


def test_a_long_row_takes_one_codebook(choose, monkeypatch):
    """100,000 codes and 81 x 4 values; a codebook for each code would take 130 MB."""
    choose("loops", monkeypatch)
    held = TernaryRows(np.ones((1, 400_000), np.int8), 1.0, 0.5)
    held.product(torch.ones(1, 400_000))  # which compiles
    held = TernaryRows(np.ones((1, 400_000), np.int8), 1.0, 0.5)
    tracemalloc.start()
    try:
        assert held.product(torch.ones(1, 400_000)).tolist() == [[400_000.0]]
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 8 << 20
    assert held.float_bytes_read == 100_000 + 81 * 4 * 4


def test_float_bytes_are_those_of_codes_and_codebook(choose, monkeypatch):
    """With AVX-512 a word of six codes, of three inputs each, serves 18 inputs."""
    choose("avx512", monkeypatch)
    held = TernaryRows(np.ones((32, 180), np.int8), 1.0, 0.5)
    assert held.float_bytes_read == 32 * 10 * 4 + 6 * 3 * 32 * 4


def test_formats_take_the_kernels_where_they_gain(path, monkeypatch):
    x = torch.randn(2, LARGE[1], generator=torch.Generator().manual_seed(0))
    for held in formats(LARGE):
        dense = held.decode()
        with monkeypatch.context() as patch:
            if path.startswith("avx512"):
                refuse(patch, type(held), "decode")
            else:
                refuse(patch, LowPrecisionRows, "_product")
            found = held.multiply(x)
        gap, magnitudes = (found - x @ dense.T).abs(), x.abs() @ dense.abs().T
        assert bool((gap <= 1e-6 * magnitudes).all())


@pytest.mark.parametrize("shape", [(10, 100), (63, 2000), (64, 1023), (0, 5), (5, 0)])
def test_small_weights_are_decoded_on_every_path(path, monkeypatch, shape):
    refuse(monkeypatch, LowPrecisionRows, "_product")
    x = torch.ones(2, shape[1])
    for held in formats(shape):
        torch.testing.assert_close(held.multiply(x), x @ held.decode().T)


def test_what_kernels_are_slow_at_is_decoded(path, monkeypatch):
    refuse(monkeypatch, LowPrecisionRows, "_product")
    codes = np.ones(LARGE[0] * LARGE[1], np.int64)
    five = PowerOfTwo(LARGE, codes, bits=5, least=-10)
    assert five.multiply(torch.ones(1, LARGE[1])).tolist() == [[1.0] * LARGE[0]]
    four = PowerOfTwo(LARGE, codes, bits=4, least=-10)
    assert four.multiply(torch.ones(FEW + 1, LARGE[1]))[0, 0] == 1.0


def test_gradients_flow_through_every_format(path):
    for held in formats(LARGE):
        x = torch.ones(2, LARGE[1], requires_grad=True)
        held.multiply(x).sum().backward()
        torch.testing.assert_close(x.grad[0], held.decode().sum(0), rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            assert not held.multiply(x).requires_grad


def test_powers_at_the_end_of_float32_give_no_warning(path):
    held = PowerOfTwo(LARGE, np.ones(LARGE[0] * LARGE[1], np.int64), bits=2, least=127)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert held.multiply(torch.zeros(1, LARGE[1])).tolist() == [[0.0] * LARGE[0]]
