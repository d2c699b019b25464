"""The opponent of the fast EIE model: a literal loop over cycles, as fast as numba makes it.

Every cycle, every PE: whoever has handled the last entry of its column takes the next one, then
one entry of each PE is read, looked up, multiplied and added, then the scan pushes. Nothing is
skipped and nothing is known in advance but the scan's order. What makes it fast: flat arrays of
32 bits, one loop over all PEs for each unit, so that the compiler vectorises those that can be;
PEs that are free are bits of a word, found without a branch; idle ones read a spare entry that
changes nothing; a push prefetches what it and the next will need. It is never to be slowed down.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.eie.encode import EncodedLayer
from methods.eie.machine import ENTRY_BITS, Machine, broadcast_columns
from methods.eie.timing import TAIL, positions_of
from registry.errors import UserError

SPARE = 64
"""Entries before the first stream; the loop's idle PEs read number 1, which holds 0."""


@dataclass(frozen=True, eq=False)
class LoopInput:
    """A layer and an activation laid out for the loop, outside of all times.

    Raises:
        ValueError: from ``of``, for a machine that the loop does not know.
    """

    machine: Machine
    outputs: int
    rows: int
    """Of the PE that has the most."""
    codebook: NDArray[np.float32]
    entries: NDArray[np.uint8]
    """Streams of all PEs; each begins at a line of the memory."""
    starts: NDArray[np.uint32]
    """((columns + 1) * pes), column after column: where each slice begins in ``entries``."""
    busy: NDArray[np.unsignedinteger[Any]]
    """(columns * pes), column after column: max(entries, 1) of each slice."""
    columns: NDArray[np.uint32]
    """(broadcasts), in order."""
    values: NDArray[np.float32]
    """(broadcasts)."""
    steps: NDArray[np.int64]
    """(broadcasts): cycles from one push to the next where no queue is full."""

    @classmethod
    def of(
        cls, layer: EncodedLayer, activation: NDArray[np.float32], machine: Machine
    ) -> "LoopInput":
        """Lay out ``layer`` for ``machine``."""
        line = machine.width_bits // ENTRY_BITS
        if machine.queue_depth < 2 or line < 2 or line & (line - 1):
            raise ValueError("the loop takes queue depths from 2, widths of 16, 32, 64 ... bits")
        entries, begins = _aligned_streams(layer, max(line, SPARE))
        columns = broadcast_columns(layer, activation, signed=machine.signed)
        return cls(
            machine=machine,
            outputs=layer.outputs,
            rows=layer.rows_per_pe,
            codebook=layer.codebook,
            entries=entries,
            starts=(layer.pointers.T + begins).astype(np.uint32).reshape(-1),
            busy=np.maximum(layer.counts, 1).reshape(-1),
            columns=columns.astype(np.uint32),
            values=np.append(activation, 1).astype(np.float32)[columns],
            steps=_steps(positions_of(layer, columns), layer.pes),
        )


@dataclass(frozen=True)
class LoopCounters:
    """What the loop counts; names and meanings are those of ``Simulation``."""

    cycles: int
    entries: int
    padding_entries: int
    broadcasts: int
    pointer_reads: int
    spmat_reads: int
    stall_cycles: int
    empty_cycles: int
    starvation_cycles: int
    tail_cycles: int


def run_loop(given: LoopInput) -> tuple[LoopCounters, NDArray[np.float32]]:
    """Counters and outputs (outputs), float32.

    Raises:
        UserError: numba is not installed.
    """
    pes, machine = given.machine.pes, given.machine
    sums = np.zeros(pes * given.rows + 2, np.float32)
    last, empty = np.zeros(pes, np.int64), np.zeros(pes, np.int64)
    stalls, reads, padding, entries = compiled_loops().full_loop(
        given.entries, given.starts, given.columns, given.steps, given.values, given.codebook,
        machine.queue_depth - 1, machine.width_bits // ENTRY_BITS, given.rows, sums, last, empty,
    )  # fmt: skip
    ran = int(last.sum())
    cycles = int(last.max()) + TAIL if ran else 0
    counters = LoopCounters(
        cycles=cycles,
        entries=entries,
        padding_entries=padding,
        broadcasts=given.columns.size,
        pointer_reads=given.columns.size * pes,
        spmat_reads=reads,
        stall_cycles=stalls,
        empty_cycles=int(empty.sum()),
        starvation_cycles=ran - entries - int(empty.sum()),
        tail_cycles=pes * cycles - ran,
    )
    outputs = sums[1:-1].reshape(pes, given.rows).T.reshape(-1)[: given.outputs]
    return counters, outputs


def run_timing_loop(given: LoopInput, counts: NDArray[np.unsignedinteger[Any]]) -> int:
    """Cycles alone, by a loop over cycles that handles no entry.

    Args:
        counts: (columns * pes) of the layer, column after column.

    Raises:
        UserError: numba is not installed.
    """
    machine = given.machine
    last: int = compiled_loops().timing_loop(
        counts, given.busy, given.columns, given.steps, machine.pes, machine.queue_depth - 1
    )
    return last + TAIL if last else 0


def _aligned_streams(layer: EncodedLayer, unit: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All streams, each from a multiple of ``unit`` on, and where they begin."""
    sizes = layer.pointers[:, -1].astype(np.int64)
    rooms = -(-sizes // unit) * unit
    begins = unit + np.cumsum(rooms) - rooms
    entries = np.zeros(unit + int(rooms.sum()) + unit, np.uint8)
    for k, size in enumerate(sizes.tolist()):
        own = layer.entries[layer.stream_starts[k] :][:size]
        entries[begins[k] : begins[k] + size] = own
    return entries, begins


def _steps(positions: NDArray[np.int64], pes: int) -> NDArray[np.int64]:
    """Cycles between pushes: 1, and 1 for each group left, unless by its last lane."""
    groups, lanes = np.divmod(positions, pes)
    steps = np.ones(positions.size, np.int64)
    steps[:1] += groups[:1]
    left = np.diff(groups)
    steps[1:] += left - ((left > 0) & (lanes[:-1] == pes - 1))
    return steps


def compiled_loops() -> ModuleType:
    """The module of the compiled loops.

    Raises:
        UserError: numba is not installed.
    """
    try:
        import numba  # noqa: F401  # whether it is there; a fault within ours must show itself
    except ImportError:
        raise UserError(
            "the literal cycle loop is compiled by numba: run pip install 'netcompress[fast]'"
        ) from None
    from benchmarks import eie_compiled_loop

    return eie_compiled_loop
