"""Huffman codes: optimal, canonical, compact, exact."""

import heapq
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.bits import Reader
from methods.formats.format import FormatError
from methods.huffman import (
    MAX_LENGTH,
    code_lengths,
    decode,
    encode,
    mean_length,
    pack_symbols,
    read_lengths,
    total_bits,
    unpack_symbols,
    write_lengths,
)

counts_lists = st.lists(st.integers(0, 1000) | st.integers(0, 3), max_size=40)


def fewest_bits(counts):
    """Huffman's total, by the textbook's heap; one symbol costs a bit each."""
    heap = sorted(count for count in counts if count)
    if len(heap) < 2:
        return sum(heap)
    total = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        total += pair
        heapq.heappush(heap, pair)
    return total


@settings(max_examples=600, deadline=None)
@given(counts_lists)
def test_lengths_are_as_short_as_huffmans(counts):
    counts = np.array(counts, np.int64)
    lengths = code_lengths(counts)
    assert total_bits(counts, lengths) == fewest_bits(counts.tolist())
    assert np.array_equal(lengths > 0, counts > 0)


def test_an_alphabet_of_none_has_no_table():
    assert pack_symbols(np.empty(0, np.int64), 0) == (b"", b"")
    # The byte 30 would start a table of fixed fields; here it is the next table's.
    reader = Reader(bytes([30]))
    assert unpack_symbols(reader, b"", 0, 0).size == 0
    assert reader.remaining == 1


def test_lengths_stop_at_the_limit_and_stay_complete():
    fibonacci = [1, 1]
    while len(fibonacci) < 45:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = code_lengths(np.array(fibonacci))
    assert lengths.max() == MAX_LENGTH
    assert sum(2.0 ** -int(length) for length in lengths) == 1.0
    symbols = np.arange(45)
    assert np.array_equal(decode(encode(symbols, lengths), lengths, 45), symbols)


@settings.get_profile("laws")
@given(st.integers(1, 300), st.integers(0, 100), st.binary(min_size=100, max_size=100))
def test_messages_come_back_and_have_one_writing(alphabet, count, octets):
    # Squared, small symbols come more often and those beyond 255 come too.
    symbols = np.frombuffer(octets, np.uint8)[:count].astype(np.int64) ** 2 // 200 % alphabet
    lengths = code_lengths(np.bincount(symbols, minlength=alphabet))
    data = encode(symbols, lengths)
    decoded = decode(data, lengths, symbols.size)
    assert np.array_equal(decoded, symbols)
    assert encode(decoded, lengths) == data
    table, message = pack_symbols(symbols, alphabet)
    reader = Reader(table)
    assert np.array_equal(unpack_symbols(reader, message, alphabet, symbols.size), symbols)
    reader.finish("table")


@settings(max_examples=600, deadline=None)
@given(counts_lists)
def test_tables_come_back(counts):
    lengths = code_lengths(np.array(counts, np.int64))
    reader = Reader(write_lengths(lengths) + b"x")
    assert np.array_equal(read_lengths(reader, lengths.size), lengths)
    assert reader.remaining == 1


def test_worked_example():
    lengths = code_lengths(np.array([5, 2, 1, 1]))
    assert lengths.tolist() == [1, 2, 3, 3]
    # Codes 0, 10, 110, 111.
    assert encode(np.array([0, 3, 1, 2, 0]), lengths) == bytes([0b01111011, 0b00000000])
    assert mean_length(np.array([5, 2, 1, 1]), lengths) == pytest.approx(15 / 9)
    assert mean_length(np.array([], np.int64), np.array([], np.uint8)) == 0.0


def test_a_typical_table_of_64_symbols_is_small():
    weights = np.exp(-((np.arange(64) - 31.5) ** 2) / 300)
    assert len(write_lengths(code_lengths((10_000 * weights).astype(int)))) < 45
    wild = np.random.default_rng(0).permutation(code_lengths(2 ** np.arange(24))).astype(np.uint8)
    assert len(write_lengths(wild)) <= 1 + 15


def test_decoding_is_fast():
    generator = np.random.default_rng(0)
    symbols = np.clip(generator.normal(32, 10, 100_000), 0, 63).astype(np.int64)
    lengths = code_lengths(np.bincount(symbols, minlength=64))
    data = encode(symbols, lengths)
    best = 1.0
    for _ in range(3):
        start = time.perf_counter()
        assert np.array_equal(decode(data, lengths, symbols.size), symbols)
        best = min(best, time.perf_counter() - start)
    assert best < 0.2


@pytest.mark.parametrize(
    ("data", "lengths", "count"),
    [
        (b"\x00", [1, 1, 1], 1),  # over-subscribed
        (b"\x00", [2, 2, 2], 1),  # incomplete
        (b"\x00", [2], 1),  # one symbol of two bits
        (b"\x00", [25, 1], 1),  # too long
        (b"\x00", [1, 1], 9),  # more symbols than bits
        (b"\x00\x00", [1, 1], 8),  # a byte too many
        (b"\x01", [1, 1], 7),  # filling not zero
        (b"\xff", [1, 2, 3, 3], 3),  # the third code is cut short
        (b"\x80", [1], 1),  # one symbol, but a one
        (b"\x00", [0, 0], 1),  # nobody has a code
        (b"\x00", [1, 1], 0),  # bytes without symbols
        (b"", [1, 1], 1 << 62),
    ],
)
def test_damaged_messages_are_refused(data, lengths, count):
    with pytest.raises(FormatError):
        decode(data, np.array(lengths, np.uint8), count)


@pytest.mark.parametrize(
    ("data", "size"),
    [(b"", 4), (b"\x01", 4), (b"\x01\x00\x00", 4), (b"\x01\xff", 5000), (b"\xff", 2)],
)
def test_damaged_tables_are_refused(data, size):
    with pytest.raises(FormatError):
        read_lengths(Reader(data), size)


def test_a_table_written_the_longer_way_is_refused():
    # Lengths 1, 1 as five-bit fields where one byte and one bit would do.
    with pytest.raises(FormatError, match="shortest form"):
        read_lengths(Reader(bytes([31, 0b00001000, 0b01000000])), 2)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(1, 40), st.integers(0, 400))
def test_any_bytes_give_symbols_or_a_format_error(data, alphabet, count):
    reader = Reader(data)
    try:
        symbols = unpack_symbols(reader, data[20:], alphabet, count)
    except FormatError:
        return
    assert symbols.size == count
    assert not count or symbols.max() < alphabet
