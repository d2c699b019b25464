"""Fully connected layers that train no more values than they store.

Chen et al., ICML 2015: the hashed layer (section 4), and the baselines of equal storage (section
6) with random edges removed and with a fixed random factor. Each stands in a network for an
``nn.Linear`` while it is trained; ``formats`` is what a file then holds of it.
"""

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from methods.equal_storage import Budget
from methods.formats.fixed_factor import FixedFactor
from methods.formats.format import Format
from methods.formats.hashed import Hashed
from methods.formats.sparse import Sparse
from methods.hashing import derived_seed, packed_index
from methods.kernels.hashed import HashedIndex
from methods.prediction.dictionaries import Dictionary
from methods.seeds import seeded

_INDEX, _BIAS_INDEX, _START, _EDGES, _FACTOR = range(5)
"""Uses of a layer's seed, each with numbers of its own."""
_TORCH_SEEDS = 2**63 - 1
PIECE_BYTES = 800_000
"""Of virtual weights at a time: most of a second-level cache of today."""


class StoredLinear(nn.Module):
    """Outputs (batch, outputs) of inputs (batch, inputs), float32, from few stored values."""

    weight: torch.Tensor
    """(outputs, inputs), of the stored values; a gradient flows back to them."""
    bias: torch.Tensor | None
    """(outputs), or None."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs

    @abstractmethod
    def formats(self) -> dict[str, Format]:
        """By role, ``weight`` or ``bias``; a bias that is missing here is stored densely."""


class HashedLinear(StoredLinear):
    """V[i,j] = xi(i,j) w[h(i,j)], z = V a (eqs. 3 to 7), and the biases alike."""

    def __init__(
        self,
        layer: nn.Linear,
        budget: Budget,
        seed: int,
        *,
        hash_biases: bool = True,
        rescale_gradient: bool = False,
    ) -> None:
        """In place of ``layer``, whose sizes alone are used.

        Args:
            budget: how many values stand for the weights and for the biases.
            seed: of the hash functions and of the start, uniform within 1 / sqrt(inputs).
            rescale_gradient: divide the gradient of a value by how many weights use it.
        """
        super().__init__(layer.in_features, layer.out_features)
        self._rescaled = rescale_gradient
        self._seeds = {"weight": derived_seed(seed, _INDEX)}
        generator = seeded(derived_seed(seed, _START) & _TORCH_SEEDS)
        self.values = _uniform(budget.weights, layer.in_features, generator)
        self._spreads = {
            "weight": _Spreading(self._seeds["weight"], layer.weight.shape, budget.weights)
        }
        self.bias_values: nn.Parameter | None = None
        if layer.bias is not None:
            self.bias_values = _uniform(budget.biases, layer.in_features, generator)
            if hash_biases:
                self._seeds["bias"] = derived_seed(seed, _BIAS_INDEX)
                self._spreads["bias"] = _Spreading(
                    self._seeds["bias"], layer.bias.shape, budget.biases
                )

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The virtual matrix, (outputs, inputs) float32; overwritten when next asked for."""
        return _spread(self.values, self._spreads["weight"], self._rescaled)

    @property
    def bias(self) -> torch.Tensor | None:  # type: ignore[override]
        """(outputs) float32, or None."""
        if self.bias_values is None or "bias" not in self._spreads:
            return self.bias_values
        return _spread(self.bias_values, self._spreads["bias"], self._rescaled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features)
        product: torch.Tensor = _HashedProduct.apply(  # type: ignore[no-untyped-call]
            rows, self.values, self._spreads["weight"], self._rescaled
        )
        if (bias := self.bias) is not None:
            product = product + bias
        return product.view(*x.shape[:-1], self.out_features)

    def formats(self) -> dict[str, Format]:
        stored = {"weight": self.values, "bias": self.bias_values}
        return {
            role: Hashed(tuple(spreading.shape), _numpy(stored[role]), self._seeds[role])
            for role, spreading in self._spreads.items()
        }


