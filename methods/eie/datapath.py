"""What the machine computes: in float32, and in its fixed point with a few bits a number.

EIE, ISCA 2016, section IV: each entry's weight is looked up, multiplied with the activation that
was broadcast, shifted, and added to the accumulator of its row. The paper says 16 bits and "shift
and add" and no more; rounding down when shifting and saturating when adding are choices made here.

Activations, codebook and accumulators are two's complement of equally many bits, each kind with a
number of fraction bits of its own. The bias is broadcast last, with the activation 1. Padding
entries add nothing. Gates and other functions between layers are not the machine's.

It goes through the layer without padding, column after column. Two paths give the same to the bit:
compiled loops over the columns of one input after another, and numpy over those of a batch.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from methods.eie.encode import EncodedLayer
from methods.kernels import eie, eie_datapath
from methods.kernels.choice import chosen_path
from registry.errors import UserError

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

MAX_BITS = 16
MAX_FRACTION = 200
"""A float32 that is not 0 needs no more to be held with 16 bits."""


@dataclass(frozen=True)
class Formats:
    """The fixed point of one layer: a number is an integer over 2 to its fraction bits."""

    bits: int
    """Of every number, its sign included: 2 to 16."""
    activation: int
    """Fraction bits, as the next two; negative where numbers are large."""
    codebook: int
    accumulator: int
    nearest: bool = False
    """Shift to the nearest number instead of the one below, by adding half a step to a product
    first: ours, to tell what rounding down costs."""

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_BITS:
            raise UserError(f"fixed point of {self.bits} bits: from 2 to {MAX_BITS} can be had")
        for name in ("activation", "codebook", "accumulator"):
            if not -MAX_FRACTION <= getattr(self, name) <= MAX_FRACTION:
                raise UserError(
                    f"{name}: {getattr(self, name)} fraction bits are not from {-MAX_FRACTION} to "
                    f"{MAX_FRACTION}"
                )
        if self.shift < 0:
            raise UserError(
                f"products have {self.activation + self.codebook} fraction bits and accumulators "
                f"{self.accumulator}: the machine shifts to the right only, so give accumulators "
                "no more fraction bits than products have"
            )

    @property
    def shift(self) -> int:
        """By how many bits a product is shifted to the right."""
        return self.activation + self.codebook - self.accumulator

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest integer."""
        return -(1 << self.bits - 1), (1 << self.bits - 1) - 1


@dataclass(frozen=True)
class Broadcasts:
    """What each input of a batch sends to the PEs, in order."""

    starts: NDArray[np.int64]
    """Where each input's begin, and their end: (n + 1)."""
    columns: NDArray[np.int64]
    values: NDArray[Any]


def quantize(values: ArrayLike, fraction_bits: int, bits: int) -> Integers:
    """The nearest integers over 2^fraction_bits, ties to the even one, saturated at ``bits``."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    scaled = np.ldexp(np.asarray(values, np.float64), fraction_bits)
    return np.clip(np.rint(scaled), low, high).astype(np.int32)


def dequantize(integers: NDArray[np.integer[Any]], fraction_bits: int) -> Floats:
    """The numbers that the integers stand for, exactly."""
    return np.ldexp(integers.astype(np.float64), -fraction_bits).astype(np.float32)


def fraction_bits(low: float, high: float, bits: int) -> int:
    """The most fraction bits with which every number from ``low`` to ``high`` can be held.

    Negative where the range needs whole numbers left out; ``bits - 1`` where it is 0 alone.

    Raises:
        UserError: an end is not finite.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError("fixed point cannot hold a range without an end: give finite numbers")
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    if low == high == 0:
        return bits - 1
    found = bits - 1 - int(np.frexp(max(abs(low), abs(high)))[1]) + 1
    found = min(found, MAX_FRACTION)
    while not (np.rint(np.ldexp(low, found)) >= least and np.rint(np.ldexp(high, found)) <= most):
        found -= 1
    return found


def choose_formats(
    layer: EncodedLayer, activations: ArrayLike, *, bits: int = MAX_BITS, signed: bool = False
) -> Formats:
    """Fraction bits for the ranges that a layer shows on some inputs.

    The range of the accumulators is that of all their partial sums. Where there is a bias, the
    activations' format holds 1 too, which the bias is multiplied with; numbers beyond it saturate.

    Args:
        activations: (n, inputs) of data that choices may be made on.
    """
    given = _activations(layer, activations)
    sent = _broadcasts(layer, given, signed=signed, one=1)
    low, high = _numpy_float(layer, sent, np.zeros((len(given), layer.outputs), np.float32))
    seen = (min(0.0, float(given.min(initial=0.0))) if signed else 0.0, _largest(given))
    of_activations = fraction_bits(*seen, bits)
    if layer.has_bias:
        of_activations = max(0, min(of_activations, bits - 2))
    of_codebook = fraction_bits(float(layer.codebook.min()), float(layer.codebook.max()), bits)
    of_sums = fraction_bits(low, high, bits)
    return Formats(bits, of_activations, of_codebook, min(of_sums, of_activations + of_codebook))


