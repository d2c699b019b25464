"""Positions as steps in narrow fields (Deep Compression, section 3.2 and Fig. 2).

The stream is the flattened tensor, row-major; steps run across the ends of rows. A field of b
bits holds step - 1, so it spans 1 to 2^b. A longer step is filled by padding entries that each
cover 2^b positions and hold no weight.
"""

import numpy as np
from numpy.typing import NDArray

from methods.formats.format import FormatError

MAX_INDEX_BITS = 12


def encode_positions(
    positions: NDArray[np.int64], index_bits: int
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Fields and which entries are padding, for positions (int64, from 0) that rise strictly.

    Raises:
        ValueError: they do not rise, or ``index_bits`` is not 1 to 12.
    """
    if not 1 <= index_bits <= MAX_INDEX_BITS:
        raise ValueError(f"an index has 1 to {MAX_INDEX_BITS} bits, not {index_bits}")
    steps = np.empty(positions.size, np.int64)
    steps[:1] = positions[:1]
    steps[1:] = positions[1:] - positions[:-1] - 1
    if steps.size and int(steps.min()) < 0:
        raise ValueError("positions must rise strictly from 0")
    span = 1 << index_bits
    ends = np.cumsum(steps // span + 1) - 1
    total = int(ends[-1]) + 1 if ends.size else 0
    fields = np.full(total, span - 1, np.uint16)
    fields[ends] = steps % span
    is_padding = np.ones(total, np.bool_)
    is_padding[ends] = False
    return fields, is_padding


def decode_positions(
    fields: NDArray[np.unsignedinteger],
    is_padding: NDArray[np.bool_],
    index_bits: int,
    size: int,
) -> NDArray[np.int64]:
    """The positions (int64) in a stream of ``size`` weights.

    Raises:
        FormatError: an entry lies behind the stream, padding does not span a whole field, or
            padding stands last.
    """
    if fields.size != is_padding.size:
        raise FormatError(f"{fields.size} index fields for {is_padding.size} codes")
    if not fields.size:
        return np.empty(0, np.int64)
    if is_padding[-1]:
        raise FormatError("the last entry is padding")
    if (fields[is_padding] != (1 << index_bits) - 1).any():
        raise FormatError("a padding entry does not span a whole index field")
    positions = np.cumsum(fields, dtype=np.int64)
    positions += np.arange(fields.size)
    if int(positions[-1]) >= size:
        raise FormatError(f"entry at {int(positions[-1])} in a tensor of {size} weights")
    return positions[~is_padding]
