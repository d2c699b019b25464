"""One escape for each place where text of a record may stand. A record is never markup."""

import html as _html
import json
import unicodedata
from typing import Any

_MARKDOWN_MARKS = '\\`*_{}[]#!|~>^$&<"@'


def html(text: str) -> str:
    """For HTML text and quoted attributes."""
    return _html.escape(_visible(text), quote=True)


def markdown(text: str) -> str:
    """For a line of Markdown, table cells included: each mark as a numeric entity.

    Entities rather than backslashes: no Markdown dialect or extension gives them a meaning, so
    neither links, emphasis, attribute lists, snippets nor addresses come out of a record.
    """
    pieces = []
    for character in _visible(text):
        if character in _MARKDOWN_MARKS:
            pieces.append(f"&#{ord(character)};")
        else:
            pieces.append(character)
    escaped = "".join(pieces)
    # What opens a list, a rule or an address only in its place.
    if escaped[:1] in ("-", "+", "=", ".", ":", "("):
        escaped = f"&#{ord(escaped[0])};{escaped[1:]}"
    head = escaped.split(" ", 1)[0]
    if head[:-1].isdigit() and head[-1:] in (".", ")"):
        escaped = f"{head[:-1]}&#{ord(head[-1])};{escaped[len(head) :]}"
    return escaped.replace("://", "&#58;//").replace("--8", "&#45;-8")


def terminal(text: str) -> str:
    """For a terminal: control characters dropped; print it with markup switched off."""
    return _visible(text)


def csv_cell(text: str, *, raw: bool = False) -> str:
    """For a spreadsheet: what it would run as a formula gets an apostrophe before it."""
    if not raw and text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + text
    return text


def script_data(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _visible(text: str) -> str:
    """Without control and format characters; line breaks become spaces."""
    kept = []
    for character in text:
        if character in "\r\n\t":
            kept.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
            kept.append(character)
    return "".join(kept)