def fixed_outputs(
    layer: EncodedLayer, activations: ArrayLike, formats: Formats, *, signed: bool = False
) -> Integers:
    """The accumulators after a batch of inputs: (n, outputs) int32 of ``formats.accumulator``.

    Args:
        activations: (n, inputs) or (inputs) float, brought into ``formats.activation`` first.
        signed: non-zero instead of positive activations are broadcast, which is no mode of the
            paper's machine.

    Raises:
        UserError: activations of another shape, or not finite; a bias whose activation 1 the
            activations' format cannot hold.
    """
    low, high = formats.limits
    one = 1 << formats.activation if 0 <= formats.activation <= formats.bits - 2 else None
    if layer.has_bias and one is None:
        raise UserError(
            f"the bias needs the activation 1, which {formats.bits} bits with "
            f"{formats.activation} fraction bits cannot hold: give activations 0 to "
            f"{formats.bits - 2} fraction bits"
        )
    given = _activations(layer, activations)
    whole = quantize(given, formats.activation, formats.bits)
    sent = _broadcasts(layer, whole, signed=signed, one=one)
    codebook = quantize(layer.codebook, formats.codebook, formats.bits)
    # Two numbers of 16 bits have a product of 32: shifted by 40 it is what any more would leave.
    shift = min(formats.shift, 40)
    half = 1 << shift >> 1 if formats.nearest else 0
    sums = np.zeros((len(given), layer.outputs), np.int32)
    if chosen_path() == "numba":
        held = layer.decoded
        eie_datapath.fixed()(
            held.column_starts, held.rows, held.codes, codebook,
            sent.starts, sent.columns, sent.values, half, shift, low, high, sums,
        )  # fmt: skip
    else:
        _numpy_fixed(layer, codebook, sent, (half, shift), (low, high), sums)
    return sums


def float_outputs(layer: EncodedLayer, activations: ArrayLike, *, signed: bool = False) -> Floats:
    """The sums in float32, each product rounded and added in the order of the broadcasts.

    Args:
        activations: (n, inputs) or (inputs) float.
        signed: as for ``fixed_outputs``.

    Returns:
        (n, outputs) float32, before ReLU.

    Raises:
        UserError: activations of another shape, or not finite.
    """
    given = _activations(layer, activations)
    sent = _broadcasts(layer, given, signed=signed, one=1)
    sums = np.zeros((len(given), layer.outputs), np.float32)
    if chosen_path() != "numba":
        _numpy_float(layer, sent, sums)
        return sums
    held, add = layer.decoded, eie.products()
    for one, (begin, end) in enumerate(itertools.pairwise(sent.starts.tolist())):
        columns, values = sent.columns[begin:end], sent.values[begin:end]
        add(held.column_starts, held.packed, held.codebook, columns, values, sums[one])
    return sums


def _largest(given: Floats) -> float:
    return max(0.0, float(given.max(initial=0.0)))


def _activations(layer: EncodedLayer, activations: ArrayLike) -> Floats:
    given = np.asarray(activations)
    if given.dtype.kind not in "fiu":
        raise UserError(f"activations are of type {given.dtype}: give float32")
    if given.ndim == 1:
        given = given[None]
    if given.ndim != 2 or given.shape[1] != layer.inputs:
        raise UserError(
            f"activations of shape {given.shape} for a layer of {layer.inputs} inputs: give "
            f"(inputs) or (n, {layer.inputs})"
        )
    given = given.astype(np.float32)
    if not np.isfinite(given).all():
        raise UserError("an activation is NaN or infinite: give finite numbers")
    return given


def _broadcasts(
    layer: EncodedLayer, given: NDArray[Any], *, signed: bool, one: int | None
) -> Broadcasts:
    """Non-zero (or positive) activations by index, the bias's 1 last."""
    chosen = given != 0 if signed else given > 0
    if layer.has_bias:
        given = np.concatenate([given, np.full_like(given[:, :1], one, shape=(len(given), 1))], 1)
        chosen = np.concatenate([chosen, np.ones((len(given), 1), bool)], 1)
    starts = np.zeros(len(given) + 1, np.int64)
    np.cumsum(chosen.sum(axis=1), out=starts[1:])
    return Broadcasts(starts, np.nonzero(chosen)[1], given[chosen])


def _numpy_fixed(
    layer: EncodedLayer,
    codebook: Integers,
    sent: Broadcasts,
    rounding: tuple[int, int],
    limits: tuple[int, int],
    sums: Integers,
) -> None:
    half, shift = rounding

    def add(inputs: Any, rows: Any, weights: Integers, values: Integers) -> None:
        products = np.multiply.outer(values.astype(np.int64), weights) + half >> shift
        at = np.ix_(inputs, rows)
        sums[at] = np.clip(sums[at] + products, *limits)

    _each_column(layer, codebook, sent, add)


def _numpy_float(layer: EncodedLayer, sent: Broadcasts, sums: Floats) -> tuple[float, float]:
    """Adds to ``sums``; the least and the greatest partial sum, 0 among them."""
    seen = [0.0, 0.0]

    def add(inputs: Any, rows: Any, weights: Floats, values: Floats) -> None:
        at = np.ix_(inputs, rows)
        sums[at] = now = sums[at] + np.multiply.outer(values, weights)
        seen[:] = min(seen[0], float(now.min())), max(seen[1], float(now.max()))

    with np.errstate(over="ignore", invalid="ignore"):
        _each_column(layer, layer.decoded.codebook, sent, add)
    return seen[0], seen[1]


def _each_column(
    layer: EncodedLayer,
    codebook: NDArray[Any],
    sent: Broadcasts,
    add: Callable[[Any, Any, Any, Any], None],
) -> None:
    """``add`` each column's weights times the activations of all inputs that broadcast it.

    A column holds a row once at most, so its entries may be added in any order.
    """
    held = layer.decoded
    senders = np.repeat(np.arange(len(sent.starts) - 1), np.diff(sent.starts))
    order = np.argsort(sent.columns, kind="stable")
    columns, counts = np.unique(sent.columns, return_counts=True)
    for column, last, count in zip(columns, np.cumsum(counts), counts, strict=True):
        chosen = order[last - count : last]
        begin, end = held.column_starts[column : column + 2]
        if begin < end:
            weights = codebook[held.codes[begin:end]]
            add(senders[chosen], held.rows[begin:end], weights, sent.values[chosen])
