"""The compiled look-ups of convolutions: imported only where numba is installed.

A module of its own, so that what the loops call is global: numba keeps compiled code in its cache
only then.

For one output, one subspace and one position of the kernel, the code is the same at every place
of the map. So the tables are laid out place by place for each codeword, and what is looked up for
16 neighbouring places lies side by side: a vector that is added as it is. The maps of a stride
above 1 are split into planes (every second place, say), within which neighbours stay neighbours.
Rows follow each other with the pitch of the input in outputs, too, so that a tile of rows is one
run; what stands between two rows of outputs is of no use and not copied.
"""

from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

from methods.kernels.vectors import FLOATS, INDEX, LANES, Vectors, data, tools

MOST = 26
"""Vectors whose sums are held in registers at once."""
TERMS_AT_ONCE = 32
"""Entries that are added up before their sum is added to the output's: short sums round less."""
WIDE = 8
"""Vectors by two codewords that are filled at once."""


def _cases(builder: Any, count: Any, most: int, case: Any) -> None:
    """``case(n)`` makes the code for each ``count`` of 1 to ``most``: n vectors fit registers."""
    end = builder.append_basic_block("end")
    switch = builder.switch(count, end)
    for n in range(1, most + 1):
        block = builder.append_basic_block(f"vectors{n}")
        switch.add_case(INDEX(n), block)
        builder.position_at_end(block)
        case(n)
        builder.branch(end)
    builder.position_at_end(end)


def _add(
    context: Any, table: Any, start: Any, offsets: Any, first: Any, last: Any, sums: Any,
    sum_at: Any, vectors: Any,
) -> Any:  # fmt: skip
    """``add(table, start, offsets, first, last, sums, sum_at, vectors)``.

    Adds to ``vectors`` (1 to ``MOST``) of ``sums`` those of ``table`` at each of the offsets.
    """
    n = types.int64
    signature = types.void(table, n, offsets, n, n, sums, n, n)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        table, offsets, sums = (data(target, builder, kinds[i], arguments[i]) for i in (0, 2, 5))
        start, first, last, sum_at, vectors = (arguments[i] for i in (1, 3, 4, 6, 7))
        v = Vectors(builder)
        base, there = v.place(table, start), v.place(sums, sum_at)

        def case(count: int) -> None:
            slots = v.zeros(count)
            with tools.for_range_slice(builder, first, last, INDEX(1), INDEX) as (term, _):
                offset = builder.zext(builder.load(v.place(offsets, term)), INDEX)
                entry = v.place(base, offset)
                for i, slot in enumerate(slots):
                    value = v.load(v.place(entry, INDEX(i * LANES)), FLOATS)
                    builder.store(builder.fadd(builder.load(slot), value), slot)
            for i, slot in enumerate(slots):
                at = v.place(there, INDEX(i * LANES))
                v.store(builder.fadd(v.load(at, FLOATS), builder.load(slot)), at)

        _cases(builder, vectors, MOST, case)
        return target.get_dummy_value()

    return signature, generate


def _fill(
    context: Any, x: Any, x_at: Any, pitch: Any, books: Any, book_at: Any, width: Any,
    table: Any, table_at: Any, stride: Any, vectors: Any,
) -> Any:  # fmt: skip
    """``fill(x, x_at, pitch, books, book_at, width, table, table_at, stride, vectors)``.

    The products of two codewords with ``vectors`` (1 to ``WIDE``) of places, ``width`` channels.
    """
    n = types.int64
    signature = types.void(x, n, n, books, n, n, table, n, n, n)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        x, books, table = (data(target, builder, kinds[i], arguments[i]) for i in (0, 3, 6))
        x_at, pitch, book_at, width, table_at, stride, vectors = (
            arguments[i] for i in (1, 2, 4, 5, 7, 8, 9)
        )
        v = Vectors(builder)

        def case(count: int) -> None:
            rows = [v.zeros(count), v.zeros(count)]
            with tools.for_range(builder, width) as loop:
                here = v.place(x, builder.add(x_at, builder.mul(loop.index, pitch)))
                values = [v.load(v.place(here, INDEX(i * LANES)), FLOATS) for i in range(count)]
                for k, row in enumerate(rows):
                    past = builder.add(loop.index, builder.mul(width, INDEX(k)))
                    weight = v.splat(builder.load(v.place(books, builder.add(book_at, past))))
                    for value, slot in zip(values, row, strict=True):
                        v.add_product(slot, weight, value)
            for k, row in enumerate(rows):
                there = v.place(table, builder.add(table_at, builder.mul(stride, INDEX(k))))
                for i, slot in enumerate(row):
                    v.store(builder.load(slot), v.place(there, INDEX(i * LANES)))

        _cases(builder, vectors, WIDE, case)
        return target.get_dummy_value()

    return signature, generate


