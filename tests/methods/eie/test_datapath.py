"""The datapath: equal to the bit to a dense reference in plain integers, on both paths."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.eie.coded import CodedLayer
from methods.eie.datapath import (
    Formats,
    choose_formats,
    dequantize,
    fixed_outputs,
    float_outputs,
    fraction_bits,
    quantize,
)
from methods.eie.encode import EncodedLayer, encode
from registry.errors import UserError

PATHS = ("numba", "torch")


def on_path(path: str, call: Callable[[], np.ndarray]) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_KERNELS", path)
        return call()


def whole(value: float, fraction: int, bits: int) -> int:
    """The nearest integer, half to even, saturated; by Python's own round."""
    return max(
        -(1 << bits - 1), min((1 << bits - 1) - 1, round(math.ldexp(float(value), fraction)))
    )


def dense_reference(
    layer: CodedLayer, inputs: np.ndarray, formats: Formats, signed: bool
) -> list[list[int]]:
    """Row after row in Python's integers, which do not overflow; knows nothing of PEs."""
    bits = formats.bits
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    weight, bias, found = layer.weight(), layer.bias(), []
    for one in inputs:
        sums = []
        for row in range(layer.outputs):
            terms = [
                (whole(w, formats.codebook, bits), whole(a, formats.activation, bits))
                for w, a in zip(weight[row], one, strict=True)
            ]
            if bias is not None:
                one_point = 1 << formats.activation
                terms.append((whole(bias[row], formats.codebook, bits), one_point))
            total = 0
            for w, a in terms:
                if a > 0 or (signed and a != 0):
                    half = (1 << formats.shift) // 2 if formats.nearest else 0
                    # Floor, as an arithmetic shift.
                    product = (w * a + half) // (1 << formats.shift)
                    total = max(low, min(high, total + product))
            sums.append(total)
        found.append(sums)
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[EncodedLayer, np.ndarray, Formats, bool]:
    """A layer on some PEs, inputs and formats; many saturate, many have padding."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    pes = draw(st.sampled_from([1, 2, 3, 4, 7, 16, 64]))
    outputs, inputs = draw(st.integers(1, 60)), draw(st.integers(1, 9))
    density = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]))
    codes = generator.integers(1, 16, (outputs, inputs)) * (
        generator.random((outputs, inputs)) < density
    )
    codebook = np.append(0, generator.normal(size=15) * 2.0 ** draw(st.integers(-8, 6)))
    bias = generator.integers(0, 16, outputs) if draw(st.booleans()) else None
    layer = CodedLayer.from_codes(codes.astype(np.uint8), codebook.astype(np.float32), bias)
    given = generator.normal(size=(draw(st.integers(0, 3)), inputs)) * 2.0 ** draw(
        st.integers(-4, 6)
    )
    given *= generator.random(given.shape) < 0.7
    bits = draw(st.sampled_from([8, 16]))
    activation = draw(st.integers(0, bits - 2))
    of_codebook = draw(st.integers(0, bits))
    accumulator = draw(st.integers(-20, activation + of_codebook))
    formats = Formats(bits, activation, of_codebook, accumulator, draw(st.booleans()))
    # Without its origin the layer is what the streams and pointers alone say.
    stored = replace(encode(layer, pes), origin=None)
    return stored, given.astype(np.float32), formats, draw(st.booleans())


@given(cases())
@settings(max_examples=60)
def test_fixed_point_is_the_dense_reference_to_the_bit(
    case: tuple[EncodedLayer, np.ndarray, Formats, bool],
) -> None:
    layer, inputs, formats, signed = case
    expected = dense_reference(layer.decoded, inputs, formats, signed)
    for path in PATHS:
        found = on_path(path, lambda: fixed_outputs(layer, inputs, formats, signed=signed))
        assert found.shape == (len(inputs), layer.outputs)
        assert found.dtype == np.int32
        assert found.tolist() == expected, path


@given(cases())
@settings(max_examples=40)
def test_floats_agree_on_both_paths_to_the_bit_and_with_the_dense_product(
    case: tuple[EncodedLayer, np.ndarray, Formats, bool],
) -> None:
    layer, inputs, _, signed = case
    found = [on_path(path, lambda: float_outputs(layer, inputs, signed=signed)) for path in PATHS]
    assert found[0].dtype == np.float32
    assert found[0].tobytes() == found[1].tobytes()
    sent = inputs if signed else np.maximum(inputs, 0)
    weight, bias = layer.decoded.weight().astype(np.float64), layer.decoded.bias()
    dense = sent.astype(np.float64) @ weight.T + (0 if bias is None else bias)
    size = np.abs(sent).astype(np.float64) @ np.abs(weight).T + (
        0 if bias is None else np.abs(bias)
    )
    assert (np.abs(found[0] - dense) <= 1e-6 * size + 1e-30).all()


@given(cases(), st.sampled_from([8, 16]))
@settings(max_examples=40)
def test_chosen_formats_hold_every_range(
    case: tuple[EncodedLayer, np.ndarray, Formats, bool], bits: int
) -> None:
    layer, inputs, _, signed = case
    chosen = {
        path: on_path(path, lambda: choose_formats(layer, inputs, bits=bits, signed=signed))
        for path in PATHS
    }  # fmt: skip
    assert chosen["numba"] == chosen["torch"]
    formats = chosen["numba"]
    assert formats.shift >= 0
    step = math.ldexp(1, -formats.codebook)
    stored = dequantize(quantize(layer.codebook, formats.codebook, bits), formats.codebook)
    assert np.abs(stored - layer.codebook).max() <= step / 2
    exact = float_outputs(layer, inputs, signed=signed)
    fixed = dequantize(fixed_outputs(layer, inputs, formats, signed=signed), formats.accumulator)
    terms = layer.columns
    # Nothing saturates, so what is lost is rounding: of each factor by half a step, of each
    # product by less than one of the accumulator's.
    sent = np.abs(inputs if signed else np.maximum(inputs, 0))
    largest = float(sent.max(initial=0))
    if bits == 16 and (not layer.has_bias or largest < 2**15):
        of_activation = math.ldexp(0.5, -formats.activation)
        heaviest = float(np.abs(layer.codebook).max())
        lost = terms * (
            math.ldexp(1, -formats.accumulator)
            + heaviest * of_activation
            + (max(largest, 1.0) + of_activation) * step / 2
        )
        assert (np.abs(fixed - exact) <= lost + 1e-5 * np.abs(exact) + 1e-30).all()


@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32), st.sampled_from([4, 8, 16]))
def test_fraction_bits_are_the_most_that_hold_the_range(a: float, b: float, bits: int) -> None:
    low, high = min(a, b), max(a, b)
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1

    def holds(fraction: int) -> bool:
        ends = [round(math.ldexp(end, fraction)) for end in (low, high)]
        return all(least <= end <= most for end in ends)

    found = fraction_bits(low, high, bits)
    if low == high == 0:
        assert found == bits - 1
    else:
        assert holds(found)
        assert found == 200 or not holds(found + 1)


def test_worked_numbers() -> None:
    """Two PEs, a gap of 18 zeros, a negative product that is rounded down, and saturation."""
    codes = np.zeros((40, 2), np.uint8)
    codes[38, 0], codes[0, 1], codes[38, 1] = 1, 2, 1
    codebook = np.zeros(16, np.float32)
    codebook[1:3] = 100, -0.75
    layer = encode(CodedLayer.from_codes(codes, codebook), 2)
    assert layer.stored_padding_entries == 2
    formats = Formats(8, activation=0, codebook=2, accumulator=1)
    # 100 is 127 of 8 bits with 2 fraction bits; 127 * 1 >> 1 = 63; twice that and more saturates.
    for path in PATHS:
        found = on_path(path, lambda: fixed_outputs(layer, np.array([1.0, 3.0]), formats))
        # -3 * 3 = -9, shifted by one -5 and not -4.
        assert (found[0, 0], found[0, 38]) == (-5, 127)
        assert np.count_nonzero(found) == 2


def test_the_bias_comes_last() -> None:
    """100 + 100 saturates at 127 before the bias takes 100 away."""
    codebook = np.zeros(16, np.float32)
    codebook[1:3] = 100, -100
    codes = np.ones((1, 2), np.uint8)
    layer = encode(CodedLayer.from_codes(codes, codebook, np.array([2])), 1)
    formats = Formats(8, activation=0, codebook=0, accumulator=0)
    for path in PATHS:
        found = on_path(path, lambda: fixed_outputs(layer, np.array([1.0, 1.0]), formats))
        assert found.tolist() == [[27]]


def test_negative_activations_are_sent_in_the_signed_mode_only() -> None:
    codebook = np.zeros(16, np.float32)
    codebook[1] = 1
    layer = encode(CodedLayer.from_codes(np.ones((1, 2), np.uint8), codebook), 1)
    inputs = np.array([[-2.0, 5.0]], np.float32)
    assert float_outputs(layer, inputs).tolist() == [[5.0]]
    assert float_outputs(layer, inputs, signed=True).tolist() == [[3.0]]


def refused_calls() -> list[tuple[str, Callable[[], object]]]:
    codebook = np.zeros(16, np.float32)
    codebook[1] = 1
    layer = encode(CodedLayer.from_codes(np.ones((1, 2), np.uint8), codebook, np.array([1])), 1)
    formats = Formats(8, 4, 4, 4)
    return [
        ("right only", lambda: Formats(16, 2, 2, 5)),
        ("17 bits", lambda: Formats(17, 2, 2, 2)),
        ("1 bits", lambda: Formats(1, 0, 0, 0)),
        ("201 fraction bits", lambda: Formats(16, 201, 0, 0)),
        ("activation 1", lambda: fixed_outputs(layer, np.zeros(2), Formats(8, 7, 4, 4))),
        ("activation 1", lambda: fixed_outputs(layer, np.zeros(2), Formats(8, -1, 4, 3))),
        ("NaN", lambda: fixed_outputs(layer, np.array([0, np.nan]), formats)),
        ("infinite", lambda: float_outputs(layer, np.array([0, np.inf]))),
        ("shape", lambda: float_outputs(layer, np.zeros(3))),
        ("shape", lambda: float_outputs(layer, np.zeros((1, 1, 2)))),
        ("type", lambda: float_outputs(layer, np.array(["a", "b"]))),
        ("without an end", lambda: fraction_bits(0.0, math.inf, 16)),
    ]  # fmt: skip


@pytest.mark.parametrize("place", range(len(refused_calls())))
def test_what_cannot_be_is_refused_in_words(place: int) -> None:
    words, call = refused_calls()[place]
    with pytest.raises(UserError, match=words):
        call()
