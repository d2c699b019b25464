"""No input makes a reader crash or hang (promise 1): 100,000 mutated inputs a target (`trust`).

Each input is a valid one, out of the golden files, with a few changes. Only ``FormatError`` may
come out, and no input may take a second of CPU time. The counts are asserted, and that some
changed inputs pass every check: then the changes reach behind all of them. Every run of the tests
takes 15,000 a target. Under
``HYPOTHESIS_PROFILE=night`` each target gets 1,000,000 inputs. ``tests/fuzz`` holds the same
targets for coverage-guided fuzzing.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from methods.bits import Reader, write_varint
from methods.compressed import Compressed
from methods.container import MAGIC, PREFIX_BYTES, digest_of, read_document
from methods.document import TensorEntry
from methods.formats import FORMATS
from methods.formats.dense import Dense
from methods.formats.format import FormatError
from methods.formats.sparse_codebook import SparseCodebook
from methods.huffman import pack_symbols, unpack_symbols

GOLDEN = Path(__file__).parents[2] / "golden"
INPUTS = 1_000_000 if os.environ.get("HYPOTHESIS_PROFILE") == "night" else 100_000
CHUNKS = 4  # so that two workers share a target
FEW_INPUTS = 15_000
SECONDS_LIMIT = 1.0
ODD_BYTES = bytes([0, 1, 2, 29, 30, 31, 127, 128, 254, 255])


def changed(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to three changes, most of them near the front, where the counts stand."""
    body = bytearray(data)
    draw = chance.random
    for _ in range(int(3 * draw()) + 1):
        at = int(draw() ** 3 * len(body))
        many = int(8 * draw()) + 1
        match int(9 * draw()):
            case 0 | 1:
                body[at : at + 1] = bytes([chance.getrandbits(8)])
            case 2:
                body[at : at + 1] = ODD_BYTES[int(10 * draw()) :][:1]
            case 3:
                if at < len(body):
                    body[at] ^= 1 << (many - 1)
            case 4:
                del body[at : at + many]
            case 5:
                body[at:at] = body[at : at + many]
            case 6:
                body[at:at] = write_varint(chance.getrandbits(5 * many))
            case 7:
                start = int(draw() * len(body))
                body[at : at + many] = body[start : start + many]
            case 8:
                if many == 1:
                    del body[at:]
                else:
                    body.append(chance.getrandbits(8))
    return bytes(body)


@cache
def golden_files() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(GOLDEN.glob("*.netc")))


@cache
def golden_tensors(kind: str) -> tuple[TensorEntry, ...]:
    documents = map(read_document, golden_files())
    return tuple(one for document in documents for one in document.tensors if one.kind == kind)


def container_raw(chance: random.Random) -> bool:
    """Any change of a file; one that is accepted is none."""
    data = changed(chance.choice(golden_files()), chance)
    read_document(data)
    assert data in golden_files()
    return True


def container(chance: random.Random) -> bool:
    """Header and sections are changed behind a prefix that agrees with them."""
    body = changed(chance.choice(golden_files())[PREFIX_BYTES:], chance)
    start = MAGIC + b"\x01" + (PREFIX_BYTES + len(body)).to_bytes(8, "little")
    data = start + digest_of(start + bytes(16) + body) + body
    held = Compressed.from_bytes(data)
    return bool(held.formats)


def changed_parts(
    tensors: tuple[TensorEntry, ...], chance: random.Random
) -> tuple[tuple[int, ...], dict[str, bytes]]:
    """A tensor of which a part is changed, and now and then the shape."""
    tensor = chance.choice(tensors)
    parts = dict(tensor.parts)
    part = chance.choice(sorted(parts))
    parts[part] = changed(parts[part], chance)
    shape = tensor.shape if chance.random() < 0.9 else chance.choice(tensors).shape
    return shape, parts


def sparse_codebook(chance: random.Random) -> bool:
    """What is accepted is a layer of its shape that is packed and unpacked to itself."""
    shape, parts = changed_parts(golden_tensors("sparse-codebook"), chance)
    held = SparseCodebook.unpack(shape, parts)
    if chance.random() < 0.1:  # one in ten, for packing takes its time
        assert held.decode().shape == shape
        assert SparseCodebook.unpack(shape, held.pack()) == held
    return True


