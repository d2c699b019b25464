"""A small greyscale picture that a benchmark found, as a result holds it and a page shows it."""

import base64
import binascii
import struct
import zlib
from typing import Annotated, Self

from pydantic import Field, model_validator

from registry.fields import Line, Model, Title

LARGEST_SIDE = 1024
LARGEST_PIXELS = 2**17
"""Of one picture: with its base64 a twentieth of the largest result file."""
MOST_PICTURES = 8
"""In one result."""
GREY = 8
"""Bits of a pixel."""


class GreyPicture(Model):
    """Rows of pixels from the top, 0 black to 255 white."""

    title: Title
    """What it shows, in words for who cannot see it."""
    caption: Line
    width: Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
    height: Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
    pixels: Annotated[str, Field(max_length=4 * (LARGEST_PIXELS // 3 + 1))]
    """Base64 of ``width x height`` bytes, row by row."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.width * self.height > LARGEST_PIXELS:
            raise ValueError(f"a picture has at most {LARGEST_PIXELS} pixels")
        try:
            held = len(base64.b64decode(self.pixels, validate=True))
        except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
            raise ValueError("pixels are no base64") from None
        if held != self.width * self.height:
            raise ValueError(f"{held} pixels for {self.width} x {self.height}")
        return self

    @classmethod
    def of(cls, pixels: bytes, width: int, title: str, caption: str) -> Self:
        """Of rows of ``width`` bytes.

        Raises:
            pydantic.ValidationError: it is too large, or the words are not plain text.
        """
        text = base64.b64encode(pixels).decode("ascii")
        height = len(pixels) // width
        return cls(title=title, caption=caption, width=width, height=height, pixels=text)

    def png(self) -> bytes:
        """The picture as a PNG file (ISO/IEC 15948): greyscale of 8 bits, no filter."""
        header = struct.pack(">IIBBBBB", self.width, self.height, GREY, 0, 0, 0, 0)
        pixels = base64.b64decode(self.pixels)
        starts = range(0, len(pixels), self.width)
        # Each line begins with the number of its filter: 0, none.
        lines = b"".join(b"\0" + pixels[start : start + self.width] for start in starts)
        body = zlib.compress(lines, 9)
        chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)

    def data_address(self) -> str:
        """The PNG as a ``data:`` address, which the pages' policy allows for pictures."""
        return f"data:image/png;base64,{base64.b64encode(self.png()).decode('ascii')}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
