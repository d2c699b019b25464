"""Numbers for golden files that depend on a name alone, from SHA-256."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray


def octets(seed: str, count: int) -> NDArray[np.int64]:
    """``count`` numbers from 0 to 255 that depend on ``seed`` alone."""
    blocks = (hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(count // 32 + 1))
    return np.frombuffer(b"".join(blocks), np.uint8)[:count].astype(np.int64)


def values(seed: str, *shape: int) -> torch.Tensor:
    """Numbers between -1 and 1, exact in float32."""
    count = int(np.prod(shape, dtype=np.int64))
    high, low = octets(seed, count), octets(f"{seed} low", count)
    return torch.from_numpy((256 * high + low - 32768) / 32768).float().reshape(shape)
