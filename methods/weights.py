"""Which tensors of any network are weights that a method may compress, and which stay dense."""

import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from methods.method import UnsuitableTask
from registry.errors import UserError

WEIGHT_ROLES: tuple[tuple[tuple[type[nn.Module], ...], re.Pattern[str]], ...] = (
    ((nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding), re.compile(r"weight")),
    ((nn.RNNBase, nn.RNNCellBase), re.compile(r"weight_(ih|hh|hr)(_l\d+)?(_reverse)?")),
)
"""Kinds of module, and which of their parameters are weights; all others stay dense."""
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMALISATIONS = (
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
)
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

AppliesTo = Callable[[nn.Module], str | None]


def holds_weights(module: nn.Module) -> str | None:
    """None where the module is of a kind that holds weights, else why not."""
    if any(isinstance(module, kinds) for kinds, _ in WEIGHT_ROLES):
        return None
    return f"{type(module).__name__} has no weights of a kind that is known here"


@dataclass(frozen=True, eq=False)
class Weight:
    """One weight tensor; parameters that are tied are one weight with several names."""

    name: str
    """The first of its names in the network's state dict."""
    names: tuple[str, ...]
    module: nn.Module
    """The module that holds it, the first one that the method takes."""
    module_name: str
    """That module's name in the network, empty for the network itself."""
    role: str
    """The name within the module: ``weight``, ``weight_ih_l0``, ..."""
    tensor: torch.Tensor
    """The parameter itself, in its own type."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)


@dataclass(frozen=True, eq=False)
class Weights:
    """Every tensor of a network's state dict, told apart."""

    handled: tuple[Weight, ...]
    """In the order of the state dict."""
    dense: Mapping[str, str]
    """Name -> why it stays dense; all names of tied tensors, in the order of the state dict."""


@dataclass(frozen=True, eq=False)
class _Holder:
    """One name of a tensor, and the module that has it."""

    name: str
    module: nn.Module
    module_name: str
    role: str
    tensor: torch.Tensor
    is_parameter: bool


def find_weights(network: nn.Module, applies_to: AppliesTo = lambda module: None) -> Weights:
    """The weights of ``network`` that a method handles, and why all else stays dense.

    A tied tensor is handled where one of the modules that share it is.

    Args:
        applies_to: None where the method can compress this module's weights, else why not.
    """
    handled: list[Weight] = []
    reasons: dict[str, str] = {}
    groups = _groups(network)
    for group in groups:
        why = [_why_dense(holder, applies_to) for holder in group]
        names = tuple(holder.name for holder in group)
        if None in why:
            one = group[why.index(None)]
            handled.append(
                Weight(names[0], names, one.module, one.module_name, one.role, one.tensor)
            )
        else:
            reasons |= dict(zip(names, map(str, why), strict=True))
    order = [name for name in network.state_dict() if name in reasons]
    return Weights(tuple(handled), {name: reasons[name] for name in order})


def require_weights(network: nn.Module, applies_to: AppliesTo = holds_weights) -> Weights:
    """As ``find_weights``, of a network that has some.

    Raises:
        UnsuitableTask: nothing can be compressed; says why of the first tensors.
    """
    found = find_weights(network, applies_to)
    if not found.handled:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(found.dense.items())[:3])
        raise UnsuitableTask(f"the network has no weights to compress ({why or 'it is empty'})")
    return found


def _groups(network: nn.Module) -> list[list[_Holder]]:
    """Holders of the same tensor together, in the order of the state dict."""
    found: dict[Hashable, list[_Holder]] = {}
    for holder in _holders(network):
        found.setdefault(memory_key(holder.tensor), []).append(holder)
    return list(found.values())


def _holders(network: nn.Module) -> Iterator[_Holder]:
    persistent = set(network.state_dict())
    for module_name, module in network.named_modules(remove_duplicate=False):
        # Both calls below leave out repetitions within one module unless told otherwise.
        own: dict[str, tuple[torch.Tensor, bool]] = {
            role: (tensor, True)
            for role, tensor in module.named_parameters(recurse=False, remove_duplicate=False)
        }
        own |= {
            role: (tensor, False)
            for role, tensor in module.named_buffers(recurse=False, remove_duplicate=False)
        }
        for role, (tensor, is_parameter) in own.items():
            name = f"{module_name}.{role}" if module_name else role
            if name in persistent:
                yield _Holder(name, module, module_name, role, tensor, is_parameter)


