"""How fast the EIE model is: against literal loops over cycles, alternately in one process.

The matrices are given: encoding, and the layout that the loops want, are outside of all times.
Before anything is timed, the loops must agree with the model in every counter and output.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.eie_cycle_loop import LoopInput, compiled_loops, run_loop, run_timing_loop
from benchmarks.eie_layers import LAYERS, drawn, layer_named
from benchmarks.provenance import cpu_model
from benchmarks.speed_rows import Function, SpeedRow, named, seconds_per_call, summary
from benchmarks.timing import median_ratio
from methods.eie.encode import EncodedLayer, encode
from methods.eie.machine import Machine, broadcast_columns, simulate_with_outputs
from methods.eie.timing import cycles_of, positions_of
from methods.kernels.choice import chosen_path

TIMING = "numba cycle loop, timing alone"
PRODUCTS = "numba cycle loop, products and counters"
TIMING_ONLY = "numba timing-only cycle loop, timing alone"
PEERS: Mapping[str, str] = {
    TIMING: "our cycles, against the loop that also reads, multiplies and counts",
    PRODUCTS: "our cycles, counters and outputs, against the same loop",
    TIMING_ONLY: "our cycles, against a loop that handles no entries: like for like",
}
ROUNDS = 15
SEED = 0
BLOCK_SECONDS = 0.01
"""A function that takes less is called again and again for about so long, and its mean taken."""
BOUND_US = 5_000.0
"""For the cycles of all nine layers together, on one core."""


@dataclass(frozen=True, eq=False)
class SpeedCase:
    """A layer that is timed."""

    name: str
    layer: EncodedLayer
    activation: NDArray[np.float32]
    machine: Machine


@dataclass(frozen=True)
class SpeedReport:
    """All rows of a run."""

    rows: tuple[SpeedRow, ...]
    rounds: int

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """Of each peer, the geometric mean and the least of its ratios."""
        return summary(self.rows, PEERS)

    @property
    def timing_us(self) -> float:
        """Our cycles of all cases together: of each the least median, if several were taken."""
        cases = dict.fromkeys(row.case for row in self.rows if row.peer != PRODUCTS)
        return sum(
            min(row.ours_us for row in self.rows if row.case == case and row.peer != PRODUCTS)
            for case in cases
        )

    def as_json(self) -> dict[str, Any]:
        """The document of ``netcompress bench eie --json``."""
        return {
            "results": [row.as_json() for row in self.rows],
            "summary": self.summary,
            "timing_us": self.timing_us,
            "timing_bound_us": BOUND_US,
            "kernels": chosen_path(),
            "rounds": self.rounds,
            "cpu": cpu_model(),
            "densities": "inferred",
            "seed": SEED,
        }  # fmt: skip


def paper_cases(names: Sequence[str] = ()) -> Iterator[SpeedCase]:
    """The nine layers of Table III, or those named, at the inferred densities, on 64 PEs.

    Raises:
        UserError: there is no such layer.
    """
    machine = Machine()
    for layer in [layer_named(name) for name in names] or LAYERS:
        coded, activation = drawn(layer, "inferred", SEED)
        yield SpeedCase(layer.name, encode(coded, machine.pes), activation, machine)


def chosen_peers(names: Sequence[str]) -> tuple[str, ...]:
    """The peers that hold one of ``names``; all if none is given.

    Raises:
        UserError: a name is of no peer.
    """
    return named(names, PEERS, "peer")


def measure(
    cases: Iterator[SpeedCase],
    peers: Sequence[str] = tuple(PEERS),
    rounds: int = ROUNDS,
    progress: Callable[[str], None] = lambda _: None,
) -> SpeedReport:
    """Time every case against every peer, on one thread.

    Raises:
        UserError: numba is not installed.
        RuntimeError: a loop and the model differ.
    """
    compiled_loops()  # said before anything is drawn
    rows: list[SpeedRow] = []
    for case in cases:
        progress(f"timing {case.name}")
        rows += _rows(case, peers, rounds)
    return SpeedReport(tuple(rows), rounds)


def _rows(case: SpeedCase, peers: Sequence[str], rounds: int) -> Iterator[SpeedRow]:
    ours, loops = _functions(case)
    wanted = {f"ours, {peer}": ours[peer] for peer in peers} | {p: loops[p] for p in peers}
    # What does the same is timed once for both of its rows.
    distinct = {id(function): function for function in wanted.values()}
    functions = {str(key): function for key, function in distinct.items()}
    per_call = seconds_per_call(functions, rounds, BLOCK_SECONDS)
    for peer in peers:
        mine, theirs = (per_call[str(id(f))] for f in (ours[peer], loops[peer]))
        ratio = median_ratio(theirs, mine)
        yield SpeedRow(
            case.name, peer, 1e6 * statistics.median(mine), 1e6 * statistics.median(theirs),
            ratio.low, ratio.high,
        )  # fmt: skip


def _functions(case: SpeedCase) -> tuple[dict[str, Function], dict[str, Function]]:
    """Of each peer's row: what we run, and what the peer runs."""
    layer, machine = case.layer, case.machine
    given = LoopInput.of(layer, case.activation, machine)
    columns = broadcast_columns(layer, case.activation, signed=machine.signed)
    positions, counts = positions_of(layer, columns), layer.counts.reshape(-1)

    def timing() -> int:
        return cycles_of(layer.counts, columns, positions, machine.queue_depth, layer.busy)

    def products() -> object:
        return simulate_with_outputs(layer, case.activation, machine)

    def loop() -> object:
        return run_loop(given)

    def timing_loop() -> int:
        return run_timing_loop(given, counts)

    found, outputs = simulate_with_outputs(layer, case.activation, machine)
    counters, loop_outputs = run_loop(given)
    differing = [
        f"{name} {value} for {getattr(found, name)}"
        for name, value in vars(counters).items()
        if value != getattr(found, name)
    ]
    if differing or not timing() == timing_loop() == found.cycles:
        raise RuntimeError(f"{case.name}: the literal loop and the model differ: {differing}")
    if not np.array_equal(outputs, loop_outputs):
        raise RuntimeError(f"{case.name}: the literal loop's outputs are not the model's")
    return (
        {TIMING: timing, PRODUCTS: products, TIMING_ONLY: timing},
        {TIMING: loop, PRODUCTS: loop, TIMING_ONLY: timing_loop},
    )