class RandomEdges(StoredLinear):
    """Random connections alone, drawn before training (RER, after Ciresan et al. 2011).

    Every bias is kept; the connections are as many as the rest of the budget.
    """

    def __init__(self, layer: nn.Linear, budget: Budget, seed: int) -> None:
        """In place of ``layer``, whose sizes alone are used."""
        super().__init__(layer.in_features, layer.out_features)
        weights = layer.weight.numel()
        kept = min(budget.beside_biases(layer), weights)
        drawn = np.random.default_rng(derived_seed(seed, _EDGES)).permutation(weights)[:kept]
        self.register_buffer("positions", torch.from_numpy(np.sort(drawn)), persistent=False)
        generator = seeded(derived_seed(seed, _START) & _TORCH_SEEDS)
        # Each unit sees so many inputs on average.
        seen = max(1.0, kept / layer.out_features)
        self.values = _uniform(kept, seen, generator)
        self.bias = None if layer.bias is None else _uniform(layer.out_features, seen, generator)
        self.register_buffer("_dense", torch.zeros(layer.weight.shape), persistent=False)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """(outputs, inputs) float32, 0 where there is no connection; overwritten next time."""
        placed: torch.Tensor = _Place.apply(self.values, self.positions, self._dense)  # type: ignore[no-untyped-call]
        return placed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight, self.bias)

    def formats(self) -> dict[str, Format]:
        shape = (self.out_features, self.in_features)
        positions = self.get_buffer("positions").cpu().numpy()
        return {"weight": Sparse(shape, positions, _numpy(self.values))}


