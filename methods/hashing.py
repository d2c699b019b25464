"""A counter-based integer hash: the same numbers for ever, from a seed and a position.

Chen et al., ICML 2015, hash the row and column of a connection with xxHash; any deterministic
pseudo-random index may take its place. Here the hash of position p in stream s is the p-th output
of SplitMix64 from a start that s makes (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number
Generators", OOPSLA 2014), which whole arrays of positions are put through at once. Files hold seeds
only, so nothing here may ever change what it gives: tests hold it to numbers written down.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**64 - 1
MAX_BUCKETS = 2**31
GOLDEN = 0x9E3779B97F4A7C15
"""The step between the states of SplitMix64."""
_BUCKET, _SIGN = 1, 2
"""Streams of a seed: which value a weight uses, and with which sign."""
_PIECE = 1 << 14  # positions at a time, so that what is between stays in the cache


def mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, on any number of states: a bijection of 64 bits."""
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def derived_seed(seed: int, *path: int) -> int:
    """A seed (0 to 2^64 - 1) of its own for each path of whole numbers, such as (layer, use)."""
    state = seed & MAX_SEED
    for step in path:
        following = np.array([(state + (step + 1) * GOLDEN) & MAX_SEED], np.uint64)
        state = int(mix(following)[0])
    return state


def _hashed(seed: int, stream: int, start: int, stop: int) -> NDArray[np.uint64]:
    """64 bits for each position from ``start`` to ``stop``."""
    counters = np.arange(start + 1, stop + 1, dtype=np.uint64)
    return mix(np.uint64(derived_seed(seed, stream)) + counters * np.uint64(GOLDEN))


def index_pieces(
    seed: int, weights: int, buckets: int
) -> Iterator[tuple[slice, NDArray[np.uint32]]]:
    """h(p) and xi(p) of positions 0 to ``weights`` - 1, piece by piece: 2 h + (xi is -1).

    h is uniform in 0 to ``buckets`` - 1 (to 2^-32) and xi is -1 or +1, from streams of their own.

    Raises:
        ValueError: there are no buckets for the weights, or too many.
    """
    if not min(weights, 1) <= buckets <= MAX_BUCKETS:
        raise ValueError(f"{weights} weights hashed to {buckets} values")
    for start in range(0, weights, _PIECE):
        stop = min(start + _PIECE, weights)
        # The upper half times the buckets, shifted back: as a fraction of 2^32, scaled.
        upper = _hashed(seed, _BUCKET, start, stop) >> np.uint64(32)
        bucket = (upper * np.uint64(buckets)) >> np.uint64(32)
        sign = _hashed(seed, _SIGN, start, stop) >> np.uint64(63)
        yield slice(start, stop), ((bucket << np.uint64(1)) | sign).astype(np.uint32)


def packed_index(seed: int, weights: int, buckets: int) -> NDArray[np.uint32]:
    """What ``index_pieces`` gives, in one piece: (weights) uint32."""
    index = np.empty(weights, np.uint32)
    for place, piece in index_pieces(seed, weights, buckets):
        index[place] = piece
    return index


def buckets_and_signs(index: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """h (int64) and xi (float32, -1 or +1) of what ``packed_index`` gave."""
    signs = np.where(index & np.uint32(1), np.float32(-1), np.float32(1))
    return (index >> np.uint32(1)).astype(np.int64), signs
