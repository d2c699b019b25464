"""A fixed and a learned factor: laws, worked numbers, every dictionary, damaged parts."""

import hashlib
import math
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.bits import write_varint
from methods.formats.fixed_factor import FixedFactor
from methods.formats.format import FormatError
from methods.formats.uniform import rows_and_width
from methods.prediction.dictionaries import KINDS, STORED_KINDS, Dictionary


def source_of(rule, inputs, seed):
    """A covariance, or vectors to draw from."""
    generator = np.random.default_rng(seed)
    if rule.kind == "covariance":
        return np.cov(generator.standard_normal((inputs + 9, inputs)), rowvar=False)
    return generator.standard_normal((rule.pool, inputs))


def make(shape, kind, share, columns, seed):
    outputs, inputs = rows_and_width(shape)
    pool = inputs + 5 if kind == "atoms" else 0
    grid = (1, inputs, 1) if kind == "squared-exponential" else (0, 0, 0)
    atoms, columns = int(inputs * share), min(columns, max(outputs, 1))
    rule = Dictionary(kind, atoms, columns, seed, 1.5, 0.1, grid, pool)
    stored = None
    if kind in STORED_KINDS:
        stored = rule.select(source_of(rule, inputs, seed).reshape(pool or inputs, inputs))
    values = np.random.default_rng(seed).standard_normal((atoms, outputs))
    return FixedFactor(shape, values, rule, stored)


any_shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
kinds = st.sampled_from(KINDS)
shares = st.sampled_from([0.1, 0.4, 1.0])
counts = st.integers(1, 5)
seeds = st.integers(0, 2**64 - 1)


@settings.get_profile("laws")
@given(any_shapes, kinds, shares, counts, seeds)
def test_what_is_packed_comes_back(round_trip, shape, kind, share, columns, seed):
    round_trip(make(shape, kind, share, columns, seed))


