"""Run-time layouts of weights that need a bit or two: what the compiled loops read."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SET_OUTPUTS = 128
SET_INPUTS = 15
"""Three codes of five bits, in the low bits of a word of 16."""
CODE_OUTPUTS = 256
NIBBLE_OUTPUTS = 128
LOOKUP_OUTPUTS = 16
_CACHE_LINE = 64
_Value = TypeVar("_Value", bound=np.generic)


def aligned(values: NDArray[_Value]) -> NDArray[_Value]:
    """The same values, flat, from the start of a cache line on."""
    room = np.empty(values.nbytes + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    flat: NDArray[_Value] = room[start : start + values.nbytes].view(values.dtype)
    flat[:] = values.reshape(-1)
    return flat


def set_words(sets: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Sets of inputs, one a row, as words of 15 inputs each, the first in the lowest bit.

    Flat: (outputs / 128, inputs / 15, 128), filled up with empty sets and absent inputs.
    """
    outputs, inputs = sets.shape
    words = np.zeros((-(-inputs // SET_INPUTS), _up(outputs, SET_OUTPUTS)), np.uint16)
    for j in range(min(SET_INPUTS, inputs)):
        some = sets[:, j::SET_INPUTS].T
        words[: len(some), :outputs] |= some.astype(np.uint16) << np.uint16(j)
    blocks = words.reshape(len(words), words.shape[1] // SET_OUTPUTS, SET_OUTPUTS)
    return aligned(blocks.transpose(1, 0, 2))


def set_bytes(sets: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Sets of inputs as bytes (outputs, n = inputs / 8 rounded up): bit f of byte j is f n + j."""
    outputs, inputs = sets.shape
    width = -(-inputs // 8)
    filled = np.zeros((outputs, 8 * width), np.uint8)
    filled[:, :inputs] = sets
    packed = np.zeros((outputs, width), np.uint8)
    for f in range(8):
        packed |= filled[:, f * width : (f + 1) * width] << np.uint8(f)
    return packed


def code_bytes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (outputs, inputs) of two bits, four outputs a byte.

    Flat: (outputs / 256, inputs / 4, 4, 16, 4) bytes; bits 2 f and up of a byte belong to the
    output 64 b + 16 f + l of its block, b and l the third and fourth index.
    """
    outputs, inputs = codes.shape
    filled = np.zeros((_up(outputs, CODE_OUTPUTS), _up(inputs, 4)), np.uint8)
    filled[:outputs, :inputs] = codes
    parts = filled.reshape(len(filled) // CODE_OUTPUTS, 4, 4, 16, filled.shape[1] // 4, 4)
    packed = np.zeros((*parts.shape[:2], *parts.shape[3:]), np.uint8)
    for f in range(4):
        packed |= parts[:, :, f] << np.uint8(2 * f)
    return aligned(packed.transpose(0, 3, 1, 2, 4))


def nibble_bytes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (outputs, inputs) of four bits, two outputs a byte.

    Flat: (outputs / 128, inputs / 4, 4, 16, 4) bytes; the low bits of a byte belong to the output
    32 r + l of its block, r and l the third and fourth index, the high ones to that 16 behind it.
    """
    outputs, inputs = codes.shape
    filled = np.zeros((_up(outputs, NIBBLE_OUTPUTS), _up(inputs, 4)), np.uint8)
    filled[:outputs, :inputs] = codes
    parts = filled.reshape(len(filled) // NIBBLE_OUTPUTS, 4, 2, 16, filled.shape[1] // 4, 4)
    packed = parts[:, :, 0] | parts[:, :, 1] << np.uint8(4)
    return aligned(packed.transpose(0, 3, 1, 2, 4))


def lookup_words(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Codes (m, outputs) of so many bits, 32 / bits a word, the first in the lowest ones.

    (words, outputs), outputs filled up to a multiple of 16.
    """
    (count, outputs), held = codes.shape, 32 // bits
    filled = np.zeros((_up(count, held), _up(outputs, LOOKUP_OUTPUTS)), np.uint32)
    filled[:count, :outputs] = codes
    words = np.zeros((len(filled) // held, filled.shape[1]), np.uint32)
    for s in range(held):
        words |= filled[s::held] << np.uint32(bits * s)
    return aligned(words).reshape(words.shape)


def lookup_books(columns: NDArray[np.float32], words: int, bits: int) -> NDArray[np.float32]:
    """Codebooks by input, (m, d, K), filled up to whole words and registers.

    Flat: (``words`` times 32 / bits, d, 2^bits).
    """
    count, width, codewords = columns.shape
    books = np.zeros((words * (32 // bits), width, 1 << bits), np.float32)
    books[:count, :, :codewords] = columns
    return books.reshape(-1)


def code_bits(codewords: int) -> int:
    """Of a code in a word: at least four, as a register holds 16 entries."""
    return max(4, (codewords - 1).bit_length())


def digit_codes(digits: NDArray[np.uint8], base: int, width: int) -> NDArray[np.uint8]:
    """Codes (inputs / width, outputs) of ``width`` digits each, the first input's the lowest.

    ``digits`` is (outputs, inputs), each below ``base``; absent inputs have the digit 0.
    """
    outputs, inputs = digits.shape
    codes = np.zeros((-(-inputs // width), outputs), np.uint8)
    for j in range(min(width, inputs)):
        some = digits[:, j::width].T
        codes[: len(some)] += some * np.uint8(base**j)
    return codes


def digit_book(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """What such codes stand for: (base^width, width) of ``values``, one for each digit."""
    codes = np.arange(len(values) ** width)
    digits = codes[:, None] // len(values) ** np.arange(width) % len(values)
    return values[digits].astype(np.float32)


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
