"""When each entry is handled: the machine's cycles by a closed recurrence, exact to the cycle.

Han et al. 2016, section IV. A tree scans the activations in groups of N, one a PE, and sends one
non-zero a cycle to the queues of all N PEs; leaving a group costs a cycle, unless its last lane
was the one just sent. With t counting what is sent, b_t the cycle of its push, n[k, t] the
entries of PE k in its column and C = depth - 1 places in a queue beside the item in work:

    b_t     = max(b_{t-1} + 1 + gap_t, 1 + max_k s[k, t-C])        all queues have a place
    s[k, t] = max(b_t + 1, s[k, t-1] + max(1, n[k, t-1]))          PE k takes the item
    cycles  = 6 + max over k, t with n[k, t] > 0 of s[k, t] + n[k, t] - 1

A column without an entry occupies a PE for a cycle. At depth 1 there is no queue: an item goes
to all PEs at once, in the first cycle in which each is idle or in the last cycle of its item.
The cost is N steps for each item, whatever the number of entries.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.eie.encode import Counts, EncodedLayer
from methods.kernels import eie as kernels
from methods.kernels.choice import chosen_path
from registry.errors import UserError

TAIL = 6
"""Cycles from the last entry to the end of the layer: the pipeline and the write."""
MAX_CYCLES = (1 << 31) - 1


@dataclass(frozen=True)
class Timing:
    """What the recurrence tells of a layer."""

    cycles: int
    stall_cycles: int
    """In which a non-zero has been found and cannot be pushed: of all broadcasts, so at depth 2
    also of those behind the last entry, which take none of the layer's cycles."""
    ends: NDArray[np.int64]
    """(pes): the cycle of each PE's last entry, 0 where it has none."""


def positions_of(layer: EncodedLayer, columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the scan meets each column: the bias lies behind the inputs, at a whole group."""
    behind = -(-layer.inputs // layer.pes) * layer.pes
    return np.where(columns == layer.inputs, behind, columns)


def cycles_of(
    counts: Counts,
    columns: NDArray[np.int64],
    positions: NDArray[np.int64],
    queue_depth: int,
    busy: Counts | None = None,
) -> int:
    """Cycles of the layer alone, the fast path.

    Args:
        counts: (columns, pes), entries of each slice, padding included.
        columns: those that are broadcast, in order.
        positions: where the scan meets them (``positions_of``).
        queue_depth: items that a PE holds, the one in work included.
        busy: max(counts, 1), where it is at hand.
    """
    if chosen_path() == "numba" and queue_depth > 1:
        _check_range(counts, columns, positions)
        if busy is None:
            busy = np.maximum(counts, 1)
        return int(kernels.timing()(counts, busy, columns, positions, queue_depth - 1))
    return timing_of(counts, columns, positions, queue_depth).cycles


def timing_of(
    counts: Counts,
    columns: NDArray[np.int64],
    positions: NDArray[np.int64],
    queue_depth: int,
    busy: Counts | None = None,
) -> Timing:
    """Cycles, stalls and each PE's last entry; arguments as of ``cycles_of``."""
    _check_range(counts, columns, positions)
    steps = _steps(positions, counts.shape[1])
    if queue_depth == 1:
        return _lock_step(counts[columns], steps)
    if chosen_path() == "numba":
        if busy is None:
            busy = np.maximum(counts, 1)
        stalls, ends = kernels.counted_timing()(counts, busy, columns, steps, queue_depth - 1)
        return _timing(stalls, ends)
    return _queued(counts[columns].astype(np.int64), steps, queue_depth - 1)


def _timing(stalls: int, ends: NDArray[Any]) -> Timing:
    last = int(ends.max(initial=0))
    return Timing(last + TAIL if last else 0, int(stalls), ends.astype(np.int64))


def _check_range(counts: Counts, columns: NDArray[np.int64], positions: NDArray[np.int64]) -> None:
    """Cycles are counted in 32 bits: no layer may need more.

    Raises:
        UserError: this one may.
    """
    groups = int(positions[-1]) // counts.shape[1] if positions.size else 0
    around = 3 * columns.size + groups
    if int(np.iinfo(counts.dtype).max) * columns.size + around <= MAX_CYCLES:
        return
    longest = np.maximum(counts.max(axis=1), 1)[columns]
    if int(longest.sum(dtype=np.int64)) + around > MAX_CYCLES:
        raise UserError(f"{columns.size:,} columns may take more than {MAX_CYCLES:,} cycles")


def _steps(positions: NDArray[np.int64], pes: int) -> NDArray[np.int32]:
    """Cycles from one push to the next where no queue is full: 1, and the groups that are left."""
    groups, lanes = np.divmod(positions, pes)
    steps = np.empty(positions.size, np.int32)
    if positions.size:
        steps[0] = 1 + groups[0]
        passed = np.diff(groups)
        steps[1:] = 1 + passed - ((passed > 0) & (lanes[:-1] == pes - 1))
    return steps


def _lock_step(sent: Counts, steps: NDArray[np.int32]) -> Timing:
    """Depth 1: ``sent`` (broadcasts, pes) are the counts of the columns sent."""
    if not sent.size:
        return _timing(0, np.zeros(sent.shape[1], np.int64))
    longest = np.maximum(sent.max(axis=1), 1).astype(np.int64)
    wanted = steps.astype(np.int64)
    taken = wanted.copy()
    taken[1:] = np.maximum(wanted[1:], longest[:-1])
    stalls = int((taken - wanted).sum())
    start = 1 + np.cumsum(taken)
    ends = np.where(sent > 0, start[:, None] + sent.astype(np.int64) - 1, 0).max(axis=0)
    return _timing(stalls, ends)


def _queued(sent: NDArray[np.int64], steps: NDArray[np.int32], capacity: int) -> Timing:
    """Depth 2 and more, without numba."""
    free = np.zeros(sent.shape[1], np.int64)
    ends = np.zeros(sent.shape[1], np.int64)
    busy = np.maximum(sent, 1)
    latest: list[int] = []
    pushed, stalls = 1, 0
    for t, step in enumerate(steps.tolist()):
        pushed += step
        if t >= capacity and latest[t - capacity] >= pushed:
            stalls += latest[t - capacity] + 1 - pushed
            pushed = latest[t - capacity] + 1
        taken = np.maximum(free, pushed + 1)
        latest.append(int(taken.max()))
        free = taken + busy[t]
        np.copyto(ends, free - 1, where=sent[t] > 0)
    return _timing(stalls, ends)
