"""What kernels of low-precision weights have in common: shapes, types, and which path runs.

Three paths: numba's loops for AVX-512, its plain ones elsewhere (or where NETCOMPRESS_AVX512 is 0),
and torch alone. A path is chosen when the weights are given, as each has its own layout of them;
tensors on other devices than the CPU are always multiplied by torch.
"""

import copy
import math
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from methods.kernels.activations import rounded
from methods.kernels.books import Loop
from methods.kernels.choice import chosen_path
from methods.kernels.lookup import uses_avx512
from methods.kernels.packing import aligned

Path = Literal["avx512-vnni", "avx512", "loops", "torch"]
MAX_INPUTS = 2**24 - 1
"""So many products of an int8 activation with -1, 0 or 1 fit 32 bits."""
EXACT_INPUTS = 2**17
"""Up to so many, float32 has their sum exactly."""
TOLERANCE = 5e-7
"""Of each output's sum of magnitudes: what a compiled product of float activations may differ."""
ROUNDING = 2.0**-24
"""The same of torch's, for each input: it adds up in an order of its own, all in float32."""
GAINING_OUTPUTS, GAINING_WEIGHTS = 64, 2**16
"""From so many on, a float product with AVX-512 takes less time than torch's with dense weights:
small ones take as long as the call, and few outputs as long as their tables."""


@cache
def parts_of_avx512() -> tuple[bool, bool]:
    """Whether there are instructions on words of 16 bits, and dot products of bytes as well."""
    from methods.kernels.vectors import has_avx512

    return has_avx512("bw"), has_avx512("bw", "vnni")


def path_here() -> Path:
    """The path for weights that are given now."""
    if chosen_path() == "torch":
        return "torch"
    with_words, with_dot = parts_of_avx512()
    if not (uses_avx512() and with_words):
        return "loops"
    return "avx512-vnni" if with_dot else "avx512"


def gains(shape: tuple[int, ...], x: torch.Tensor) -> bool:
    """Whether the float product of ``x`` with a weight of this shape is one for the kernels.

    It is where they are the faster ones (a matrix, ``x`` on the CPU, AVX-512, enough weights and
    outputs) and no gradient of ``x`` is asked for, as they have no backward pass.
    """
    return (
        len(shape) == 2
        and shape[0] >= GAINING_OUTPUTS
        and math.prod(shape) >= GAINING_WEIGHTS
        and shape[1] <= MAX_INPUTS
        and x.device.type == "cpu"
        and x.dtype == torch.float32  # torch refuses others, with or without AVX-512
        and not (x.requires_grad and torch.is_grad_enabled())
        and path_here().startswith("avx512")
    )


