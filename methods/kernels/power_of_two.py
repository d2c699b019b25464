"""Products of weights that are powers of two: activations are shifted and added, not multiplied.

Codes lie two a byte where they have four bits or fewer. Activations rounded to int8 are shifted
left by a weight's exponent, above the least one that occurs, in 32 bits where all sums fit, else
in 64; exponents too far apart for that are summed in several ranges. Float activations are
multiplied by the exact powers. With AVX-512 (int8: and VNNI), codes of four bits are looked up
instead: a processor that multiplies 64 bytes at once gains nothing by shifts (``nibble_loops``,
``books``). The sums are the same to the bit.
"""

from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from methods.kernels.books import FewValues, Loop
from methods.kernels.exponents import check_exponents, levels, stored_scale
from methods.kernels.low_precision import LowPrecisionRows
from methods.kernels.packing import NIBBLE_OUTPUTS, nibble_bytes

HALF_BYTE = 4
EXACT_BITS = 53
"""Of a whole number in float64."""


class PowerOfTwoRows(LowPrecisionRows):
    """The run-time form of a matrix (outputs, inputs) of entries 0 and +-scale 2^e."""

    def __init__(self, codes: NDArray[np.uint8], bits: int, least: int, scale: float = 1.0) -> None:
        """Hold ``codes`` (outputs, inputs) of ``bits`` bits, as ``formats.power_of_two`` has them.

        Code 0 is a weight of 0; else the highest bit is set for a negative weight and the others
        are e - ``least`` + 1.

        Raises:
            ValueError: not a matrix of such codes, exponents or a scale whose products are not
                finite and normal in float32, or 2^24 inputs or more.
        """
        sign = 1 << (bits - 1)
        if codes.ndim != 2 or codes.dtype != np.uint8 or not 2 <= bits <= 8:
            raise ValueError(f"{codes.dtype} of shape {codes.shape} is no matrix of codes")
        if codes.size and (int(codes.max()) >= 2 * sign or bool((codes == sign).any())):
            raise ValueError(f"a code is {sign}, which stands for no weight, or has no {bits} bits")
        stored = stored_scale(scale)
        check_exponents(stored, least, levels(bits))
        super().__init__(codes.shape[0], codes.shape[1])
        self.codes = np.ascontiguousarray(codes)
        self.bits, self.least, self.scale = bits, int(least), stored
        places = self.codes & np.uint8(sign - 1)
        used = places[places > 0]
        self.low = int(used.min()) - 1 if used.size else 0
        """The least exponent that occurs, above ``least``."""
        self.span = int(used.max()) - self.low if used.size else 1
        self.wide = (self.shape[1] << (6 + self.span)) >= 1 << 31
        """Whether the sums of shifted activations need 64 bits."""

    def integer_product(self, x: torch.Tensor) -> torch.Tensor:
        """Exact sums of ``x`` (n, inputs) int8 times +-2^(e - least): (n, outputs).

        int32 where all sums fit, int64 elsewhere; here ``least`` is the least exponent that occurs,
        ``self.least + self.low``.

        Raises:
            ValueError: ``x`` is no int8 matrix with as many inputs, or 64 bits do not do.
        """
        whole = self._as_bytes(x)
        if len(self._ranges) > 1:
            raise ValueError(f"{self.span} exponents are too far apart for sums of 64 bits")
        return self._sums(whole, *self._ranges[0])

    @property
    def bytes_read(self) -> int:
        if not self._compiled:
            return 4 * self.codes.size
        return self._nibbles.nbytes if self._by_dots else self._packed.nbytes

    @property
    def float_bytes_read(self) -> int:
        if not self._compiled:
            return 4 * self.codes.size
        return self._few_values.bytes_read if self._by_books else self._packed.nbytes

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        """First exponent, above ``least``, and count of those whose sums fit 64 bits together."""
        most = self._most(63)
        ends = range(self.low, self.low + self.span, most)
        return [(first, min(most, self.low + self.span - first)) for first in ends]

    def _most(self, bits: int) -> int:
        """So many exponents have sums of int8 activations below 2^bits."""
        return bits - 7 - max(1, self.shape[1]).bit_length()

    @property
    def _by_halves(self) -> bool:
        return self.bits <= HALF_BYTE

    @property
    def _by_dots(self) -> bool:
        return self._by_halves and not self.wide and self.path == "avx512-vnni"

    @property
    def _by_books(self) -> bool:
        return self._by_halves and self.path.startswith("avx512")

    @property
    def _half_byte_codes(self) -> NDArray[np.uint8]:
        """As if all had four bits: the sign's is the highest one."""
        negative = self.codes >= self._sign
        places = self.codes & np.uint8(self._sign - 1)
        return np.where(negative, places | np.uint8(8), places).astype(np.uint8)

    @cached_property
    def _nibbles(self) -> NDArray[np.uint8]:
        return nibble_bytes(self._half_byte_codes)

    @cached_property
    def _whole_values(self) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Of each code, four times, and -128 times the sum of each output's."""
        places = np.arange(16) % 8 - 1 - self.low
        powers = np.where((places >= 0) & (places < self.span), 1 << np.maximum(places, 0), 0)
        values = np.where(np.arange(16) < 8, powers, -powers).astype(np.int8)
        offsets = np.zeros(-(-self.shape[0] // NIBBLE_OUTPUTS) * NIBBLE_OUTPUTS, np.int64)
        offsets[: self.shape[0]] = values.astype(np.int64)[self._half_byte_codes].sum(1)
        return np.tile(values, 4), (-128 * offsets).astype(np.int32)

    @cached_property
    def _few_values(self) -> FewValues:
        powers, count = np.zeros(7, np.float32), levels(self.bits)
        powers[:count] = np.ldexp(np.float32(self.scale), np.arange(count) + self.least)
        none = np.zeros(1, np.float32)
        return FewValues(self._half_byte_codes, np.concatenate([none, powers, none, -powers]))

    @property
    def _sign(self) -> int:
        return 1 << (self.bits - 1)

    @cached_property
    def _packed(self) -> NDArray[np.uint8]:
        if not self._by_halves:
            return self.codes
        filled = np.pad(self.codes, ((0, 0), (0, self.shape[1] % 2)))
        low, high = np.split(filled, 2, axis=1)
        return np.ascontiguousarray(low | high << np.uint8(4))

    @property
    def _inputs(self) -> int:
        """With the one that fills up the last byte."""
        return self.shape[1] + (self.shape[1] % 2 if self._by_halves else 0)

    def _values(self) -> NDArray[np.float32]:
        places = (self.codes & np.uint8(self._sign - 1)).astype(np.int32)
        values = np.ldexp(np.float32(self.scale), places - 1 + self.least)
        signed = np.where(self.codes >= self._sign, -values, values)
        return np.where(places > 0, signed, np.float32(0)).astype(np.float32)

    def _sums(self, whole: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """Of ``count`` exponents from ``first`` on, relative to ``first``."""
        kind = np.int64 if self.wide else np.int32
        if self._compiled and whole.device.type == "cpu":
            found: NDArray[Any] = np.zeros((len(whole), self.shape[0]), kind)
            if found.size and self.shape[1] and self._by_dots:
                from methods.kernels import dot_loops

                table, offsets = self._whole_values
                dot_loops.integers(
                    self._nibbles, table, offsets, offsets.size, whole.numpy(), found
                )
            elif found.size and self.shape[1]:
                self._sum_compiled(self._filled(whole.numpy()), first, count, found)
            return torch.from_numpy(found)
        sums = torch.zeros(len(whole), self.shape[0], dtype=torch.int64, device=whole.device)
        most = self._most(EXACT_BITS)
        for start in range(0, count, most):
            matrix = self._powers(first + start, min(most, count - start)).to(whole.device)
            # In float64, as not all devices have products of whole numbers.
            sums += (whole.double() @ matrix.T).to(torch.int64) << start
        return sums if self.wide else sums.to(torch.int32)

    def _powers(self, first: int, count: int) -> torch.Tensor:
        """The weights of ``count`` exponents from ``first`` on, over the first; others are 0."""
        places = (self.codes & np.uint8(self._sign - 1)).astype(np.int64) - 1 - first
        counts = (places >= 0) & (places < count)
        powers = np.ldexp(1.0, np.where(counts, places, 0)) * counts
        return torch.from_numpy(np.where(self.codes >= self._sign, -powers, powers))

    def _sum_compiled(
        self, whole: NDArray[np.int8], first: int, count: int, out: NDArray[Any]
    ) -> None:
        from methods.kernels import power_of_two_loops

        power_of_two_loops.integers(
            self._packed, self._by_halves, self._sign, first, count, whole, out
        )

    def _filled(self, rows: NDArray[Any]) -> NDArray[Any]:
        if rows.shape[1] == self._inputs:
            return np.ascontiguousarray(rows)
        return np.pad(rows, ((0, 0), (0, self._inputs - rows.shape[1])))

    @cached_property
    def _float_loop(self) -> Loop:
        if self._by_books:
            return self._few_values.loop(np.ones(self.shape[0], np.float32))
        return self._multiply_rows

    def _multiply_rows(self, address: int, inputs: int, out: NDArray[np.float32]) -> None:
        from methods.kernels import activation_loops, power_of_two_loops

        rows = activation_loops.rows_at(address, len(out), inputs).view(np.float32)
        power_of_two_loops.floats(
            self._packed, self._by_halves, self._sign, self.least, np.float32(self.scale),
            self._filled(rows), out,
        )  # fmt: skip

    @cached_property
    def _int8_loop(self) -> Loop:
        if not self._by_dots:
            return self._shift_rows
        from methods.kernels import dot_loops

        table, offsets = self._whole_values
        codes = (self._nibbles, table, offsets, offsets.size)
        power = 2.0 ** (self.low + self.least)
        return partial(dot_loops.product, *codes, power, self.scale)

    def _shift_rows(self, address: int, inputs: int, out: NDArray[np.float32]) -> None:
        from methods.kernels import power_of_two_loops

        whole, scales = np.zeros((len(out), self._inputs), np.int8), np.empty(len(out))
        power_of_two_loops.round_rows(address, inputs, whole, scales)
        sums = np.empty(out.shape, np.int64 if self.wide else np.int32)
        total: NDArray[Any] = np.zeros(out.shape)
        for first, width in self._ranges:
            self._sum_compiled(whole, first, width, sums)
            total += np.ldexp(sums.astype(np.float64), first + self.least)
        with np.errstate(over="ignore"):  # as the dense product would be
            out[:] = total * (scales[:, None] * self.scale)

    def _int8_torch(self, whole: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(whole), self.shape[0], dtype=torch.float64, device=whole.device)
        for first, count in self._ranges:
            total += self._sums(whole, first, count).double() * 2.0 ** (first + self.least)
        return (total * (scales * self.scale)).float()
