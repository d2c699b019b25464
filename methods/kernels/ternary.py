"""Products of ternary weights: a positive value, zero, or a negative one, about two bits a weight.

With activations rounded to int8, one scale and AVX-512's VNNI, codes are multiplied as they lie;
with two scales, or without it, sums over plus and over minus entries are looked up, or made by
plain loops (``ternary_loops``). Float activations are looked up three or four at a time
(``books``).
"""

from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from methods.kernels.books import FewValues, Loop
from methods.kernels.low_precision import LowPrecisionRows, exact_product
from methods.kernels.packing import CODE_OUTPUTS, SET_OUTPUTS, code_bytes, set_bytes, set_words


class TernaryRows(LowPrecisionRows):
    """The run-time form of a matrix (outputs, inputs) of entries +positive, 0 and -negative."""

    def __init__(self, signs: NDArray[np.int8], positive: float, negative: float) -> None:
        """Hold ``signs`` (outputs, inputs), -1, 0 or 1.

        The scales are rounded to float32.

        Raises:
            ValueError: not a matrix, an entry that is no sign, a scale that is negative or not
                finite in float32, or 2^24 inputs or more.
        """
        if signs.ndim != 2:
            raise ValueError(f"signs of shape {signs.shape} are no matrix")
        if signs.size and not -1 <= int(signs.min()) <= int(signs.max()) <= 1:
            raise ValueError("a sign is -1, 0 or 1")
        with np.errstate(over="ignore"):
            scales = np.array([positive, negative], np.float64).astype(np.float32)
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise ValueError(f"scales are finite and not below zero, not {positive} and {negative}")
        super().__init__(signs.shape[0], signs.shape[1])
        self.signs = np.ascontiguousarray(signs, np.int8)
        self.positive, self.negative = float(scales[0]), float(scales[1])

    @property
    def one_scale(self) -> bool:
        """Whether plus and minus entries have the same magnitude."""
        return self.positive == self.negative

    def integer_product(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Exact sums of ``x`` (n, inputs) int8, each (n, outputs) int32.

        One scale: the sum over plus entries less the one over minus entries; two scales: both.

        Raises:
            ValueError: ``x`` is no int8 matrix with as many inputs.
        """
        whole = self._as_bytes(x)
        if not self._compiled or whole.device.type != "cpu":
            return self._torch_sums(whole)
        from methods.kernels import dot_loops, ternary_loops

        found = [np.zeros((len(x), self.shape[0]), np.int32) for _ in range(2)]
        if not x.numel() or not self.shape[0]:
            pass
        elif self._by_codes:
            dot_loops.integers(self._packed, None, None, self._places, whole.numpy(), found[0])
        else:
            ternary_loops.set_integers(self._packed, whole.numpy(), *found)
        if self.one_scale:
            found = [found[0] - found[1]]
        return tuple(torch.from_numpy(sums) for sums in found)

    @property
    def bytes_read(self) -> int:
        return self._packed.nbytes if self._compiled else 4 * self.signs.size

    @property
    def float_bytes_read(self) -> int:
        return self._few_values.bytes_read if self._compiled else 4 * self.signs.size

    @property
    def _by_codes(self) -> bool:
        return self.one_scale and self.path == "avx512-vnni"

    @property
    def _places(self) -> int:
        """Outputs of ``code_bytes``."""
        return -(-self.shape[0] // CODE_OUTPUTS) * CODE_OUTPUTS

    @cached_property
    def _packed(self) -> NDArray[Any]:
        """For int8 activations: codes, or the plus sets of all outputs and then the minus sets."""
        if self._by_codes:
            return code_bytes((self.signs + 1).astype(np.uint8))
        if self.path == "loops":
            return set_bytes(np.concatenate([self.signs > 0, self.signs < 0]))
        missing = -self.shape[0] % SET_OUTPUTS
        signs = np.pad(self.signs, ((0, missing), (0, 0)))
        return set_words(np.concatenate([signs > 0, signs < 0]))

    @cached_property
    def _few_values(self) -> FewValues:
        values = np.array([-self.negative, 0, self.positive], np.float32)
        return FewValues((self.signs + 1).astype(np.uint8), values)

    def _values(self) -> NDArray[np.float32]:
        return np.array([0, self.positive, -self.negative], np.float32)[self.signs]

    @cached_property
    def _float_loop(self) -> Loop:
        return self._few_values.loop(np.ones(self.shape[0], np.float32))

    @cached_property
    def _int8_loop(self) -> Loop:
        from methods.kernels import dot_loops, ternary_loops

        if self._by_codes:
            codes = (self._packed, None, None, self._places)
            return partial(dot_loops.product, *codes, 1.0, self.positive)
        return partial(ternary_loops.set_product, self._packed, self.positive, self.negative)

    def _int8_torch(self, whole: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        sums = [one.double() for one in self._torch_sums(whole)]
        if self.one_scale:
            return (sums[0] * (scales * self.positive)).float()
        return ((self.positive * sums[0] - self.negative * sums[1]) * scales).float()

    def _torch_sums(self, whole: torch.Tensor) -> tuple[torch.Tensor, ...]:
        signs = torch.from_numpy(self.signs).to(whole.device)
        matrices = [signs] if self.one_scale else [signs > 0, signs < 0]
        return tuple(exact_product(whole, matrix) for matrix in matrices)
