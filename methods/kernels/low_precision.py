"""What kernels of low-precision weights have in common: shapes, types, and which path runs."""

import math
from abc import ABC, abstractmethod

import torch

from methods.kernels.choice import chosen_path

EXACT = 1 << 24
"""Whole numbers up to this are exact in float32."""


class LowPrecisionRows(ABC):
    """The run-time form of a weight matrix (outputs, inputs) whose entries need a few bits.

    Products take float activations as they are, or round them to int8 first: symmetric, one scale
    for each row, its largest magnitude over 127. A row that holds a value that is not finite gives
    NaN in all outputs where activations are rounded.
    """

    shape: tuple[int, int]

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (..., inputs) times the weights: (..., outputs), float32.

        Raises:
            ValueError: ``x`` has another number of inputs.
        """
        return self._shaped(x, self._float_product(self._as_rows(x)))

    def product_int8(self, x: torch.Tensor) -> torch.Tensor:
        """The same with activations rounded to int8: exact whole numbers, then scaled.

        Raises:
            ValueError: ``x`` has another number of inputs.
        """
        return self._shaped(x, self._int8_product(self._as_rows(x)))

    @property
    @abstractmethod
    def bytes_read(self) -> int:
        """What a product of int8 activations on the CPU reads of the weights, on this path."""

    @abstractmethod
    def _float_product(self, rows: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def _int8_product(self, rows: torch.Tensor) -> torch.Tensor: ...

    def _as_rows(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs) float32, without a history."""
        if x.ndim == 0 or x.shape[-1] != self.shape[1]:
            raise ValueError(f"an input of shape {tuple(x.shape)} for weights of {self.shape}")
        rows = x.detach().to(torch.float32)
        return rows if x.ndim == 2 else rows.reshape(math.prod(x.shape[:-1]), self.shape[1])

    def _shaped(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return out if x.ndim == 2 else out.reshape(*x.shape[:-1], self.shape[0])


def runs_compiled(rows: torch.Tensor) -> bool:
    """Whether numba's loops take these rows."""
    return rows.device.type == "cpu" and chosen_path() == "numba"
