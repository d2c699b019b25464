"""BibTeX of a record, and a small reader of one BibTeX entry.

What is written here reads back to the same text: special characters are escaped, braces balance,
capitals of the title are protected.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from registry.errors import UserError
from registry.record import Paper
from registry.wording import shown

SIZE_LIMIT_CHARACTERS: Final = 64 * 1024
DEPTH_LIMIT: Final = 20
VERBATIM_FIELDS: Final = frozenset({"url", "doi", "eprint"})

_ESCAPES: Final = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "%": r"\%", "#": r"\#", "&": r"\&", "_": r"\_", "$": r"\$",
}  # fmt: skip
_COMMANDS: Final = {
    "textbackslash": "\\", "textbraceleft": "{", "textbraceright": "}", "textasciitilde": "~",
    "textasciicircum": "^", "ss": "ß", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "ae": "æ",
    "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "i": "ı", "j": "ȷ",
}  # fmt: skip
_ACCENTS: Final = {
    '"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328",
    "r": "\u030a",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_KEY = re.compile(r"[^\s,{}()=\"#%\\~]+")
_NUMBER = re.compile(r"[0-9]{1,18}")
_SPACE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True)
class Entry:
    """One BibTeX entry, its values as plain text."""

    type: str
    """In lower case, such as ``inproceedings``."""
    key: str
    fields: dict[str, str]
    """By lower-case name, without author."""
    authors: tuple[str, ...]
    """``Given Family``, in order."""


def to_bibtex(paper: Paper) -> str:
    """The paper as one entry, with a line for each field."""
    own = {
        "title": _protected(paper.title),
        "author": " and ".join(_name(author) for author in paper.authors),
        "year": str(paper.year),
    }
    others = {name.lower(): text for name, text in paper.citation.fields.items()}
    fields = own | {
        name: _verbatim(text) if name in VERBATIM_FIELDS else _escaped(text)
        for name, text in others.items()
        if name not in own
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items()]
    return "\n".join([f"@{paper.citation.type}{{{paper.citation.key},", *lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def _verbatim(text: str) -> str:
    """Addresses are read as they stand, unless they would break the entry."""
    return _escaped(text) if re.search(r"[\\{}]", text) else text


def _protected(title: str) -> str:
    """Braces around each word that holds a capital, but for the first letter of the title."""
    words = title.split(" ")
    return " ".join(
        f"{{{_escaped(word)}}}" if _has_capital(word[index == 0 :]) else _escaped(word)
        for index, word in enumerate(words)
    )


def _has_capital(word: str) -> bool:
    return any(character.isupper() for character in word)


def _name(author: str) -> str:
    """``Given Family`` as ``Family, Given``; lower-case particles go with the family name."""
    words = author.split(" ")
    is_odd = "," in author or "" in words or any(word.lower() == "and" for word in words)
    if is_odd or len(words) == 1:
        return f"{{{_escaped(author)}}}"
    start = len(words) - 1
    while start > 1 and words[start - 1][:1].islower():
        start -= 1
    return f"{_escaped(' '.join(words[start:]))}, {_escaped(' '.join(words[:start]))}"


def parse_bibtex(text: str, origin: str = "BibTeX") -> Entry:
    """The one entry that ``text`` holds.

    Args:
        origin: what messages call the text: a file's name.

    Raises:
        UserError: not one whole entry; says where and why.
    """
    if len(text) > SIZE_LIMIT_CHARACTERS:
        raise UserError(f"{origin}: longer than {SIZE_LIMIT_CHARACTERS:,} characters")
    return _Reader(text, origin).entry()


class _Reader:
    """Reads from the left, one token after the other."""

    def __init__(self, text: str, origin: str) -> None:
        self.text = text
        self.origin = origin
        self.at = 0

    def fail(self, message: str) -> UserError:
        line = self.text.count("\n", 0, self.at) + 1
        return UserError(f"{self.origin}:{line} {message}")

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        if match:
            self.at = match.end()

    def take(self, pattern: re.Pattern[str], what: str) -> str:
        self.skip_space()
        match = pattern.match(self.text, self.at)
        if match is None:
            raise self.fail(f"{what} is expected here, not {self.seen()}")
        self.at = match.end()
        return match.group()

    def seen(self) -> str:
        following = self.text[self.at : self.at + 1]
        return shown(following) if following else "the end"

    def peek(self) -> str:
        self.skip_space()
        return self.text[self.at : self.at + 1]

    def expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise self.fail(f"{shown(mark)} is expected here, not {self.seen()}")
        self.at += 1

    def entry(self) -> Entry:
        start = self.text.find("@")
        if start < 0:
            raise self.fail("no entry: one begins with @")
        self.at = start
        self.expect("@")
        kind = self.take(_NAME, "the entry's type").lower()
        if kind in ("string", "comment", "preamble"):
            raise self.fail(f"@{kind} is not read here: give the one entry alone")
        self.expect("{")
        key = self.take(_KEY, "the entry's key")
        raw = self.raw_fields()
        if "@" in self.text[self.at :]:
            self.at = self.text.index("@", self.at)
            raise self.fail("a second entry: give one alone")
        authors = tuple(_author(name) for name in _split(raw.pop("author", ""), " and "))
        fields = {name: _read(name, value) for name, value in raw.items()}
        return Entry(kind, key, fields, tuple(name for name in authors if name != "others"))

    def raw_fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while True:
            if self.peek() == ",":
                self.at += 1
            if self.peek() == "}":
                self.at += 1
                return fields
            name = self.take(_NAME, "a field's name").lower()
            if name in fields:
                raise self.fail(f"field {shown(name)} stands twice")
            self.expect("=")
            fields[name] = _SPACE.sub(" ", self.value(name)).strip(" ")
            if self.peek() not in (",", "}"):
                raise self.fail(f"',' or '}}' is expected here, not {self.seen()}")

    def value(self, name: str) -> str:
        mark = self.peek()
        if mark in ("{", '"'):
            self.at += 1
            return self.until("}" if mark == "{" else '"')
        if mark.isdigit():
            return self.take(_NUMBER, "a number")
        raise self.fail(f"field {shown(name)} needs a value in braces or quotes, or a number")

    def until(self, end: str) -> str:
        """The text up to ``end`` outside braces, which must balance."""
        start, depth = self.at, 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == end and depth == 0:
                self.at += 1
                return self.text[start : self.at - 1]
            if character == "\\":
                # an escaped brace is text to us; TeX counts it, we need not
                self.at += 1
            elif character == "{":
                depth += 1
            elif character == "}":
                depth -= 1
            if depth > DEPTH_LIMIT or depth < 0:
                raise self.fail("braces do not balance, or nest too deep")
            self.at += 1
        self.at = start
        raise self.fail(f"the value that begins here has no closing {shown(end)}")


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` outside braces."""
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        if depth == 0 and text.startswith(separator, at):
            parts.append(text[start:at])
            at = start = at + len(separator)
            continue
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
        at += 1
    return [part for part in (*parts, text[start:]) if part]


