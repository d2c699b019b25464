"""Coded layers and their encoding: round trips, the paper's worked layouts, bad input."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.eie.coded import CodedLayer
from methods.eie.encode import decode, encode
from registry.errors import UserError

CODEBOOK = np.array([0, *range(-7, 0), *range(1, 9)], np.float32) / 4


def make_codes(shape, density, seed):
    random = np.random.default_rng(seed)
    codes = random.integers(1, 16, shape, np.uint8)
    codes[random.random(shape) >= density] = 0
    return codes


def slice_of(encoded, pe, column):
    """Codes and runs of one PE's slice of a column."""
    begin, end = encoded.stream_starts[pe] + encoded.pointers[pe, column : column + 2]
    return encoded.codes[begin:end].tolist(), encoded.runs[begin:end].tolist()


def encode_column(column, pes=1):
    return encode(CodedLayer.from_codes(np.array(column, np.uint8)[:, None], CODEBOOK), pes)


@st.composite
def layers(draw):
    shape = draw(st.tuples(st.integers(1, 150), st.integers(1, 8)))
    density = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]))
    seed = draw(st.integers(0, 2**31))
    bias = make_codes(shape[:1], density, seed + 1) if draw(st.booleans()) else None
    return make_codes(shape, density, seed), bias


@settings(max_examples=150)
@given(layers(), st.integers(1, 200))
def test_what_is_encoded_comes_back(arrays, pes):
    codes, bias = arrays
    layer = CodedLayer.from_codes(codes, CODEBOOK, bias)
    encoded = encode(layer, pes)
    # Without its origin, so that nothing but entries and pointers can be read.
    decoded = decode(dataclasses.replace(encoded, origin=None))
    assert decoded.is_same(layer)
    np.testing.assert_array_equal(decoded.weight(), CODEBOOK[codes], strict=True)
    if bias is None:
        assert decoded.bias() is None
    else:
        np.testing.assert_array_equal(decoded.bias(), CODEBOOK[bias], strict=True)


@settings(max_examples=60)
@given(layers(), st.integers(1, 40))
def test_memories_hold_what_the_description_says(literal, arrays, pes):
    codes, bias = arrays
    encoded = encode(CodedLayer.from_codes(codes, CODEBOOK, bias), pes)
    stream = literal.store(codes if bias is None else np.column_stack([codes, bias]), pes)
    np.testing.assert_array_equal(encoded.codes, stream.codes)
    np.testing.assert_array_equal(encoded.runs, stream.runs)
    np.testing.assert_array_equal(encoded.pointers.T, stream.pointers)
    np.testing.assert_array_equal(encoded.stream_starts[:-1], stream.begins)
    np.testing.assert_array_equal(encoded.counts, np.diff(stream.pointers, axis=0))
    assert encoded.counts.shape == (codes.shape[1] + (bias is not None), pes)
    assert encoded.stored_entries == stream.codes.size == encoded.counts.sum()
    assert encoded.stored_padding_entries == (stream.codes == 0).sum()


@settings(max_examples=60)
@given(layers())
def test_weights_that_stand_in_the_table_take_their_own_code(arrays):
    codes, bias = arrays
    layer = CodedLayer.from_codes(codes, CODEBOOK, bias)
    again = CodedLayer.from_weights(layer.weight(), CODEBOOK, layer.bias())
    assert again.is_same(layer)


@pytest.mark.parametrize(
    ("gap", "runs"),
    [(0, [0]), (15, [15]), (16, [15, 0]), (17, [15, 1]), (31, [15, 15]), (32, [15, 15, 0]),
     (33, [15, 15, 1])],
)  # fmt: skip
@pytest.mark.parametrize("pes", [1, 3])
def test_gaps(gap, runs, pes):
    column = np.zeros((gap + 4) * pes, np.uint8)
    column[(gap) * pes] = 9  # of PE 0
    encoded = encode_column(column, pes)
    assert slice_of(encoded, 0, 0) == ([0] * (len(runs) - 1) + [9], runs)
    assert encoded.stored_padding_entries == len(runs) - 1
    assert decode(dataclasses.replace(encoded, origin=None)).rows.tolist() == [gap * pes]
    # The same gap between two weights.
    column = np.concatenate([np.array([5] + [0] * (pes - 1), np.uint8), column])
    assert slice_of(encode_column(column, pes), 0, 0)[1] == [0, *runs]


