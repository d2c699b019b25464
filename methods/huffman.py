"""Canonical Huffman codes over small alphabets, with their tables, as exact bytes.

Lengths alone define a code: symbols are numbered by (length, symbol) and get consecutive codes.
Every symbol costs one bit at least, so a count is bounded by the bytes that are there.
"""

import numpy as np
from numpy.typing import NDArray

from methods.bits import Reader, check_filling, pack_fields, packed_bytes, unpack_fields
from methods.formats.format import FormatError

MAX_SYMBOLS = 4096
MAX_LENGTH = 24
_FIXED = 30  # first byte of a table: no code, fields of fixed width follow
_LITERAL = 31  # first byte of a table: lengths of five bits each follow
_CHUNK_BYTES = 4096

Lengths = NDArray[np.uint8]
Symbols = NDArray[np.uint16]


def code_lengths(counts: NDArray[np.integer]) -> Lengths:
    """The shortest code's lengths in bits, uint8, at most 24; 0 where a symbol never occurs.

    Package-merge (Larmore and Hirschberg 1990): the optimum under the limit, hence Huffman's own
    where the limit does not bind.
    """
    if counts.size > MAX_SYMBOLS:
        raise ValueError(f"an alphabet has at most {MAX_SYMBOLS} symbols, not {counts.size}")
    if counts.size and int(counts.min()) < 0:
        raise ValueError("a count is negative")
    lengths = np.zeros(counts.size, np.uint8)
    present = np.flatnonzero(counts)
    if present.size < 2:
        lengths[present] = 1
        return lengths
    order = present[np.argsort(counts[present], kind="stable")]
    weights = counts[order].astype(np.int64)
    packages_at: list[NDArray[np.bool_]] = []
    items = weights
    for _ in range(MAX_LENGTH - 1):
        pairs = items[: items.size // 2 * 2].reshape(-1, 2).sum(axis=1)
        merged = np.concatenate([weights, pairs])
        rank = np.argsort(merged, kind="stable")
        packages_at.append(rank >= weights.size)
        items = merged[rank]
    taken = 2 * weights.size - 2
    for is_package in reversed(packages_at):
        packages = int(np.count_nonzero(is_package[:taken]))
        lengths[order[: taken - packages]] += 1
        taken = 2 * packages
    lengths[order[:taken]] += 1
    return lengths


def mean_length(counts: NDArray[np.integer], lengths: Lengths) -> float:
    """Bits a symbol under ``lengths``, weighted by ``counts``; 0.0 where there is none."""
    total = int(counts.sum())
    return total_bits(counts, lengths) / total if total else 0.0


def total_bits(counts: NDArray[np.integer], lengths: Lengths) -> int:
    """Bits of a message with these counts."""
    return int((counts.astype(np.int64) * lengths.astype(np.int64)).sum())


def encode(symbols: NDArray[np.integer], lengths: Lengths) -> bytes:
    """The message, first symbol in the highest bits, the last byte filled with zeros.

    Raises:
        ValueError: a symbol has no code.
    """
    if not symbols.size:
        return b""
    codes = _codes(lengths)
    widths = lengths[symbols].astype(np.int64)
    if not widths.all():
        raise ValueError("a symbol of the message has no code")
    ends = np.cumsum(widths)
    bits = np.zeros(int(ends[-1]), np.uint8)
    values = codes[symbols]
    for place in range(int(widths.max())):
        reaches = widths > place
        bits[ends[reaches] - 1 - place] = (values[reaches] >> place) & 1
    return np.packbits(bits).tobytes()


def decode(data: bytes, lengths: Lengths, count: int) -> Symbols:
    """The ``count`` symbols of a message, uint16.

    Raises:
        FormatError: the lengths are no complete code, or the bytes are not exactly ``count``
            symbols with zeros behind them.
    """
    check_code(lengths)
    if not 0 <= count <= 8 * len(data):
        raise FormatError(f"{count} symbols cannot stand in {len(data)} bytes")
    if count == 0:
        if data:
            raise FormatError(f"{len(data)} bytes where no symbol is announced")
        return np.empty(0, np.uint16)
    present = np.flatnonzero(lengths)
    if not present.size:
        raise FormatError(f"{count} symbols are announced but none has a code")
    if present.size == 1:
        if len(data) != packed_bytes(1, count) or any(data):
            raise FormatError("a message of one symbol is one zero bit each")
        return np.full(count, present[0], np.uint16)
    symbols, end = _walk(data, lengths, count)
    if symbols.size < count or end > 8 * len(data):
        raise FormatError(f"the message is cut short before its {count} symbols")
    if (end + 7) // 8 != len(data):
        raise FormatError(f"{len(data) - (end + 7) // 8} bytes too many behind the message")
    check_filling(data, end)
    return symbols


def check_code(lengths: Lengths) -> None:
    """Refuse lengths that are neither empty, nor one symbol of one bit, nor a complete code.

    Raises:
        FormatError: says which.
    """
    having: list[int] = np.bincount(lengths, minlength=2).tolist()
    if lengths.size > MAX_SYMBOLS or len(having) > MAX_LENGTH + 1:
        raise FormatError(f"a code has at most {MAX_SYMBOLS} symbols of {MAX_LENGTH} bits")
    present = lengths.size - having[0]
    if present == having[1] == 1:
        return
    # Kraft's sum in units of 2^-24.
    filled = sum(count << (MAX_LENGTH - at) for at, count in enumerate(having) if at)
    if present and filled != 1 << MAX_LENGTH:
        fault = "incomplete" if filled < 1 << MAX_LENGTH else "over-subscribed"
        raise FormatError(f"the code table is {fault}")


def _first_codes(lengths: Lengths) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first code of each length, and how many codes have it; both indexed by length."""
    having: list[int] = np.bincount(lengths, minlength=MAX_LENGTH + 1).tolist()
    having[0] = 0
    first = [0]
    for count in having[:-1]:
        first.append((first[-1] + count) << 1)
    return np.array(first, np.int64), np.array(having, np.int64)


def _by_code(lengths: Lengths) -> NDArray[np.int64]:
    """The symbols that have a code, in the order of their codes."""
    return np.argsort(lengths, kind="stable")[int((lengths == 0).sum()) :]


def _codes(lengths: Lengths) -> NDArray[np.int64]:
    first, having = _first_codes(lengths)
    before = np.cumsum(having) - having
    ordered = _by_code(lengths)
    widths = lengths[ordered]
    codes = np.zeros(lengths.size, np.int64)
    codes[ordered] = first[widths] + np.arange(ordered.size) - before[widths]
    return codes


def _walk(data: bytes, lengths: Lengths, count: int) -> tuple[Symbols, int]:
    """Up to ``count`` symbols and the bit behind the last.

    The length of the code that would start at each bit is looked up for all bits at once; only
    the walk from code to code is a plain loop.
    """
    first, having = _first_codes(lengths)
    before = np.cumsum(having) - having
    ordered = _by_code(lengths).astype(np.uint16)
    ends = (first + having)[1:] << (MAX_LENGTH - np.arange(1, MAX_LENGTH + 1))
    limits = ends.astype(np.uint32)
    pieces: list[Symbols] = []
    found = position = 0  # the position is counted from the start of the chunk
    for base in range(0, len(data), _CHUNK_BYTES):
        size = min(_CHUNK_BYTES, len(data) - base)
        windows = _windows(data[base : base + size + 3], size)
        widths = np.searchsorted(limits, windows, side="right") + 1
        steps = widths.tolist()
        starts: list[int] = []
        stop = 8 * size
        while position < stop:
            starts.append(position)
            position += steps[position]
        chosen = np.array(starts[: count - found], np.int64)
        width = widths[chosen]
        code = (windows[chosen] >> (MAX_LENGTH - width)).astype(np.int64)
        pieces.append(ordered[code - first[width] + before[width]])
        found += chosen.size
        if found == count:
            return np.concatenate(pieces), 8 * base + int(chosen[-1] + width[-1])
        position -= stop
    return np.concatenate(pieces), 8 * len(data)


def _windows(piece: bytes, size: int) -> NDArray[np.uint32]:
    """The 24 bits from each bit of the first ``size`` bytes on."""
    octets = np.frombuffer(piece + bytes(size + 3 - len(piece)), np.uint8).astype(np.uint32)
    words = octets[:size] << 24 | octets[1 : size + 1] << 16
    words |= octets[2 : size + 2] << 8 | octets[3 : size + 3]
    return ((words[:, None] << np.arange(8, dtype=np.uint32)) >> 8).astype(np.uint32).ravel()


def write_lengths(lengths: Lengths) -> bytes:
    """The table: the first length in a byte, then each step to the next in unary.

    A step d is 2d - 1 zeros and a one where d > 0, else -2d zeros and a one. Where that is
    longer than five bits a length, the byte 31 and the lengths in five bits each stand instead.
    An alphabet without symbols has no table.
    """
    if not lengths.size:
        return b""
    wide = lengths.astype(np.int64)
    steps = wide[1:] - wide[:-1]
    ends = np.where(steps > 0, 2 * steps, 1 - 2 * steps).cumsum()
    bits = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    bits[ends - 1] = 1
    unary = np.packbits(bits).tobytes()
    if len(unary) <= packed_bytes(5, lengths.size):
        return bytes([lengths[0]]) + unary
    return bytes([_LITERAL]) + pack_fields(lengths, 5)


def read_lengths(reader: Reader, size: int) -> Lengths:
    """The lengths of ``size`` symbols (at most 4096) that ``write_lengths`` wrote.

    Raises:
        FormatError: cut short, no complete code, or not written in the one allowed way.
    """
    if not 0 <= size <= MAX_SYMBOLS:
        raise FormatError(f"an alphabet has at most {MAX_SYMBOLS} symbols, not {size}")
    if size == 0:
        return np.empty(0, np.uint8)
    start = reader.position
    header = reader.byte("a code table")
    if header == _LITERAL:
        fields = reader.take(packed_bytes(5, size), "a code table")
        lengths = unpack_fields(fields, 5, size).astype(np.uint8)
    else:
        lengths = _read_steps(reader, header, size)
    check_code(lengths)
    if reader.data[start : reader.position] != write_lengths(lengths):
        raise FormatError("a code table is not written in its shortest form")
    return lengths


def _read_steps(reader: Reader, first: int, size: int) -> Lengths:
    longest = packed_bytes(2 * MAX_LENGTH + 1, size)
    piece = reader.data[reader.position : reader.position + longest]
    ones = np.flatnonzero(np.unpackbits(np.frombuffer(piece, np.uint8)))[: size - 1]
    if ones.size < size - 1:
        raise FormatError("a code table is cut short")
    used = (int(ones[-1]) + 8) // 8 if size > 1 else 0
    reader.take(used, "a code table")
    taken = np.empty(size, np.int64)  # bits from the one before to this one, this one included
    taken[:1] = 0
    taken[1:2] = ones[:1] + 1
    taken[2:] = ones[1:] - ones[:-1]
    halves = taken >> 1
    lengths = first + np.where(taken & 1, -halves, halves).cumsum()
    if int(lengths.min()) < 0 or int(lengths.max()) > MAX_LENGTH:
        raise FormatError(f"a code table has a length outside 0 to {MAX_LENGTH}")
    return lengths.astype(np.uint8)


def pack_symbols(symbols: NDArray[np.integer], alphabet: int) -> tuple[bytes, bytes]:
    """Table and message: Huffman's, or fields of fixed width (table byte 30) where shorter."""
    lengths = code_lengths(np.bincount(symbols, minlength=alphabet))
    table, message = write_lengths(lengths), encode(symbols, lengths)
    if len(table) + len(message) > 1 + packed_bytes(field_width(alphabet), symbols.size):
        return bytes([_FIXED]), pack_fields(symbols.astype(np.uint32), field_width(alphabet))
    return table, message


def unpack_symbols(table: Reader, message: bytes, alphabet: int, count: int) -> Symbols:
    """The symbols that ``pack_symbols`` wrote, uint16; reads its table from ``table``.

    Raises:
        FormatError: either is cut short, too long or inconsistent.
    """
    # An alphabet of none has no table: the byte that comes next is another's.
    if alphabet and table.remaining and table.data[table.position] == _FIXED:
        table.byte("a code table")
        symbols = unpack_fields(message, field_width(alphabet), count)
        if count and int(symbols.max()) >= alphabet:
            raise FormatError(f"symbol {int(symbols.max())} in an alphabet of {alphabet}")
        return symbols.astype(np.uint16)
    return decode(message, read_lengths(table, alphabet), count)


def field_width(alphabet: int) -> int:
    """Bits of a fixed field that tells ``alphabet`` symbols apart, one at least."""
    return max(1, (alphabet - 1).bit_length())
