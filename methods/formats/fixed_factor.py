"""A product of two factors of which one is fixed and made again from a rule.

The tensor, flattened to (outputs, inputs), is put together from columns of consecutive outputs;
column j is (U_j V_j)^T with U_j (inputs, atoms) from ``methods.prediction.dictionaries`` and V_j
(atoms, outputs of the column) learned. Denil et al., NIPS 2013; with one Gaussian factor it is the
low-rank baseline of Chen et al., ICML 2015.

Parts in a file:

* ``values``: V, (atoms, outputs) float32, little-endian, row by row;
* ``dictionary``: float32; the rows that a dictionary made from data stores, else nothing;
* ``rule``: a byte (the dictionary's kind), atoms, columns, seed, grid (three) and pool as varints,
  scale and ridge as float64, little-endian.
"""

import struct
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from methods.bits import Reader, write_varint
from methods.formats.format import MAX_WEIGHTS, Format, FormatError, check_parts
from methods.formats.uniform import rows_and_width
from methods.prediction.dictionaries import KINDS, Dictionary


class FixedFactor(Format):
    """Learned values, and the rule of the factor that makes weights of them."""

    kind: ClassVar[str] = "fixed-factor"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        values: NDArray[np.floating],
        dictionary: Dictionary,
        stored: NDArray[np.floating] | None = None,
    ) -> None:
        """Hold the learned ``values``, V of all columns side by side: (atoms, outputs).

        Args:
            stored: what ``dictionary.select`` gave; of dictionaries made from data only.

        Raises:
            ValueError: the arrays disagree with the rule or the shape.
        """
        outputs, inputs = rows_and_width(shape)
        dictionary.check(inputs, outputs)
        if values.shape != (dictionary.atoms, outputs):
            raise ValueError(f"{values.shape} values where {(dictionary.atoms, outputs)} belong")
        held = np.empty(0, np.float32) if stored is None else stored
        least = dictionary.least_stored(inputs)  # told before anything is drawn
        if held.size < least:
            raise ValueError(f"{held.size} numbers of a dictionary that has {least} and more")
        if held.shape != (dictionary.stored_values(inputs),):
            raise ValueError(
                f"{held.shape} numbers of a dictionary that has {dictionary.stored_values(inputs)}"
            )
        if not np.isfinite(held).all():
            raise ValueError("the dictionary holds numbers that are not finite")
        self.shape = tuple(shape)
        self.dictionary = dictionary
        self.values: NDArray[np.float32] = np.array(values, "<f4", order="C")
        self.stored: NDArray[np.float32] = np.array(held, "<f4")
        self._held: dict[torch.device, _RunTime] = {}

    @property
    def learned_weights(self) -> int:
        """Numbers that were learned."""
        return int(self.values.size)

    @property
    def stored_weights(self) -> int:
        """Numbers that the file holds: the learned ones and those of the dictionary."""
        return int(self.values.size + self.stored.size)

    def decode(self) -> torch.Tensor:
        outputs, inputs = rows_and_width(self.shape)
        dense = np.empty((outputs, inputs), np.float32)
        factors = self.dictionary.factors(inputs, self.stored)
        for place, factor in zip(self.dictionary.places(outputs), factors, strict=True):
            with np.errstate(all="ignore"):  # a file may hold values that are not finite
                wide = factor.astype(np.float64) @ self.values[:, place].astype(np.float64)
                dense[place] = wide.T
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
        """By both factors where that takes less, else by the tensor, which is made once.

        A convolution goes by the tensor: unfolding its input for the factors takes longer than
        they save.
        """
        if len(self.shape) not in (2, 4):
            raise ValueError(f"nothing is multiplied by a tensor of shape {self.shape}")
        held = self._run_time(x.device)
        if held.dense is None:
            return held.product(x.T).T.contiguous()
        if len(self.shape) == 2:
            return functional.linear(x, held.dense)
        return functional.conv2d(x, held.dense, None, stride, padding, dilation, groups)

    def _run_time(self, device: torch.device) -> "_RunTime":
        if device not in self._held:
            self._held[device] = self._make_run_time(device)
        return self._held[device]

    def _make_run_time(self, device: torch.device) -> "_RunTime":
        outputs, inputs = rows_and_width(self.shape)
        rule = self.dictionary
        is_gather = rule.kind == "positions"
        first = 0 if is_gather else rule.columns * inputs * rule.atoms
        # Twice, as the factors are multiplied in float64.
        takes_more = 2 * (first + rule.atoms * outputs) >= inputs * outputs
        if len(self.shape) != 2 or takes_more:
            return _RunTime(dense=self.decode().to(device))
        slices = rule.places(outputs)
        learned = torch.from_numpy(self.values.astype(np.float64)).to(device)
        if is_gather:
            drawn = [torch.from_numpy(one).to(device) for one in rule.draws(inputs)]
            return _RunTime(positions=drawn, learned=[learned[:, at].T for at in slices])
        fixed = [
            torch.from_numpy(factor.astype(np.float64)).T.to(device)
            for factor in rule.factors(inputs, self.stored)
        ]
        return _RunTime(fixed=fixed, learned=[learned[:, at].T for at in slices])

    def pack(self) -> dict[str, bytes]:
        rule = self.dictionary
        counts = (rule.atoms, rule.columns, rule.seed, *rule.grid, rule.pool)
        return {
            "values": self.values.tobytes(),
            "dictionary": self.stored.tobytes(),
            "rule": bytes([KINDS.index(rule.kind)])
            + b"".join(write_varint(count) for count in counts)
            + struct.pack("<dd", rule.scale, rule.ridge),
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("values", "dictionary", "rule"))
        outputs, inputs = rows_and_width(shape)
        dictionary = _read_rule(parts["rule"])
        try:
            dictionary.check(inputs, outputs)
        except ValueError as fault:
            raise FormatError(str(fault)) from fault
        wanted = 4 * dictionary.atoms * outputs
        if len(parts["values"]) != wanted:
            raise FormatError(f"values hold {len(parts['values'])} bytes where {wanted} belong")
        if len(parts["dictionary"]) % 4:
            raise FormatError(f"{len(parts['dictionary'])} bytes are no dictionary")
        values = np.frombuffer(parts["values"], "<f4").reshape(dictionary.atoms, outputs)
        stored = np.frombuffer(parts["dictionary"], "<f4")
        try:
            return cls(shape, values, dictionary, stored)
        except ValueError as fault:
            raise FormatError(str(fault)) from fault

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FixedFactor)
            and self.shape == other.shape
            and self.dictionary == other.dictionary
            and self.values.tobytes() == other.values.tobytes()
            and self.stored.tobytes() == other.stored.tobytes()
        )