def test_the_papers_column():
    encoded = encode_column([0, 0, 1, 2, *[0] * 18, 3])
    assert slice_of(encoded, 0, 0) == ([1, 2, 0, 3], [2, 0, 15, 2])


def test_the_papers_matrix_on_four_pes():
    """Figs. 2 and 3: what PE 0 holds of a matrix of 16 rows and 8 columns."""
    local_rows = [[0, 2, 3], [1], [0, 3], [], [0, 1], [0, 3], [0], [2, 3]]
    codes = make_codes((16, 8), 0.5, 3)
    codes[::4] = 0
    for column, held in enumerate(local_rows):
        codes[4 * np.array(held, int), column] = 1 + column
    encoded = encode(CodedLayer.from_codes(codes, CODEBOOK), 4)
    assert encoded.pointers[0].tolist() == [0, 3, 4, 6, 6, 8, 10, 11, 13]
    assert encoded.runs[:13].tolist() == [0, 1, 0, 1, 0, 2, 0, 0, 0, 2, 0, 2, 0]
    assert encoded.codes[:13].tolist() == [1, 1, 1, 2, 3, 3, 5, 5, 6, 6, 7, 8, 8]
    assert encoded.stream_starts[1] == 13


def test_zeros_at_the_end_take_nothing():
    assert encode_column([7] + [0] * 500).stored_entries == 1
    assert encode_column([0] * 500).stored_entries == 0


def test_runs_restart_at_each_column():
    codes = np.zeros((40, 2), np.uint8)
    codes[0, 0] = codes[3, 1] = 4
    assert encode(CodedLayer.from_codes(codes, CODEBOOK), 1).runs.tolist() == [0, 3]


def test_slot_0_decodes_to_nothing_but_zero():
    table = CODEBOOK.copy()
    table[0] = -0.0
    layer = CodedLayer.from_codes(np.array([[0, 3]], np.uint8), table)
    assert layer.weight().tobytes() == np.array([[0.0, table[3]]], np.float32).tobytes()


def test_the_nearest_code_and_of_two_the_lower():
    table = np.array([0, 1, 3, 3, -1, -3, *range(10, 20)], np.float32)
    values = np.array([[0.5, -0.5, 0.51, 2.0, 3.0, 2.01, -2.0, 100.0, -100.0, 0.0]], np.float32)
    layer = CodedLayer.from_weights(values, table)
    assert layer.codes_dense().tolist() == [[0, 0, 1, 1, 2, 2, 4, 15, 5, 0]]
    assert layer.nonzeros == 7


def test_fifteen_values_are_kept_and_more_are_clustered():
    random = np.random.default_rng(0)
    weight = random.integers(-7, 9, (60, 40)).astype(np.float32)
    assert np.array_equal(CodedLayer.from_pruned(weight).weight(), weight)
    pruned = random.normal(size=(60, 40)).astype(np.float32) * (random.random((60, 40)) < 0.3)
    bias = random.normal(size=60).astype(np.float32)
    layer = CodedLayer.from_pruned(pruned, bias)
    assert np.unique(layer.codes).size == 15
    assert np.abs(layer.weight() - pruned).max() < 0.5
    assert np.abs(layer.bias() - bias).max() < 0.5


def test_values_that_are_shared_already_are_kept_however_they_lie():
    random = np.random.default_rng(1)
    values = np.array([-5, -4, -3, -2, -1.5, -1.2, 1.1, 1.2, 1.4, 2, 3, 4, 90, 91, 120]) / 100
    places = random.integers(0, 15, (60, 40))
    weight = (values[places] * (random.random(places.shape) < 0.3)).astype(np.float32)
    few = values[random.integers(0, 15, 60)].astype(np.float32)
    layer = CodedLayer.from_pruned(weight, few)
    assert np.array_equal(layer.weight(), weight)
    assert np.array_equal(layer.bias(), few)
    # Values of the bias find no place beside 15 of the weights, and find one beside fewer.
    many = random.normal(size=60).astype(np.float32)
    assert np.array_equal(CodedLayer.from_pruned(weight, many).weight(), weight)
    weight[places > 4] = 0
    layer = CodedLayer.from_pruned(weight[:10], many[:10])
    assert np.array_equal(layer.weight(), weight[:10])
    assert np.array_equal(layer.bias(), many[:10])
    # A bias alone is clustered.
    assert CodedLayer.from_pruned(np.zeros((60, 2), np.float32), many).nonzeros > 40
    assert layer.density == pytest.approx((layer.weight() != 0).mean())


def floats(*shape):
    return np.ones(shape, np.float32)


