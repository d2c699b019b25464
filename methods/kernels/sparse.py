"""A sparse matrix times a dense one: compressed rows with int32 indices, by torch or by numba."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from methods.kernels.choice import chosen_path

INT32_MAX = 2**31 - 1


class SparseRows:
    """The run-time form of a sparse matrix (rows, columns), float32, built once."""

    def __init__(
        self,
        shape: tuple[int, int],
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        values: NDArray[np.float32],
    ) -> None:
        """Entries come sorted by row; their values may be any float, zero included."""
        if max(*shape, values.size) > INT32_MAX:
            raise ValueError(f"a sparse matrix of {shape} does not fit int32 indices")
        self.shape = shape
        starts = np.zeros(shape[0] + 1, np.int32)
        np.cumsum(np.bincount(rows, minlength=shape[0]), out=starts[1:])
        self.starts = starts
        self.columns = columns.astype(np.int32)
        self.values = np.ascontiguousarray(values)
        self._matrices: dict[torch.device, torch.Tensor] = {}

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """This matrix times ``x`` (columns, n), float32: (rows, n)."""
        x = x.detach().to(torch.float32)
        if x.device.type == "cpu" and chosen_path() == "numba":
            dense = np.ascontiguousarray(x.numpy())
            out = np.zeros((self.shape[0], dense.shape[1]), np.float32)
            _numba_product()(self.starts, self.columns, self.values, dense, out)
            return torch.from_numpy(out)
        if not self.values.size or not x.numel():
            return torch.zeros(self.shape[0], x.shape[1], device=x.device)
        return self._matrix(x.device) @ x

    def _matrix(self, device: torch.device) -> torch.Tensor:
        if device not in self._matrices:
            with warnings.catch_warnings():
                # torch says once in each process that its sparse rows are in beta.
                warnings.simplefilter("ignore", UserWarning)
                self._matrices[device] = torch.sparse_csr_tensor(
                    torch.from_numpy(self.starts),
                    torch.from_numpy(self.columns),
                    torch.from_numpy(self.values),
                    self.shape,
                    device=device,
                    check_invariants=True,
                )
        return self._matrices[device]


@cache
def _numba_product() -> Callable[..., None]:
    import numba

    def product(starts: Any, columns: Any, values: Any, dense: Any, out: Any) -> None:
        if dense.shape[1] == 1:
            for row in range(starts.size - 1):
                total = np.float32(0)
                for entry in range(starts[row], starts[row + 1]):
                    total += values[entry] * dense[columns[entry], 0]
                out[row, 0] = total
            return
        for row in range(starts.size - 1):
            for entry in range(starts[row], starts[row + 1]):
                value, column = values[entry], columns[entry]
                for place in range(dense.shape[1]):
                    out[row, place] += value * dense[column, place]

    compiled: Callable[..., None] = numba.njit(nogil=True, cache=True)(product)
    return compiled
