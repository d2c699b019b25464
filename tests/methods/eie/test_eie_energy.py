"""Energy of a run: the paper's own sums, both estimates in proportion, each part's source."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.eie.energy import (
    PE_POWER_MW,
    PE_TOTAL_MW,
    ROUNDING,
    energy,
    lnzd_nodes,
    power_mw,
)
from methods.eie.machine import Machine, Simulation

NOTHING = Simulation(Machine(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())
COUNTS = ("cycles", "entries", "pointer_reads", "spmat_reads")


def run_of(machine: Machine | None = None, **counts: int) -> Simulation:
    """A simulation of which only what is named is not 0."""
    return replace(NOTHING, machine=machine or Machine(), **counts)


runs = st.builds(
    lambda pes, counts: run_of(Machine(pes=pes), **dict(zip(COUNTS, counts, strict=True))),
    st.integers(1, 256),
    st.tuples(*[st.integers(0, 10**9)] * len(COUNTS)),
)


@given(runs)
def test_the_parts_are_the_machines_power_over_its_time(run: Simulation) -> None:
    found = energy(run)
    assert found.uj == pytest.approx(power_mw(run.machine.pes) * run.cycles / 800 / 1_000)
    assert all(part.source for part in (*found.by_power, *found.by_events, found.dram))


@given(runs, runs)
def test_two_runs_add_up(one: Simulation, other: Simulation) -> None:
    other = replace(other, machine=one.machine)
    both = energy(one) + energy(other)
    assert both.uj == pytest.approx(energy(one).uj + energy(other).uj)
    assert both.events_uj == pytest.approx(energy(one).events_uj + energy(other).events_uj)
    assert both.dram.uj == pytest.approx(energy(one).dram.uj + energy(other).dram.uj)
    assert both.remarks == energy(one).remarks


def test_the_papers_sums() -> None:
    assert [lnzd_nodes(pes) for pes in (1, 4, 5, 16, 64, 256)] == [1, 1, 3, 5, 21, 85]
    assert round(power_mw(64), 1) == 586.5
    assert round(sum(PE_POWER_MW.values()), 3) == 9.158
    assert PE_TOTAL_MW == 9.157


def test_alex_7_takes_seven_microjoules() -> None:
    found = energy(run_of(cycles=round(12.2 * 800)))
    assert found.uj == pytest.approx(7.155, abs=0.001)
    parts = {part.name: part.uj for part in found.by_power}
    assert parts["sparse matrix read"] == pytest.approx(4.955 * 64 * 12.2e-3)
    assert parts[ROUNDING] == pytest.approx(-0.001 * 64 * 12.2e-3)
    assert parts["non-zero detection"] == pytest.approx(21 * 0.023 * 12.2e-3)


def test_the_counted_operations_at_table_i() -> None:
    run = run_of(entries=4_000, padding_entries=900, pointer_reads=100, spmat_reads=500)
    found = energy(run)
    parts = {part.name: part.uj * 1e6 for part in found.by_events}
    assert parts["sparse matrix reads"] == pytest.approx(500 * 2 * 5)
    assert parts["pointer reads"] == pytest.approx(100 * 5)
    assert parts["multiplications"] == pytest.approx(3_100 * 3.7 / 6.2)
    assert found.dram.uj * 1e6 == pytest.approx(1_000 * 640)


def test_what_table_ii_is_not_for_is_said() -> None:
    usual = energy(run_of(cycles=10)).remarks
    assert len(usual) == 1
    assert "estimate" in usual[0]
    said = energy(run_of(Machine(width_bits=128, clock_mhz=1200.0), cycles=10)).remarks
    assert len(said) == 3
    assert "128 bits" in said[1]
    assert "1200 MHz" in said[2]
    assert energy(run_of(Machine(clock_mhz=1200.0), cycles=10)).uj == energy(run_of(cycles=10)).uj
