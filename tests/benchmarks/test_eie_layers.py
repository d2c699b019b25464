"""The nine layers of Table III: expected entries, and the one density that is inferred."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.eie_layers import (
    LAYERS,
    drawn,
    drawn_activation,
    eie_paper,
    expected_column_entries,
    expected_slice_entries,
    expected_theoretical_seconds,
    inferred_densities,
    layer_named,
)
from methods.eie.encode import encode
from registry.errors import UserError


def by_gaps(rows: int, density: float) -> float:
    """Expected entries by following the length of the gap, row by row."""
    gaps, entries = {0: 1.0}, 0.0
    for _ in range(rows):
        following = {0: 0.0}
        for gap, chance in gaps.items():
            entries += chance * density * (1 + gap // 16)
            following[0] += chance * density
            following[gap + 1] = chance * (1 - density)
        gaps = following
    return entries


@settings(max_examples=60)
@given(st.integers(0, 90), st.floats(0, 1))
def test_expected_entries_of_a_slice(rows, density):
    assert expected_slice_entries(rows, density) == pytest.approx(by_gaps(rows, density), abs=1e-9)


@given(st.integers(1, 300), st.integers(1, 70), st.floats(0, 1))
def test_expected_entries_of_a_column_are_those_of_its_slices(outputs, pes, density):
    slices = [len(range(pe, outputs, pes)) for pe in range(pes)]
    whole = sum(expected_slice_entries(rows, density) for rows in slices)
    assert expected_column_entries(outputs, density, pes) == pytest.approx(whole)


def test_a_drawn_layer_has_the_expected_entries():
    layer = layer_named("NT-LSTM")
    coded, _ = drawn(layer, "printed", 0)
    mean = encode(coded, 64).column_entries.mean()
    assert mean == pytest.approx(expected_column_entries(layer.outputs, 0.1), rel=0.005)


def test_the_layers_are_those_of_the_record():
    table = eie_paper().table("table-3")
    assert table is not None
    assert [(one.id, one.name) for one in LAYERS] == [(row.id, row.label) for row in table.rows]
    assert len(LAYERS) == 9
    vgg = layer_named("vgg-6")
    assert vgg is layer_named("VGG-6")
    assert (vgg.inputs, vgg.outputs, vgg.densities("printed")) == (25088, 4096, (0.04, 0.183))
    assert (vgg.theoretical_seconds, vgg.actual_seconds) == pytest.approx((28.1e-6, 34.4e-6))


INFERRED = {
    "Alex-6": 35.5, "Alex-7": 33.3, "Alex-8": 44.5, "VGG-6": 22.4, "VGG-7": 38.6, "VGG-8": 39.7,
    "NT-We": 10.83, "NT-Wd": 10.85, "NT-LSTM": 10.48,
}  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_inferred_density_meets_the_theoretical_time(layer):
    weights, activations = inferred_densities(layer)
    if layer.free == "weights":
        assert (layer.activation_density, activations) == (1, 1)
        assert 100 * weights == pytest.approx(INFERRED[layer.name], abs=0.005)
    else:
        assert weights == layer.weight_density
        assert 100 * activations == pytest.approx(INFERRED[layer.name], abs=0.051)
    assert expected_theoretical_seconds(layer, weights, activations) == pytest.approx(
        layer.theoretical_seconds, rel=1e-9
    )


WITH_PADDING = {
    "Alex-6": 27.79, "Alex-7": 12.42, "Alex-8": 7.50, "VGG-6": 22.93, "VGG-7": 7.67, "VGG-8": 7.56,
    "NT-We": 4.80, "NT-Wd": 13.12, "NT-LSTM": 6.26,
}  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_theoretical_time_of_the_printed_densities(layer):
    seconds = expected_theoretical_seconds(layer, *layer.densities("printed"))
    assert 1e6 * seconds == pytest.approx(WITH_PADDING[layer.name], abs=0.005)


def test_draws_repeat_and_differ():
    layer = layer_named("NT-We")
    (first, activation), (again, _) = (drawn(layer, "inferred", 4) for _ in range(2))
    assert first.is_same(again)
    assert np.array_equal(activation, drawn_activation(layer, "inferred", 4))
    others = [drawn(layer, "inferred", 5), drawn(layer, "inferred", 4, 1)]
    others.append(drawn(replace(layer, id="other"), "inferred", 4))
    assert len({one.rows.tobytes() for one, _ in [(first, activation), *others]}) == 4


def test_what_cannot_be_is_one_message():
    with pytest.raises(UserError, match=r"no layer 'FC9' in Table III: take one of Alex-6, "):
        layer_named("FC9")
    with pytest.raises(UserError, match="no density gives a theoretical time"):
        inferred_densities(replace(layer_named("NT-We"), theoretical_seconds=1.0))
