"""Products of binary weights: plus or minus a scale, one bit a weight.

Activations rounded to int8 are summed over the inputs with a plus: by look-ups of five with
AVX-512, by plain loops elsewhere (``binary_loops``). Float ones are looked up five or six at a time
(``books``).
"""

from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from methods.kernels.books import FewValues, Loop
from methods.kernels.low_precision import LowPrecisionRows, exact_product
from methods.kernels.packing import set_bytes, set_words


class BinaryRows(LowPrecisionRows):
    """The run-time form of a matrix (outputs, inputs) of entries +scale and -scale."""

    def __init__(self, plus: NDArray[np.bool_], scales: NDArray[np.floating] | float) -> None:
        """Hold ``plus`` (outputs, inputs), True for +scale, and one scale or one for each output.

        The scales are rounded to float32; they may be negative, or not finite.

        Raises:
            ValueError: not a matrix of truth values, another number of scales, or 2^24 inputs or
                more.
        """
        if plus.ndim != 2 or plus.dtype != np.bool_:
            raise ValueError(f"{plus.dtype} of shape {plus.shape} is no matrix of truth values")
        with np.errstate(over="ignore"):
            stored = np.asarray(scales, np.float64).astype(np.float32)
        if stored.shape not in ((), (1,), (plus.shape[0],)):
            raise ValueError(f"{stored.shape} scales for {plus.shape[0]} outputs")
        super().__init__(plus.shape[0], plus.shape[1])
        self.plus = np.ascontiguousarray(plus)
        self.scales: NDArray[np.float32] = np.full(plus.shape[0], stored, np.float32)

    def integer_product(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (n, inputs) int8 times the signs: (n, outputs) int32, exact.

        Raises:
            ValueError: ``x`` is no int8 matrix with as many inputs.
        """
        whole = self._as_bytes(x)
        if not self._compiled or whole.device.type != "cpu":
            return self._torch_sums(whole)
        from methods.kernels import binary_loops

        found = np.zeros((len(x), self.shape[0]), np.int32)
        if x.numel() and self.shape[0]:
            binary_loops.integers(self._packed, whole.numpy(), found)
        return torch.from_numpy(found)

    @property
    def bytes_read(self) -> int:
        return self._packed.nbytes if self._compiled else 4 * self.plus.size

    @property
    def float_bytes_read(self) -> int:
        return self._few_values.bytes_read if self._compiled else 4 * self.plus.size

    @cached_property
    def _packed(self) -> NDArray[Any]:
        return set_bytes(self.plus) if self.path == "loops" else set_words(self.plus)

    @cached_property
    def _wide_scales(self) -> NDArray[np.float64]:
        return self.scales.astype(np.float64)

    @cached_property
    def _few_values(self) -> FewValues:
        return FewValues(self.plus.view(np.uint8), np.array([-1, 1], np.float32))

    def _values(self) -> NDArray[np.float32]:
        return np.where(self.plus, self.scales[:, None], -self.scales[:, None])

    @cached_property
    def _float_loop(self) -> Loop:
        return self._few_values.loop(self.scales)

    @cached_property
    def _int8_loop(self) -> Loop:
        from methods.kernels import binary_loops

        return partial(binary_loops.product, self._packed, self._wide_scales)

    def _int8_torch(self, whole: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        own = torch.from_numpy(self._wide_scales).to(whole.device)
        return (self._torch_sums(whole).double() * (scales * own)).float()

    def _torch_sums(self, whole: torch.Tensor) -> torch.Tensor:
        signs = torch.from_numpy(2 * self.plus.view(np.int8) - 1).to(whole.device)
        return exact_product(whole, signs)
