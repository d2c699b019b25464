"""Where the bytes of a data set come from: the user's folder and official addresses.

A source hands over the bytes of named files; whoever asked checks size and SHA-256 before
anything is kept. Sources that are packages stand in ``packages.py``.
"""

import hashlib
import http.client
import os
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.archives import BadArchive, GzipReader, Readable, gunzip, read_bounded

CONNECT_SECONDS = 20
DOWNLOAD_SECONDS = 900
FOLDER_ENTRIES = 20_000
"""How many files and folders of the user's folder are looked at, and how deep:"""
FOLDER_DEPTH = 6

Progress = Callable[[float, str], None]
"""Told the share of the work done (0 to 1) and what goes on now."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set as it is kept, uncompressed."""

    name: str
    size_bytes: int
    sha256: str

    def fault(self, data: bytes) -> str | None:
        """Why ``data`` is not this file, or None where it is."""
        if len(data) != self.size_bytes:
            return f"has {len(data):,} bytes instead of {self.size_bytes:,}"
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            return f"has SHA-256 {digest} instead of {self.sha256}"
        return None


@dataclass(frozen=True)
class Member:
    """Where a file lies in an archive."""

    path: str
    gzipped: bool = False
    """The member itself is a gzip file."""

    def unpack(self, stored: bytes, file: DataFile) -> bytes:
        return gunzip(stored, file.size_bytes) if self.gzipped else stored

    def limit(self, file: DataFile) -> int:
        """The most bytes that the member may have as stored; gzip never adds 1 %."""
        return file.size_bytes + (file.size_bytes // 100 + 1024 if self.gzipped else 0)


Arriving = Generator[tuple[DataFile, bytes], None, None]
"""Files with their bytes, one after another, not yet checked."""


class SourceFailed(Exception):
    """A source could not give a file. The message is the reason, for the user."""


class Source(Protocol):
    """One place to get files from."""

    @property
    def label(self) -> str:
        """What a user calls it."""
        ...

    def obtain(self, files: Sequence[DataFile], scratch: Path, progress: Progress) -> Arriving:
        """The bytes of those of ``files`` that this source has; the caller checks them.

        Args:
            files: what is wanted.
            scratch: an empty folder, removed afterwards.

        Raises:
            SourceFailed, BadArchive: why nothing more comes.
        """
        ...


@dataclass(frozen=True)
class UserFolder:
    """The folder ``NETCOMPRESS_DATA``: files are known by size and SHA-256, whatever their names.

    A gzip file is looked into when its last four bytes, the uncompressed size, fit.
    """

    label: str = "your folder (NETCOMPRESS_DATA)"

    def obtain(self, files: Sequence[DataFile], scratch: Path, progress: Progress) -> Arriving:
        named = os.environ.get("NETCOMPRESS_DATA")
        if not named:
            raise SourceFailed("not set")
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise SourceFailed(f"{folder} is no folder")
        missing = list(files)
        for path in _bounded_walk(folder):
            if not missing:
                return
            found = None
            with suppress(OSError, BadArchive):
                found = _match(path, missing)
            if found is not None:
                missing.remove(found[0])
                yield found
        if missing:
            names = ", ".join(file.name for file in missing)
            raise SourceFailed(f"nothing under {folder} has the size and SHA-256 of {names}")


def _bounded_walk(folder: Path) -> Iterator[Path]:
    """Files under ``folder`` in order of name; linked folders are not entered."""
    seen = 0
    for current, folders, names in os.walk(folder):
        if len(Path(current).relative_to(folder).parts) >= FOLDER_DEPTH:
            folders.clear()
        folders.sort()
        seen += len(folders)
        for name in sorted(names):
            seen += 1
            if seen > FOLDER_ENTRIES:
                return
            yield Path(current) / name


def _match(path: Path, files: Sequence[DataFile]) -> tuple[DataFile, bytes] | None:
    """Which of ``files`` lies at ``path``, plain or as a gzip file, and its bytes."""
    status = path.stat()
    # Opening a pipe or a device could block for ever.
    if not stat.S_ISREG(status.st_mode):
        return None
    with path.open("rb") as stream:
        source: Readable = stream
        fitting = [file for file in files if file.size_bytes == status.st_size]
        if not fitting and stream.read(2) == b"\x1f\x8b":
            stream.seek(-4, os.SEEK_END)
            unpacked = int.from_bytes(stream.read(4), "little")
            fitting = [file for file in files if file.size_bytes == unpacked]
            source = GzipReader(stream)
        if not fitting:
            return None
        stream.seek(0)
        data = read_bounded(source, fitting[0].size_bytes)
    return next(((file, data) for file in fitting if file.fault(data) is None), None)


@dataclass(frozen=True)
class Remote:
    """A file as an official address serves it."""

    path: str
    gzipped: bool
    size_bytes: int | None = None
    """As served; None where not known."""
    sha256: str | None = None
    """Of the file as served; None where not known: that of the unpacked file decides."""


@dataclass(frozen=True)
class WebAddress:
    """The data set's own address."""

    base: str
    files: Mapping[str, Remote]

    @property
    def label(self) -> str:
        return f"the official address {self.base}"

    def obtain(self, files: Sequence[DataFile], scratch: Path, progress: Progress) -> Arriving:
        total = sum(file.size_bytes for file in files)
        done = 0
        for file in files:
            progress(done / total, f"downloading {file.name}")
            remote = self.files[file.name]
            stored = Member(remote.path, remote.gzipped)
            served = download(self.base + remote.path, remote.size_bytes or stored.limit(file))
            if remote.sha256 is not None and hashlib.sha256(served).hexdigest() != remote.sha256:
                raise SourceFailed(f"{remote.path} as served has another SHA-256 than expected")
            yield file, stored.unpack(served, file)
            done += file.size_bytes


def download(url: str, limit: int) -> bytes:
    """The body at ``url``, at most ``limit`` bytes of it.

    Raises:
        SourceFailed: no answer, an error, too many bytes, or too slow.
    """
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    request = urllib.request.Request(url, headers={"User-Agent": "netcompress"})
    data = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as response:
            while chunk := response.read(min(1 << 16, limit + 1 - len(data))):
                data += chunk
                if len(data) > limit:
                    raise SourceFailed(f"{url} serves more than the {limit:,} bytes expected")
                if time.monotonic() > deadline:
                    raise SourceFailed(f"{url} is too slow: gave up after {DOWNLOAD_SECONDS} s")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SourceFailed(f"{url}: {reason}") from None
    return bytes(data)
