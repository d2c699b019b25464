"""The store of results: one file a job, whole or absent.

``results/<paper>/<benchmark>/<fingerprint>.json``. Whatever else lies there, broken or foreign,
is reported as a fault and never stops a reader. Two stores are merged in every view: the
published one, which lies beside this file and is read-only, and the user's own.
"""

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from benchmarks.job import fingerprint
from benchmarks.result import RESULT_VERSION, Result
from methods.atomic import write_atomically
from registry.errors import Fault, UserError

Origin = Literal["published", "yours"]

PUBLISHED_FOLDER = Path(__file__).with_name("results")
LARGEST_FILE_BYTES = 4 * 2**20
RUNNING = ".running"
"""The folder in a store where jobs in flight have theirs."""


@dataclass(frozen=True)
class Stored:
    """A result and where it lies."""

    result: Result
    path: Path
    origin: Origin


@dataclass(frozen=True)
class StoredResults:
    """What a store holds, in the order of paths, and what in it is no result."""

    results: tuple[Stored, ...] = ()
    faults: tuple[Fault, ...] = ()

    def by_fingerprint(self) -> dict[str, Stored]:
        """The first of each fingerprint."""
        found: dict[str, Stored] = {}
        for stored in self.results:
            found.setdefault(stored.result.fingerprint, stored)
        return found


def default_folder() -> Path:
    """``NETCOMPRESS_RESULTS``, or ``netcompress-results`` in the working folder."""
    named = os.environ.get("NETCOMPRESS_RESULTS")
    return Path(named).expanduser() if named else Path("netcompress-results")


def published_store() -> "Store":
    """The results that come with netcompress."""
    return Store(PUBLISHED_FOLDER, "published")


def merged(*stores: "Store") -> StoredResults:
    """What all of them hold; a folder that is given twice is read once."""
    results: list[Stored] = []
    faults: list[Fault] = []
    seen: set[Path] = set()
    for store in stores:
        if store.folder.resolve() in seen:
            continue
        seen.add(store.folder.resolve())
        read = store.read_all()
        results += read.results
        faults += read.faults
    return StoredResults(tuple(results), tuple(faults))


class Store:
    """A folder of results."""

    def __init__(self, folder: Path, origin: Origin = "yours") -> None:
        self.folder = folder
        self.origin: Origin = origin

    def path_of(self, result: Result) -> Path:
        one = result.identity
        return self.folder / one.paper / one.benchmark / f"{result.fingerprint}.json"

    def write(self, result: Result) -> Path:
        """Put ``result`` in, in place of one of the same fingerprint.

        Raises:
            UserError: the disk is full or the folder not writable; the store is as it was.
        """
        path = self.path_of(result)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, as_json(result))
        except OSError as error:
            raise UserError(
                f"{path}: the result cannot be written: {error.strerror or error} "
                "(free the disk, or name another folder with --results)"
            ) from error
        return path

    def read_all(self) -> StoredResults:
        """Every result, and a fault for every file that is none. Reads only."""
        results: list[Stored] = []
        faults: list[Fault] = []
        for path in self._files(faults):
            try:
                result = read_result(path)
                if path != self.path_of(result):
                    raise ValueError(
                        "the file lies in the wrong place: its content belongs to "
                        f"{self.path_of(result).relative_to(self.folder)}"
                    )
            except ValueError as error:
                faults.append(Fault(str(path), 0, "", str(error)))
            else:
                results.append(Stored(result, path, self.origin))
        return StoredResults(tuple(results), tuple(sorted(faults)))

    def _files(self, faults: list[Fault]) -> Iterator[Path]:
        """All files that should be results, in order; dot names are not looked at."""
        waiting = [(self.folder, 0)]
        while waiting:
            folder, depth = waiting.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
            except FileNotFoundError:
                continue  # no results yet
            except OSError as error:
                faults.append(Fault(str(folder), 0, "", f"cannot be read: {error.strerror}"))
                continue
            files: list[Path] = []
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False) and depth < 2:
                    waiting.append((Path(entry.path), depth + 1))
                elif depth == 2 and entry.name.endswith(".json"):
                    files.append(Path(entry.path))
                else:
                    faults.append(Fault(entry.path, 0, "", "is no result file"))
            yield from sorted(files)

    def sweep(self) -> int:
        """Remove what killed processes left: temporary files, folders of jobs.

        Nothing happens while a run is going on in this store. Returns how many were removed.
        """
        if not self.folder.is_dir():
            return 0
        with _lock(self.folder, exclusive=True) as mine:
            return self._remove_leftovers() if mine else 0

    def _remove_leftovers(self) -> int:
        removed = 0
        running = self.folder / RUNNING
        for job_folder in running.glob("*") if running.is_dir() else ():
            shutil.rmtree(job_folder, ignore_errors=True)
            removed += 1
        for pattern in ("*/.*.tmp", "*/*/.*.tmp"):  # the names of write_atomically
            for path in self.folder.glob(pattern):
                if path.is_file():
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Held while jobs run: nobody sweeps then.

        Raises:
            UserError: the folder cannot be made or written.
        """
        try:
            (self.folder / RUNNING).mkdir(parents=True, exist_ok=True)
            lock = contextlib.ExitStack()
            lock.enter_context(_lock(self.folder, exclusive=False))
        except OSError as error:
            raise UserError(
                f"{self.folder}: results cannot be kept here: {error.strerror or error} "
                "(name another folder with --results)"
            ) from error
        try:
            with lock:
                yield
        finally:
            self.sweep()
            with contextlib.suppress(OSError):  # another run may be using it
                (self.folder / RUNNING).rmdir()


@contextlib.contextmanager
def _lock(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """A lock on the store's folder itself, so that no lock file is left; False where it is held."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: nobody waits, nothing is swept
        yield not exclusive
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX | fcntl.LOCK_NB) if exclusive else fcntl.LOCK_SH)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def as_json(result: Result) -> bytes:
    """The bytes of a result file: sorted keys, one line a value, a newline at the end.

    Without pictures, which few have, nothing is said of them.
    """
    text = json.dumps(
        result.model_dump(mode="json", exclude=None if result.pictures else {"pictures"}),
        sort_keys=True,
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    return f"{text}\n".encode()


def read_result(path: Path) -> Result:
    """The result in a file, checked against its own fingerprint.

    Raises:
        ValueError: it is no whole, truthful result of our version; says what is wrong.
    """
    data = _read_bounded(path)
    try:
        result = Result.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(_what_is_wrong(data, error)) from None
    expected = fingerprint(
        result.identity,
        result.configuration,
        result.method_revision,
        result.benchmark_revision,
        result.data_digests,
    )
    if result.fingerprint != expected:
        raise ValueError("the fingerprint is not that of the content: it was changed by hand")
    return result


def _read_bounded(path: Path) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("is not a regular file")
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST_FILE_BYTES:
        raise ValueError(f"is larger than {LARGEST_FILE_BYTES} bytes")
    return data


def _what_is_wrong(data: bytes, error: ValidationError) -> str:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return "is no whole JSON document" if data else "is empty"
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version != RESULT_VERSION:
        return (
            f"has version {version} of the result format, this netcompress reads version "
            f"{RESULT_VERSION}: use the netcompress that wrote it"
        )
    first = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"{part}: " for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"is no result: {place}{first['msg']}{more}"
