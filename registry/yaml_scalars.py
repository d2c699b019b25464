"""What an unquoted YAML scalar means, where every reader agrees; and why not, where they differ."""

import re
from typing import Any

_NUMBER_DIGITS = 18  # fits 64 bits, and no reader rounds it

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]{1,2})?\Z")
_WORDS: dict[str, bool | None] = {"": None, "null": None, "~": None, "true": True, "false": False}
_ODD: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a truth value", re.compile(r"(?:yes|no|on|off|true|false)\Z", re.IGNORECASE)),
    ("null", re.compile(r"null\Z", re.IGNORECASE)),
    ("a number in base 2, 8 or 16", re.compile(r"[-+]?0(?:[xX][0-9a-fA-F_]+|[oObB]?[0-9_]+)\Z")),
    ("infinity or not-a-number", re.compile(r"[-+]?\.(?:inf|nan)\Z", re.IGNORECASE)),
    ("a number in base 60", re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")),
    ("a date", re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?\Z", re.DOTALL)),
    (
        "a number by some readers and text by others",
        re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z"),
    ),
    ("a special mark", re.compile(r"(?:=|<<)\Z")),
)


def plain_scalar(text: str) -> tuple[Any, str | None]:
    """The value of an unquoted scalar, and what is odd about it (then the value is its text)."""
    if text in _WORDS:
        return _WORDS[text], None
    if text[:1] not in "-+.0123456789=<yYnNoOtTfF":
        return text, None
    if _INT.match(text):
        if len(text.lstrip("-")) > _NUMBER_DIGITS:
            return text, f"has more than {_NUMBER_DIGITS} digits: put it in quotes"
        return int(text), None
    if _FLOAT.match(text) and len(text) <= 2 * _NUMBER_DIGITS:
        return float(text), None
    for kind, pattern in _ODD:
        if pattern.match(text):
            return text, f"is read by YAML as {kind}: put it in quotes, or write it out in decimals"
    return text, None
