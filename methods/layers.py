"""From layer entries to a module that runs, and from a plain network to layer entries."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from methods.document import LayerEntry
from methods.formats.format import Format, FormatError
from methods.layer_kinds import LAYER_KINDS
from registry.errors import UserError


class _Weighted(nn.Module):
    """A weight in its format, and a bias that is decoded at the first run."""

    def __init__(self, weight: Format, bias: Format | None, rank: int) -> None:
        super().__init__()
        if len(weight.shape) != rank:
            raise FormatError(f"has a weight of shape {weight.shape}, not of {rank} dimensions")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise FormatError(f"has a bias of shape {bias.shape} for {weight.shape[0]} outputs")
        self.weight = weight
        self.bias = bias
        self._decoded_bias: torch.Tensor | None = None

    def _add_bias(self, product: torch.Tensor, *after: int) -> torch.Tensor:
        if self.bias is None:
            return product
        if self._decoded_bias is None or self._decoded_bias.device != product.device:
            self._decoded_bias = self.bias.decode().to(product.device)
        return product + self._decoded_bias.reshape(-1, *after)


class CompressedLinear(_Weighted):
    """A fully connected layer that multiplies by its format."""

    def __init__(self, weight: Format, bias: Format | None = None) -> None:
        super().__init__(weight, bias, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, inputs = self.weight.shape
        if x.shape[-1] != inputs:
            raise UserError(f"the layer takes {inputs} inputs, not {x.shape[-1]}")
        batch = x.shape[:-1]
        rows = x.reshape(math.prod(batch), inputs)
        return self._add_bias(self.weight.multiply(rows)).reshape(*batch, outputs)


class CompressedConvolution(_Weighted):
    """A two-dimensional convolution that multiplies by its format."""

    def __init__(self, weight: Format, bias: Format | None, sizes: Mapping[str, int]) -> None:
        """``sizes`` as ``LAYER_KINDS["convolution"]`` names them, all of them."""
        super().__init__(weight, bias, 4)
        self.groups = sizes["groups"]
        if weight.shape[0] % self.groups or 0 in weight.shape[2:]:
            raise FormatError(f"has a weight of shape {weight.shape} for {self.groups} groups")
        self.stride = _both(sizes, "stride")
        self.padding = _both(sizes, "padding")
        self.dilation = _both(sizes, "dilation")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self.weight.shape[1] * self.groups
        if x.dim() != 4 or x.shape[1] != channels:
            raise UserError(
                f"the layer takes (batch, {channels}, height, width), not {tuple(x.shape)}"
            )
        product = self.weight.multiply(
            x,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return self._add_bias(product, 1, 1)


class Pooling(nn.Module):
    """Maximum or average over windows; the average counts the padding."""

    def __init__(self, sizes: Mapping[str, int], average: bool) -> None:
        super().__init__()
        self.kernel = _both(sizes, "kernel")
        self.stride = _both(sizes, "stride")
        self.padding = _both(sizes, "padding")
        if any(2 * pad > kernel for pad, kernel in zip(self.padding, self.kernel, strict=True)):
            raise FormatError("has padding wider than half its window")
        self.ceil = bool(sizes["ceil"])
        self.average = average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.average:
            return functional.avg_pool2d(x, self.kernel, self.stride, self.padding, self.ceil)
        return functional.max_pool2d(x, self.kernel, self.stride, self.padding, ceil_mode=self.ceil)


class Addition(nn.Module):
    """The sum of its inputs."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        total = inputs[0]
        for one in inputs[1:]:
            total = total + one
        return total


