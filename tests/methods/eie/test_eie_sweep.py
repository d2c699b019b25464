"""Sweeps: each point is a simulation of its own, and curves bend as they must."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.eie.coded import CodedLayer
from methods.eie.draw import random_activation, random_layer
from methods.eie.encode import encode
from methods.eie.machine import Machine, simulate
from methods.eie.sweep import (
    POINTS,
    fed_share,
    real_share,
    speedups,
    sweep,
    varied,
    width_conditions,
)
from registry.errors import UserError


def small(outputs: int = 96, inputs: int = 80, density: float = 0.15, seed: int = 3):
    return random_layer(outputs, inputs, density, seed), random_activation(inputs, 0.5, seed)


@settings(max_examples=6)
@given(
    st.sampled_from(["fifo", "width", "pes"]),
    st.integers(0, 10**6),
    st.floats(0.02, 0.6),
    st.sampled_from([4, 16]),
)
def test_a_point_is_the_simulation_of_that_machine(parameter, seed, density, pes):
    layer, activation = small(40, 30, density, seed)
    base = Machine(pes=pes)
    found = sweep(layer, activation, parameter, (16, 32, 8), base)
    assert list(found.runs) == [8, 16, 32]
    for point, run in found.runs.items():
        machine = varied(base, parameter, point)
        assert run == simulate(encode(layer, machine.pes), activation, machine)
    again = sweep(encode(layer, 8), activation, parameter, (8, 16, 32), base)
    assert again == found  # encoded for whatever number of PEs, it is the same layer


def test_the_points_are_those_of_the_figures():
    layer, activation = small()
    for parameter, points in POINTS.items():
        told = []
        found = sweep(layer, activation, parameter, progress=lambda done, of: told.append(done))  # noqa: B023
        assert tuple(found.runs) == points
        assert told == list(range(len(points) + 1))


def test_curves_bend_as_they_must():
    layer, activation = small()
    by_depth = sweep(layer, activation, "fifo").runs
    balances = [run.load_balance for depth, run in by_depth.items() if depth >= 2]
    assert all(a <= b for a, b in pairwise(balances))
    assert len({run.entries for run in by_depth.values()}) == 1
    reads = [run.spmat_reads for run in sweep(layer, activation, "width").runs.values()]
    assert all(a > b for a, b in pairwise(reads))
    by_pes = sweep(layer, activation, "pes")
    factors = list(speedups(by_pes).values())
    assert factors[0] == 1
    assert all(a < b for a, b in pairwise(factors[:6]))
    shares = [real_share(run) for run in by_pes.runs.values()]
    assert shares[0] < 1
    assert all(a <= b for a, b in pairwise(shares))
    assert shares[-1] == 1  # 96 rows on 256 PEs leave no gap


def test_the_two_efficiencies_are_kept_apart():
    layer, activation = small(96, 80, 0.05)
    run = sweep(layer, activation, "fifo", (1,)).runs[1]
    slots = run.cycles * 64
    assert fed_share(run) == 1 - run.starvation_cycles / slots
    # Empty slices and the tail are idle and are no starvation.
    assert fed_share(run) - run.load_balance == pytest.approx(
        (run.empty_cycles + run.tail_cycles) / slots
    )
    assert fed_share(run) > run.load_balance > 0


def test_a_layer_that_takes_no_cycle_has_no_shares():
    layer = CodedLayer.from_codes(np.zeros((4, 4), np.uint8), np.arange(16, dtype=np.float32))
    found = sweep(layer, np.ones(4, np.float32), "pes", (1, 2))
    assert speedups(found) == {1: None, 2: None}
    assert fed_share(found.runs[1]) is None
    assert real_share(found.runs[1]) is None


def test_conditions_for_the_least_energy():
    """The reads of Alex-6 and the factors 1.57 and 1.55."""
    reads = {32: 460_747, 64: 292_933, 128: 188_671, 256: 114_902}
    found = width_conditions(reads)
    assert (found.narrower, found.wider) == (32, 128)
    assert found.narrower_below == pytest.approx(1.573, abs=5e-4)
    assert found.wider_above == pytest.approx(1.553, abs=5e-4)
    # Energies that keep both have their least sum at 64 bits, others have not.
    for factors, is_least in (((1.5, 1.6), True), ((1.6, 1.6), False), ((1.5, 1.5), False)):
        each = {32: 1.0, 64: factors[0], 128: factors[0] * factors[1]}
        energies = {width: each[width] * reads[width] for width in each}
        assert (min(energies, key=energies.__getitem__) == 64) is is_least
    assert width_conditions({64: 5, 128: 3}).narrower_below is None
    assert width_conditions({32: 5, 64: 3}).wider_above is None


@pytest.mark.parametrize(
    ("parameter", "point", "said"),
    [("fifo", 0, "queue depth 0"), ("width", 12, "whole entries of 8 bits"), ("pes", 0, "pes 0")],
)
def test_a_machine_that_cannot_be_built_is_one_message(parameter, point, said):
    layer, activation = small()
    with pytest.raises(UserError, match=said) as found:
        sweep(layer, activation, parameter, (point,))
    assert "\n" not in str(found.value)
