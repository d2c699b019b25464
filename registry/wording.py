"""How faults are worded: values shown safely, places named, near misses suggested."""

import difflib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

SHOWN_CHARACTERS = 60
COMPARED_CHARACTERS = 80

FieldPath = tuple[str | int, ...]
"""Keys and positions from the top of a file to a value: ``("claims", 2, "metric")``."""


def shown(value: object) -> str:
    """``value`` in one short line that is safe to print anywhere: quoted, cut, escaped."""
    if isinstance(value, str):
        cut = value[:SHOWN_CHARACTERS]
        text = "".join(_visible(character) for character in cut)
        return f"'{text}…'" if len(value) > len(cut) else f"'{text}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)[:SHOWN_CHARACTERS]


def _visible(character: str) -> str:
    if unicodedata.category(character)[0] == "C" or character in "\u2028\u2029":
        return f"\\u{ord(character):04x}"
    return character


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that ``word`` may have been meant to be."""
    by_lower = {option.lower(): option for option in options}
    wanted = word[:COMPARED_CHARACTERS].lower()
    near = difflib.get_close_matches(wanted, list(by_lower), n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` where an option is near ``word``, else an empty string."""
    near = nearest(word, options)
    return f" (did you mean {near!r}?)" if near else ""


def unknown(kind: str, word: str, options: Iterable[str], *, listed: int = 12) -> str:
    """``unknown metric 'acuracy' (did you mean 'accuracy'?)``; lists the options where far off."""
    names = sorted(options)
    hint = did_you_mean(word, names)
    if not hint and names and len(names) <= listed:
        hint = f" (one of: {', '.join(names)})"
    return f"unknown {kind} {shown(word)}{hint}"


def field_name(path: FieldPath) -> str:
    """``claims[2].metric`` of ``("claims", 2, "metric")``."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum() and len(part) <= SHOWN_CHARACTERS:
            words += f".{part}" if words else part
        else:
            words += f"[{shown(part)}]"
    return words


def file_name(path: Path) -> str:
    """``path`` as messages name it: relative where it lies below the working folder."""
    absolute = os.path.abspath(path)  # noqa: PTH100  (Path.resolve would follow links)
    try:
        name = str(Path(absolute).relative_to(Path.cwd()))
    except (ValueError, OSError):
        name = str(path)
    return "".join(_visible(character) for character in name)
