"""What ``netcompress bench kernels`` times: layers of low-precision weights, and torch's products.

A case comes in by its line in ``CASES``: a name, and how to draw its layer. A layer is one product
of ours, its check, and what a peer needs to do the same with float32 weights.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from methods.kernels.activations import rounded
from methods.kernels.binary import BinaryRows
from methods.kernels.low_precision import LowPrecisionRows
from methods.kernels.power_of_two import PowerOfTwoRows
from methods.kernels.ternary import TernaryRows

OUTPUTS, INPUTS = 2048, 1024
FLOAT_TOLERANCE = 5e-6
"""Of each output's sum of magnitudes: between two orders of summation in float32."""
INT8_TOLERANCE = 0.02
"""The same of torch's product with weights and activations rounded to eight bits, or seven."""
OURS_TOLERANCE = 1e-6

Product = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Side:
    """One way to make the product."""

    product: Product
    copied: Callable[[], Product]
    """The same with weights of its own in memory."""
    weight_bytes: int
    """What a product reads of them."""


@dataclass(frozen=True)
class Layer:
    """A matrix product with one row of activations."""

    rows: LowPrecisionRows
    x: torch.Tensor
    int8: bool
    """Whether ours rounds the activations first."""

    @property
    def weight(self) -> torch.Tensor:
        """Dense, float32, of the same values."""
        return self.rows.decode(self.x.device)

    @property
    def ours(self) -> Side:
        """Our kernel."""
        size = self.rows.bytes_read if self.int8 else self.rows.float_bytes_read
        own = self._product(self.rows)
        own()  # which makes the layout
        return Side(own, lambda: self._product(self.rows.with_own_layout()), size)

    def _product(self, rows: LowPrecisionRows) -> Product:
        return partial(rows.product_int8 if self.int8 else rows.product, self.x)

    def check(self, peers: Mapping[str, Side]) -> None:
        """Hold all products against the dense one of float64.

        Raises:
            RuntimeError: one differs by more than its rounding may do.
        """
        weight = self.weight.double()
        used = self.x.double()
        if self.int8:
            whole, scales = rounded(self.x)
            used = whole.double() * scales
        magnitudes = used.abs() @ weight.abs().T
        self._close("ours", self.ours.product(), used @ weight.T, OURS_TOLERANCE * magnitudes)
        wanted, magnitudes = self.x.double() @ weight.T, self.x.double().abs() @ weight.abs().T
        for name, side in peers.items():
            allowed = INT8_TOLERANCE if "int8" in name else FLOAT_TOLERANCE
            self._close(name, side.product(), wanted, allowed * magnitudes)

    def _close(
        self, name: str, found: torch.Tensor, wanted: torch.Tensor, allowed: torch.Tensor
    ) -> None:
        gap = (found.reshape(wanted.shape) - wanted).abs()
        if not bool((gap <= allowed + 1e-30).all()):
            raise RuntimeError(f"the product of {name} is off by up to {float(gap.max())}")


@dataclass(frozen=True)
class KernelCase:
    """A layer that is timed."""

    name: str
    draw: Callable[[np.random.Generator], Layer]


def ternary(
    generator: np.random.Generator, negative: float, int8: bool, shape: tuple[int, int]
) -> Layer:
    """Signs and zeros equally often; the positive scale is 1."""
    signs = generator.integers(-1, 2, shape, np.int8)
    return Layer(TernaryRows(signs, 1.0, negative), _activations(generator, shape), int8)


def binary(generator: np.random.Generator, int8: bool, shape: tuple[int, int]) -> Layer:
    """Signs equally often, a scale for each output."""
    rows = BinaryRows(generator.random(shape, np.float32) < 0.5, generator.random(shape[0]) + 0.5)
    return Layer(rows, _activations(generator, shape), int8)


def power_of_two(generator: np.random.Generator, int8: bool, shape: tuple[int, int]) -> Layer:
    """Four bits a weight: zeros, signs and seven exponents equally often."""
    codes = generator.integers(0, 16, shape, np.uint8)
    codes[codes == 8] = 0
    return Layer(PowerOfTwoRows(codes, 4, -7), _activations(generator, shape), int8)


def layer_cases(shape: tuple[int, int] = (OUTPUTS, INPUTS)) -> tuple[KernelCase, ...]:
    """A fully connected layer (outputs, inputs) by each kernel."""
    return (
        KernelCase("ternary-int8", partial(ternary, negative=1.0, int8=True, shape=shape)),
        KernelCase(
            "ternary-int8-two-scales", partial(ternary, negative=0.7, int8=True, shape=shape)
        ),
        KernelCase("ternary-float", partial(ternary, negative=0.7, int8=False, shape=shape)),
        KernelCase("binary-int8", partial(binary, int8=True, shape=shape)),
        KernelCase("binary-float", partial(binary, int8=False, shape=shape)),
        KernelCase("power-of-two-int8", partial(power_of_two, int8=True, shape=shape)),
        KernelCase("power-of-two-float", partial(power_of_two, int8=False, shape=shape)),
    )


CASES = layer_cases()


def _activations(generator: np.random.Generator, shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(generator.standard_normal((1, shape[1]), np.float32))


@dataclass(frozen=True)
class Peer:
    """What we are held against: its ways to make a layer's product, of which the fastest counts."""

    words: str
    sides: Callable[[Layer], dict[str, Side]]
    missing: Callable[[], str] = lambda: ""
    """Why this torch does not have it; empty where it does."""


def dense_sides(layer: Layer) -> dict[str, Side]:
    """torch's float32 products of a row with a matrix."""
    weight, x = layer.weight, layer.x
    row, size = x[0], weight.numel() * weight.element_size()

    def linear(held: torch.Tensor) -> Product:
        return lambda: functional.linear(x, held)

    def mv(held: torch.Tensor) -> Product:
        return lambda: torch.mv(held, row)

    return {
        "linear": Side(linear(weight), lambda: linear(weight.clone()), size),
        "mv": Side(mv(weight), lambda: mv(weight.clone()), size),
    }


def dynamic_int8_sides(layer: Layer) -> dict[str, Side]:
    """torch's dynamic quantization: int8 weights, activations rounded in each call."""

    def quantized() -> Product:
        dense = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], bias=False)
        dense.weight = nn.Parameter(layer.weight, requires_grad=False)
        return partial(quantize_dynamic(nn.Sequential(dense))[0], layer.x)

    return {"quantize_dynamic": Side(quantized(), quantized, layer.weight.numel())}


def quantize_dynamic(network: nn.Module) -> Any:
    """torch's dynamic quantization of the linear layers, to int8; torch calls it deprecated.

    Raises:
        Exception: whatever a torch without it, or without an engine for it, raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize: Any = torch.ao.quantization.quantize_dynamic
        return quantize(copy.deepcopy(network), {nn.Linear}, dtype=torch.qint8)


def _no_dynamic_int8() -> str:
    try:
        with torch.inference_mode():
            quantize_dynamic(nn.Sequential(nn.Linear(4, 4, bias=False)))(torch.ones(1, 4))
    except Exception as error:  # gone in some way that a later torch chooses
        return f"torch {torch.__version__} does not have it ({type(error).__name__}: {error})"
    return ""


PEERS: Mapping[str, Peer] = {
    "torch dense float32": Peer("the faster of functional.linear and mv", dense_sides),
    "torch dynamic int8": Peer(
        "torch.ao.quantization.quantize_dynamic", dynamic_int8_sides, _no_dynamic_int8
    ),
}
