"""From layer entries to a module that runs; it computes in float32."""

import math
from collections.abc import Callable, Mapping, Sequence
from struct import pack, unpack

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


class CompressedConvolution1d(_Weighted):
    """A one-dimensional convolution; its weight is decoded at the first run."""

    def __init__(self, weight: Format, bias: Format | None, sizes: dict[str, int]) -> None:
        """``sizes`` as ``LAYER_KINDS["convolution-1d"]`` names them, all of them."""
        super().__init__(weight, bias, 3)
        if weight.shape[0] % sizes["groups"] or weight.shape[2] == 0:
            raise FormatError(f"has a weight of shape {weight.shape} for {sizes['groups']} groups")
        self.sizes = sizes
        self._decoded: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self.weight.shape[1] * self.sizes["groups"]
        if x.dim() != 3 or x.shape[1] != channels:
            raise UserError(f"the layer takes (batch, {channels}, length), not {tuple(x.shape)}")
        self._decoded = _at(self._decoded, self.weight, x.device)
        geometry = (self.sizes[name] for name in ("stride", "padding", "dilation", "groups"))
        return self._add_bias(functional.conv1d(x, self._decoded, None, *geometry), 1)


class CompressedEmbedding(nn.Module):
    """Rows of a table by their numbers; the table is decoded at the first run."""

    def __init__(self, weight: Format) -> None:
        super().__init__()
        if len(weight.shape) != 2:
            raise FormatError(f"has a weight of shape {weight.shape}, not of 2 dimensions")
        self.weight = weight
        self._decoded: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.weight.shape[0]
        if x.is_floating_point() or (x.numel() and not 0 <= int(x.min()) <= int(x.max()) < rows):
            raise UserError(f"the layer takes whole numbers from 0 to {rows - 1}")
        self._decoded = _at(self._decoded, self.weight, x.device)
        return functional.embedding(x.long(), self._decoded)


class Normalisation(nn.Module):
    """Batch normalisation in use: by the statistics that training left."""

    def __init__(self, formats: Mapping[str, Format], sizes: Mapping[str, int]) -> None:
        """``formats`` and ``sizes`` as ``LAYER_KINDS["normalisation"]`` names them."""
        super().__init__()
        channels = formats["running_mean"].shape
        vectors = [one.shape for role, one in formats.items() if role != "num_batches_tracked"]
        if len(channels) != 1 or set(vectors) != {channels}:
            raise FormatError(f"has tensors of the shapes {', '.join(map(str, vectors))}")
        self.epsilon = unpack("<f", pack("<i", sizes["epsilon"]))[0]
        mean, variance = (formats[role].decode() for role in ("running_mean", "running_var"))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("variance", variance, persistent=False)
        for role in ("weight", "bias"):
            held = formats[role].decode() if role in formats else None
            self.register_buffer(role, held, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, variance = self.get_buffer("mean"), self.get_buffer("variance")
        if x.dim() < 2 or x.shape[1] != len(mean):
            raise UserError(f"the layer takes (batch, {len(mean)}, ...), not {tuple(x.shape)}")
        scale, shift = self._buffers["weight"], self._buffers["bias"]
        return functional.batch_norm(x, mean, variance, scale, shift, eps=self.epsilon)


class Addition(nn.Module):
    """The sum of its inputs."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        total = inputs[0]
        for one in inputs[1:]:
            total = total + one
        return total


class ChannelPadding(nn.Module):
    """Channels of zeros before and after those of the input."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.channels = (before, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() < 2:
            raise UserError(f"the layer takes (batch, channels, ...), not {tuple(x.shape)}")
        return functional.pad(x, (0, 0) * (x.dim() - 2) + self.channels)


class Concatenation(nn.Module):
    """Its inputs side by side along one dimension."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, self.dimension)


def _dimension(sizes: Mapping[str, int]) -> int:
    return -1 if sizes["last"] else sizes["dimension"]


def _both(sizes: Mapping[str, int], name: str) -> tuple[int, int]:
    return sizes[name], sizes[f"{name}_width"]


def _at(held: torch.Tensor | None, weight: Format, device: torch.device) -> torch.Tensor:
    """``held``, or the weight decoded where that is nothing yet or on another device."""
    return held if held is not None and held.device == device else weight.decode().to(device)


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
    "channel-padding": lambda sizes, formats: ChannelPadding(sizes["before"], sizes["after"]),
    "concatenation": lambda sizes, formats: Concatenation(sizes["dimension"]),
    "convolution-1d": lambda sizes, formats: CompressedConvolution1d(
        formats["weight"], formats.get("bias"), sizes
    ),
    "embedding": lambda sizes, formats: CompressedEmbedding(formats["weight"]),
    "normalisation": lambda sizes, formats: Normalisation(formats, sizes),
    "tanh": lambda sizes, formats: nn.Tanh(),
    "sigmoid": lambda sizes, formats: nn.Sigmoid(),
    "gelu": lambda sizes, formats: nn.GELU(),
    "silu": lambda sizes, formats: nn.SiLU(),
    "softmax": lambda sizes, formats: nn.Softmax(_dimension(sizes)),
    "log-softmax": lambda sizes, formats: nn.LogSoftmax(_dimension(sizes)),
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
        done = {-1: x.float() if x.is_floating_point() else x}
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
