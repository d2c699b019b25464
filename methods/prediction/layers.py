"""Trainable layers whose weights are a product of a fixed and a learned factor, or of two learned.

Denil et al., NIPS 2013, section 3: W = U V by columns of outputs, U fixed; the low-rank comparison
learns both. All give their whole weight as ``weight``, (outputs, inputs) or that of a convolution.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from methods.formats.fixed_factor import FixedFactor
from methods.formats.low_rank import LowRank
from methods.formats.uniform import rows_and_width
from methods.prediction.dictionaries import Dictionary


class Factored(nn.Module):
    """A fully connected or convolutional layer with a factored weight, in place of a dense one."""

    bias: nn.Parameter | None
    values: nn.Parameter
    """What the outputs have of their own: (atoms or rank, outputs)."""

    def __init__(self, dense: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.shape = tuple(dense.weight.shape)
        self.outputs, self.inputs = rows_and_width(self.shape)
        self.geometry = (
            (dense.stride, dense.padding, dense.dilation) if isinstance(dense, nn.Conv2d) else None
        )
        bias: torch.Tensor | None = dense.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @abstractmethod
    def matrix(self) -> torch.Tensor:
        """The weight, multiplied out: (outputs, inputs)."""

    @abstractmethod
    def to_format(self) -> FixedFactor | LowRank:
        """The factors as they are stored."""

    @property
    @abstractmethod
    def learned_weights(self) -> int:
        """Numbers that are learned, the bias left out."""

    @property
    def weight(self) -> torch.Tensor:
        """The weight, multiplied out, of the dense layer's shape."""
        return self.matrix().reshape(self.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.geometry is None:
            return functional.linear(x, self.matrix(), self.bias)
        stride, padding, dilation = self.geometry
        return functional.conv2d(x, self.weight, self.bias, stride, padding, dilation)

    def backward_product(self, hidden: torch.Tensor) -> torch.Tensor:
        """``hidden`` (batch, outputs) times the weight: (batch, inputs), as a tied decoder does."""
        return hidden @ self.matrix()


class Predicted(Factored):
    """A layer with a fixed factor from a dictionary and learned values."""

    fixed: torch.Tensor

    def __init__(
        self,
        dense: nn.Linear | nn.Conv2d,
        dictionary: Dictionary,
        stored: NDArray[np.float32] | None,
        *,
        init_range: float,
        generator: torch.Generator,
    ) -> None:
        """Values start uniformly within ``init_range``; the bias is that of ``dense``.

        Args:
            stored: what ``dictionary.select`` gave, of dictionaries made from data.

        Raises:
            ValueError: the dictionary does not fit the layer.
        """
        super().__init__(dense)
        dictionary.check(self.inputs, self.outputs)
        self.dictionary = dictionary
        self.stored = stored
        self.places = dictionary.places(self.outputs)
        factors = np.stack(list(dictionary.factors(self.inputs, stored)))
        like = dense.weight
        # (columns, atoms, inputs): made again from the rule, so no part of the state.
        fixed = torch.from_numpy(factors).transpose(1, 2).contiguous()
        self.register_buffer("fixed", fixed.to(like.device, like.dtype), persistent=False)
        values = torch.empty(dictionary.atoms, self.outputs)
        values.uniform_(-init_range, init_range, generator=generator)
        self.values = nn.Parameter(values.to(like.device, like.dtype))

    @property
    def learned_weights(self) -> int:
        return self.values.numel()

    def matrix(self) -> torch.Tensor:
        columns = zip(self.places, self.fixed, strict=True)
        return torch.cat([self.values[:, place].T @ fixed for place, fixed in columns])

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs (batch, inputs) as all columns' atoms see them: (batch, columns * atoms)."""
        return functional.linear(x, self.fixed.flatten(0, 1))

    def from_features(self, seen: torch.Tensor) -> torch.Tensor:
        """The outputs, of what ``features`` gave."""
        by_column = torch.split(seen, self.dictionary.atoms, dim=-1)
        parts = [
            one @ self.values[:, place] for one, place in zip(by_column, self.places, strict=True)
        ]
        together = torch.cat(parts, dim=-1)
        return together if self.bias is None else together + self.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.geometry is None and self._by_features(x.numel() // max(self.inputs, 1)):
            return self.from_features(self.features(x))
        return super().forward(x)

    def backward_product(self, hidden: torch.Tensor) -> torch.Tensor:
        if not self._by_features(len(hidden)):
            return super().backward_product(hidden)
        parts = [hidden[:, place] @ self.values[:, place].T for place in self.places]
        return torch.cat(parts, dim=-1) @ self.fixed.flatten(0, 1)

    def _by_features(self, batch: int) -> bool:
        """Whether a step by both factors takes fewer multiplications than by the whole weight."""
        atoms, columns = self.dictionary.atoms, self.dictionary.columns
        by_features = batch * atoms * (2 * columns * self.inputs + 3 * self.outputs)
        return by_features < self.inputs * self.outputs * (2 * atoms + 3 * batch)

    def to_format(self) -> FixedFactor:
        values = self.values.detach().float().cpu().numpy()
        return FixedFactor(self.shape, values, self.dictionary, self.stored)


class TwoFactors(Factored):
    """A layer of low rank, both of whose factors are learned."""

    def __init__(
        self,
        dense: nn.Linear | nn.Conv2d,
        rank: int,
        *,
        init_range: float,
        generator: torch.Generator,
    ) -> None:
        """Both factors start uniformly within ``init_range``; the bias is that of ``dense``."""
        super().__init__(dense)

        def factor(size: int) -> nn.Parameter:
            start = torch.empty(rank, size)
            start.uniform_(-init_range, init_range, generator=generator)
            return nn.Parameter(start.to(dense.weight.device, dense.weight.dtype))

        self.values = factor(self.outputs)
        self.basis = factor(self.inputs)

    @property
    def learned_weights(self) -> int:
        return self.values.numel() + self.basis.numel()

    def matrix(self) -> torch.Tensor:
        return self.values.T @ self.basis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.geometry is None:
            outputs = functional.linear(x, self.basis) @ self.values
            return outputs if self.bias is None else outputs + self.bias
        return super().forward(x)

    def backward_product(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ self.values.T @ self.basis

    def to_format(self) -> LowRank:
        left, right = self.values.detach().float().cpu(), self.basis.detach().float().cpu()
        return LowRank(self.shape, left.T.numpy(), right.numpy())


class _Columns(nn.Module):
    """A predicted layer behind its fixed factor."""

    def __init__(self, layer: Predicted) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return self.layer.from_features(seen)


def with_fixed_first(network: nn.Module, rows: int, most_bytes: int) -> nn.Module:
    """The same network, of the same parameters, with its first fixed factor as a layer of its own.

    Where nothing but flattening stands before a predicted fully connected layer of a plain
    ``nn.Sequential``, what the fixed factor makes of the training inputs never changes, and
    ``Task.fit`` computes once what frozen leading layers give.

    Args:
        rows: of the training split.
        most_bytes: beyond so much for all rows, the network itself is returned.
    """
    layers: Sequence[nn.Module] = list(network) if type(network) is nn.Sequential else []
    at = next((n for n, one in enumerate(layers) if not isinstance(one, nn.Flatten)), None)
    first = None if at is None else layers[at]
    if at is None or not isinstance(first, Predicted) or first.geometry is not None:
        return network
    columns, atoms, inputs = first.fixed.shape
    if rows * columns * atoms * first.fixed.element_size() > most_bytes:
        return network
    fixed = nn.Linear(inputs, columns * atoms, bias=False, device="meta")
    fixed.weight = nn.Parameter(first.fixed.flatten(0, 1), requires_grad=False)
    return nn.Sequential(*layers[:at], fixed, _Columns(first), *layers[at + 1 :])


@torch.no_grad()
def limit_norms(weights: Sequence[torch.Tensor], most: float) -> None:
    """Scale, in place, what each output has of its own to a Euclidean norm of at most ``most``.

    Args:
        weights: (outputs, anything); transposed views of learned values too.
    """
    for weight in weights:
        rest = tuple(range(1, weight.dim()))
        norms = torch.linalg.vector_norm(weight, dim=rest, keepdim=True)
        if bool((norms > most).any()):
            weight.mul_(most / norms.clamp_min(most))