@settings(max_examples=150, deadline=None)
@given(st.tuples(st.integers(0, 12), st.integers(0, 60)), kinds, shares, counts, seeds)
def test_laws(laws, shape, kind, share, columns, seed):
    laws(make(shape, kind, share, columns, seed), 5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_convolution(convolution_law, kind, share, groups):
    held = make((8, 3, 3, 2), kind, share, 2, 1)
    convolution_law(held, groups)
    convolution_law(held, groups, stride=(2, 1), padding=(1, 2), dilation=(1, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_few_atoms_are_multiplied_without_the_tensor_and_many_with_it_once(kind, laws, monkeypatch):
    few, many = make((100, 80), kind, 0.1, 2, 3), make((100, 80), kind, 1.0, 3, 3)
    laws(few)
    x = torch.randn(2, 80, generator=torch.Generator().manual_seed(0))
    first = many.multiply(x)
    fresh = FixedFactor.unpack(few.shape, few.pack())
    monkeypatch.setattr(FixedFactor, "decode", None)
    assert fresh.multiply(x).shape == (2, 100)
    assert torch.equal(many.multiply(x), first)
    with pytest.raises(ValueError, match="nothing is multiplied"):
        make((3,), kind, 1.0, 1, 0).multiply(x)


def test_the_weights_are_the_columns_products_side_by_side():
    held = make((7, 12), "gaussian", 0.5, 3, 9)
    factors = list(held.dictionary.factors(12))
    assert held.dictionary.places(7) == [slice(0, 3), slice(3, 5), slice(5, 7)]
    for place, factor in zip(held.dictionary.places(7), factors, strict=True):
        wanted = (factor @ held.values[:, place]).T
        assert np.allclose(held.decode().numpy()[place], wanted, rtol=0, atol=1e-5)
    assert not np.allclose(factors[0], factors[1])


def test_learned_and_stored_weights_are_counted_apart():
    shape = (500, 784)
    for kind in KINDS:
        held = make(shape, kind, 150 / 784 + 1e-9, 5, 0)
        assert held.learned_weights == 150 * 500
        extra = held.stored_weights - held.learned_weights
        used = len(held.dictionary.used(784))
        wanted = {"covariance": used * 784 - used * (used - 1) // 2, "atoms": used * 784}
        assert extra == wanted.get(kind, 0)
        sizes = held.size_bytes()
        assert sizes["values"] == 4 * 75_000
        assert sizes["dictionary"] == 4 * extra
        assert sizes["rule"] < 40


def test_all_rows_of_a_covariance_take_half_of_it():
    held = make((4, 30), "covariance", 1.0, 2, 0)
    assert held.stored.size == 30 * 31 // 2
    whole = held.dictionary.restore(held.stored, 30)
    assert np.array_equal(whole, source_of(held.dictionary, 30, 0).astype(np.float32))


FROZEN = {
    "gaussian": "89e7c0de5efc7b36",
    "uniform": "97df1ad4f4543cab",
    "positions": "b1b8605e000dee99",
}


@pytest.mark.parametrize("kind", FROZEN)
def test_the_streams_never_change(kind):
    """A file holds a seed only, so these digests must hold for ever."""
    rule = Dictionary(kind, 6, 3, seed=2**63 + 5, scale=0.5)
    digest = hashlib.sha256()
    for factor in rule.factors(20):
        # The last bits of a logarithm may differ between libraries.
        digest.update(np.round(factor * 2**16).astype("<i4").tobytes())
    assert digest.hexdigest()[:16] == FROZEN[kind]


def test_odd_values_are_kept(round_trip):
    rule = Dictionary("positions", 3, 1, 0)
    odd = np.array([[np.nan, np.inf, -0.0]], np.float32).T
    again = round_trip(FixedFactor((1, 3), odd, rule))
    assert again.values.tobytes() == odd.tobytes()


def test_what_is_no_layer_is_refused():
    rule = Dictionary("covariance", 2, 1)
    stored = rule.select(np.eye(4))
    values = np.zeros((2, 3))
    FixedFactor((3, 4), values, rule, stored)
    for shape, given_values, given_stored in [
        ((3, 4), np.zeros((2, 4)), stored), ((3, 4), np.zeros((3, 3)), stored),
        ((3, 5), values, stored), ((3, 4), values, None), ((3, 4), values, stored[:-1]),
        ((3, 4), values, np.full_like(stored, np.nan)), ((3, 1), values, stored),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            FixedFactor(shape, given_values, rule, given_stored)
    with pytest.raises(ValueError):
        FixedFactor((3, 4), values, Dictionary("positions", 2, 4))
    with pytest.raises(ValueError):
        rule.select(np.eye(5)[:4])


@pytest.mark.parametrize("kind", KINDS)
def test_missing_unknown_and_cut_parts_are_refused(kind):
    parts = make((6, 9), kind, 0.5, 2, 5).pack()
    for part, content in parts.items():
        with pytest.raises(FormatError):
            FixedFactor.unpack((6, 9), {k: v for k, v in parts.items() if k != part})
        for size in range(len(content)):
            with pytest.raises(FormatError):
                FixedFactor.unpack((6, 9), parts | {part: content[:size]})
        with pytest.raises(FormatError):
            FixedFactor.unpack((6, 9), parts | {part: content + b"\0"})
    with pytest.raises(FormatError):
        FixedFactor.unpack((6, 9), parts | {"more": b""})


def rule_bytes(kind, *counts, scale=1.0, ridge=0.1):
    number = KINDS.index(kind) if isinstance(kind, str) else kind
    return bytes([number]) + b"".join(map(write_varint, counts)) + struct.pack("<dd", scale, ridge)


@pytest.mark.parametrize(
    "rule",
    [
        rule_bytes(len(KINDS), 2, 1, 0, 0, 0, 0, 0),  # unknown kind
        rule_bytes("positions", 2, 0, 0, 0, 0, 0, 0),  # no column
        rule_bytes("positions", 2, 7, 0, 0, 0, 0, 0),  # more columns than outputs
        rule_bytes("positions", 10, 1, 0, 0, 0, 0, 0),  # more atoms than inputs
        rule_bytes("positions", 2, 1, 0, 1, 3, 3, 0),  # a grid that nothing asks for
        rule_bytes("squared-exponential", 2, 1, 0, 1, 2, 4, 0),  # a grid of other inputs
        rule_bytes("atoms", 2, 1, 0, 0, 0, 0, 0),  # no pool
        rule_bytes("gaussian", 2, 1, 0, 0, 0, 0, 0, scale=math.nan),
        rule_bytes("gaussian", 2, 1, 0, 0, 0, 0, 0, scale=0.0),
        rule_bytes("squared-exponential", 2, 1, 0, 1, 3, 3, 0, ridge=0.0),
        rule_bytes("squared-exponential", 2, 1, 0, 1, 3, 3, 0, ridge=math.inf),
    ],
)
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(FormatError):
        FixedFactor.unpack((6, 9), {"values": bytes(4 * 12), "dictionary": b"", "rule": rule})


def test_nothing_is_made_from_counts_that_the_bytes_do_not_fill():
    hostile = [
        ((2**15, 2**16), rule_bytes("positions", 2**16, 1, 0, 0, 0, 0, 0)),
        ((1, 2**31), rule_bytes("gaussian", 2**20, 1, 0, 0, 0, 0, 0)),
        ((2**20, 1), rule_bytes("atoms", 1, 2**20, 0, 0, 0, 0, 2**31)),
        ((2**10, 2**20), rule_bytes("covariance", 1, 2**10, 0, 0, 0, 0, 0)),
        ((2**20, 0), rule_bytes("atoms", 0, 2**20, 0, 0, 0, 0, 2**31)),
    ]
    tracemalloc.start()
    try:
        for shape, rule in hostile:
            for values in (b"", bytes(4096)):
                with pytest.raises(FormatError):
                    FixedFactor.unpack(shape, {"values": values, "dictionary": b"", "rule": rule})
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused < 1 << 20


def test_a_rule_that_takes_hours_to_solve_is_refused():
    """A file of 8 MB could ask for a system of 1,448 unknowns in each of 1,448 columns."""
    grid = (1, 1, 1448)
    Dictionary("squared-exponential", 1448, 80, grid=grid).check(1448, 1448)
    with pytest.raises(ValueError, match="too many to solve"):
        Dictionary("squared-exponential", 1448, 1448, grid=grid).check(1448, 1448)
    with pytest.raises(ValueError, match="too many to solve"):
        Dictionary("covariance", 1448, 1448).check(1448, 1448)


@settings(max_examples=200, deadline=None)
@given(st.data(), kinds)
def test_changed_parts_are_another_layer_or_a_format_error(data, kind):
    held = make((4, 9), kind, 0.4, 2, data.draw(st.integers(0, 20)))
    parts = dict(held.pack())
    part = data.draw(st.sampled_from(sorted(name for name in parts if parts[name])))
    content = bytearray(parts[part])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = FixedFactor.unpack(held.shape, parts | {part: bytes(content)})
    except FormatError:
        return
    assert tuple(found.decode().shape) == held.shape
    assert FixedFactor.unpack(held.shape, found.pack()) == found
