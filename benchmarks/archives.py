"""One named member out of an archive, bounded, into memory; nothing is ever extracted.

Sizes that an archive declares are not believed: reading stops at the wanted size plus one byte.
Whether the bytes are the right ones is decided elsewhere, by their SHA-256.
"""

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Protocol

CHUNK_BYTES = 1 << 20
COMPRESSED_BYTES = 1 << 16
"""Read at a time from a gzip stream; what is not yet unpacked of it is copied each time."""
SLACK_BYTES = 64 << 20
"""What a tar file may hold, uncompressed, beside the wanted members."""
MAX_MEMBERS = 20_000
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # zipfile on encrypted members; RecursionError out of chained tar headers
    NotImplementedError,
    OverflowError,
)
"""What the readers of the standard library raise on archives that are not what they seem."""


class BadArchive(Exception):
    """An archive that does not hold the wanted member in the wanted size."""


class Readable(Protocol):
    """What is read from: an open file or another reader of this module."""

    def read(self, size: int, /) -> bytes: ...


def read_bounded(stream: Readable, limit: int) -> bytes:
    """At most ``limit`` bytes of ``stream``.

    Raises:
        BadArchive: there is at least one byte more.
    """
    data = bytearray()
    while chunk := stream.read(min(CHUNK_BYTES, limit + 1 - len(data))):
        data += chunk
        if len(data) > limit:
            raise BadArchive(f"holds more than the {limit:,} bytes expected")
    return bytes(data)


class GzipReader:
    """A gzip stream, decompressed at most ``size`` bytes at a time.

    Members that follow each other are read as one, as gzip does; zero padding is skipped.

    Raises:
        BadArchive: the stream is damaged or ends early.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._decompressor = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._started = False

    def read(self, size: int, /) -> bytes:
        out = bytearray()
        while len(out) < size:
            if self._decompressor.eof:
                self._pending = self._decompressor.unused_data.lstrip(b"\0")
                self._decompressor = zlib.decompressobj(wbits=31)
                self._started = False
            data = self._pending or self._stream.read(COMPRESSED_BYTES)
            if not data:
                if self._started:
                    raise BadArchive("the gzip stream ends early")
                break
            self._started = True
            try:
                out += self._decompressor.decompress(data, size - len(out))
            except zlib.error as error:
                raise BadArchive(f"damaged gzip stream: {error}") from None
            self._pending = self._decompressor.unconsumed_tail
        return bytes(out)


def gunzip(data: bytes, limit: int) -> bytes:
    """``data`` decompressed, at most ``limit`` bytes of it.

    Raises:
        BadArchive: damaged, cut short, or longer than ``limit``.
    """
    return read_bounded(GzipReader(io.BytesIO(data)), limit)


class _Capped:
    """A stream that refuses to give more than ``limit`` bytes in total."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise BadArchive("unpacks to far more than the wanted members")
        return data


def read_zip_member(path: Path, member: str, limit: int) -> bytes:
    """The bytes of ``member`` in the zip file (or wheel) at ``path``.

    Raises:
        BadArchive: not a zip file, no such member, damaged, or longer than ``limit`` bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise BadArchive("holds too many members")
            try:
                info = archive.getinfo(member)
            except KeyError:
                raise BadArchive(f"holds no member {member}") from None
            if info.file_size > limit:
                raise BadArchive(f"{member} declares more than the {limit:,} bytes expected")
            with archive.open(info) as stream:
                return read_bounded(stream, limit)
    except DAMAGE as error:
        raise BadArchive(f"cannot be read as a zip file: {error}") from None


def read_tar_members(
    stream: Readable | IO[bytes], members: Collection[tuple[str, int]], *, gzipped: bool
) -> Iterator[tuple[str, bytes]]:
    """The wanted ``(name, limit in bytes)`` out of a tar stream, in the order of the archive.

    A leading ``./`` is not part of a name. Links, devices and sparse files are refused.

    Raises:
        BadArchive: a wanted member is missing, no regular file, too long, or the tar is damaged.
    """
    wanted = dict(members)
    source: Readable = GzipReader(stream) if gzipped else stream
    capped = _Capped(source, sum(wanted.values()) + SLACK_BYTES)
    try:
        # tarfile asks no more of a stream than read(), whatever its type says.
        with tarfile.open(fileobj=capped, mode="r|", bufsize=CHUNK_BYTES) as archive:  # type: ignore[call-overload]
            for count, info in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise BadArchive("holds too many members")
                archive.members = []  # what has passed is not kept
                name = info.name.removeprefix("./")
                if name not in wanted:
                    continue
                if not info.isreg() or info.issparse():
                    raise BadArchive(f"{name} is no regular file")
                limit = wanted.pop(name)
                if info.size > limit:
                    raise BadArchive(f"{name} declares more than the {limit:,} bytes expected")
                content = archive.extractfile(info)
                if content is None:
                    raise BadArchive(f"{name} is no regular file")
                yield name, read_bounded(content, limit)
                if not wanted:
                    return
    except DAMAGE as error:
        raise BadArchive(f"cannot be read as a tar file: {error}") from None
    if wanted:
        raise BadArchive(f"holds no member {', '.join(sorted(wanted))}")
