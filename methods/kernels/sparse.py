"""A sparse matrix times a dense one: compressed rows with int32 indices, by torch or by numba."""

import warnings
from collections.abc import Callable
from functools import cache, cached_property
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
        if columns.size and not 0 <= int(columns.min()) <= int(columns.max()) < shape[1]:
            raise ValueError(f"a column is outside the shape {shape}")
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
            return torch.from_numpy(self._numba_product(np.ascontiguousarray(x.numpy())))
        if not self.values.size or not x.numel():
            return torch.zeros(self.shape[0], x.shape[1], device=x.device)
        return self.csr(x.device) @ x

    def _numba_product(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.zeros((self.shape[0], dense.shape[1]), np.float32)
        if dense.shape[1] == 1:
            x, sums = dense.reshape(-1), out.reshape(-1)
            _numba_vector()(self._row_starts, self._short_columns, self.values, x, sums)
        else:
            _numba_matrix()(self._row_starts, self._short_columns, self.values, dense, out)
        return out

    @property
    def _row_starts(self) -> NDArray[np.uint32]:
        """Unsigned, so that compiled loops need no check for indices from the end."""
        return self.starts.view(np.uint32)

    @cached_property
    def _short_columns(self) -> NDArray[np.unsignedinteger[Any]]:
        """16 bits where they do: less to read from memory for each entry."""
        if self.shape[1] <= 1 << 16:
            return self.columns.astype(np.uint16)
        return self.columns.view(np.uint32)

    @property
    def bytes_read(self) -> int:
        """What a product on the CPU reads of the matrix, on the chosen path."""
        columns = self._short_columns if chosen_path() == "numba" else self.columns
        return self.starts.nbytes + columns.nbytes + self.values.nbytes

    def csr(self, device: torch.device) -> torch.Tensor:
        """The same matrix as torch's compressed rows, made once for each device."""
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
def _numba_vector() -> Callable[..., None]:
    """Eight sums at once: one alone would wait for each addition before it starts the next."""
    import numba

    def product(starts: Any, columns: Any, values: Any, x: Any, out: Any) -> None:
        zero, one, eight = np.float32(0), np.uint64(1), np.uint64(8)
        for row in range(out.size):
            a = b = c = d = e = f = g = h = zero
            i, end = np.uint64(starts[row]), np.uint64(starts[row + 1])
            while i + eight <= end:
                a += values[i] * x[columns[i]]
                i += one
                b += values[i] * x[columns[i]]
                i += one
                c += values[i] * x[columns[i]]
                i += one
                d += values[i] * x[columns[i]]
                i += one
                e += values[i] * x[columns[i]]
                i += one
                f += values[i] * x[columns[i]]
                i += one
                g += values[i] * x[columns[i]]
                i += one
                h += values[i] * x[columns[i]]
                i += one
            while i < end:
                a += values[i] * x[columns[i]]
                i += one
            out[row] = ((a + b) + (c + d)) + ((e + f) + (g + h))

    compiled: Callable[..., None] = numba.njit(nogil=True, cache=True)(product)
    return compiled


@cache
def _numba_matrix() -> Callable[..., None]:
    import numba

    def product(starts: Any, columns: Any, values: Any, dense: Any, out: Any) -> None:
        for row in range(out.shape[0]):
            for entry in range(starts[row], starts[row + 1]):
                value, column = values[entry], columns[entry]
                for place in range(dense.shape[1]):
                    out[row, place] += value * dense[column, place]

    compiled: Callable[..., None] = numba.njit(nogil=True, cache=True)(product)
    return compiled
