"""The user's cache folder and a lock, so that two jobs do not make the same thing at once."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import UserError

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 7200.0
"""How long one process waits for another that fetches or trains."""


def cache_folder() -> Path:
    """``NETCOMPRESS_CACHE``, else ``netcompress`` in the place where this system keeps caches."""
    if named := os.environ.get("NETCOMPRESS_CACHE"):
        return Path(named).expanduser().absolute()
    # XDG says that a relative path there is to be ignored.
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if Path(xdg).is_absolute():
        return Path(xdg) / "netcompress"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "netcompress"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "netcompress"
    return Path.home() / ".cache" / "netcompress"


def make_folder(folder: Path) -> Path:
    """``folder``, made where missing.

    Raises:
        UserError: it cannot be made, with what to set instead.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: the cache folder cannot be made ({error.strerror}); "
            "set NETCOMPRESS_CACHE to a folder that you can write to"
        ) from None
    return folder


@contextmanager
def locked(
    path: Path,
    *,
    seconds: float = LOCK_SECONDS,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold the lock of ``path``, the file ``.<name>.lock`` beside it; it stays there, empty.

    The system frees the lock when the process ends. Where the system or the file system has no
    such locks nothing is held: files are renamed into place whole, so the worst is that a thing
    is made twice.

    Args:
        on_wait: told once, where another process holds the lock.

    Raises:
        UserError: another process has held it for ``seconds``, or the folder is not writable.
    """
    lock = make_folder(path.parent) / f".{path.name}.lock"
    try:
        handle = lock.open("ab")
    except OSError as error:
        raise UserError(
            f"{lock}: cannot be written ({error.strerror}); "
            "set NETCOMPRESS_CACHE to a folder that you can write to"
        ) from None
    with handle:
        deadline = time.monotonic() + seconds
        told = False
        while not _try_lock(handle.fileno()):
            if time.monotonic() > deadline:
                raise UserError(
                    f"{lock}: another process has held this lock for {seconds:.0f} s; "
                    "end that process, then run this again"
                )
            if not told:
                on_wait()
                told = True
            time.sleep(0.05)
        yield


def _try_lock(handle: int) -> bool:
    """True once the lock is ours, or where this system or file system has none."""
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True
