"""Pictures of results: bounded, refused where hostile, true PNG files, drawn safely."""

import base64
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.grey_picture import LARGEST_PIXELS, MOST_PICTURES, GreyPicture
from benchmarks.markup import picture
from benchmarks.result import Result
from benchmarks.store import as_json

WORDS = {"title": "Filters kept", "caption": "Grey is zero."}


def read_png(data: bytes) -> np.ndarray:
    """An independent reader of what this project writes: greyscale, 8 bits, no filter."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + length
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, rest) == (8, 0, [0, 0, 0])
    assert list(chunks)[-1] == b"IEND"
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_png_has_the_pixels(width, height, random):
    pixels = random.randbytes(width * height)
    made = GreyPicture.of(pixels, width, **WORDS)
    assert (made.width, made.height) == (width, height)
    assert read_png(made.png()).tobytes() == pixels


def whole(**changes):
    values = {**WORDS, "width": 3, "height": 2, "pixels": base64.b64encode(b"abcdef").decode()}
    return {**values, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": base64.b64encode(b"abcde").decode()},
        {"pixels": base64.b64encode(b"abcdefg").decode()},
        {"pixels": "YWJj ZGVm"},
        {"pixels": "YWJjZGV"},
        {"pixels": "ünïcødé!"},
        {"width": 0},
        {"width": -3, "height": -2},
        {"width": 1025, "height": 1},
        {"width": 1024, "height": 1024, "pixels": ""},
        {"width": 2.0},
        {"title": "<script>pwned()</script>"},
        {"caption": "a line\nand another"},
        {"shown": True},
    ],
)
def test_hostile_pictures_are_refused(changes):
    GreyPicture.model_validate_json(json.dumps(whole()))
    with pytest.raises(ValidationError):
        GreyPicture.model_validate_json(json.dumps(whole(**changes)))


def test_the_largest_picture_passes_and_a_larger_one_does_not():
    side = 256
    GreyPicture.of(bytes(LARGEST_PIXELS), side, **WORDS)
    with pytest.raises(ValidationError, match="at most"):
        GreyPicture.of(bytes(LARGEST_PIXELS + side), side, **WORDS)


def result(**more):
    return Result.model_validate_json(
        json.dumps(
            {
                "identity": {"paper": "2016-a", "benchmark": "b", "run": "r", "scale": "full",
                             "seed": 0, "data": ""},
                "fingerprint": "0" * 64, "configuration": {}, "method_revision": None,
                "benchmark_revision": 1, "data_digests": {}, "outcome": "done",
                "provenance": {"commit": None, "dirty": None, "packages": {}, "python": "3",
                               "cpu": "c", "threads": 1, "started": "2026-01-01T00:00:00Z",
                               "seconds": 1.0, "source_digest": "0" * 64},
                **more,
            }
        )
    )  # fmt: skip


def test_results_hold_few_pictures_and_say_nothing_where_there_are_none():
    assert "pictures" not in json.loads(as_json(result()))
    one = result(pictures=[whole()])
    assert Result.model_validate_json(as_json(one)) == one
    assert one.pictures[0].width == 3
    with pytest.raises(ValidationError):
        result(pictures=[whole()] * (MOST_PICTURES + 1))
    with pytest.raises(ValidationError, match="only a done job has pictures"):
        result(pictures=[whole()], outcome="failed", reason="why")


def test_a_picture_is_drawn_with_its_words_as_text():
    made = GreyPicture.of(b"abcdef", 3, **WORDS)
    poisoned = made.model_copy(update={"title": '"><script>pwned()</script>', "caption": "a < b"})
    drawn = picture(poisoned)
    assert "<script" not in drawn
    assert "a &lt; b" in drawn
    assert 'width="3" height="2"' in drawn
    address = drawn.split('src="')[1].split('"')[0]
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    assert read_png(base64.b64decode(data)).tobytes() == b"abcdef"