add: Any = intrinsic(_add)
fill: Any = intrinsic(_fill)


def _convolution(
    x: Any, pitches: Any, books: Any, offsets: Any, slices: Any, block: int, stride: int,
    rows: int, most: int, table: Any, sums: Any, out: Any,
) -> None:  # fmt: skip
    """Sets ``out`` (batch, groups, outputs, height, width), float32.

    Args:
        x: flat: images, groups, channels, planes, rows; the last table may reach beyond them.
        pitches: from one image, group, channel, plane and row to the next.
        books: (M, K, d), K even.
        offsets: (groups, outputs, terms), uint32: where in the tables of a block each term is.
        slices: (slices, 4): subspace, plane, first term and the term behind the last.
        block: slices whose tables are held at once.
        stride: of a codeword's table, 16 n.
        rows: of a tile.
        most: vectors to hold in registers, up to ``MOST``.
        table: room for block * K * stride.
        sums: room for outputs * (rows * row pitch, rounded up to 16).
    """
    image_pitch, group_pitch, channel_pitch, plane_pitch, pitch = pitches
    batch, groups, outputs, tall, wide = out.shape
    codewords, width = books.shape[1], books.shape[2]
    size, terms = codewords * stride, offsets.shape[2]
    flat_books, flat_offsets = books.reshape(-1), offsets.reshape(-1)
    vectors, table_vectors = sums.size // outputs // 16, stride // 16
    length = vectors * 16
    runs, fills = (vectors + most - 1) // most, (table_vectors + WIDE - 1) // WIDE
    for image in range(batch):
        for group in range(groups):
            for top in range(0, tall, rows):
                sums[:] = 0
                corner = image * image_pitch + group * group_pitch + top * pitch
                for first in range(0, slices.shape[0], block):
                    last = min(slices.shape[0], first + block)
                    for s in range(first, last):
                        m, plane = slices[s, 0], slices[s, 1]
                        x_at = corner + m * width * channel_pitch + plane * plane_pitch
                        for part in range(fills):
                            begin = table_vectors * part // fills
                            end = table_vectors * (part + 1) // fills
                            for k in range(0, codewords, 2):
                                fill(
                                    x, x_at + begin * 16, channel_pitch,
                                    flat_books, (m * codewords + k) * width, width,
                                    table, (s - first) * size + k * stride + begin * 16,
                                    stride, end - begin,
                                )  # fmt: skip
                    first_term, past_terms = slices[first, 2], slices[last - 1, 3]
                    for o in range(outputs):
                        at = (group * outputs + o) * terms
                        for run in range(runs):
                            begin, end = vectors * run // runs, vectors * (run + 1) // runs
                            for term in range(first_term, past_terms, TERMS_AT_ONCE):
                                stop = min(past_terms, term + TERMS_AT_ONCE)
                                add(
                                    table, begin * 16, flat_offsets, at + term, at + stop,
                                    sums, o * length + begin * 16, end - begin,
                                )  # fmt: skip
                for o in range(outputs):
                    for y in range(min(rows, tall - top)):
                        for column in range(wide):
                            entry = sums[o * length + y * pitch + column]
                            out[image, group, o, top + y, column] = entry


convolution: Any = numba.njit(nogil=True, cache=True)(_convolution)
