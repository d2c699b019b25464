"""The simulated EIE machine: one layer through it, with every counter.

Han et al. 2016, sections III, IV and VI; Table II for the sizes of its memories. What a memory
cannot hold is reported and does not stop a run.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from methods.eie.coded import check_activation
from methods.eie.datapath import float_outputs
from methods.eie.encode import MAX_PES, EncodedLayer
from methods.eie.timing import positions_of, timing_of
from methods.kernels import eie as kernels
from methods.kernels.choice import chosen_path
from registry.errors import UserError
from registry.fields import Model

ENTRY_BITS = 8


class Machine(Model):
    """Parameters; the paper's machine by default."""

    pes: Annotated[int, Field(ge=1, le=MAX_PES)] = 64
    queue_depth: Annotated[int, Field(ge=1, le=1 << 20)] = 8
    """Items that a PE holds, the one in work included; 1: no queue, all PEs in lock-step."""
    width_bits: Annotated[int, Field(ge=8, le=1 << 16)] = 64
    """Of the port of the sparse matrix memory; an entry has 8."""
    clock_mhz: Annotated[float, Field(gt=0, le=1e6)] = 800.0
    signed: bool = False
    """Broadcast every activation but 0, not only those above 0; ours, not the paper's."""
    matrix_bytes: Annotated[int, Field(ge=1)] = 131_072
    """Of each PE's sparse matrix memory."""
    pointer_bytes: Annotated[int, Field(ge=1)] = 32_768
    """Of each PE's two pointer banks together."""
    pointer_bits: Annotated[int, Field(ge=1, le=32)] = 16
    activation_registers: Annotated[int, Field(ge=1)] = 64
    """16-bit words of each of a PE's two register files."""
    activation_bytes: Annotated[int, Field(ge=1)] = 2_048
    """Of each PE's activation memory."""

    @field_validator("width_bits")
    @classmethod
    def _of_whole_entries(cls, bits: int) -> int:
        if bits % ENTRY_BITS:
            raise ValueError("a line of the sparse matrix memory holds whole entries of 8 bits")
        return bits


@dataclass(frozen=True)
class Simulation:
    """What a layer did on the machine; counts are of all PEs together."""

    machine: Machine
    cycles: int
    entries: int
    """Of the broadcast columns, padding included."""
    padding_entries: int
    stored_entries: int
    """Of all columns."""
    stored_padding_entries: int
    broadcasts: int
    pointer_reads: int
    """Of a pair of pointers, from two banks at once."""
    spmat_reads: int
    """Of a line of the sparse matrix memory."""
    stall_cycles: int
    """In which a non-zero has been found and cannot be pushed, a queue being full."""
    empty_cycles: int
    """PE cycles on slices without an entry, before the PE's last entry."""
    starvation_cycles: int
    """PE cycles without work before the PE's last entry."""
    tail_cycles: int
    """PE cycles after the PE's last entry."""
    overflow: tuple[str, ...]
    """What the memories cannot hold, in words."""

    @property
    def time_us(self) -> float:
        """Microseconds by the machine's clock."""
        return self.cycles / self.machine.clock_mhz

    @property
    def theoretical_us(self) -> float:
        """With perfectly even load: entries over PEs and clock."""
        return self.entries / (self.machine.pes * self.machine.clock_mhz)

    @property
    def load_balance(self) -> float | None:
        """Entries over PE cycles, padding counted as work; None for a layer of no cycles."""
        return self.entries / (self.machine.pes * self.cycles) if self.cycles else None

    @property
    def efficiency(self) -> float | None:
        """Products over PE cycles: padding is no work here. None for a layer of no cycles."""
        real = self.entries - self.padding_entries
        return real / (self.machine.pes * self.cycles) if self.cycles else None


def broadcast_columns(
    layer: EncodedLayer, activation: NDArray[np.float32], *, signed: bool
) -> NDArray[np.int64]:
    """The columns that are sent, in order: non-zero activations, then the bias."""
    sent = np.flatnonzero(activation != 0 if signed else activation > 0)
    return np.append(sent, layer.inputs) if layer.has_bias else sent


def simulate(
    layer: EncodedLayer, activation: NDArray[np.floating[Any]], machine: Machine
) -> Simulation:
    """Run ``layer`` on ``activation`` (inputs), counting everything.

    Raises:
        UserError: the layer is dealt out to another number of PEs, or the activation is of a
            wrong type, rank or length, or not finite.
    """
    return _simulate(layer, _columns(layer, activation, machine), machine)


