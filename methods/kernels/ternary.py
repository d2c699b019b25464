"""Products of ternary weights: a positive value, zero, or a negative one, two bits a weight."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from methods.kernels.activations import rounded
from methods.kernels.low_precision import LowPrecisionRows

TOLERANCE = 5e-7
"""Of each output's sum of magnitudes, with float activations."""


class TernaryRows(LowPrecisionRows):
    """The run-time form of a matrix (outputs, inputs) of entries +positive, 0 and -negative."""

    def __init__(self, signs: NDArray[np.int8], positive: float, negative: float) -> None:
        """Hold ``signs`` (outputs, inputs), -1, 0 or 1.

        The scales are rounded to float32.

        Raises:
            ValueError: not a matrix, an entry that is no sign, or a scale that is negative or not
                finite in float32.
        """
        if signs.ndim != 2:
            raise ValueError(f"signs of shape {signs.shape} are no matrix")
        if signs.size and not -1 <= int(signs.min()) <= int(signs.max()) <= 1:
            raise ValueError("a sign is -1, 0 or 1")
        with np.errstate(over="ignore"):
            scales = np.array([positive, negative], np.float64).astype(np.float32)
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise ValueError(f"scales are finite and not below zero, not {positive} and {negative}")
        self.shape = (signs.shape[0], signs.shape[1])
        self.signs = np.ascontiguousarray(signs, np.int8)
        self.positive, self.negative = float(scales[0]), float(scales[1])
        self._dense: dict[torch.device, torch.Tensor] = {}

    def integer_product(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of ``x`` (n, inputs) int8 over the plus and over the minus entries.

        Both (n, outputs) int32, exact.
        """
        whole = x.to(torch.float64)
        signs = torch.from_numpy(self.signs).to(x.device)
        plus, minus = ((signs == sign).to(torch.float64) for sign in (1, -1))
        return (whole @ plus.T).to(torch.int32), (whole @ minus.T).to(torch.int32)

    @property
    def bytes_read(self) -> int:
        return self.signs.nbytes

    def decode(self, device: torch.device) -> torch.Tensor:
        """The dense weights, float32, made once for each device."""
        if device not in self._dense:
            values = np.array([0, self.positive, -self.negative], np.float32)
            self._dense[device] = torch.from_numpy(values[self.signs]).to(device)
        return self._dense[device]

    def _float_product(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.linear(rows, self.decode(rows.device))

    def _int8_product(self, rows: torch.Tensor) -> torch.Tensor:
        whole, scales = rounded(rows)
        plus, minus = self.integer_product(whole)
        return ((self.positive * plus.double() - self.negative * minus.double()) * scales).float()