class LowPrecisionRows(ABC):
    """The run-time form of a weight matrix (outputs, inputs) whose entries need a few bits.

    Products take float activations as they are, or round them to int8 first: symmetric, one scale
    for each row, its largest magnitude over 127. A row that holds a value that is not finite gives
    NaN in all outputs where activations are rounded.
    """

    def __init__(self, outputs: int, inputs: int) -> None:
        if inputs > MAX_INPUTS:
            raise ValueError(f"{inputs} inputs, more than {MAX_INPUTS}: sums might not fit 32 bits")
        self.shape = (outputs, inputs)
        self.path = path_here()
        self._row = torch.Size((1, inputs)) if outputs and inputs and self._compiled else None
        self._dense: dict[torch.device, torch.Tensor] = {}

    @property
    def _compiled(self) -> bool:
        return self.path != "torch"

    @property
    def tolerance(self) -> float:
        """Of each output's sum of magnitudes: what ``product`` may differ on the CPU."""
        return TOLERANCE if self._compiled else max(TOLERANCE, ROUNDING * self.shape[1])

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (..., inputs) times the weights: (..., outputs), float32.

        Raises:
            ValueError: ``x`` has another number of inputs, or its memory was given back.
        """
        return self._product(x, whole=False)

    def product_int8(self, x: torch.Tensor) -> torch.Tensor:
        """The same with activations rounded to int8: exact whole numbers, then scaled.

        Raises:
            ValueError: ``x`` has another number of inputs, or its memory was given back.
        """
        return self._product(x, whole=True)

    def _product(self, x: torch.Tensor, whole: bool) -> torch.Tensor:
        if (  # one row as it mostly comes: the long way takes a tenth of the product's time
            type(x) is torch.Tensor
            and x.shape == self._row
            and x.dtype is torch.float32
            and x.is_cpu
            and x.is_contiguous()
            and not x.is_neg()  # the sign is not in memory
        ):
            address = _address(x, 4)
            out = np.empty((1, self.shape[0]), np.float32)
            loop = self._int8_loop if whole else self._float_loop
            loop(address, self.shape[1], out)
            return torch.from_numpy(out)
        rows = self._as_rows(x).contiguous()
        if self._compiled and rows.device.type == "cpu" and rows.numel() and self.shape[0]:
            out = np.empty((rows.shape[0], self.shape[0]), np.float32)
            loop = self._int8_loop if whole else self._float_loop
            loop(rows.data_ptr(), self.shape[1], out)
            found = torch.from_numpy(out)
        elif whole:
            found = self._int8_torch(*rounded(rows))
        else:
            found = functional.linear(rows, self.decode(rows.device))
        return found if x.ndim == 2 else found.reshape(*x.shape[:-1], self.shape[0])

    def with_own_layout(self) -> Self:
        """The same weights elsewhere in memory, as the compiled products read them.

        For timing from cold caches; what no product has asked for yet is made when one does.
        """
        other = copy.copy(self)
        for name in ("_packed", "_nibbles"):
            if name in vars(self):
                packed: NDArray[Any] = vars(self)[name]
                vars(other)[name] = aligned(packed).reshape(packed.shape)
        if "_few_values" in vars(self):
            vars(other)["_few_values"] = vars(self)["_few_values"].with_own_layout()
        for loop in ("_float_loop", "_int8_loop"):
            vars(other).pop(loop, None)
        return other

    @property
    @abstractmethod
    def bytes_read(self) -> int:
        """What a product of int8 activations on the CPU reads of the weights, on this path."""

    @property
    @abstractmethod
    def float_bytes_read(self) -> int:
        """The same of a product of float activations."""

    @abstractmethod
    def _values(self) -> NDArray[np.float32]:
        """The dense weights."""

    @property
    @abstractmethod
    def _float_loop(self) -> Loop:
        """The compiled loop over rows of float32: of their address, the inputs and where to write.

        Bound to the weights once: each look-up of an attribute takes a hundredth of a product.
        """

    @property
    @abstractmethod
    def _int8_loop(self) -> Loop:
        """The same with rounding."""

    @abstractmethod
    def _int8_torch(self, whole: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """Of rounded rows."""

    def decode(self, device: torch.device) -> torch.Tensor:
        """The dense weights, float32, made once for each device."""
        if device not in self._dense:
            self._dense[device] = torch.from_numpy(self._values()).to(device)
        return self._dense[device]

    def _as_rows(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs) float32, without a history."""
        if x.ndim == 0 or x.shape[-1] != self.shape[1]:
            raise ValueError(f"an input of shape {tuple(x.shape)} for weights of {self.shape}")
        _check_memory(x)
        rows = x.detach().to(torch.float32).resolve_neg()
        return rows if x.ndim == 2 else rows.reshape(math.prod(x.shape[:-1]), self.shape[1])

    def _as_bytes(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.int8 or x.ndim != 2 or x.shape[1] != self.shape[1]:
            raise ValueError(
                f"an input of shape {tuple(x.shape)} and type {x.dtype} where int8 of "
                f"(n, {self.shape[1]}) belongs"
            )
        _check_memory(x)
        return x.resolve_neg().contiguous()


def _address(x: torch.Tensor, itemsize: int) -> int:
    """Of the first value.

    Raises:
        ValueError: the storage's own address is 0, as after ``resize_(0)``.
    """
    address = x.data_ptr()
    if address == itemsize * x.storage_offset():
        raise ValueError(f"an input of shape {tuple(x.shape)} whose memory was given back")
    return address


def _check_memory(x: torch.Tensor) -> None:
    if x.device.type == "cpu" and x.layout == torch.strided and x.numel():
        _address(x, x.itemsize)


def exact_product(whole: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """``whole`` (n, inputs) int8 times ``matrix`` (outputs, inputs) of -1, 0 and 1: int32."""
    wide = torch.float32 if whole.shape[1] <= EXACT_INPUTS else torch.float64
    return functional.linear(whole.to(wide), matrix.to(wide)).to(torch.int32)
