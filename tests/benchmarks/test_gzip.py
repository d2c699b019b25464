"""Gzip streams: small reads, cut ones, and bombs that cost no more than the limit."""

import gzip
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.archives import BadArchive, GzipReader, gunzip, read_bounded

BOMB_BYTES = 64 << 20


class TestGzip:
    @given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 50))
    def test_streams_in_a_row_and_small_reads(self, parts, size):
        reader = GzipReader(io.BytesIO(b"".join(gzip.compress(part) for part in parts)))
        out = bytearray()
        while chunk := reader.read(size):
            assert len(chunk) <= size
            out += chunk
        assert out == b"".join(parts)

    def test_a_bomb_costs_no_more_memory_than_the_limit(self):
        bomb = gzip.compress(b"\0" * BOMB_BYTES)
        tracemalloc.start()
        try:
            with pytest.raises(BadArchive, match="more than the 1,000"):
                gunzip(bomb, 1000)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()

    @given(st.binary(max_size=200), st.floats(0, 1))
    def test_a_cut_stream_is_refused(self, data, share):
        packed = gzip.compress(data, mtime=0)
        with pytest.raises(BadArchive):
            gunzip(packed[: 1 + int(share * (len(packed) - 2))], 1000)

    def test_reading_stops_one_byte_after_the_limit(self):
        stream = io.BytesIO(b"x" * 100)
        with pytest.raises(BadArchive):
            read_bounded(stream, 10)
        assert stream.tell() == 11
        assert read_bounded(io.BytesIO(b"x" * 10), 10) == b"x" * 10
