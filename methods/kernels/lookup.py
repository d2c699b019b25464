"""Products of product-quantized weights by look-up tables: layouts, and which path runs them.

Wu, Leng, Wang, Hu, Cheng: "Quantized Convolutional Neural Networks for Mobile Devices", CVPR
2016: the inner products of each piece of the input with its subspace's codewords are computed
once (the tables); every output is then a sum of entries, one for each subspace (and position of
a kernel). Nothing is decoded.

On the CPU with numba the loops are those of ``lookup_linear`` and ``lookup_convolution``. With
torch alone small batches are looked up by its bags of embeddings; larger ones, and convolutions,
are multiplied by weights that are decoded at the first use and kept, as torch has no faster way
to look up so many.
"""

import math
import os
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from methods.kernels.choice import chosen_path
from methods.kernels.lookup_plan import Geometry, Plan
from methods.kernels.packing import code_bits, lookup_books, lookup_words

Pair = tuple[int, int]
VARIABLE = "NETCOMPRESS_AVX512"
"""Set to 0, the loops for processors without AVX-512 run on one that has it, too."""
FEW = 8
"""A batch up to this is looked up by torch, a larger one multiplied."""
CODEWORDS = 256
SUBSPACES = 8
"""Fewer than these (what a word of codes holds at most) are multiplied, not looked up."""
ROWS_SUMS = 1 << 16
"""Sums of a batch that are held at once: 256 KiB."""
IMAGE_VALUES = 1 << 20
"""Values of padded images that are held at once: 4 MiB."""
VECTORS_AVX512, VECTORS = 26, 6
"""Of 16 places, whose sums a convolution holds in registers, with AVX-512 and without."""
PLANS = 4
"""Sizes of maps whose offsets a convolution keeps."""


@cache
def _compiles_avx512() -> bool:
    from methods.kernels.vectors import has_avx512

    return has_avx512()


def uses_avx512() -> bool:
    """Whether the compiled loops are those for AVX-512. Imports numba."""
    return os.environ.get(VARIABLE) != "0" and _compiles_avx512()


def decoded(
    codes: NDArray[np.uint8], codebooks: NDArray[np.float32], channels: int
) -> torch.Tensor:
    """The weights (outputs, channels, ...kernel) that codes and codebooks stand for, float32."""
    by_output = np.moveaxis(codes, (-1, -2), (0, 1))  # (outputs, M, ...kernel)
    subspaces = np.arange(len(codebooks)).reshape(1, -1, *(1,) * (codes.ndim - 2))
    pieces = np.moveaxis(codebooks[subspaces, by_output], -1, 2)  # (outputs, M, d, ...kernel)
    padded = codebooks.shape[0] * codebooks.shape[2]
    dense = pieces.reshape(codes.shape[-1], padded, *codes.shape[:-2])[:, :channels]
    return torch.from_numpy(np.ascontiguousarray(dense))


