"""Between the stored values of a hashed layer and its virtual weights, both ways.

Forwards each virtual weight takes its value with its sign; backwards each value takes the signed
sum of the gradients of the weights that use it (Chen et al., ICML 2015, sections 4.2 and 4.3). By
torch these are a gather and a scatter-add with an index of eight bytes and a sign of four for each
weight. The compiled loops read four bytes, the sign in the lowest bit, and gather both ways: a
scatter-add would wait for each sum before it adds to the same place again.
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from methods.hashing import buckets_and_signs
from methods.kernels.choice import chosen_path


class HashedIndex:
    """Which value each weight uses, and with which sign; made once, never stored."""

    def __init__(self, index: NDArray[np.uint32], buckets: int) -> None:
        """Hold what ``hashing.packed_index`` gave for ``buckets`` values.

        Raises:
            ValueError: it points outside the values.
        """
        if index.size and int(index.max()) >> 1 >= buckets:
            raise ValueError(f"index {int(index.max()) >> 1} of {buckets} values")
        self.index = np.ascontiguousarray(index)
        self.buckets = buckets
        self._tensors: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def spread(
        self, values: torch.Tensor, out: torch.Tensor | None = None, first: int = 0
    ) -> torch.Tensor:
        """The virtual weights: (weights) float32, into ``out`` where that is given.

        Args:
            values: (buckets) float32.
            out: flat; where it is shorter it gets so many weights alone.
            first: the place of the first of them.
        """
        if out is None:
            out = torch.empty(self.index.size, device=values.device)
        values, piece = values.detach(), slice(first, first + out.numel())
        if self._is_compiled(values):
            _spread()(values.contiguous().numpy(), self.index[piece], out.numpy())
            return out
        places, signs = self._on(values.device)
        return torch.mul(values[places[piece]], signs[piece], out=out)

    def collect(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of each value, the signed sum over its weights: (buckets) float32.

        Args:
            gradient: of the virtual weights, (weights) float32.
        """
        gradient = gradient.detach()
        sums = torch.zeros(self.buckets, device=gradient.device)
        if self._is_compiled(gradient):
            _collect()(gradient.contiguous().numpy(), *self._members, sums.numpy())
            return sums
        places, signs = self._on(gradient.device)
        return sums.index_add_(0, places, gradient * signs)

    @cached_property
    def _members(self) -> "_Members":
        return _Members.of(self.index, self.buckets)

    def occupancy(self) -> torch.Tensor:
        """How many weights use each value: (buckets) float32."""
        counts = np.bincount(self.index >> np.uint32(1), minlength=self.buckets)
        return torch.from_numpy(counts.astype(np.float32))

    @staticmethod
    def _is_compiled(tensor: torch.Tensor) -> bool:
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            return False
        return chosen_path() == "numba"

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Places (int64) and signs, as torch takes them, made once for each device."""
        if device not in self._tensors:
            places, signs = buckets_and_signs(self.index)
            held = torch.from_numpy(places), torch.from_numpy(signs)
            self._tensors[device] = (held[0].to(device), held[1].to(device))
        return self._tensors[device]


@cache
def _spread() -> Callable[..., None]:
    def run(values: Any, index: Any, out: Any) -> None:
        bits, drawn = out.view(np.uint32), values.view(np.uint32)
        one, high = np.uint32(1), np.uint32(31)
        for at in range(np.uint64(index.size)):
            packed = index[at]
            bits[at] = drawn[np.uint64(packed >> one)] ^ np.uint32(packed << high)

    return _compiled(run)


class _Members(NamedTuple):
    """The weights of each value, laid out so that a loop over values has no two alike.

    Values are sorted by how many weights use them, most first. Column j holds the j-th weight of
    each value that has so many, packed as in the index; columns stand one behind the other.
    """

    packed: NDArray[np.uint32]
    """(weights): 2 p + (the sign is -1)."""
    widths: NDArray[np.uint64]
    """Of the columns."""
    order: NDArray[np.uint32]
    """(buckets): the values, most used first."""

    @classmethod
    def of(cls, index: NDArray[np.uint32], buckets: int) -> "_Members":
        places = index >> np.uint32(1)
        counts = np.bincount(places, minlength=buckets)
        order = np.argsort(-counts, kind="stable")
        rank = np.empty(buckets, np.int64)
        rank[order] = np.arange(buckets)
        by_value = np.argsort(places, kind="stable")
        # How many weights of the same value come before each, in the order of the weights.
        starts = np.cumsum(counts) - counts
        column = np.arange(index.size) - starts[places[by_value]]
        widths = np.bincount(column, minlength=1)
        column_starts = np.cumsum(widths) - widths
        packed = np.empty(index.size, np.uint32)
        signed = (by_value.astype(np.uint32) << np.uint32(1)) | (index[by_value] & np.uint32(1))
        packed[column_starts[column] + rank[places[by_value]]] = signed
        return cls(packed, widths.astype(np.uint64), order.astype(np.uint32))


@cache
def _collect() -> Callable[..., None]:
    """A piece of a column at a time: gathered with its signs, then added where it belongs.

    Indices are unsigned throughout, or the compiler would allow for those from the end.
    """

    def run(gradient: Any, packed: Any, widths: Any, order: Any, sums: Any) -> None:
        bits = gradient.view(np.uint32)
        one, high, piece = np.uint32(1), np.uint32(31), np.uint64(1024)
        totals = np.zeros(order.size, np.float32)
        signed = np.empty(piece, np.uint32)
        gathered = signed.view(np.float32)
        column = np.uint64(0)
        for width in widths:
            start = np.uint64(0)
            while start < width:
                count = min(piece, width - start)
                for at in range(count):
                    member = packed[column + start + at]
                    signed[at] = bits[np.uint64(member >> one)] ^ np.uint32(member << high)
                for at in range(count):
                    totals[start + at] += gathered[at]
                start += count
            column += width
        for at in range(np.uint64(order.size)):
            sums[np.uint64(order[at])] = totals[at]

    return _compiled(run)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    return compiled
