"""The loops of ``eie_cycle_loop``, compiled: imported only where numba is installed.

A module of its own, so that what the loops call is global: numba keeps compiled code in its cache
only then. Indices are unsigned throughout: signed ones are checked for counting from the end.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

u8: Any = np.uint8
u32: Any = np.uint32
u64: Any = np.uint64
i64: Any = np.int64
tools: Any = cgutils


def _prefetch(context: Any, array: Any, index: Any) -> Any:
    """``prefetch(array, index)``: that place into the cache, nothing else."""
    ir = tools.ir

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = tools.create_struct_proxy(array)(target, builder, value=arguments[0])
        word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = tools.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(builder.gep(held.data, [arguments[1]]), pointer)
        builder.call(function, [place, word(0), word(3), word(1)])  # read, keep, data
        return target.get_dummy_value()

    return types.void(array, index), generate


def _lowest(context: Any, word: Any) -> Any:
    """``lowest(word)``: the place of its lowest bit that is 1; the word is not 0."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], tools.ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


prefetch: Any = intrinsic(_prefetch)
lowest: Any = intrinsic(_lowest)
INTO_ONE_BYTE: Any = u64(0x0102040810204080)
"""Times eight bytes of 0 or 1, the highest byte of the product holds them as bits, in order."""


def _full_loop(
    entries: Any, starts: Any, columns: Any, steps: Any, values: Any, codebook: Any,
    capacity: int, line_entries: int, rows: int, sums: Any, last: Any, empty: Any,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Stalls, line reads, padding and entries; fills ``sums``, ``last`` and ``empty``.

    One function, since each call would cost what a cycle does.

    Args:
        last: (pes), the cycle of each PE's last entry.
        empty: (pes), the empty slices that it took before.
    """
    zero, one, two, total, pes = u64(0), u64(1), u64(2), u64(columns.size), u64(last.size)
    if total == zero:
        return 0, 0, 0, 0
    table = np.empty(256, np.float32)
    for byte in range(256):
        table[byte] = codebook[byte & 15]
    entry, stop = np.full(pes, 2, np.uint32), starts[:pes].copy()
    base = (np.arange(last.size) * rows).astype(np.uint32)
    row, value = base.copy(), np.zeros(pes, np.float32)
    taken, passed = np.zeros(pes, np.uint32), np.zeros(pes, np.int64)
    held = np.zeros(pes, np.uint32)
    free = np.zeros((last.size + 63) // 64, np.uint64)
    done = np.zeros(free.size * 64, np.uint8)
    words, eights = u64(free.size), done.view(np.uint64)
    for k in range(pes):
        free[k >> u64(6)] |= one << (k & u64(63))
    within = u64(line_entries - 1)
    line = ~within
    within_line, spare_end, step_one, padding_byte = u32(within), u32(2), u32(1), u32(0xF0)
    pushed, oldest, found, places = zero, zero, one, u64(capacity)
    cycle, push, stalls, reads, padding, rests = 0, 1 + steps[0], 0, 0, 0, 0
    while True:
        visible = pushed
        is_full = pushed - oldest == places
        idle = zero
        # Pointer read: the PEs that are free take their next column, or rest.
        for w in range(words):
            left = free[w]
            while left != zero:
                k = (w << u64(6)) + lowest(left)
                left &= left - one
                item = u64(taken[k])
                passes = 0
                if item < visible:
                    taken[k] = item + one
                    at = u64(columns[item]) * pes + k
                    begin, end = u64(starts[at]), u64(starts[at + pes])
                    if begin != end:
                        is_other = ((u64(stop[k]) - one) ^ begin) & line != zero
                        reads += is_other and begin & within != zero
                        entry[k] = begin
                        stop[k] = end
                        value[k] = values[item]
                        row[k] = base[k]
                        continue
                    passes = 1
                else:
                    idle += one
                rests += 1
                if u64(entry[k]) > two:  # it worked until now
                    last[k] = cycle - 1
                    empty[k] = passed[k]
                passed[k] += passes
                entry[k] = 1
                row[k] = base[k]
        # Sparse matrix read: an entry each; a line where one begins, others counted above.
        for k in range(pes):
            held[k] = entries[entry[k]]
        new_lines, paddings, least = u32(0), u32(0), u32(0xFFFFFFFF)
        for k in range(pes):
            now = entry[k]
            new_lines = u32(new_lines + u32((now & within_line) == u32(0)))
            now = u32(now + step_one)
            entry[k] = now
            done[k] = u8(now == stop[k]) | u8(now == spare_end)
        for k in range(pes):
            least = min(least, taken[k])
        # Arithmetic: the address runs ahead of the row by one; padding adds 0.
        for k in range(pes):
            paddings = u32(paddings + u32(held[k] == padding_byte))
            row[k] = u32(row[k] + u32(u32(held[k] >> u32(4)) + step_one))
        reads += i64(new_lines)
        padding += i64(paddings)
        for k in range(pes):
            sums[row[k]] += table[held[k]] * value[k]
        for w in range(words):
            left = zero
            for i in range(u64(8)):
                bits = eights[(w << u64(3)) + i] * INTO_ONE_BYTE >> u64(56)
                left |= bits << (i << u64(3))
            free[w] = left
        # Scan: what has been found is pushed, unless a queue was full.
        oldest = u64(least)
        if cycle >= push:
            if found > total:
                if oldest == pushed and idle == pes:
                    break
            elif is_full:
                stalls += 1
            else:
                at = u64(columns[pushed]) * pes
                for k in range(pes):
                    prefetch(entries, starts[at + k])
                if found < total:
                    at = u64(columns[found]) * pes
                    for k in range(zero, two * pes, u64(16)):
                        prefetch(starts, at + k)
                pushed += one
                if found < total:
                    push = cycle + steps[found]
                found += one
        cycle += 1
    return stalls, reads, padding, (cycle + 1) * i64(pes) - rests


def _timing_loop(
    counts: Any, busy: Any, columns: Any, steps: Any, number: int, capacity: int
) -> int:
    """The cycle of the last entry: a PE counts down what is left of its column.

    Args:
        counts: (columns * pes), entries of each slice.
        busy: the same, but at least 1.
        number: of PEs.
    """
    zero, one, total, pes = u64(0), u64(1), u64(columns.size), u64(number)
    if total == zero:
        return 0
    remaining = np.ones(pes, busy.dtype)
    nothing = remaining[0] - remaining[0]
    taken = np.zeros(pes, np.uint32)
    free = np.zeros((number + 63) // 64, np.uint64)
    done = np.zeros(free.size * 64, np.uint8)
    words, eights = u64(free.size), done.view(np.uint64)
    for k in range(pes):
        free[k >> u64(6)] |= one << (k & u64(63))
    pushed, oldest, found, places = zero, zero, one, u64(capacity)
    last: Any = 0
    cycle, push = 0, 1 + steps[0]
    while True:
        visible = pushed
        is_full = pushed - oldest == places
        idle = zero
        for w in range(words):
            left = free[w]
            while left != zero:
                k = (w << u64(6)) + lowest(left)
                left &= left - one
                item = u64(taken[k])
                if item < visible:
                    taken[k] = item + one
                    at = u64(columns[item]) * pes + k
                    remaining[k] = busy[at]
                    if counts[at]:
                        last = max(last, cycle + i64(counts[at]) - 1)
                else:
                    idle += one
                    remaining[k] = 1
        least = u32(0xFFFFFFFF)
        for k in range(pes):
            remaining[k] -= 1
            done[k] = remaining[k] == nothing
        for k in range(pes):
            least = min(least, taken[k])
        for w in range(words):
            left = zero
            for i in range(u64(8)):
                bits = eights[(w << u64(3)) + i] * INTO_ONE_BYTE >> u64(56)
                left |= bits << (i << u64(3))
            free[w] = left
        oldest = u64(least)
        if cycle >= push:
            if found > total:
                if oldest == pushed and idle == pes:
                    break
            elif not is_full:
                pushed += one
                if found < total:
                    push = cycle + steps[found]
                found += one
        cycle += 1
    return int(last)


_compile: Any = numba.njit(nogil=True, cache=True)
full_loop: Callable[..., tuple[int, int, int, int]] = _compile(_full_loop)
timing_loop: Callable[..., int] = _compile(_timing_loop)
