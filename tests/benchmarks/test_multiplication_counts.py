"""Multiplications by the paper's formula to every printed digit, and counted in real steps."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from benchmarks.counted_step import Step, counted_step
from benchmarks.multiplication_counter import (
    MultiplicationCounter,
    WrittenOutNormalisation,
    distinct,
    kind_of,
)
from benchmarks.multiplication_counts import (
    BATCH,
    NORMALISED,
    PLAIN,
    WIDTHS,
    MultiplicationCounts,
    count_update,
    formulas,
)
from methods.normalised_networks import normalised_mlp
from registry.catalog import load_catalog

SMALL = (7, 5, 4, 3)
WEIGHTS, UNITS, ROWS = 7 * 5 + 5 * 4 + 4 * 3, 12, 6


@pytest.fixture(scope="module")
def outcome():
    return MultiplicationCounts().compute(load_catalog().get("2016-few-multiplications"))


@pytest.fixture(scope="module")
def values(outcome):
    return {key: one.value for key, one in outcome.metrics.items()}


@pytest.mark.parametrize(
    ("network", "full", "left", "share"),
    [
        (PLAIN, (1_747_974_000, "1.7480e9"), (1_849_200, "1.8492e6"), "0.001058"),
        (NORMALISED, (1_753_549_338, "1.7535e9"), (7_424_538, "7.4245e6"), "0.004234"),
    ],
)
def test_the_papers_table_to_every_printed_digit(values, network, full, left, share):
    for metric, (exact, printed) in (("full_precision", full), ("quantized", left)):
        value = values[f"{metric}_multiplications.{network}"]
        assert value == exact
        assert f"{value:.4e}".replace("e+0", "e") == printed
    assert f"{values[f'quantized_share.{network}']:.6f}" == share


def test_with_the_rate_counted(values):
    assert values[f"quantized_multiplications_with_rate.{PLAIN}"] == 4_759_408 + 3_082
    assert round(values[f"quantized_share_with_rate.{PLAIN}"], 4) == 0.0027
    scales_and_shifts = 2 * 3_082
    wanted = 7_424_538 + 2_910_208 + scales_and_shifts
    assert values[f"quantized_multiplications_with_rate.{NORMALISED}"] == wanted


def test_drawn_weights_alone_leave_the_outer_products(values):
    left = values[f"binary_multiplications.{PLAIN}"]
    assert left == BATCH * 2_910_208 + 1_849_200
    assert left / values[f"full_precision_multiplications.{PLAIN}"] == pytest.approx(
        1 / 3, rel=5e-3
    )


def test_the_convolutional_network_has_its_known_products():
    count = dict(formulas())["convolutional-network"]
    assert sum(layer.products for layer in count.layers) == 211_656_192
    assert sum(layer.weights for layer in count.layers) == 5_272_960
    assert [layer.name for layer in count.layers][:2] == ["conv1", "conv2"]
    # after the pooling: 14 x 14 of 128 maps
    assert count.layers[1].units == 128 * 14 * 14
    assert count.layers[1].maps == 128


def test_every_claim_has_its_measurement(values):
    claims = load_catalog().get("2016-few-multiplications").claims
    keys = {one.measured_as for one in claims if one.benchmark == MultiplicationCounts.name}
    assert len(keys) == 6
    assert keys <= set(values)
    assert {key.partition(".")[0] for key in values} == set(MultiplicationCounts.metrics)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(1, 20), st.booleans())
def test_the_formula_of_any_fully_connected_network(widths, batch, normalised):
    network = normalised_mlp(widths, 0, normalised=normalised)
    count = count_update(network, torch.zeros(1, widths[0]), batch)
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    units = sum(widths[1:])
    assert count.product == batch * weights
    assert count.others == 3 * units * batch + (9 * units * batch + 9 * units) * normalised
    assert count.rate == weights + units * (2 if normalised else 1)


class TestCountedSteps:
    @pytest.mark.parametrize("normalised", [False, True])
    def test_a_small_step_by_hand(self, normalised):
        first = ROWS * 7 * 5
        full = counted_step(SMALL, ROWS, normalised=normalised, step=Step("real", False))
        dense = 3 * ROWS * WEIGHTS - first  # nobody needs the error of the inputs
        assert (full.real, full.signs, full.shifts) == (dense, 0, 0)
        assert (full.scale, full.draws) == (0, 0)
        assert full.update == WEIGHTS + UNITS * (2 if normalised else 1)
        left = counted_step(SMALL, ROWS, normalised=normalised, step=Step("ternary", True))
        assert left.real == 0
        assert left.shifts == ROWS * WEIGHTS
        assert left.signs == 2 * ROWS * WEIGHTS - first
        assert left.scale == ROWS * (UNITS + 5 + 4)  # outputs, and errors sent to two layers
        assert left.draws == WEIGHTS
        assert left.update == full.update
        assert left.normalisation == full.normalisation
        # three forwards and five backwards for each unit and row, and few for each unit
        wanted = 8 * UNITS * ROWS if normalised else 0
        assert wanted <= left.normalisation <= wanted + 10 * UNITS * normalised

    def test_drawn_weights_alone_keep_the_outer_product(self):
        for weights in ("binary", "ternary"):
            found = counted_step(SMALL, ROWS, normalised=True, step=Step(weights, False))
            assert found.real == ROWS * WEIGHTS
            assert found.shifts == 0

    def test_the_papers_network(self, values, outcome):
        key = "ternary-quantized-without-batch-normalisation"
        assert values[f"counted_dense_real.{key}"] == 0
        assert values[f"counted_dense_shifts.{key}"] == BATCH * 2_910_208
        full = values["counted_dense_real.full-precision-with-batch-normalisation"]
        assert 3 * BATCH * 2_910_208 - full == BATCH * WIDTHS[0] * WIDTHS[1]
        told = " ".join(outcome.remarks)
        for words in ("160,563,200", "selects", "W0", "automatic differentiation", "the loss"):
            assert words in told


class TestCounter:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (0.0, "sign"), (-1, "sign"), (2, "shift"), (-0.125, "shift"), (3, "real"),
            (0.1, "real"), (torch.tensor([0.0, 0.5, -4.0]), "shift"),
            (torch.tensor([1.0, -1.0, 0.0]), "sign"), (torch.tensor([0.5, 0.3]), "real"),
            (float("inf"), "real"),
        ],
    )  # fmt: skip
    def test_kinds(self, value, kind):
        assert kind_of(value) == kind

    def test_a_number_that_is_repeated_counts_once(self):
        column = torch.rand(5, 1)
        assert distinct(column.expand(5, 4)) == 5
        assert distinct(column.expand(5, 4), torch.rand(4)) == 20
        assert distinct(torch.rand(())) == 1

    def test_products_by_hand(self):
        counter = MultiplicationCounter()
        x = torch.rand(3, 4)
        with counter, counter.of("here"):
            _ = x * 0.3 + x * 2 - x / 7 + x**2
            _ = x.mean(0)
            _ = torch.add(x, x, alpha=0.3)
        assert counter.others["here", "real"] == 12 + 12 + 12 + 4 + 12
        assert counter.others["here", "shift"] == 12

    def test_an_unknown_operation_is_refused(self):
        x = torch.rand(3)
        with pytest.raises(NotImplementedError, match="cumprod"), MultiplicationCounter():
            x.cumprod(0)

    def test_it_changes_nothing(self):
        weights = []
        for watched in (False, True):
            layer = nn.Linear(3, 2)
            nn.init.constant_(layer.weight, 0.3)
            nn.init.zeros_(layer.bias)
            counter = MultiplicationCounter()
            counter.rows = 4
            x = torch.arange(12.0).view(4, 3)
            if watched:
                with counter:
                    layer(x).square().sum().backward()
            else:
                layer(x).square().sum().backward()
            weights.append(layer.weight.grad)
        assert torch.equal(*weights)


def test_normalisation_written_out_is_batch_normalisation():
    normalisation = nn.BatchNorm1d(6, eps=1e-4)
    with torch.no_grad():
        normalisation.weight.uniform_(0.5, 1.5)
        normalisation.bias.uniform_(-1, 1)
    written = WrittenOutNormalisation(normalisation)
    found = []
    for module in (normalisation, written):
        normalisation.zero_grad()
        x = (torch.arange(48.0).view(8, 6) % 11).requires_grad_()
        outputs = module(x)
        (outputs**3).sum().backward()
        found.append([outputs, x.grad, normalisation.weight.grad, normalisation.bias.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
