"""Values one by one, in the type that they are stored in."""

import math
import sys
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch.nn import functional

from methods.formats.format import Format, FormatError, check_parts

STORED: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
"""Types by name; the place in this table is the number in files, so it only ever grows."""
DTYPE_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in STORED.items()}
_NUMBERED = tuple(STORED.values())


class Dense(Format):
    """Weights, biases (one dimension) or any other tensor, to the bit.

    The part ``values`` is one byte for the type and the values row by row, little-endian.
    """

    kind: ClassVar[str] = "dense"
    tolerance: ClassVar[float] = 5e-7

    def __init__(self, values: torch.Tensor, storage: str = "float32") -> None:
        """Store ``values`` as type ``storage``, rounded where that is narrower.

        Raises:
            ValueError: a type that is not in ``STORED``.
        """
        if storage not in STORED:
            raise ValueError(f"{storage!r} cannot be stored; {', '.join(STORED)} can")
        self.values = values.detach().to(dtype=STORED[storage], copy=True).contiguous()
        self.shape = tuple(values.shape)

    def decode(self) -> torch.Tensor:
        return self.values.to(torch.float32, copy=True)

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        weights = self.values.to(device=x.device, dtype=torch.float32)
        if len(self.shape) == 2:
            return functional.linear(x, weights)
        if len(self.shape) == 4:
            return functional.conv2d(x, weights, None, stride, padding, dilation, groups)
        raise ValueError(f"nothing is multiplied by a tensor of shape {self.shape}")

    def pack(self) -> dict[str, bytes]:
        number = _NUMBERED.index(self.values.dtype)
        return {"values": bytes([number]) + _octets(self.values)}

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("values",))
        content = parts["values"]
        if not content or content[0] >= len(_NUMBERED):
            raise FormatError("values start with no known type")
        dtype = _NUMBERED[content[0]]
        count = math.prod(shape)
        if len(content) - 1 != count * dtype.itemsize:
            raise FormatError(
                f"values hold {len(content) - 1} bytes where {count} x {dtype.itemsize} belong"
            )
        if dtype == torch.bool and content[1:].translate(None, b"\0\1"):
            raise FormatError("a truth value is neither 0 nor 1")
        return cls(_from_octets(content[1:], dtype).reshape(shape), DTYPE_NAMES[dtype])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Dense)
            and self.shape == other.shape
            and self.values.dtype == other.values.dtype
            and _octets(self.values) == _octets(other.values)
        )


def _octets(values: torch.Tensor) -> bytes:
    raw = values.cpu().reshape(-1).view(torch.uint8).numpy()
    if sys.byteorder == "big":
        raw = raw.reshape(-1, values.dtype.itemsize)[:, ::-1]
    return raw.tobytes()


def _from_octets(content: bytes, dtype: torch.dtype) -> torch.Tensor:
    if not content:
        return torch.empty(0, dtype=dtype)
    raw = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if sys.byteorder == "big":
        raw = raw.reshape(-1, dtype.itemsize).flip(1).reshape(-1)
    return raw.view(dtype)