def read_again(kind: str) -> Callable[[random.Random], bool]:
    """A target: what is accepted of this kind is packed and unpacked to itself."""

    def target(chance: random.Random) -> bool:
        shape, parts = changed_parts(golden_tensors(kind), chance)
        held = FORMATS[kind].unpack(shape, parts)
        if chance.random() < 0.1:
            assert held.decode().shape == shape
            assert FORMATS[kind].unpack(shape, held.pack()) == held
        return True

    target.__name__ = kind.replace("-", "_")
    return target


def dense(chance: random.Random) -> bool:
    """What is accepted has one writing."""
    shape, parts = changed_parts(golden_tensors("dense"), chance)
    held = Dense.unpack(shape, parts)
    assert held.pack() == parts
    return True


@cache
def messages() -> tuple[tuple[int, int, bytes, bytes], ...]:
    """Alphabet, count, table and message: narrow and wide, steep (24 bits), fixed and empty."""
    found = []
    fibonacci = [1, 1]
    while len(fibonacci) < 16:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for alphabet, symbols in [
        (1, np.zeros(20, np.int64)),
        (2, np.arange(40) % 2),
        (16, np.repeat(np.arange(16), fibonacci)),
        (64, np.arange(300) ** 2 % 61),
        (64, 2 * (np.arange(300) % 31 * (np.arange(300) % 7 == 0))),
        (256, np.arange(256)),
        (4096, np.arange(30) ** 2),
        (9, np.zeros(0, np.int64)),
    ]:
        found.append((alphabet, symbols.size, *pack_symbols(symbols, alphabet)))
    return tuple(found)


def huffman(chance: random.Random) -> bool:
    """What is accepted has its count, and only symbols of the alphabet."""
    alphabet, count, table, message = chance.choice(messages())
    table, message = (
        (changed(table, chance), message)
        if chance.random() < 0.6
        else (table, changed(message, chance))
    )
    if chance.random() < 0.1:
        alphabet, count = int(chance.random() * 300), chance.getrandbits(int(40 * chance.random()))
    symbols = unpack_symbols(Reader(table), message, alphabet, count)
    assert symbols.size == count
    assert not count or int(symbols.max()) < alphabet
    return True


TARGETS: tuple[Callable[[random.Random], bool], ...] = (
    container_raw,
    container,
    sparse_codebook,
    dense,
    huffman,
    *(read_again(kind) for kind in FORMATS if kind not in ("dense", "sparse-codebook")),
)


@dataclass(frozen=True)
class Figures:
    """What came of some inputs."""

    accepted: int
    refused: int
    slowest_seconds: float


def fuzz(target: Callable[[random.Random], bool], seed: str, inputs: int) -> Figures:
    """Anything but FormatError goes through to the caller."""
    chance = random.Random(seed)
    accepted = refused = 0
    slowest = 0.0
    before = time.process_time()
    for _ in range(inputs):
        try:
            accepted += target(chance)
        except FormatError:
            refused += 1
        now = time.process_time()
        slowest = max(slowest, now - before)
        before = now
    return Figures(accepted, refused, slowest)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_only_format_errors_come_out(target):
    check(target, "few", FEW_INPUTS)


@pytest.mark.trust
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_only_format_errors_come_out_of_many(target, chunk, record_property):
    found = check(target, str(chunk), INPUTS // CHUNKS)
    record_property("slowest_seconds", found.slowest_seconds)
    record_property("accepted", found.accepted)


def check(target: Callable[[random.Random], bool], seed: str, wanted: int) -> Figures:
    found = fuzz(target, f"{target.__name__} {seed}", wanted)
    assert found.accepted + found.refused == wanted
    assert found.refused > wanted // 4
    if target is not container_raw:  # there, only what came out unchanged is accepted
        assert found.accepted > wanted // 100  # changes reach behind every check
    assert found.slowest_seconds < SECONDS_LIMIT
    return found


def test_another_exception_would_be_seen(monkeypatch):
    def careless(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(SparseCodebook, "unpack", careless)
    with pytest.raises(IndexError):
        fuzz(sparse_codebook, "any", 1)
