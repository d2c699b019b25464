"""Fields, variable-length integers and bounded reading: the ground that exact bytes stand on."""

import numpy as np
from numpy.typing import NDArray

from methods.formats.format import FormatError

MAX_WIDTH = 32
_CHUNK = 8192  # fields at a time, a multiple of 8 so that chunks end on whole bytes


def packed_bytes(width: int, count: int) -> int:
    """Bytes that ``count`` fields of ``width`` bits fill."""
    return (width * count + 7) // 8


def pack_fields(values: NDArray[np.unsignedinteger], width: int) -> bytes:
    """Fields of ``width`` bits (1 to 32), most significant bit first, the last byte zero-filled.

    Raises:
        ValueError: a value does not fit, or the width is out of range.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"a field has 1 to {MAX_WIDTH} bits, not {width}")
    if values.size and int(values.max()) >> width:
        raise ValueError(f"{int(values.max())} does not fit into {width} bits")
    pieces = []
    for start in range(0, values.size, _CHUNK):
        chunk = values[start : start + _CHUNK].astype(">u4")
        bits = np.unpackbits(chunk.view(np.uint8).reshape(-1, 4), axis=1)
        pieces.append(np.packbits(bits[:, MAX_WIDTH - width :]).tobytes())
    return b"".join(pieces)


def unpack_fields(data: bytes, width: int, count: int) -> NDArray[np.uint32]:
    """The ``count`` fields that ``pack_fields`` wrote, uint32.

    Raises:
        FormatError: the bytes are not exactly those of ``count`` fields, or the filling is not 0.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise FormatError(f"a field has 1 to {MAX_WIDTH} bits, not {width}")
    if count < 0 or len(data) != packed_bytes(width, count):
        raise FormatError(f"{count} fields of {width} bits do not fill {len(data)} bytes")
    check_filling(data, width * count)
    values = np.empty(count, np.uint32)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        # Eight filling bytes keep the five-byte window of the last field inside the array.
        piece = data[start * width // 8 : packed_bytes(width, stop)]
        octets = np.frombuffer(piece + bytes(8), np.uint8).astype(np.uint64)
        first_bit = np.arange(stop - start, dtype=np.int64) * width
        first = first_bit >> 3
        window = np.zeros(stop - start, np.uint64)
        for offset in range(5):
            window = (window << np.uint64(8)) | octets[first + offset]
        shift = (40 - width - (first_bit & 7)).astype(np.uint64)
        values[start:stop] = (window >> shift) & np.uint64((1 << width) - 1)
    return values


def check_filling(data: bytes, used_bits: int) -> None:
    """Refuse set bits behind ``used_bits`` in the last byte.

    Raises:
        FormatError: one of them is set.
    """
    spare = 8 * len(data) - used_bits
    if spare and data[-1] & ((1 << spare) - 1):
        raise FormatError("the filling bits of the last byte are not zero")


def write_varint(value: int) -> bytes:
    """``value`` (0 to 2^64 - 1), seven bits a byte, lowest first (LEB128)."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} is no unsigned 64-bit number")
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


class Reader:
    """Reads bytes from front to back; whatever is not there is a FormatError, by name."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return len(self.data) - self.position

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes."""
        if count > self.remaining:
            raise FormatError(f"{what} needs {count} bytes where {self.remaining} are left")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self, what: str) -> int:
        """The next byte."""
        position = self.position
        if position >= len(self.data):
            raise FormatError(f"{what} is cut short")
        self.position = position + 1
        return self.data[position]

    def varint(self, what: str, maximum: int = (1 << 64) - 1) -> int:
        """The next variable-length integer, at most ``maximum``, in its shortest form."""
        position = self.position
        if position < len(self.data) and self.data[position] < 0x80:  # nearly always
            value = self.data[position]
            self.position = position + 1
            if value > maximum:
                raise FormatError(f"{what} is {value}, more than {maximum}")
            return value
        value = shift = 0
        while True:
            octet = self.byte(what)
            value |= (octet & 0x7F) << shift
            if value > maximum:
                raise FormatError(f"{what} is {value}, more than {maximum}")
            if octet < 0x80:
                break
            shift += 7
            if shift > 63:
                raise FormatError(f"{what} is longer than ten bytes")
        if octet == 0 and shift:
            raise FormatError(f"{what} is not written in its shortest form")
        return value

    def finish(self, what: str) -> None:
        """Refuse bytes that nothing asked for."""
        if self.remaining:
            raise FormatError(f"{self.remaining} bytes too many behind {what}")
