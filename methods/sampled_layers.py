"""Layers that train with drawn weights and rounded inputs, in place of plain ones.

Lin et al., ICLR 2016, sections on binary and ternary connect and on quantized back-propagation. A
sampled layer has the very parameters of the layer that it stands for. ``draw`` draws its weights
for one minibatch; forward and backward pass use the same draw. The gradient of the weights is that
of the drawn ones, taken as it is for the real-valued ones.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from methods.random_rounding import Exponents, RandomBits, draw_weights, power_of_two
from methods.seeds import seeded

Weights = Literal["real", "binary", "ternary"]
Layer = nn.Linear | nn.Conv2d


NORMALISATIONS = nn.modules.batchnorm._BatchNorm


def is_frozen(module: nn.Module) -> bool:
    """Whether it has parameters and none of them is to be trained."""
    own = list(module.parameters())
    return bool(own) and not any(one.requires_grad for one in own)


@dataclass(frozen=True)
class Sampling:
    """How a layer draws its weights and rounds its inputs."""

    weights: Weights
    rounds_inputs: bool
    """Round inputs to powers of two where the gradient of the weights is made."""
    exponents: Exponents | None = None
    """Bounds of the inputs' exponents."""
    zero: float = 0.0
    """What an input of 0 is rounded to."""