def with_value(array, value):
    array = array.astype(np.float64)
    array.reshape(-1)[-1] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([[1.0]], CODEBOOK), "weight"),
        ((np.ones((2, 2), np.int64), CODEBOOK), "weight"),
        ((np.array([[None]]), CODEBOOK), "weight"),
        ((np.array([["1"]]), CODEBOOK), "weight"),
        ((floats(2, 2).astype(complex), CODEBOOK), "weight"),
        ((floats(4), CODEBOOK), "weight"),
        ((floats(2, 2, 2), CODEBOOK), "weight"),
        ((floats(0, 3), CODEBOOK), "weight"),
        ((floats(3, 0), CODEBOOK), "weight"),
        ((with_value(floats(2, 2), np.nan), CODEBOOK), "weight"),
        ((with_value(floats(2, 2), -np.inf), CODEBOOK), "weight"),
        ((with_value(floats(2, 2), 1e300), CODEBOOK), "weight"),
        ((floats(2, 2), CODEBOOK[:15]), "codebook"),
        ((floats(2, 2), np.append(CODEBOOK, 1)), "codebook"),
        ((floats(2, 2), CODEBOOK + 1), "codebook"),
        ((floats(2, 2), CODEBOOK.reshape(4, 4)), "codebook"),
        ((floats(2, 2), CODEBOOK.astype(int)), "codebook"),
        ((floats(2, 2), with_value(CODEBOOK, np.nan)), "codebook"),
        ((floats(2, 2), None), "codebook"),
        ((floats(2, 3), CODEBOOK, floats(3)), "bias"),
        ((floats(2, 3), CODEBOOK, floats(2, 1)), "bias"),
        ((floats(2, 3), CODEBOOK, np.ones(2, int)), "bias"),
        ((floats(2, 3), CODEBOOK, with_value(floats(2), np.inf)), "bias"),
    ],
)
def test_bad_weights_are_one_clear_error(arguments, named):
    with pytest.raises(UserError, match=f"^{named}: [^\n]+$"):
        CodedLayer.from_weights(*arguments)


@pytest.mark.parametrize(
    ("codes", "bias", "named"),
    [
        (np.full((2, 2), 16, np.uint8), None, "codes"),
        (np.full((2, 2), -1), None, "codes"),
        (floats(2, 2), None, "codes"),
        (np.ones(4, np.uint8), None, "codes"),
        (np.ones((0, 4), np.uint8), None, "codes"),
        (np.ones((2, 2), np.uint8), np.ones(3, np.uint8), "bias codes"),
        (np.ones((2, 2), np.uint8), np.full(2, 16), "bias codes"),
    ],
)
def test_bad_codes_are_one_clear_error(codes, bias, named):
    with pytest.raises(UserError, match=f"^{named}: [^\n]+$"):
        CodedLayer.from_codes(codes, CODEBOOK, bias)


@pytest.mark.parametrize("pes", [0, -1, 1 << 20])
def test_a_machine_has_pes(pes):
    with pytest.raises(UserError, match="PEs"):
        encode(CodedLayer.from_codes(np.ones((2, 2), np.uint8), CODEBOOK), pes)


def test_more_entries_than_are_kept_are_refused_before_memory_is_taken():
    """A weight at the end of 2^31 - 1 rows needs 2^27 padding entries on one PE."""
    starts, rows = np.arange(21), np.full(20, (1 << 31) - 2, np.int32)
    layer = CodedLayer((1 << 31) - 1, 20, CODEBOOK, starts, rows, np.ones(20, np.uint8))
    with pytest.raises(UserError, match="2,684,354,560 entries with padding on 1 PEs"):
        encode(layer, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: {"entries": e.entries[:-1]},
        lambda e: {"entries": np.append(e.entries, e.entries[-1:])},
        lambda e: {"entries": e.entries & 0xF0},
        lambda e: {"entries": e.entries | 0xF0},
        lambda e: {"pointers": e.pointers[:, ::-1].copy()},
        lambda e: {"pointers": e.pointers[:, :-1].copy()},
        lambda e: {"pointers": e.pointers + 1},
        lambda e: {"outputs": e.outputs // 2},
    ],
)
def test_damaged_memories_are_refused(change):
    encoded = encode(CodedLayer.from_codes(make_codes((30, 6), 0.4, 0), CODEBOOK), 4)
    with pytest.raises(UserError):
        decode(dataclasses.replace(encoded, origin=None, **change(encoded)))
