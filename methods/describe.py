"""From a plain network to the layers that a file names."""

from dataclasses import dataclass, field, replace
from struct import pack, unpack

from torch import nn

from methods.layer_kinds import LAYER_KINDS
from methods.residual_networks import PreActivationBlock
from registry.errors import UserError


@dataclass(frozen=True)
class LayerDescription:
    """One layer of a plain network."""

    kind: str
    name: str
    sizes: dict[str, int] = field(default_factory=dict)
    """Those that differ from the kind's defaults."""
    tensors: dict[str, str] = field(default_factory=dict)
    """Role -> name of the parameter, such as ``ip1.weight``."""
    inputs: tuple[int, ...] = ()
    """Earlier layers by place, -1 for the network's input; empty means the layer before."""


def is_plain(network: nn.Module) -> bool:
    """Whether files can name every layer of this network: whether ``describe`` takes it."""
    try:
        return bool(describe(network))
    except UserError:
        return False


def describe(network: nn.Module) -> list[LayerDescription]:
    """The layers of a plain ``nn.Sequential``; the children's names become the layers' names.

    Dropout and identity do nothing when a network is used, and are left out. A sequential within
    gives its layers under names such as ``block.conv1``.

    Raises:
        UserError: the network, or one of its layers, is of a kind that files cannot name.
    """
    if type(network) is not nn.Sequential or _has_hooks(network):
        raise UserError(
            f"{type(network).__name__} is no plain nn.Sequential: store its tensors alone, "
            "and load them with into=module"
        )
    return _layers(network, "", 0)


def _layers(network: nn.Sequential, prefix: str, before: int) -> list[LayerDescription]:
    """Those of ``network``, which so many layers come before."""
    found: list[LayerDescription] = []
    for child, module in network._modules.items():  # named_children() tells repeated ones once
        name = f"{prefix}{child}"
        if type(module) is nn.Sequential and not _has_hooks(module):
            found += _layers(module, f"{name}.", before + len(found))
        elif type(module) is PreActivationBlock and not _has_hooks(module):
            found += _block(module, f"{name}.", before + len(found))
        elif module is not None and type(module) not in (nn.Dropout, nn.Identity):
            found.append(_describe(name, module))
    return found


def _block(block: PreActivationBlock, prefix: str, before: int) -> list[LayerDescription]:
    """Of a residual block: its two branches one after the other, and their sum."""
    steps: list[tuple[str, nn.Module | None]] = [
        ("norm1", block.norm1),
        ("relu1", None if block.norm1 is None else nn.ReLU()),
        *(("conv1", block.conv1), ("norm2", block.norm2)),
        *(("relu2", nn.ReLU()), ("conv2", block.conv2)),
    ]
    found = [_describe(f"{prefix}{name}", module) for name, module in steps if module is not None]
    inner, shortcut = before + len(found) - 1, before - 1
    if block.geometry.stride > 1:
        pooling = _describe(f"{prefix}pool", nn.AvgPool2d(block.geometry.stride))
        found.append(replace(pooling, inputs=(shortcut,)))
        channels = dict(zip(("before", "after"), block.geometry.padding, strict=True))
        found.append(LayerDescription("channel-padding", f"{prefix}pad", channels))
        shortcut = before + len(found) - 1
    found.append(LayerDescription("addition", f"{prefix}sum", inputs=(inner, shortcut)))
    return found


def _has_hooks(module: nn.Module) -> bool:
    """Whether something changes what the module's class computes."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _describe(name: str, module: nn.Module) -> LayerDescription:
    fault = UserError(f"layer {name!r} ({module}) is of a kind that files cannot name")
    # A class derived from a library's layer may compute anything.
    if not type(module).__module__.startswith("torch.nn.modules.") or _has_hooks(module):
        raise fault
    named = _kind_and_sizes(module)
    if named is None:
        raise fault
    kind, sizes = named
    own = [
        *module.named_parameters(recurse=False, remove_duplicate=False),
        *module.named_buffers(recurse=False, remove_duplicate=False),
    ]
    try:
        written = LAYER_KINDS[kind].without_defaults(sizes)
    except ValueError as error:
        raise UserError(f"{fault}: {error}") from error
    layer = LAYER_KINDS[kind]
    if not {role for role, _ in own} <= {*layer.roles, *layer.optional_roles}:
        raise fault
    return LayerDescription(kind, name, written, {role: f"{name}.{role}" for role, _ in own})


_WITHOUT_SIZES: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.ReLU, "relu"),
    (nn.Linear, "linear"),
    (nn.Tanh, "tanh"),
    (nn.Sigmoid, "sigmoid"),
    (nn.SiLU, "silu"),
)


def _kind_and_sizes(module: nn.Module) -> tuple[str, dict[str, int]] | None:
    """None for a layer that no kind stands for."""
    for kind, name in _WITHOUT_SIZES:
        if type(module) is kind:
            return name, {}
    match module:
        case nn.Flatten(start_dim=1, end_dim=-1):
            return "flatten", {}
        case nn.Conv2d(padding_mode="zeros", padding=tuple()):
            geometry = {
                **_spread("stride", module.stride),
                **_spread("padding", module.padding),
                **_spread("dilation", module.dilation),
            }
            return "convolution", {**geometry, "groups": module.groups}
        case nn.Conv1d(padding_mode="zeros", padding=tuple()):
            names = ("stride", "padding", "dilation")
            along = {name: int(getattr(module, name)[0]) for name in names}
            return "convolution-1d", {**along, "groups": module.groups}
        case nn.MaxPool2d(dilation=1, return_indices=False):
            return "max-pooling", _window(module)
        case nn.AvgPool2d(count_include_pad=True, divisor_override=None):
            return "average-pooling", _window(module)
        case nn.Embedding(max_norm=None):
            return "embedding", {}
        case nn.BatchNorm1d() | nn.BatchNorm2d() if module.track_running_stats:
            return "normalisation", {"epsilon": unpack("<i", pack("<f", module.eps))[0]}
        case nn.GELU(approximate="none"):
            return "gelu", {}
        case nn.Softmax(dim=int()) | nn.LogSoftmax(dim=int()):
            last = module.dim == -1
            sizes = {"dimension": 1 if last else int(module.dim or 0), "last": int(last)}
            return "softmax" if isinstance(module, nn.Softmax) else "log-softmax", sizes
    return None


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
