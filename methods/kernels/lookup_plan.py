"""How a convolution by look-up goes through a map of one size: planes, tiles, offsets, room.

``lookup_convolution`` has the loops, and says why the tables lie as they do.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
TABLE_BYTES = 300_000
"""Of tables at once: with the sums they stay within a second-level cache of 1 MiB."""
MOST_SLICES = 8
"""Whose tables are held at once: of a kernel of one position many, or sums move more than add."""
MOST_TILES = 256
"""Heights of a tile that are weighed; of a higher map only every second, or third."""
ALIGNED = 1.08
"""A row's pitch is rounded up to 16 places where that makes it longer by no more than this."""


@dataclass(frozen=True)
class Geometry:
    """The size of an input map, and how a kernel goes over it."""

    height: int
    width: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass
class Room:
    """Memory that a product works in: fresh memory would cost as much as the work."""

    x: NDArray[np.float32]
    table: NDArray[np.float32]
    sums: NDArray[np.float32]


class Plan:
    """Everything about a product that depends on sizes and codes, made once."""

    def __init__(
        self, geometry: Geometry, codes: NDArray[np.uint8], book_shape: tuple[int, ...]
    ) -> None:
        """``codes`` (height, width, M, outputs), and codebooks of (K, d)."""
        self.geometry = geometry
        self.codes = codes
        self.codewords, self.book_width = book_shape
        self.kernel = (codes.shape[0], codes.shape[1])
        self._rooms: list[Room] = []

    @cached_property
    def out_shape(self) -> tuple[int, int, int, int]:
        """Groups, outputs of a group, height, width."""
        g = self.geometry
        sides = [
            (size + 2 * pad - spread * (reach - 1) - 1) // step + 1
            for size, pad, spread, reach, step in zip(
                (g.height, g.width), g.padding, g.dilation, self.kernel, g.stride, strict=True
            )
        ]
        return (g.groups, self.codes.shape[3] // g.groups, sides[0], sides[1])

    @property
    def fits(self) -> bool:
        """Whether there is something to do, and offsets of 32 bits reach everywhere."""
        groups, outputs, height, width = self.out_shape
        if min(outputs, height, width, *self.codes.shape) < 1:
            return False
        if outputs * groups != self.codes.shape[3]:
            return False
        return self.block * self.codewords * self.table_stride < 1 << 32

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Of the kernel's places: plane, row and column within it; (3, height * width)."""
        (step_y, step_x), (spread_y, spread_x) = self.geometry.stride, self.geometry.dilation
        y, x = np.divmod(np.arange(math.prod(self.kernel)), self.kernel[1])
        y, x = y * spread_y, x * spread_x
        return np.stack([y % step_y * step_x + x % step_x, y // step_y, x // step_x])

    @cached_property
    def planes(self) -> NDArray[np.int64]:
        """Those that the kernel meets: of a stride of 2, 0 to 3; row by row."""
        return np.unique(self.positions[0])

    @cached_property
    def size(self) -> Pair:
        """Height and width of a plane: outputs, and what the kernel reaches beyond the last."""
        return (
            self.out_shape[2] + int(self.positions[1].max()),
            self.out_shape[3] + int(self.positions[2].max()),
        )

    @cached_property
    def pitch(self) -> int:
        """From one row to the next."""
        rounded = -(-self.size[1] // 16) * 16
        return rounded if rounded <= ALIGNED * self.size[1] else self.size[1]

    @property
    def pitches(self) -> tuple[int, int, int, int, int]:
        """From one image, group, channel, plane and row to the next."""
        plane = self.size[0] * self.pitch
        channel = plane * self.planes.size
        group = channel * self.codes.shape[2] * self.book_width
        return (group * self.geometry.groups, group, channel, plane, self.pitch)

    @property
    def image_pitch(self) -> int:
        return self.pitches[0]

    @cached_property
    def shifts(self) -> NDArray[np.int64]:
        """From a place of the outputs to that which a position of the kernel meets."""
        shifts: NDArray[np.int64] = self.positions[1] * self.pitch + self.positions[2]
        return shifts

    @property
    def rows(self) -> int:
        """Of a tile."""
        return self._tile[0]

    @property
    def block(self) -> int:
        """Slices whose tables are held at once."""
        return self._tile[1]

    @cached_property
    def _tile(self) -> Pair:
        """Rows and slices, by the least work."""
        candidates = [
            (rows, block)
            for rows in range(1, self.out_shape[2] + 1, 1 + self.out_shape[2] // MOST_TILES)
            for block in range(1, min(MOST_SLICES, len(self.slices)) + 1)
        ]
        return min(candidates, key=lambda tile: self._work(*tile))

    def _work(self, rows: int, block: int) -> float:
        """Values added; filled, at half their cost; and sums that are loaded and stored."""
        tiles = -(-self.out_shape[2] // rows)
        blocks = -(-len(self.slices) // block)
        entries = self.codewords * self._stride_of(rows)
        moved = math.prod(self.kernel) * self.codes.shape[2] + 2 * blocks
        added = self.out_shape[1] * self._length_of(rows) * moved
        filled = entries * self.book_width * len(self.slices)
        # What falls out of the cache comes from the next one, at a multiple of the cost.
        farther = max(1.0, block * entries * 4 / TABLE_BYTES)
        return float(tiles * (added * farther + 0.5 * filled))

    def _length_of(self, rows: int) -> int:
        return -(-rows * self.pitch // 16) * 16

    def _stride_of(self, rows: int) -> int:
        return -(-(self._length_of(rows) + int(self.shifts.max())) // 16) * 16

    @property
    def table_stride(self) -> int:
        """From the table of one codeword to the next."""
        return self._stride_of(self.rows)

    @cached_property
    def slices(self) -> NDArray[np.int64]:
        """(slices, 4): subspace, place among the planes, first term and that behind the last."""
        counts = np.unique(self.positions[0], return_counts=True)[1]
        subspaces = self.codes.shape[2]
        ends = np.cumsum(np.tile(counts, subspaces))
        starts = np.concatenate([[0], ends[:-1]])
        subspace, plane = np.divmod(np.arange(ends.size), counts.size)
        return np.stack([subspace, plane, starts, ends], axis=1).astype(np.int64)

    @cached_property
    def offsets(self) -> NDArray[np.uint32]:
        """(groups, outputs, terms): where each term is among the tables of its block."""
        groups, outputs = self.out_shape[:2]
        order = np.argsort(self.positions[0], kind="stable")
        height, width, subspaces, _ = self.codes.shape
        codes = self.codes.reshape(height * width, subspaces, groups, outputs)[order]
        terms = codes.transpose(2, 3, 1, 0).astype(np.int64) * self.table_stride
        terms += self.shifts[order]
        flat = terms.reshape(groups, outputs, -1)
        place = np.repeat(np.arange(len(self.slices)), self.slices[:, 3] - self.slices[:, 2])
        flat = flat + place % self.block * (self.codewords * self.table_stride)
        return np.ascontiguousarray(flat.astype(np.uint32))

    @contextmanager
    def room(self) -> Iterator[Room]:
        """Room for one product; two threads get two."""
        try:
            room = self._rooms.pop()
        except IndexError:
            tables = self.block * self.codewords * self.table_stride
            sums = self.out_shape[1] * self._length_of(self.rows)
            room = Room(np.zeros(0, np.float32), _aligned(tables), _aligned(sums))
        yield room
        self._rooms.append(room)

    def split(self, x: NDArray[np.float32], room: Room) -> NDArray[np.float32]:
        """``x`` (images, channels, height, width) padded and split into planes, flat, with room."""
        image, _, channel, plane, pitch = self.pitches
        wanted = x.shape[0] * image + self.table_stride
        if room.x.size < wanted:
            room.x = _aligned(wanted)
        g, count = self.geometry, self.planes.size
        held = room.x[: x.shape[0] * image].reshape(
            x.shape[0], g.groups, image // g.groups // channel, count, plane // pitch, pitch
        )
        channels = x.shape[1] // g.groups
        maps = x.reshape(x.shape[0], g.groups, channels, g.height, g.width)
        for at, phase in enumerate(self.planes):
            phase_y, phase_x = divmod(int(phase), g.stride[1])
            # The first row of the map in this plane, and where in the plane it stands.
            y, x_ = (phase_y - g.padding[0]) % g.stride[0], (phase_x - g.padding[1]) % g.stride[1]
            top, left = (y + g.padding[0]) // g.stride[0], (x_ + g.padding[1]) // g.stride[1]
            part = maps[..., y :: g.stride[0], x_ :: g.stride[1]]
            there = held[:, :, :channels, at, top:, left : self.size[1]]
            height = min(part.shape[3], there.shape[3])
            width = min(part.shape[4], there.shape[4])
            there[..., :height, :width] = part[..., :height, :width]
        return room.x


def _aligned(count: int) -> NDArray[np.float32]:
    """Zeros that start a cache line: a vector in two lines costs two loads."""
    held = np.zeros(count + 16, np.float32)
    start = -held.ctypes.data // 4 % 16
    return held[start : start + count]
