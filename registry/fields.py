"""The scalar fields that records are made of: bounded, one line, free of control characters.

Text in a record is plain text. It is never Markdown, HTML or terminal markup: whoever prints it
escapes it for the place where it goes. Refused here is what no place could show safely.
"""

import re
import unicodedata
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MARKUP = re.compile(r"<[A-Za-z/!?]|\]\(|\{\{|\{%")
NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?")
REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Model(BaseModel):
    """What every model at an edge is: frozen, strict, no unknown keys, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def plain_text(text: str) -> str:
    """Refuse control, format, private and unassigned characters, and text that is not NFC."""
    for position, character in enumerate(text):
        if unicodedata.category(character) in REFUSED_CATEGORIES:
            raise ValueError(
                f"character U+{ord(character):04X} at position {position} is not allowed in text"
            )
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError("text is not in Unicode normal form C (NFC)")
    if text != text.strip():
        raise ValueError("text begins or ends with white space")
    return text


def without_markup(text: str) -> str:
    """Plain text that holds no HTML tag and no Markdown link: titles and names."""
    plain_text(text)
    if MARKUP.search(text):
        raise ValueError("markup is not allowed here: write plain text")
    return text


def web_address(url: str) -> str:
    """An http or https address with a host, no user part and nothing unprintable."""
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("an address holds no white space and no control characters")
    if not url.isascii():
        raise ValueError("write letters beyond ASCII in an address percent-encoded")
    if any(character in "<>\"'`{}|\\^" for character in url):
        raise ValueError("write < > \" ' ` { } | \\ ^ in an address percent-encoded")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"not an address: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"only http and https addresses are allowed, not {parts.scheme!r}")
    if not host:
        raise ValueError("the address has no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a user name or password is not allowed")
    return url


def printed_number(text: str) -> str:
    """A decimal number as a paper prints it, so that its rounding range can be told."""
    if NUMBER.fullmatch(text) is None:
        raise ValueError(f"not a decimal number: {text!r}")
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(plain_text)]
Prose = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(plain_text)]
Title = Annotated[
    str, StringConstraints(min_length=3, max_length=300), AfterValidator(without_markup)
]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=120), AfterValidator(without_markup)
]
PaperId = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$")
]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_.-]{0,78}[a-z0-9])?$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
Url = Annotated[str, StringConstraints(max_length=500), AfterValidator(web_address)]
Printed = Annotated[
    str, StringConstraints(min_length=1, max_length=40), AfterValidator(printed_number)
]
Year = Annotated[int, Field(ge=1940, le=2100)]
