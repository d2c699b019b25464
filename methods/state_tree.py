"""A state dict as a tree of modules, so that methods see layers; such a network cannot run."""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NoReturn, Self

import torch
from torch import nn

from methods.weights import memory_key
from registry.errors import UserError

_RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)_l\d+(_reverse)?")
_STATISTICS = ("running_mean", "running_var")
GATES: dict[int, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    1: (nn.RNN, nn.RNNCell),
    3: (nn.GRU, nn.GRUCell),
    4: (nn.LSTM, nn.LSTMCell),
}
"""Rows of a recurrent weight for each hidden unit, and the layers that have so many."""


class PlainTensors(nn.Module):
    """Tensors that no known layer has."""

    def train(self, mode: bool = True) -> Self:
        """As of any module, also where a tensor is called ``training``."""
        self.__dict__["training"] = mode
        for module in self.children():
            module.train(mode)
        return self


class StateDictNetwork(PlainTensors):
    """The root of the tree."""

    def forward(self, *inputs: Any, **named: Any) -> NoReturn:
        """Say why not.

        Raises:
            UserError: always.
        """
        raise UserError(
            "a state dict alone cannot run, since it does not say how its layers are connected: "
            "give package.module:factory with --weights FILE"
        )


def from_state_dict(state: Mapping[str, torch.Tensor]) -> StateDictNetwork:
    """Modules by names and shapes: a 2-D ``x.weight`` makes a Linear, and so on.

    3-D makes a Conv1d and 4-D a Conv2d (of one group: groups cannot be told), ``weight_ih_l0``
    and its like an RNN, GRU or LSTM by the number of its rows. The state dict of what comes back
    has the same names and tensors; names of the same memory are tied.
    """
    root = StateDictNetwork()
    leaves: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        path, _, leaf = name.rpartition(".")
        if "" in name.split("."):  # no module has an empty name: it stays whole at the root
            path, leaf = "", name
        leaves.setdefault(path, {})[leaf] = tensor
    known: dict[Hashable, nn.Parameter] = {}
    for path in sorted(leaves, key=lambda path: path.count(".")):
        module = root if path == "" else _module_for(leaves[path])
        for leaf, tensor in leaves[path].items():
            _put(module, leaf, tensor, known)
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()  # it keeps its parameters in a second list
        if path:
            _hang(root, path.split("."), module)
    return root.eval()


def _put(
    module: nn.Module, leaf: str, tensor: torch.Tensor, known: dict[Hashable, nn.Parameter]
) -> None:
    """Into the module's own tables: a file's names never become attributes."""
    module._parameters.pop(leaf, None)
    if tensor.is_floating_point() and leaf not in _STATISTICS:
        parameter = nn.Parameter(tensor, requires_grad=False)
        module._parameters[leaf] = known.setdefault(memory_key(tensor), parameter)
    else:
        module._buffers[leaf] = tensor


def _hang(root: nn.Module, path: list[str], module: nn.Module) -> None:
    """Put ``module`` in its place, with plain modules on the way where none is yet."""
    for part in path[:-1]:
        below = root._modules.get(part)
        if below is None:
            below = root._modules[part] = PlainTensors()
        root = below
    root._modules[path[-1]] = module


def _module_for(leaves: Mapping[str, torch.Tensor]) -> nn.Module:
    """A module of the library with parameters of just these names and shapes, or a plain one."""
    shapes = {leaf: tuple(tensor.shape) for leaf, tensor in leaves.items()}
    weight = shapes.get("weight", ())
    if any(0 in shape for shape in shapes.values()):
        return PlainTensors()
    made: nn.Module = PlainTensors()
    if set(shapes) <= {"weight", "bias"} and len(weight) in (2, 3, 4):
        made = _layer(weight, "bias" in shapes)
    elif "weight_ih_l0" in shapes and all(map(_RECURRENT.fullmatch, shapes)):
        made = _recurrent(shapes)
    elif {"weight_ih", "weight_hh"} <= set(shapes):
        made = _cell(shapes)
    own = {name: tuple(one.shape) for name, one in made.named_parameters(recurse=False)}
    return made if own == shapes else PlainTensors()


def _layer(weight: tuple[int, ...], bias: bool) -> nn.Module:
    outputs, inputs, *kernel = weight
    if not kernel:
        return nn.Linear(inputs, outputs, bias, device="meta")
    if len(kernel) == 1:
        return nn.Conv1d(inputs, outputs, kernel[0], bias=bias, device="meta")
    return nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), bias=bias, device="meta")


def _recurrent(shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    first, back = shapes["weight_ih_l0"], shapes.get("weight_hh_l0", ())
    narrow = shapes.get("weight_hr_l0", ())
    if not len(first) == len(back) == 2 or len(narrow) not in (0, 2):
        return PlainTensors()
    hidden = narrow[1] if narrow else back[1]
    gates, rest = divmod(first[0], hidden)
    layers = sum(re.fullmatch(r"weight_ih_l\d+", name) is not None for name in shapes)
    if rest or gates not in GATES or (narrow and (gates != 4 or narrow[0] >= hidden)):
        return PlainTensors()
    settings: dict[str, Any] = {
        "num_layers": layers,
        "bias": "bias_ih_l0" in shapes,
        "bidirectional": "weight_ih_l0_reverse" in shapes,
        **({"proj_size": narrow[0]} if narrow else {}),
    }
    return GATES[gates][0](first[1], hidden, **settings, device="meta")


def _cell(shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    first, back = shapes["weight_ih"], shapes["weight_hh"]
    if not len(first) == len(back) == 2:
        return PlainTensors()
    gates, rest = divmod(first[0], back[1])
    if rest or gates not in GATES:
        return PlainTensors()
    return GATES[gates][1](first[1], back[1], bias="bias_ih" in shapes, device="meta")
