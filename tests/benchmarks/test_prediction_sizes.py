"""Learned weights by arithmetic: the record's claims and table, and what real layers hold."""

from decimal import Decimal

import numpy as np
import pytest

from benchmarks.benchmark import Outcome
from benchmarks.prediction_sizes import PredictedLayer, PredictionSizes, settings
from methods.formats.fixed_factor import FixedFactor
from methods.formats.low_rank import LowRank
from methods.networks import NETWORKS
from methods.prediction.dictionaries import Dictionary
from methods.prediction.settings import atoms_of
from registry.catalog import load_catalog
from registry.record import Paper
from registry.units import rounding_range

SETTINGS = dict(settings())


@pytest.fixture(scope="module")
def paper() -> Paper:
    return load_catalog().get("2013-predicting-parameters")


@pytest.fixture(scope="module")
def outcome(paper: Paper) -> Outcome:
    return PredictionSizes().compute(paper)


def test_every_claim_is_met(paper: Paper, outcome: Outcome) -> None:
    claims = [claim for claim in paper.claims if claim.benchmark == PredictionSizes.name]
    assert len(claims) >= 9
    for claim in claims:
        assert claim.measured_as is not None
        assert claim.reported is not None
        ours = outcome.metrics[claim.measured_as].value
        rounding = rounding_range(claim.reported, claim.unit)
        assert rounding.low <= ours <= rounding.high, claim.id


def test_every_cell_of_the_grid_is_ours(paper: Paper, outcome: Outcome) -> None:
    table = paper.table("mnist-grid")
    assert table is not None
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column.metric is None:
                continue
            assert cell is not None
            assert column.unit is not None
            rounding = rounding_range(cell, column.unit)
            ours = outcome.metrics[f"{column.metric}.{row.id}"].value
            assert rounding.low <= ours <= rounding.high, (row.id, column.id)
        atoms = SETTINGS[row.id].layers[1].atoms
        assert Decimal(table.cell(row.id, "atoms_2") or "") == atoms


def test_the_grid_has_ten_shares_and_ends_with_the_whole_network() -> None:
    grid = [name for name in SETTINGS if name.startswith("p-")]
    assert len(grid) == 10
    learned = [dict(SETTINGS[name].counts(name))[f"learned_parameters.{name}"] for name in grid]
    assert learned == sorted(learned)
    whole = sum(one.numel() for one in NETWORKS["mlp-500-500"](0).parameters())
    assert learned[-1] == whole


def test_a_setting_learns_what_the_format_holds() -> None:
    fixed = SETTINGS["convolution-1"].layers[0]
    rule = Dictionary("positions", fixed.atoms, columns=8)
    values = np.zeros((fixed.atoms, fixed.outputs), np.float32)
    assert FixedFactor((64, 1, 5, 5), values, rule).learned_weights == fixed.learned
    both = PredictedLayer(30, 20, 4, learns_both=True)
    held = LowRank((20, 30), np.zeros((20, 4), np.float32), np.zeros((4, 30), np.float32))
    assert sum(held.size_bytes().values()) >= 4 * both.learned == 4 * 200


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.startswith("p-")])
def test_the_method_counts_atoms_as_the_grid_does(name: str) -> None:
    first, second = SETTINGS[name].layers
    for share in np.linspace(20 / 784, 1, 10).tolist():
        if atoms_of(784, share) == first.atoms:
            assert atoms_of(500, share) == second.atoms
            return
    pytest.fail("no share of the grid gives these atoms")