def _why_dense(holder: _Holder, applies_to: AppliesTo) -> str | None:
    """None where the method handles this weight."""
    tensor, kind = holder.tensor, type(holder.module).__name__
    if not holder.is_parameter:
        if holder.role in _STATISTICS:
            return "statistics of a normalisation, kept to the bit"
        return "a buffer, kept to the bit"
    if isinstance(holder.module, _NORMALISATIONS):
        return "scale and shift of a normalisation, small"
    if holder.role.startswith("bias"):
        return "a bias, small"
    if isinstance(holder.module, _TRANSPOSED):
        return f"{kind} is not handled: its weight is laid out the other way round"
    if not is_weight(holder.module, holder.role):
        if tensor.dim() < 2:
            return "fewer than two dimensions, small"
        return f"no weight of a layer that is known here ({kind})"
    if not tensor.is_floating_point():
        return f"holds {tensor.dtype}, not floating-point numbers"
    if tensor.numel() == 0:
        return "is empty"
    if not bool(torch.isfinite(tensor.to(torch.float32)).all()):
        return "holds values that are not finite in float32"
    return applies_to(holder.module)


def is_weight(module: nn.Module, role: str) -> bool:
    """Whether this parameter of this kind of module is a weight that can be compressed."""
    return any(
        isinstance(module, kinds) and pattern.fullmatch(role) for kinds, pattern in WEIGHT_ROLES
    )


def memory_key(tensor: torch.Tensor) -> Hashable:
    """Equal for two tensors that are one and the same, under whatever names or objects.

    A state dict holds new objects over the same memory, so the memory tells and not the object.
    """
    place: Hashable = id(tensor)
    if tensor.layout == torch.strided and tensor.device.type != "meta" and tensor.numel():
        place = (str(tensor.device), tensor.data_ptr(), tuple(tensor.stride()))
    return place, tuple(tensor.shape), tensor.dtype


def find_ties(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Name -> the earlier name of the same tensor, for every name but the first of each."""
    first: dict[Hashable, str] = {}
    ties: dict[str, str] = {}
    for name, tensor in state.items():
        known = first.setdefault(memory_key(tensor), name)
        if known != name:
            ties[name] = known
    return ties


def tie_parameters(network: nn.Module, ties: Mapping[str, str]) -> None:
    """Make each parameter that ``ties`` names (name -> earlier name) the very same object.

    Parameters that merely share memory are parted by a copy, and each is trained its own way.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for name, first in ties.items():
        one = parameters.get(first)
        if one is not None and name in parameters and parameters[name] is not one:
            path, _, role = name.rpartition(".")
            setattr(network.get_submodule(path), role, one)


def tensor_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's state dict, detached: parameters and persistent buffers.

    Raises:
        UserError: it holds something that is no ordinary tensor; names it.
    """
    state: dict[str, torch.Tensor] = {}
    for name, held in network.state_dict().items():
        check_tensor(name, held)
        state[name] = held.detach()
    return state


def check_tensor(name: str, held: object) -> None:
    """Refuse what is no ordinary tensor with values.

    Raises:
        UserError: names it, and says what it is.
    """
    if not isinstance(held, torch.Tensor):
        raise UserError(f"{name} is a {type(held).__name__}, not a tensor: remove it first")
    if nn.parameter.is_lazy(held) or held.device.type == "meta":
        raise UserError(f"{name} has no values yet: run the network once, or load its weights")
    if held.layout != torch.strided or held.is_quantized:
        raise UserError(f"{name} is not stored densely ({held.layout}): make it dense first")


def parameter_count(network: nn.Module) -> int:
    """Numbers in all parameters; what is tied counts once."""
    distinct = {memory_key(one): one for one in network.parameters()}
    return sum(math.prod(one.shape) for one in distinct.values())