class Concatenation(nn.Module):
    """Its inputs side by side along one dimension."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, self.dimension)


def _both(sizes: Mapping[str, int], name: str) -> tuple[int, int]:
    return sizes[name], sizes[f"{name}_width"]


Builder = Callable[[dict[str, int], dict[str, Format]], nn.Module]

BUILDERS: dict[str, Builder] = {
    "flatten": lambda sizes, formats: nn.Flatten(),
    "relu": lambda sizes, formats: nn.ReLU(),
    "linear": lambda sizes, formats: CompressedLinear(formats["weight"], formats.get("bias")),
    "convolution": lambda sizes, formats: CompressedConvolution(
        formats["weight"], formats.get("bias"), sizes
    ),
    "max-pooling": lambda sizes, formats: Pooling(sizes, average=False),
    "average-pooling": lambda sizes, formats: Pooling(sizes, average=True),
    "addition": lambda sizes, formats: Addition(),
    "concatenation": lambda sizes, formats: Concatenation(sizes["dimension"]),
}
"""How each kind of ``LAYER_KINDS`` becomes a module, from all its sizes and its formats."""


class Network(nn.Module):
    """Layers in order, each fed by the layer before it or by those that it names."""

    def __init__(self, layers: Sequence[LayerEntry], formats: Sequence[Format]) -> None:
        """Build the modules.

        Raises:
            FormatError: a layer's tensors do not fit it; names the layer.
        """
        super().__init__()
        self.entries = tuple(layers)
        self.steps = nn.ModuleList(_build(entry, formats) for entry in self.entries)
        self._feeds = [entry.inputs or (at - 1,) for at, entry in enumerate(self.entries)]
        self._last_use = {feed: at for at, feeds in enumerate(self._feeds) for feed in feeds}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        done = {-1: x}
        for at, step in enumerate(self.steps):
            try:
                done[at] = step(*(done[feed] for feed in self._feeds[at]))
            except UserError as fault:
                raise UserError(f"layer {self.entries[at].name!r}: {fault}") from fault
            for feed in set(self._feeds[at]):
                if self._last_use[feed] == at:
                    del done[feed]
        return done[len(self.steps) - 1]


def _build(entry: LayerEntry, formats: Sequence[Format]) -> nn.Module:
    sizes = LAYER_KINDS[entry.kind].complete(entry.sizes)
    held = {role: formats[place] for role, place in entry.tensors.items()}
    try:
        return BUILDERS[entry.kind](sizes, held)
    except FormatError as fault:
        raise FormatError(f"layer {entry.name!r} {fault}") from fault


@dataclass(frozen=True)
class LayerDescription:
    """One layer of a plain network."""

    kind: str
    name: str
    sizes: dict[str, int] = field(default_factory=dict)
    """Those that differ from the kind's defaults."""
    tensors: dict[str, str] = field(default_factory=dict)
    """Role -> name of the parameter, such as ``ip1.weight``."""


def describe(network: nn.Module) -> list[LayerDescription]:
    """The layers of a plain ``nn.Sequential``; the children's names become the layers' names.

    Dropout and identity do nothing when a network is used, and are left out.

    Raises:
        UserError: the network, or one of its layers, is of a kind that files cannot name.
    """
    if not isinstance(network, nn.Sequential):
        raise UserError(
            f"{type(network).__name__} is no plain nn.Sequential: store its tensors alone, "
            "and load them with into=module"
        )
    return [
        _describe(name, module)
        for name, module in network.named_children()
        if not isinstance(module, nn.Dropout | nn.Identity)
    ]


def _describe(name: str, module: nn.Module) -> LayerDescription:
    kind, sizes = _kind_and_sizes(name, module)
    roles = [role for role, _ in module.named_parameters(recurse=False)]
    return LayerDescription(
        kind,
        name,
        LAYER_KINDS[kind].without_defaults(sizes),
        {role: f"{name}.{role}" for role in roles},
    )


def _kind_and_sizes(name: str, module: nn.Module) -> tuple[str, dict[str, int]]:
    match module:
        case nn.Flatten(start_dim=1, end_dim=-1):
            return "flatten", {}
        case nn.ReLU():
            return "relu", {}
        case nn.Linear():
            return "linear", {}
        case nn.Conv2d(padding_mode="zeros", padding=tuple()):
            geometry = {
                **_spread("stride", module.stride),
                **_spread("padding", module.padding),
                **_spread("dilation", module.dilation),
            }
            return "convolution", {**geometry, "groups": module.groups}
        case nn.MaxPool2d(dilation=1, return_indices=False):
            return "max-pooling", _window(module)
        case nn.AvgPool2d(count_include_pad=True, divisor_override=None):
            return "average-pooling", _window(module)
    raise UserError(f"layer {name!r} ({module}) is of a kind that files cannot name")


def _window(module: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, int]:
    return {
        **_spread("kernel", module.kernel_size),
        **_spread("stride", module.stride),
        **_spread("padding", module.padding),
        "ceil": int(module.ceil_mode),
    }


def _spread(name: str, size: object) -> dict[str, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    return {name: int(height), f"{name}_width": int(width)}
