"""Coverage-guided fuzzing of the readers; a script, because atheris ends its process its own way.

    python tests/fuzz/fuzz_container.py container -runs=1000000
    python tests/fuzz/fuzz_container.py sparse_codebook -runs=1000000
    python tests/fuzz/fuzz_container.py huffman -runs=1000000

Only FormatError may come out. The container's inputs get a true prefix and digest, or every
mutation would end at that door; ``container_raw`` leaves them as they are. Further arguments go
to libFuzzer: a folder with a corpus, ``-max_total_time=60``. Needs ``netcompress[fuzz]``.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["methods"]):
    from methods.bits import Reader
    from methods.compressed import Compressed
    from methods.container import MAGIC, PREFIX_BYTES, digest_of, read_document, write_document
    from methods.formats.format import FormatError
    from methods.formats.sparse_codebook import SparseCodebook
    from methods.huffman import unpack_symbols

GOLDEN = Path(__file__).parents[1] / "golden"
PARTS = ("codebook", "codes", "positions", "tables")
SHAPE = (16, 32)


def container(data: bytes) -> None:
    """A header and sections behind a prefix that agrees with them."""
    start = MAGIC + b"\x01" + (PREFIX_BYTES + len(data)).to_bytes(8, "little")
    whole = start + digest_of(start + bytes(16) + data) + data
    document = read_document(whole)
    if write_document(document) != whole:
        raise AssertionError("a file has two writings")
    held = Compressed.from_bytes(whole)
    if held.to_bytes() != Compressed.from_bytes(held.to_bytes()).to_bytes():
        raise AssertionError("packing again gives other bytes")


def container_raw(data: bytes) -> None:
    """Any bytes."""
    read_document(data)


def sparse_codebook(data: bytes) -> None:
    """Three lengths, then the four parts one behind the other."""
    if len(data) < 3:
        return
    parts, at = {}, 3
    for part, size in zip(PARTS[:3], data[:3], strict=True):
        parts[part] = data[at : at + size]
        at += size
    held = SparseCodebook.unpack(SHAPE, parts | {"tables": data[at:]})
    if SparseCodebook.unpack(SHAPE, held.pack()) != held:
        raise AssertionError("packed and unpacked, it is another layer")


def huffman(data: bytes) -> None:
    """An alphabet, a count, the table's bytes, then the table and the message."""
    if len(data) < 4:
        return
    alphabet, count, size = data[0] + 1, data[1] | data[2] << 8, data[3]
    symbols = unpack_symbols(Reader(data[4 : 4 + size]), data[4 + size :], alphabet, count)
    if symbols.size != count or (count and int(symbols.max()) >= alphabet):
        raise AssertionError("symbols outside the alphabet")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": container,
    "container_raw": container_raw,
    "sparse_codebook": sparse_codebook,
    "huffman": huffman,
}


def seeds(target: str) -> list[bytes]:
    """Valid inputs to start from, out of the golden files."""
    files = [path.read_bytes() for path in sorted(GOLDEN.glob("*.netc"))]
    if target == "container_raw":
        return files
    if target == "container":
        return [data[PREFIX_BYTES:] for data in files]
    sparse = [
        entry.parts
        for data in files
        for entry in read_document(data).tensors
        if entry.kind == SparseCodebook.kind
    ]
    if target == "sparse_codebook":
        small = [one for one in sparse if max(len(one[part]) for part in PARTS[:3]) < 256]
        return [
            bytes(len(one[part]) for part in PARTS[:3]) + b"".join(one[part] for part in PARTS)
            for one in small
        ]
    return [bytes([0, 8, 0, 1]) + b"\x01\x00", bytes([1, 9, 0, 2]) + b"\x01\x80\xaa\x80"]


def main() -> None:
    """Run the target that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"which target? one of {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]

    def one_input(data: bytes) -> None:
        try:
            target(data)
        except FormatError:
            return

    with TemporaryDirectory() as folder:
        for number, data in enumerate(seeds(target.__name__)):
            (Path(folder) / str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, folder, "-max_len=4096"], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