class SampledLayer(nn.Module):
    """One layer in training; its parameters are those of the layer that it stands for."""

    bias: torch.Tensor | None

    def __init__(self, layer: Layer, scale: float, sampling: Sampling, seed: int) -> None:
        """In place of ``layer``.

        Args:
            scale: what a drawn 1 stands for; weights are to be kept within -scale and scale.
            seed: of its draws.
        """
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = scale if sampling.weights != "real" else 1.0
        self.sampling = sampling
        self.drawn: torch.Tensor = layer.weight.detach()
        """What the product is made with: drawn weights in -1, 0, 1, or the real ones."""
        self.error: torch.Tensor | None = None
        """The gradient to use for the weights in place of that of the outputs, or None."""
        self._bits = RandomBits(seed)

    def draw(self) -> None:
        """Draw the weights for the next minibatch; real ones are taken as they are now."""
        weight = self.weight.detach()
        if self.sampling.weights != "real":
            weight = draw_weights(weight, self.scale, self.sampling.weights, self._bits)
        self.drawn = weight

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs as the gradient of the weights takes them."""
        if not self.sampling.rounds_inputs:
            return x
        return power_of_two(x, self._bits, self.sampling.exponents, self.sampling.zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = _Product.apply(x, self.weight, self)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias_over(product)

    @abstractmethod
    def bias_over(self, product: torch.Tensor) -> torch.Tensor:
        """The bias in a shape that is added to ``product``."""

    @abstractmethod
    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The layer's product, without bias."""

    @abstractmethod
    def of_inputs(
        self, gradient: torch.Tensor, weight: torch.Tensor, shape: torch.Size
    ) -> torch.Tensor:
        """The gradient of inputs of ``shape``."""

    @abstractmethod
    def of_weights(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The gradient of the weights."""


class _Product(torch.autograd.Function):
    """A product with drawn weights; backwards the same draw, and rounded inputs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: SampledLayer) -> Any:
        ctx.save_for_backward(x)
        ctx.layer, ctx.drawn = layer, layer.drawn
        product = layer.product(x, ctx.drawn)
        # The scale is one constant a layer: outputs are fewer than weights.
        return product if layer.scale == 1 else product.mul_(layer.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        layer: SampledLayer = ctx.layer
        of_x = of_weights = None
        if ctx.needs_input_grad[0]:
            of_x = layer.of_inputs(gradient, ctx.drawn, x.shape)
            if layer.scale != 1:
                of_x.mul_(layer.scale)
        if ctx.needs_input_grad[1]:
            error = gradient if layer.error is None else layer.error
            of_weights = layer.of_weights(error, layer.rounded(x))
        return of_x, of_weights, None


class SampledLinear(SampledLayer):
    """Outputs (..., outputs) of inputs (..., inputs), float32."""

    def bias_over(self, product: torch.Tensor) -> torch.Tensor:
        assert self.bias is not None
        return self.bias

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, weight)

    def of_inputs(
        self, gradient: torch.Tensor, weight: torch.Tensor, shape: torch.Size
    ) -> torch.Tensor:
        return gradient @ weight

    def of_weights(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return gradient.reshape(-1, gradient.shape[-1]).T @ x.reshape(-1, x.shape[-1])


class SampledConvolution(SampledLayer):
    """Outputs (batch, channels, height, width) of such inputs, float32."""

    def __init__(self, layer: nn.Conv2d, scale: float, sampling: Sampling, seed: int) -> None:
        super().__init__(layer, scale, sampling, seed)
        padding = (0, 0) if isinstance(layer.padding, str) else layer.padding
        self._geometry = (layer.stride, padding, layer.dilation, layer.groups)

    def bias_over(self, product: torch.Tensor) -> torch.Tensor:
        assert self.bias is not None
        return self.bias.view(-1, 1, 1)

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        stride, padding, dilation, groups = self._geometry
        return functional.conv2d(x, weight, None, stride, padding, dilation, groups)

    def of_inputs(
        self, gradient: torch.Tensor, weight: torch.Tensor, shape: torch.Size
    ) -> torch.Tensor:
        found: torch.Tensor = conv2d_input(shape, weight, gradient, *self._geometry)  # type: ignore[no-untyped-call]
        return found

    def of_weights(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = conv2d_weight(x, self.weight.shape, gradient, *self._geometry)  # type: ignore[no-untyped-call]
        return found


def start_range(layer: Layer, pooled: int = 1) -> float:
    """sqrt(6 / (inputs + outputs)) of a unit: weights start uniformly within it, the authors' code.

    Args:
        pooled: how many outputs of a convolution one of the pooling that follows is made of.
    """
    if isinstance(layer, nn.Linear):
        return math.sqrt(6 / (layer.in_features + layer.out_features))
    window = math.prod(layer.kernel_size)
    inputs = layer.in_channels // layer.groups * window
    return math.sqrt(6 / (inputs + layer.out_channels * window / pooled))


def start_ranges(network: nn.Module, layers: Mapping[str, Layer]) -> dict[str, float]:
    """``start_range`` by name; a pooling counts where it is the first one before another layer."""
    areas = dict(_pooled_areas(network))
    return {name: start_range(one, areas.get(id(one), 1)) for name, one in layers.items()}


def _pooled_areas(network: nn.Module) -> Iterator[tuple[int, int]]:
    """Of each convolution that a pooling follows: its id, and the area of the window."""
    last: int | None = None
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            last = id(module) if isinstance(module, nn.Conv2d) else None
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and last is not None:
            size = module.kernel_size
            yield last, math.prod(size) if isinstance(size, tuple) else int(size) ** 2
            last = None


def start(
    network: nn.Module, layers: Mapping[str, Layer], ranges: Mapping[str, float], seed: int
) -> None:
    """Weights uniform within their ranges, biases 0; normalisations with scale 1 and shift 0."""
    generator = seeded(seed)
    with torch.no_grad():
        for name, layer in layers.items():
            drawn = torch.empty(layer.weight.shape)
            drawn.uniform_(-ranges[name], ranges[name], generator=generator)
            layer.weight.copy_(drawn)
            if layer.bias is not None:
                layer.bias.zero_()
        for module in network.modules():
            if isinstance(module, NORMALISATIONS) and not is_frozen(module):
                module.reset_parameters()


def threshold_(layers: Mapping[str, Layer], scales: Mapping[str, float], weights: Weights) -> None:
    """In place, without chance: the sign times the scale; ternary, 0 below half of the scale."""
    with torch.no_grad():
        for name, layer in layers.items():
            one, scale = layer.weight, scales[name]
            kept = one.abs() > scale / 2 if weights == "ternary" else torch.ones_like(one)
            one.copy_(torch.where(one < 0, -scale, scale) * kept)
