"""What formats of pruned tensors have in common: places of survivors, and a sparse product."""

import math
from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from methods.formats.convolution import convolve
from methods.formats.format import Format
from methods.kernels.sparse import SparseRows


class SurvivorFormat(Format):
    """Weights at ``positions``; every other one is 0.

    A missing weight is never multiplied, so an infinite input times a missing weight adds 0,
    not NaN.
    """

    positions: NDArray[np.int64]
    """In the flattened tensor, row-major, rising strictly."""

    @property
    @abstractmethod
    def survivor_values(self) -> NDArray[np.float32]:
        """The value of each survivor."""

    @property
    def survivors(self) -> int:
        """Weights that were kept."""
        return int(self.positions.size)

    def decode(self) -> torch.Tensor:
        dense = np.zeros(self.weights, np.float32)
        dense[self.positions] = self.survivor_values
        return torch.from_numpy(dense).reshape(self.shape)

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        if len(self.shape) == 2:
            return self._run_time(1).product(x.T).T.contiguous()
        if len(self.shape) == 4:
            product = self._run_time(groups).product
            return convolve(
                x, self.shape, product, stride=stride, padding=padding, dilation=dilation
            )
        raise ValueError(f"nothing is multiplied by a tensor of shape {self.shape}")

    def _run_time(self, groups: int) -> SparseRows:
        """Rows over the inputs of all groups, each row's columns moved to its own group."""
        held: dict[int, SparseRows] = self.__dict__.setdefault("_rows", {})
        if groups not in held:
            outputs, width = self.shape[0], math.prod(self.shape[1:])
            if groups < 1 or outputs % groups:
                raise ValueError(f"{outputs} outputs cannot be split into {groups} groups")
            rows, columns = np.divmod(self.positions, max(width, 1))
            columns = columns + rows // max(outputs // groups, 1) * width
            shape = (outputs, width * groups)
            held[groups] = SparseRows(shape, rows, columns, self.survivor_values)
        return held[groups]
