"""Whole files or none: what stands under a name is never half written."""

import os
import re
import secrets
from pathlib import Path

from registry.errors import UserError


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` under ``path`` by a temporary file beside it, fsync and rename.

    What a killed process left is known by ``is_temporary`` and may be removed.

    Raises:
        OSError: the folder is missing or full; what stood under ``path`` is as it was.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def check_output(path: Path, suffix: str, *, force: bool) -> None:
    """Refuse, before any long work, a file that could not or should not be written.

    Raises:
        UserError: another suffix, no such folder, or the file is there and not ``force``.
    """
    if path.suffix.lower() != suffix:
        raise UserError(f"{path}: the output is a {suffix} file: name it so")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}: make it first")
    if path.is_dir() or (path.exists() and not force):
        hint = "it is a folder" if path.is_dir() else "choose another name, or pass --force"
        raise UserError(f"{path}: is there already: {hint}")


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that ``write_atomically`` had not finished."""
    return re.fullmatch(r"\..+\.[0-9a-f]{12}\.tmp", name, re.DOTALL) is not None


def _sync_folder(folder: Path) -> None:
    """Make the rename last; folders cannot be opened for that on Windows."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