class _Lookup:
    """Codes and codebooks, held together and checked."""

    def __init__(
        self, codes: NDArray[np.uint8], codebooks: NDArray[np.float32], channels: int
    ) -> None:
        subspaces, codewords, width = codebooks.shape
        if not 1 <= codewords <= CODEWORDS:
            raise ValueError(f"{codewords} codewords where 1 to {CODEWORDS} belong")
        if codes.shape[-2] != subspaces or subspaces != -(-channels // max(width, 1)):
            raise ValueError(
                f"codes {codes.shape} and codebooks {codebooks.shape} for {channels} inputs"
            )
        if codes.size and int(codes.max()) >= codewords:
            raise ValueError(f"a code names none of the {codewords} codewords")
        self.codes = np.ascontiguousarray(codes, np.uint8)
        self.codebooks = np.array(codebooks, np.float32, order="C")
        if subspaces:
            # What goes beyond the inputs meets nothing.
            self.codebooks[-1, :, channels - (subspaces - 1) * width :] = 0
        self.channels = channels
        self.outputs = codes.shape[-1]
        self._decoded: dict[torch.device, torch.Tensor] = {}

    def decoded(self, device: torch.device) -> torch.Tensor:
        """The dense weights on ``device``, made at the first call."""
        if device not in self._decoded:
            dense = decoded(self.codes, self.codebooks, self.channels)
            self._decoded[device] = dense.to(device)
        return self._decoded[device]


class LookupLinear(_Lookup):
    """The run-time form of a fully connected layer's weights (outputs, inputs)."""

    def __init__(
        self, codes: NDArray[np.uint8], codebooks: NDArray[np.float32], inputs: int
    ) -> None:
        """Hold ``codes`` (M, outputs), each below K, and ``codebooks`` (M, K, d), float32.

        M is inputs over d, rounded up; what the last subspace has beyond the inputs is ignored.

        Raises:
            ValueError: the arrays disagree, K is not 1 to 256, or a code is not below K.
        """
        if codes.ndim != 2 or codebooks.ndim != 3:
            raise ValueError(f"codes {codes.shape} and codebooks {codebooks.shape}")
        super().__init__(codes, codebooks, inputs)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (..., inputs) times the weights: (..., outputs), float32.

        Raises:
            ValueError: ``x`` has another number of inputs.
        """
        if x.shape[-1] != self.channels:
            raise ValueError(f"{x.shape[-1]} inputs for a layer of {self.channels}")
        count = math.prod(x.shape[:-1])
        rows = x.detach().to(torch.float32).reshape(count, self.channels)
        return self._rows(rows).reshape(*x.shape[:-1], self.outputs)

    def _rows(self, rows: torch.Tensor) -> torch.Tensor:
        if not rows.shape[0] or not self.channels or not self.outputs:
            return torch.zeros(rows.shape[0], self.outputs, device=rows.device)
        if len(self.codebooks) < SUBSPACES:  # filling words up would take more than the weights
            return functional.linear(rows, self.decoded(rows.device))
        if rows.device.type == "cpu" and chosen_path() == "numba":
            return torch.from_numpy(self._numba_lookup(rows.numpy()))
        if rows.shape[0] > FEW:
            return functional.linear(rows, self.decoded(rows.device))
        return self._torch_lookup(rows)

    def _numba_lookup(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        from methods.kernels import lookup_linear

        width = self.codebooks.shape[2]
        if not uses_avx512():
            out = np.zeros((rows.shape[0], self.outputs), np.float32)
            books, codes = self._by_fours
            lookup_linear.by_loop(_filled(rows, len(books) * width), books, codes, out)
            return out
        out = np.zeros((rows.shape[0], self._words.shape[1]), np.float32)
        filled = _filled(rows, self._words.shape[0] * (32 // self._bits) * width)
        lookup_linear.by_registers(
            (0,) * self._bits, filled, self._entries, self._words, width,
            max(1, ROWS_SUMS // out.shape[1]), out,
        )  # fmt: skip
        return np.ascontiguousarray(out[:, : self.outputs])

    @property
    def _bits(self) -> int:
        return code_bits(self.codebooks.shape[1])

    @cached_property
    def _words(self) -> NDArray[np.uint32]:
        return lookup_words(self.codes, self._bits)

    @cached_property
    def _entries(self) -> NDArray[np.float32]:
        return lookup_books(self._columns, len(self._words), self._bits)

    @cached_property
    def _by_fours(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Codebooks (M, d, K) and codes (M, outputs), M filled up to a multiple of four."""
        missing = -len(self.codes) % 4
        books = np.pad(self._columns, ((0, missing), (0, 0), (0, 0)))
        return books, np.pad(self.codes, ((0, missing), (0, 0)))

    @property
    def _columns(self) -> NDArray[np.float32]:
        """Codebooks (M, d, K): the products with all codewords lie beside each other."""
        return self.codebooks.transpose(0, 2, 1)

    def _torch_lookup(self, rows: torch.Tensor) -> torch.Tensor:
        """Bags of about the root of M entries, then the sum over bags: short sums round less."""
        subspaces, _, width = self.codebooks.shape
        bags = self._bags.to(rows.device)
        pieces = functional.pad(rows, (0, subspaces * width - self.channels))
        pieces = pieces.reshape(-1, subspaces, width).permute(1, 2, 0)  # (M, d, batch)
        books = torch.from_numpy(self.codebooks).to(rows.device)
        tables = torch.bmm(books, pieces)  # (M, K, batch)
        missing = bags.shape[1] * bags.shape[2] - subspaces
        tables = functional.pad(tables, (0, 0, 0, 0, 0, missing)).flatten(0, 1)
        sums = functional.embedding_bag(bags.flatten(0, 1), tables, mode="sum")
        return sums.reshape(self.outputs, -1, rows.shape[0]).sum(1).T.contiguous()

    @cached_property
    def _bags(self) -> torch.Tensor:
        """Places in the list of all tables: (outputs, bags, subspaces of a bag), int32."""
        subspaces, codewords, _ = self.codebooks.shape
        bag = int(np.ceil(np.sqrt(subspaces)))
        count = -(-subspaces // bag)
        places = np.zeros((self.outputs, count * bag), np.int32)
        places[:, :subspaces] = self.codes.T
        places += np.arange(count * bag, dtype=np.int32) * codewords
        return torch.from_numpy(places.reshape(self.outputs, count, bag))


class LookupConvolution(_Lookup):
    """The run-time form of a convolution's weights (outputs, channels / groups, height, width)."""

    def __init__(
        self, codes: NDArray[np.uint8], codebooks: NDArray[np.float32], channels: int
    ) -> None:
        """Hold ``codes`` (height, width, M, outputs), each below K, and ``codebooks`` (M, K, d).

        ``channels`` are those of one group; all groups share the codebooks.

        Raises:
            ValueError: the arrays disagree, K is not 1 to 256, or a code is not below K.
        """
        if codes.ndim != 4 or codebooks.ndim != 3:
            raise ValueError(f"codes {codes.shape} and codebooks {codebooks.shape}")
        super().__init__(codes, codebooks, channels)

    def product(
        self,
        x: torch.Tensor,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """The convolution of ``x`` (batch, channels, height, width), float32."""
        x = x.detach().to(torch.float32)
        if x.device.type == "cpu" and chosen_path() == "numba":
            plan = self._plan(Geometry(x.shape[2], x.shape[3], stride, padding, dilation, groups))
            if plan.fits and x.shape[1] == self.channels * groups and x.shape[0]:
                return torch.from_numpy(self._numba_lookup(x.numpy(), plan))
        # Maps that no kernel fits into are refused by torch, in its words.
        return functional.conv2d(x, self.decoded(x.device), None, stride, padding, dilation, groups)

    def _numba_lookup(self, x: NDArray[np.float32], plan: Plan) -> NDArray[np.float32]:
        from methods.kernels.lookup_convolution import convolution

        most = VECTORS_AVX512 if uses_avx512() else VECTORS
        out = np.empty((x.shape[0], *plan.out_shape), np.float32)
        with plan.room() as room:
            images = max(1, IMAGE_VALUES // plan.image_pitch)
            for start in range(0, x.shape[0], images):
                some = x[start : start + images]
                convolution(
                    plan.split(some, room), plan.pitches, self._books, plan.offsets,
                    plan.slices, plan.block, plan.table_stride, plan.rows, most,
                    room.table, room.sums, out[start : start + images],
                )  # fmt: skip
        return out.reshape(x.shape[0], self.outputs, *plan.out_shape[2:])

    def _plan(self, geometry: Geometry) -> Plan:
        if geometry not in self._plans:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            self._plans[geometry] = Plan(geometry, self.codes, self._books.shape[1:])
        return self._plans[geometry]

    @cached_property
    def _plans(self) -> dict[Geometry, Plan]:
        return {}

    @cached_property
    def _books(self) -> NDArray[np.float32]:
        """Codebooks (M, K, d), K filled up to an even number, one subspace no wider than it is."""
        width = min(self.codebooks.shape[2], max(1, self.channels))
        filled = np.pad(self.codebooks, ((0, 0), (0, self.codebooks.shape[1] % 2), (0, 0)))
        return np.ascontiguousarray(filled[:, :, :width])


def _filled(rows: NDArray[np.float32], inputs: int) -> NDArray[np.float32]:
    """Rows with zeros behind, up to so many inputs."""
    if rows.shape[1] == inputs:
        return np.ascontiguousarray(rows)
    filled = np.zeros((rows.shape[0], inputs), np.float32)
    filled[:, : rows.shape[1]] = rows
    return filled