class _RunTime:
    """What a product needs on one device: the dense tensor, or both factors of each column.

    The factors' product may cancel where the weights are small, so they are multiplied in float64:
    rounding then counts by the weights and not by the factors.
    """

    def __init__(
        self,
        *,
        dense: torch.Tensor | None = None,
        fixed: list[torch.Tensor] | None = None,
        positions: list[torch.Tensor] | None = None,
        learned: list[torch.Tensor] | None = None,
    ) -> None:
        self.dense = dense
        self._fixed = fixed
        self._positions = positions
        self._learned = learned or []

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """The weights times ``x`` (inputs, batch) float32: (outputs, batch) float32."""
        wide = x.double()
        if self._positions is not None:
            seen = [wide[drawn] for drawn in self._positions]
        else:
            assert self._fixed is not None
            seen = [fixed @ wide for fixed in self._fixed]
        parts = [learned @ one for learned, one in zip(self._learned, seen, strict=True)]
        return torch.cat(parts).float()


def _read_rule(content: bytes) -> Dictionary:
    reader = Reader(content)
    number = reader.byte("the rule")
    if number >= len(KINDS):
        raise FormatError(f"unknown dictionary {number}")
    atoms = reader.varint("the number of atoms", MAX_WEIGHTS)
    columns = reader.varint("the number of columns", MAX_WEIGHTS)
    seed = reader.varint("the seed")
    grid = tuple(reader.varint("the grid", MAX_WEIGHTS) for _ in range(3))
    pool = reader.varint("the pool", MAX_WEIGHTS)
    scale, ridge = struct.unpack("<dd", reader.take(16, "scale and ridge"))
    reader.finish("the rule")
    try:
        return Dictionary(
            KINDS[number], atoms, columns, seed, scale, ridge, (grid[0], grid[1], grid[2]), pool
        )
    except ValueError as fault:
        raise FormatError(str(fault)) from fault
