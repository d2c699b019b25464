"""Stored values by arithmetic, held against the authors' counts and against real networks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.hashed_points import Point, stored_values
from benchmarks.hashed_sizes import HashedSizes
from methods.equal_storage import Budget
from methods.networks import NETWORKS, mlp
from registry.catalog import load_catalog


def found() -> dict[str, float]:
    outcome = HashedSizes().compute(load_catalog().get("2015-hashed-nets"))
    return {key: one.value for key, one in outcome.metrics.items()}


@pytest.mark.parametrize(
    ("times", "stored", "widths"),
    [
        (1, (795_010, 2_797_010), (1000, 1000)),
        (2, (397_505, 1_398_505), (499, 660)),
        (4, (198_753, 699_253), (249, 424)),
        (8, (99_377, 349_627), (124, 263)),
        (16, (49_689, 174_815), (62, 157)),
        (32, (24_846, 87_410), (31, 89)),
        (64, (12_424, 43_706), (15, 48)),
    ],
)
def test_stored_values_and_equal_widths(
    times: int, stored: tuple[int, int], widths: tuple[int, int]
) -> None:
    values = found()
    for layers, count, width in zip((3, 5), stored, widths, strict=True):
        name = Point(layers, times).name
        assert values[f"parameters.{name}"] == count
        assert values[f"equal_width.{name}"] == width
        assert values[f"parameter_bytes.{name}"] == 4 * count


def test_kibibytes_at_32_bits() -> None:
    values = found()
    for name, kibibytes in {
        "3-layers-1": 3105.5,
        "3-layers-1-8": 388.2,
        "3-layers-1-64": 48.5,
        "5-layers-1": 10925.8,
        "5-layers-1-8": 1365.7,
        "5-layers-1-64": 170.7,
    }.items():
        assert round(values[f"parameter_bytes.{name}"] / 1024, 1) == kibibytes


def test_every_claim_has_its_measurement() -> None:
    claims = load_catalog().get("2015-hashed-nets").claims
    keys = {claim.measured_as for claim in claims if claim.benchmark == HashedSizes.name}
    assert len(keys) >= 4
    assert keys <= set(found())


@pytest.mark.parametrize("layers", [3, 5])
@pytest.mark.parametrize("times", [1, 3, 8, 64])
def test_the_count_is_that_of_a_networks_layers(layers: int, times: int) -> None:
    point = Point(layers, times)
    network = NETWORKS[point.network](0)
    linear = [layer for layer in network if hasattr(layer, "weight")]
    budgets = [Budget.of(layer, point.compression, True) for layer in linear]
    assert point.stored == sum(budget.total for budget in budgets)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 5), st.integers(1, 300))
def test_the_equal_width_is_the_widest_that_stores_no_more(layers: int, times: int) -> None:
    point = Point(layers, times)
    width = point.equal_width
    parameters = sum(p.numel() for p in mlp(point.of_width(width), 0).parameters())
    assert parameters == stored_values(point.of_width(width), 1) <= point.stored
    assert width == 1000 or stored_values(point.of_width(width + 1), 1) > point.stored


def test_names_are_those_of_the_figures() -> None:
    assert [Point(3, 1).name, Point(5, 64).name] == ["3-layers-1", "5-layers-1-64"]
