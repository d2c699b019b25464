"""No file makes a reader allocate more than it deserves (promise 2).

Reading a header takes at most eight times the larger of the file and 64 KiB. Unpacking and
decoding take at most 64 bytes more for each weight that is declared, and a file whose tensors
together declare more than 2^31 decoded bytes is refused before anything is unpacked.
"""

import json
import math
import random
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import methods.container
from benchmarks.provenance import child_environment
from methods.bits import write_varint
from methods.compressed import Compressed, load
from methods.container import MAGIC, PREFIX_BYTES, digest_of, read_document, write_document
from methods.document import Document, TensorEntry
from methods.formats.dense import Dense
from methods.formats.format import FormatError
from methods.formats.sparse_codebook import SparseCodebook

HERE = Path(__file__).parent
FLOOR_BYTES = 65_536
MOST_TIMES = 8
BYTES_A_WEIGHT = 64
LIMIT_BYTES = 512 * 2**20
DECODED_BYTES = 64 * 2**20
MUTATED = 500
MUTATED_TRUST = 10_000


def sealed(body: bytes) -> bytes:
    """``body`` behind a prefix that agrees with it."""
    start = MAGIC + b"\x01" + (PREFIX_BYTES + len(body)).to_bytes(8, "little")
    return start + digest_of(start + bytes(16) + body) + body


@cache
def golden_files() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((HERE.parents[1] / "golden").glob("*.netc")))


def mutated(chance: random.Random) -> bytes:
    """A golden file with bytes set, cut, doubled or put in, most of them in its header.

    One in three has a single byte set, so that many pass the checks.
    """
    body = bytearray(chance.choice(golden_files())[PREFIX_BYTES:])
    if chance.random() < 1 / 3:
        body[chance.randrange(len(body))] = chance.randrange(256)
        return sealed(bytes(body))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(len(body), chance.choice([60, 260, len(body)])) or 1)
        match chance.randrange(5):
            case 0:
                body[at : at + 1] = bytes([chance.choice([0, 1, 2, 127, 128, 255])])
            case 1:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 2:
                del body[at : at + chance.randint(1, 8)]
            case 3:
                body[at:at] = body[at : at + chance.randint(1, 8)]
            case 4:
                body[at:at] = write_varint(chance.getrandbits(chance.randint(1, 40)))
    return sealed(bytes(body))


def _small_tensors(count: int) -> bytes:
    return b"".join(
        b"\0" + bytes([4]) + f"{n:04x}"[-4:].encode() + b"\1\x1b\7\0\0" for n in range(count)
    )


