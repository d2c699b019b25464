"""A user's file, opened only where it is one: a pipe never ends, nor does a device."""

import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """Open ``path`` for reading, without waiting for anyone to write to it.

    Raises:
        OSError: it is missing, or no regular file; ``strerror`` says so.
    """
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(None, "it is a pipe or a device: save what it gives in a file first", str(path))


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
