"""The sentence on what bounds a layer, and totals of several."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.eie.draw import random_activation, random_layer
from methods.eie.encode import encode
from methods.eie.machine import Machine, Simulation, simulate
from methods.eie.report import COUNTERS, LayerRun, total, what_bounds

BUSY = Simulation(Machine(pes=10), 100, 500, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())
"""Half of its 1,000 PE cycles handle an entry; what the others do is for each test to say."""


def said_of(outputs: int = 40, **counts: int) -> str:
    return what_bounds(LayerRun((outputs, 9), 0.1, 0.1, replace(BUSY, **counts)))


@pytest.mark.parametrize(
    ("counts", "begins", "says"),
    [
        ({"entries": 950, "tail_cycles": 50}, "The work itself bounds it: 95.0%", "entry."),
        ({"entries": 950, "padding_entries": 380}, "The work itself", ", 40% of them padding."),
        ({"empty_cycles": 400, "tail_cycles": 100}, "Empty slices bound it: 50.0%", "40.0% go to"),
        ({"tail_cycles": 400, "empty_cycles": 100}, "Load balance", "in 40.0% a PE is done"),
        ({"outputs": 7, "tail_cycles": 500}, "Load balance", "3 of 10 PEs have no row"),
        ({"starvation_cycles": 500, "stall_cycles": 60}, "Load balance", "full queue stops the "
         "broadcast in 60.0%"),
        ({"starvation_cycles": 500, "stall_cycles": 3}, "The scan", "in 50.0% a PE waits"),
        ({"cycles": 0, "entries": 0}, "No broadcast column holds an entry", "no cycle"),
    ],
)  # fmt: skip
def test_what_takes_the_most_is_named(counts, begins, says):
    said = said_of(**counts)
    assert said.startswith(begins)
    assert says in said


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1),
       st.sampled_from([1, 2, 8]), st.integers(1, 20))  # fmt: skip
def test_any_layer_has_one_sentence(outputs, inputs, weights, activations, depth, pes):
    layer = encode(random_layer(outputs, inputs, weights, 0), pes)
    run = simulate(
        layer, random_activation(inputs, activations, 0), Machine(pes=pes, queue_depth=depth)
    )
    said = what_bounds(LayerRun((outputs, inputs), weights, activations, run))
    assert said.endswith(".")
    assert said.count(". ") == 0
    assert "nan" not in said


def test_totals_add_every_counter_up():
    one = replace(BUSY, **{name: place for place, name in enumerate(COUNTERS)}, overflow=("x",))
    both = total([one, one, one])
    for place, name in enumerate(COUNTERS):
        assert getattr(both, name) == 3 * place
    fields = {name for name, kind in Simulation.__annotations__.items() if kind in (int, "int")}
    assert fields == set(COUNTERS)
    assert both.overflow == ()
