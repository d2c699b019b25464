"""The compiled loops of the EIE machine: timing, counters, products.

Each has a twin in numpy that gives the same numbers; ``methods.eie`` chooses between them.

A column of counts holds a number for each PE, so that the innermost loops run over PEs and the
compiler vectorises them. They hold int32 throughout: a wider type would halve the lanes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def timing() -> Callable[..., int]:
    """Cycles alone, for queues of depth 2 and more: see ``methods.eie.timing``."""

    def cycles(counts: Any, busy: Any, columns: Any, positions: Any, capacity: int) -> int:
        pes, broadcasts = counts.shape[1], columns.size
        one = np.int32(1)
        free = np.zeros(pes, np.int32)
        ends = np.zeros(pes, np.int32)
        latest = np.empty(broadcasts, np.int32)
        # Only where a PE may meet its last entry need ends be kept.
        tracked, left = broadcasts, pes
        seen = np.zeros(pes, np.uint8)
        while left and tracked:
            tracked -= 1
            for k in range(pes):
                if counts[columns[tracked], k] and not seen[k]:
                    seen[k] = 1
                    left -= 1
        if left:
            tracked = 0
        pushed = np.int32(1)
        bound = pes  # where the group of lanes that is scanned ends
        for t in range(broadcasts):
            place = positions[t]
            step = one
            if place >= bound:
                leaves_at_once = t > 0 and positions[t - 1] == bound - 1
                while place >= bound:
                    bound += pes
                    step = np.int32(step + one)
                if leaves_at_once:
                    step = np.int32(step - one)
            pushed = np.int32(pushed + step)
            if t >= capacity:
                pushed = max(pushed, np.int32(latest[t - capacity] + one))
            earliest = np.int32(pushed + one)
            column = columns[t]
            late = np.int32(0)
            if t < tracked:
                for k in range(pes):
                    taken = max(earliest, free[k])
                    late = max(late, taken)
                    free[k] = np.int32(taken + np.int32(busy[column, k]))
            else:
                for k in range(pes):
                    taken = max(earliest, free[k])
                    late = max(late, taken)
                    free[k] = np.int32(taken + np.int32(busy[column, k]))
                    if counts[column, k]:
                        ends[k] = np.int32(free[k] - one)
            latest[t] = late
        last = 0
        for k in range(pes):
            last = max(last, ends[k])
        return last + 6 if last else 0

    return _compiled(cycles)


@cache
def counted_timing() -> Callable[..., tuple[int, Any]]:
    """As ``timing``, with back-pressure and the last cycle of each PE's entries: stalls, ends."""

    def run(counts: Any, busy: Any, columns: Any, steps: Any, capacity: int) -> tuple[int, Any]:
        pes, broadcasts = counts.shape[1], columns.size
        one = np.int32(1)
        free = np.zeros(pes, np.int32)
        ends = np.zeros(pes, np.int32)
        latest = np.empty(broadcasts, np.int32)
        pushed: Any = np.int32(1)
        stalls = 0
        for t in range(broadcasts):
            pushed = np.int32(pushed + steps[t])
            if t >= capacity and latest[t - capacity] >= pushed:
                waiting = np.int32(latest[t - capacity] + one)
                stalls += int(waiting - pushed)
                pushed = waiting
            earliest = np.int32(pushed + one)
            column = columns[t]
            late = np.int32(0)
            for k in range(pes):
                taken = max(earliest, free[k])
                late = max(late, taken)
                until = np.int32(taken + np.int32(busy[column, k]))
                free[k] = until
                ends[k] = np.int32(until - one) if counts[column, k] else ends[k]
            latest[t] = late
        return stalls, ends

    return _compiled(run)


@cache
def empty_slices() -> Callable[..., int]:
    """Slices without an entry that lie before the last entry of their PE, over all PEs."""

    def run(counts: Any, columns: Any) -> int:
        pes, broadcasts = counts.shape[1], columns.size
        empty = np.zeros(pes, np.int32)
        for t in range(broadcasts):
            column = columns[t]
            for k in range(pes):
                empty[k] += np.int32(counts[column, k] == 0)
        behind = np.zeros(pes, np.int32)
        left, t = pes, broadcasts
        while left and t:
            t -= 1
            for k in range(pes):
                if counts[columns[t], k] and not behind[k]:
                    behind[k] = broadcasts - t  # broadcasts from its last entry on
                    left -= 1
        total = 0
        for k in range(pes):
            if behind[k]:
                total += empty[k] - (behind[k] - 1)
        return total

    return _compiled(run)


@cache
def line_reads() -> Callable[..., int]:
    """Reads of the sparse matrix memory: a line that is not the one read last."""

    def run(pointers: Any, columns: Any, per_line: int) -> int:
        one = np.uint64(1)
        shift = np.int64(0)
        while 1 << shift < per_line:
            shift += 1
        divides = 1 << shift != per_line  # a division takes longer than all else here
        reads: Any = 0
        for k in range(np.uint64(pointers.shape[0])):
            held: Any = -1
            for t in range(np.uint64(columns.size)):
                column = np.uint64(columns[t])
                start = np.int64(pointers[k, column])
                behind = np.int64(pointers[k, column + one]) - 1
                if divides:
                    first, last = start // per_line, behind // per_line
                else:
                    first, last = start >> shift, behind >> shift
                if behind >= start:
                    reads += last - first + np.int64(first != held)
                    held = last
        return int(reads)

    return _compiled(run)


@cache
def products() -> Callable[..., None]:
    """Adds each broadcast column's products to the outputs, float32, in broadcast order.

    Rows differ within a column, so four sums may be read before the first is written.
    """

    def run(starts: Any, packed: Any, codebook: Any, columns: Any, values: Any, out: Any) -> None:
        # Unsigned, so that the compiler adds no check for indices from the end.
        one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
        low = np.uint64(15)
        table = np.empty(16, np.float32)
        for t in range(columns.size):
            for slot in range(16):
                table[slot] = codebook[slot] * values[t]
            column = np.uint64(columns[t])
            i, end = np.uint64(starts[column]), np.uint64(starts[column + one])
            while i + four <= end:
                a, b = np.uint64(packed[i]), np.uint64(packed[i + one])
                c, d = np.uint64(packed[i + two]), np.uint64(packed[i + three])
                e = out[a >> four] + table[a & low]
                f = out[b >> four] + table[b & low]
                g = out[c >> four] + table[c & low]
                h = out[d >> four] + table[d & low]
                out[a >> four], out[b >> four] = e, f
                out[c >> four], out[d >> four] = g, h
                i += four
            while i < end:
                a = np.uint64(packed[i])
                out[a >> four] += table[a & low]
                i += one

    return _compiled(run)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    return compiled