class RandomFactor(StoredLinear):
    """A fixed Gaussian factor on the inputs and a learned one (LRD, after Denil et al. 2013).

    Every bias is kept; the rank is as high as the rest of the budget bears.
    """

    def __init__(self, layer: nn.Linear, budget: Budget, seed: int) -> None:
        """In place of ``layer``, whose sizes alone are used."""
        super().__init__(layer.in_features, layer.out_features)
        most = min(layer.in_features, budget.beside_biases(layer) // layer.out_features)
        self.dictionary = Dictionary(
            "gaussian",
            atoms=max(1, most),
            seed=derived_seed(seed, _FACTOR),
            scale=1 / math.sqrt(layer.in_features),
        )
        fixed = next(self.dictionary.factors(layer.in_features))
        self.register_buffer("fixed", torch.from_numpy(fixed.T.copy()), persistent=False)
        generator = seeded(derived_seed(seed, _START) & _TORCH_SEEDS)
        rank = self.dictionary.atoms
        self.values = _uniform(rank * layer.out_features, rank, generator)
        self.bias = None if layer.bias is None else _uniform(layer.out_features, rank, generator)

    @property
    def _learned(self) -> torch.Tensor:
        """(rank, outputs)."""
        return self.values.view(-1, self.out_features)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """(outputs, inputs) float32."""
        return self._learned.T @ self.get_buffer("fixed")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = functional.linear(x, self.get_buffer("fixed"))
        return functional.linear(seen, self._learned.T, self.bias)

    def formats(self) -> dict[str, Format]:
        shape = (self.out_features, self.in_features)
        return {"weight": FixedFactor(shape, _numpy(self._learned), self.dictionary)}


class _Spreading:
    """The hash functions of one tensor, and memory that is used again at each step."""

    def __init__(self, seed: int, shape: torch.Size, buckets: int) -> None:
        self.shape = shape
        self.index = HashedIndex(packed_index(seed, math.prod(shape), buckets), buckets)
        self._held: dict[tuple[str, torch.device], torch.Tensor] = {}
        self._shares: dict[torch.device, torch.Tensor] = {}

    def memory(self, use: str, device: torch.device, rows: int | None = None) -> torch.Tensor:
        """Float32, not initialised: of the tensor's shape, or so many rows of it."""
        if (use, device) not in self._held:
            shape = self.shape if rows is None else (rows, *self.shape[1:])
            self._held[use, device] = torch.empty(shape, device=device)
        return self._held[use, device]

    def laid_out(self, values: torch.Tensor) -> torch.Tensor:
        """All virtual weights, in memory of their own."""
        whole = self.memory("weights", values.device)
        self.index.spread(values, whole.view(-1))
        return whole

    def collected(self, gradient: torch.Tensor, rescaled: bool) -> torch.Tensor:
        """The gradient of the values."""
        sums = self.index.collect(gradient.reshape(-1))
        return sums * self._shares_on(sums.device) if rescaled else sums

    def _shares_on(self, device: torch.device) -> torch.Tensor:
        """One over how many weights use each value, (buckets)."""
        if device not in self._shares:
            self._shares[device] = (1 / self.index.occupancy().clamp(min=1)).to(device)
        return self._shares[device]


class _Spread(torch.autograd.Function):
    """Virtual weights of stored values; backwards the signed sums (section 4.3)."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, spreading: _Spreading, rescaled: bool
    ) -> torch.Tensor:
        # Kept only so that a backward pass after the values have changed is refused by torch.
        ctx.save_for_backward(values)
        ctx.spreading, ctx.rescaled = spreading, rescaled
        return spreading.laid_out(values).data  # see ``_Place``

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        _ = ctx.saved_tensors
        return ctx.spreading.collected(gradient, ctx.rescaled), None, None


class _HashedProduct(torch.autograd.Function):
    """``x`` (batch, inputs) times the transposed virtual weights: (batch, outputs).

    Where no gradient of ``x`` is wanted, as in a first layer, the weights are laid out and used a
    piece at a time, and never leave the cache.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, values: torch.Tensor, spreading: _Spreading, rescaled: bool
    ) -> torch.Tensor:
        ctx.save_for_backward(x, values)
        ctx.spreading, ctx.rescaled = spreading, rescaled
        if ctx.needs_input_grad[0]:
            return x @ spreading.laid_out(values).T
        outputs, inputs = spreading.shape
        rows = min(outputs, max(1, PIECE_BYTES // (4 * inputs)))
        memory = spreading.memory("piece", values.device, rows)
        product = torch.empty(len(x), outputs, device=x.device)
        for start in range(0, outputs, rows):
            piece = memory[: outputs - start]
            spreading.index.spread(values, piece.view(-1), start * inputs)
            torch.mm(x, piece.T, out=product[:, start : start + len(piece)])
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, _ = ctx.saved_tensors
        spreading: _Spreading = ctx.spreading
        of_x = gradient @ spreading.memory("weights", x.device) if ctx.needs_input_grad[0] else None
        of_weights = torch.mm(gradient.T, x, out=spreading.memory("gradient", x.device))
        return of_x, spreading.collected(of_weights, ctx.rescaled), None, None


def _spread(values: torch.Tensor, spreading: _Spreading, rescaled: bool) -> torch.Tensor:
    laid_out: torch.Tensor = _Spread.apply(values, spreading, rescaled)  # type: ignore[no-untyped-call]
    return laid_out


class _Place(torch.autograd.Function):
    """Values at their positions in a matrix of zeros; backwards what stands there."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, positions: torch.Tensor, dense: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(values, positions)
        dense.view(-1).index_copy_(0, positions, values)
        # Without a shared version: where a layer is used twice, the second pass writes the same
        # numbers once more, and others are refused for the sake of ``values``.
        return dense.data

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        _, positions = ctx.saved_tensors
        return gradient.reshape(-1)[positions], None, None


def _uniform(count: int, fan_in: float, generator: torch.Generator) -> nn.Parameter:
    """Uniform within 1 / sqrt(fan_in), as the authors' layers start."""
    within = 1 / math.sqrt(max(fan_in, 1))
    return nn.Parameter(torch.empty(count).uniform_(-within, within, generator=generator))


def _numpy(values: torch.Tensor | None) -> Any:
    assert values is not None
    return values.detach().cpu().numpy()
