"""Hashed weights: a short list of values, and a seed that says which weight uses which.

Chen et al., ICML 2015: weight p (counted row by row) is xi(p) times value h(p), both of them hash
functions of p (``methods.hashing``). No index is stored: it is made again from the seed.

Parts in a file:

* ``values``: K values, float32, little-endian; at least one and at most as many as weights;
* ``seed``: eight bytes, little-endian.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.formats.decoded_once import DecodedOnce
from methods.formats.format import FormatError, check_parts
from methods.hashing import MAX_SEED, index_pieces


class Hashed(DecodedOnce):
    """Values that a hash shares out among the weights.

    A product through the values would read an index for each weight, as many bytes as the weight
    itself, so the run-time form is the dense tensor.
    """

    kind: ClassVar[str] = "hashed"
    tolerance: ClassVar[float] = 5e-7

    def __init__(self, shape: tuple[int, ...], values: NDArray[np.floating], seed: int) -> None:
        """Hold ``values`` (K), rounded to float32.

        Args:
            seed: of the two hash functions, 0 to 2^64 - 1.

        Raises:
            ValueError: no values for the weights, more than weights, or a seed out of range.
        """
        weights = math.prod(shape)
        if values.ndim != 1:
            raise ValueError(f"values are a list, not an array of {values.shape}")
        if not min(weights, 1) <= values.size <= weights:
            raise ValueError(f"{values.size} values for a tensor of {weights} weights")
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed {seed} is no unsigned 64-bit number")
        self.shape = tuple(shape)
        self.values: NDArray[np.float32] = np.array(values, "<f4")
        self.seed = seed

    def decode(self) -> torch.Tensor:
        bits, dense = self.values.view(np.uint32), np.empty(self.weights, np.uint32)
        for place, index in index_pieces(self.seed, self.weights, self.values.size):
            # The lowest bit of the index becomes the sign.
            dense[place] = bits[index >> np.uint32(1)] ^ (index << np.uint32(31))
        return torch.from_numpy(dense.view(np.float32)).reshape(self.shape)

    def pack(self) -> dict[str, bytes]:
        return {"values": self.values.tobytes(), "seed": self.seed.to_bytes(8, "little")}

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("values", "seed"))
        if len(parts["seed"]) != 8:
            raise FormatError(f"{len(parts['seed'])} bytes are no seed")
        if len(parts["values"]) % 4:
            raise FormatError(f"{len(parts['values'])} bytes are no values")
        values = np.frombuffer(parts["values"], "<f4")
        try:
            return cls(shape, values, int.from_bytes(parts["seed"], "little"))
        except ValueError as fault:
            raise FormatError(str(fault)) from fault

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Hashed)
            and self.shape == other.shape
            and self.seed == other.seed
            and self.values.tobytes() == other.values.tobytes()
        )