def _author(name: str) -> str:
    """``Family, Given`` (or ``Family, Jr., Given``) as ``Given Family``."""
    parts = [_plain(part).strip(" ") for part in _split(name, ",")]
    if len(parts) == 1:
        return parts[0]
    return " ".join(part for part in (parts[-1], parts[0], *parts[1:-1]) if part)


def _read(name: str, value: str) -> str:
    """A field as plain text; in addresses a tilde is a tilde, escaped or not."""
    if name in VERBATIM_FIELDS:
        value = re.sub(r"\\?~", r"\\textasciitilde{}", value)
    return _plain(value)


def _plain(value: str) -> str:
    """Without TeX: braces dropped, escapes and accents resolved, in normal form C."""
    return unicodedata.normalize("NFC", "".join(_characters(value)))


def _characters(value: str) -> Iterator[str]:
    at = 0
    while at < len(value):
        character = value[at]
        at += 1
        if character == "~":
            yield " "
        elif character not in "{}\\":
            yield character
        elif character == "\\":
            text, at = _command(value, at)
            yield text


def _command(value: str, at: int) -> tuple[str, int]:
    """What the command after a backslash at ``at`` stands for, and where the text goes on."""
    match = re.compile(r"[A-Za-z]+").match(value, at)
    name = match.group() if match else value[at : at + 1]
    end = at + len(name)
    if name in _COMMANDS:
        empty = re.compile(r"\{\}| *").match(value, end)
        return _COMMANDS[name], empty.end() if empty else end
    if name in _ACCENTS:
        letter = re.compile(r" *(?:\{ *\\?([^\W\d_]) *\}|\\?([^\W\d_]))").match(value, end)
        if letter:
            base = letter.group(1) or letter.group(2)
            return base + _ACCENTS[name], letter.end()
    return ("", end) if match else (name, end)