def simulate_with_outputs(
    layer: EncodedLayer, activation: NDArray[np.floating[Any]], machine: Machine
) -> tuple[Simulation, NDArray[np.float32]]:
    """As ``simulate``, and the outputs (outputs) in float32, added up in broadcast order."""
    found = simulate(layer, activation, machine)  # first, since it checks what it is given
    return found, float_outputs(layer, activation, signed=machine.signed)[0]


def _columns(
    layer: EncodedLayer, activation: NDArray[np.floating[Any]], machine: Machine
) -> NDArray[np.int64]:
    if layer.pes != machine.pes:
        raise UserError(f"the layer is dealt out to {layer.pes} PEs, the machine has {machine.pes}")
    checked = check_activation(activation, layer.inputs)
    return broadcast_columns(layer, checked, signed=machine.signed)


def _simulate(layer: EncodedLayer, columns: NDArray[np.int64], machine: Machine) -> Simulation:
    positions = positions_of(layer, columns)
    timing = timing_of(layer.counts, columns, positions, machine.queue_depth, layer.busy)
    entries = int(layer.column_entries[columns].sum())
    empty = _empty_before_end(layer, columns)
    ran = int(timing.ends.sum())
    return Simulation(
        machine=machine,
        cycles=timing.cycles,
        entries=entries,
        padding_entries=int(layer.column_padding[columns].sum()),
        stored_entries=layer.stored_entries,
        stored_padding_entries=int(layer.column_padding.sum()),
        broadcasts=columns.size,
        pointer_reads=columns.size * layer.pes,
        spmat_reads=_spmat_reads(layer, columns, machine.width_bits),
        stall_cycles=timing.stall_cycles,
        empty_cycles=empty,
        starvation_cycles=ran - entries - empty,
        tail_cycles=layer.pes * timing.cycles - ran,
        overflow=overflow(layer, machine),
    )


def _empty_before_end(layer: EncodedLayer, columns: NDArray[np.int64]) -> int:
    """Empty slices that a PE takes before its last entry; a PE without entries has none."""
    if chosen_path() == "numba":
        return int(kernels.empty_slices()(layer.counts, columns))
    is_empty = layer.counts[columns] == 0
    if not is_empty.size:
        return 0
    behind = np.argmin(is_empty[::-1], axis=0)  # those after the last entry
    empty = is_empty.sum(axis=0)
    return int((empty - behind)[empty < columns.size].sum())


def _spmat_reads(layer: EncodedLayer, columns: NDArray[np.int64], width_bits: int) -> int:
    per_line = width_bits // ENTRY_BITS
    if chosen_path() == "numba":
        return int(kernels.line_reads()(layer.pointers, columns, per_line))
    starts, ends = layer.pointers[:, columns], layer.pointers[:, columns + 1]
    first, last = starts // per_line, (ends - 1) // per_line
    filled = ends > starts
    held = np.full((layer.pes, columns.size + 1), -1, np.int64)
    np.maximum.accumulate(np.where(filled, last, -1), axis=1, out=held[:, 1:])
    reads = last - first + (first != held[:, :-1])
    return int(reads[filled].sum())


def overflow(layer: EncodedLayer, machine: Machine) -> tuple[str, ...]:
    """What the memories of a PE cannot hold of this layer, in words."""
    found = []
    most = int(layer.pointers[:, -1].max())
    if most > machine.matrix_bytes:
        found.append(
            f"sparse matrix: {most:,} entries of a byte in a PE, its memory holds "
            f"{machine.matrix_bytes:,}"
        )
    reach = 1 << machine.pointer_bits
    if most >= reach:
        found.append(
            f"pointers: {most:,} entries in a PE, {machine.pointer_bits} bits address {reach:,}"
        )
    pointer_bytes = -(-(layer.columns + 1) * machine.pointer_bits // 8)
    if pointer_bytes > machine.pointer_bytes:
        found.append(
            f"pointers: {layer.columns + 1:,} of {machine.pointer_bits} bits take "
            f"{pointer_bytes:,} bytes in a PE, its banks hold {machine.pointer_bytes:,}"
        )
    words = machine.activation_registers
    for name, size in (("inputs", layer.inputs), ("outputs", layer.outputs)):
        each = -(-size // layer.pes)
        if each > words:
            found.append(
                f"batches: {size:,} {name} are {each:,} words in a PE, its registers hold "
                f"{words:,}: {-(-each // words)} batches would be needed, run here in one pass"
            )
        if 2 * each > machine.activation_bytes:
            found.append(
                f"activations: {size:,} {name} take {2 * each:,} bytes in a PE, its memory holds "
                f"{machine.activation_bytes:,}"
            )
    return tuple(found)