def greedy_files() -> Iterator[bytes]:
    """Files that ask for as many objects, or as large ones, as they can for their bytes."""
    for count in (1000, 20_000):
        yield sealed(b"\0" + write_varint(count) + _small_tensors(count))
        yield sealed(b"\0\0" + write_varint(count) + b"\x35\0\1a\0\0\0" * count)
        yield sealed(b"\0" + write_varint(count) + b"\1\1\1\7\1\0\0" * count)
    filling = 1 << 20
    count = (4096 + filling // 28) // 2 - 8
    header = _small_tensors(count)
    yield sealed(b"\0" + write_varint(count) + header + b"\0" + bytes(filling))
    last = b"\0\1z\1\x1b\7\0\1\x1f\0" + write_varint(filling)
    yield sealed(b"\0" + write_varint(count + 1) + header + last + b"\0" + bytes(filling))
    yield from declaring_files()


def declaring_files() -> Iterator[bytes]:
    """Small files with tensors as large as may be declared, one, many, or of no weights at all."""
    for shape in [(2**15, 2**14), (2**14, 2**13), (4096, 4096), (2**29 - 1, 1), (2**28, 0)]:
        yield file_of({"a": few(shape)})
    yield file_of({f"t{n}": few((2**12, 2**11)) for n in range(64)})
    yield file_of({f"t{n}": few((2**12, 2**11)) for n in range(65)})
    yield file_of({"full": full((400, 500), 1), "mixed": full((200, 500), 200)})


def few(shape: tuple[int, ...]) -> SparseCodebook:
    """Three survivors, or none where there is no room, whatever the shape."""
    places = np.arange(min(3, math.prod(shape)), dtype=np.int64)
    return SparseCodebook(shape, places, places % 1, np.ones(1, np.float32))


def full(shape: tuple[int, ...], values: int) -> SparseCodebook:
    """Every weight survives: with one value an entry takes two bits of the file."""
    places = np.arange(math.prod(shape), dtype=np.int64)
    return SparseCodebook(shape, places, places % values, np.arange(values, dtype=np.float32))


def file_of(formats: dict[str, SparseCodebook]) -> bytes:
    entries = (
        TensorEntry(name, held.shape, "float32", held.kind, held.pack())
        for name, held in formats.items()
    )
    return write_document(Document({}, (), tuple(entries)))


def peak_bytes(read: Callable[[bytes], object], data: bytes) -> tuple[int, bool]:
    """What Python and NumPy allocated at most, and whether ``data`` was accepted."""
    tracemalloc.start()
    try:
        read(data)
        return tracemalloc.get_traced_memory()[1], True
    except FormatError:
        return tracemalloc.get_traced_memory()[1], False
    finally:
        tracemalloc.stop()


def unpack_and_decode(data: bytes) -> None:
    Compressed.from_bytes(data, max_decoded_bytes=DECODED_BYTES).tensors()


def every_file(seed: int, many: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    yield from golden_files()
    yield from greedy_files()
    yield from (mutated(chance) for _ in range(many))


def examine(seed: int, many: int, record: Callable[[str, object], None]) -> None:
    """Hold every file against both bounds; record the largest of each."""
    for data in golden_files():  # formats are imported when first asked for: no file's doing
        unpack_and_decode(data)
    largest = beyond = 0.0
    files = accepted = unpacked = 0
    for data in every_file(seed, many):
        files += 1
        deserved = max(len(data), FLOOR_BYTES)
        peak, good = peak_bytes(read_document, data)
        largest = max(largest, peak / deserved)
        assert peak <= MOST_TIMES * deserved
        accepted += good
        if not good:
            continue
        weights = sum(math.prod(one.shape) for one in read_document(data).tensors)
        peak, good = peak_bytes(unpack_and_decode, data)
        unpacked += good
        if good and weights > FLOOR_BYTES:
            beyond = max(beyond, (peak - MOST_TIMES * len(data)) / weights)
        assert peak <= MOST_TIMES * deserved + BYTES_A_WEIGHT * weights
    record("files", files)
    record("largest_times", round(largest, 2))
    record("most_bytes_a_weight", round(beyond, 1))
    assert accepted > files // 10  # changes reach behind the checks
    assert unpacked > files // 20


def test_reading_takes_no_more_memory_than_the_file_deserves(record_property):
    examine(7, MUTATED, record_property)


@pytest.mark.trust
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_files_take_no_more_than_they_deserve(seed, record_property):
    examine(seed, MUTATED_TRUST // 2, record_property)
    counts = under_limit(list(every_file(seed, MUTATED_TRUST // 2)), LIMIT_BYTES)
    assert set(counts) == {"refused", "decoded"}


def test_a_greedy_reader_would_be_seen(monkeypatch):
    """Counts allocated before they are held against the bytes: the first greedy file shows it."""
    usual = methods.container._Decoder.count

    def careless(self, maximum, each=1):
        self.wasted = bytearray(10**6)
        return usual(self, maximum, each)

    monkeypatch.setattr(methods.container._Decoder, "count", careless)
    with pytest.raises(AssertionError):
        examine(7, 0, lambda *_: None)


def under_limit(files: list[bytes], limit_bytes: int) -> dict[str, int]:
    """What became of ``files`` in a process with so much memory for its data."""
    script = str(HERE / "read_under_limit.py")
    told = subprocess.run(
        [sys.executable, "-P", script, str(limit_bytes), str(DECODED_BYTES)],
        input=b"".join(struct.pack("<Q", len(data)) + data for data in files),
        capture_output=True, timeout=200, env=child_environment(), check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-1000:]
    counts: dict[str, int] = json.loads(told.stdout)
    assert sum(counts.values()) == len(files)
    return counts


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts what it should on Linux only")
def test_every_file_is_read_and_decoded_within_half_a_gibibyte():
    files = list(every_file(7, MUTATED))
    counts = under_limit(files, LIMIT_BYTES)
    assert set(counts) == {"refused", "decoded"}
    assert counts["decoded"] > len(files) // 20


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts what it should on Linux only")
def test_the_limit_would_show_a_file_that_takes_more(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "DECODED_BYTES", 2**31)
    large = file_of({"a": few((2**14, 2**13))})
    counts = under_limit([large], LIMIT_BYTES)
    assert counts == {"MemoryError": 1} or counts == {"_ArrayMemoryError": 1}


def test_all_tensors_together_are_bounded():
    declared = 4 * 2**21 + 4 * 3
    data = file_of({"a": few((2**11, 2**10)), "b": few((3,))})
    with pytest.raises(FormatError, match=f"max_decoded_bytes={declared}"):
        Compressed.from_bytes(data, max_decoded_bytes=declared - 1)
    held = Compressed.from_bytes(data, max_decoded_bytes=declared)
    assert sum(one.numel() * one.element_size() for one in held.tensors().values()) == declared


@pytest.mark.parametrize(
    ("shape", "dtype", "accepted"),
    [
        ((2**15, 2**14), "float32", True),
        ((2**15, 2**14 + 1), "float32", False),
        ((2**14, 2**14), "float64", True),
        ((2**14, 2**14 + 1), "float64", False),
        ((2**15, 2**14), "int8", True),  # it is decoded through float32
        ((2**15, 2**14 + 1), "int8", False),
        ((2**30, 0), "float32", False),
    ],
)
def test_two_gibibytes_are_the_bound_unless_raised(shape, dtype, accepted, tmp_path):
    held = SparseCodebook((1,), np.arange(1), np.zeros(1, np.int64), np.ones(1, np.float32))
    entry = TensorEntry("a", shape, dtype, "sparse-codebook", held.pack())
    path = tmp_path / "declared.netc"
    path.write_bytes(write_document(Document({}, (), (entry,)), max_weights=2**31))
    if accepted:
        assert load(path).formats["a"].shape == shape
        return
    with pytest.raises(FormatError, match=r"declared\.netc: .*load it with max_decoded_bytes="):
        load(path)


def test_where_the_caller_says_so_more_is_read(tmp_path):
    path = tmp_path / "large.netc"
    path.write_bytes(file_of({f"t{n}": few((2**12, 2**12)) for n in range(33)}))
    with pytest.raises(FormatError, match=f"max_decoded_bytes={33 * 2**26}"):
        Compressed.load(path)
    assert len(Compressed.load(path, max_decoded_bytes=33 * 2**26).formats) == 33


def test_a_weight_counts_as_its_type():
    tensor = torch.arange(8, dtype=torch.float64)
    data = Compressed({"a": Dense(tensor, "float64")}, dtypes={"a": "float64"}).to_bytes()
    assert Compressed.from_bytes(data, max_decoded_bytes=64).tensors()["a"].equal(tensor)
    with pytest.raises(FormatError, match="64 bytes when decoded"):
        Compressed.from_bytes(data, max_decoded_bytes=63)
