"""What a layer is given and what it answers, caught while a network runs.

Any module will do: its layers are watched by hooks, whatever its forward pass looks like.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from methods.method import Task
from methods.response_correction import Moments, unfolded

WATCHED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Layers whose responses are sums over inputs."""
TOGETHER = 1000
"""About so many images run at a time, or fewer where they are large:"""
INPUT_VALUES = 2**22
"""at most so many numbers go in at a time."""
MOST_VALUES = 2**24
"""At most so many numbers of unfolded inputs are held at a time."""


class _Reached(Exception):
    """The watched layer has run: the rest of the network need not."""


def run_once(network: nn.Module, inputs: torch.Tensor) -> list[str]:
    """Names of the watched layers that run exactly once in a forward pass, in this order."""
    runs: list[str] = []

    def note(name: str, given: tuple[torch.Tensor, ...]) -> None:
        # What is given by keyword cannot be caught by its place: as if it ran twice.
        runs.extend([name] if len(given) == 1 else [name, name])

    handles = [
        module.register_forward_hook(lambda _, given, __, name=name: note(name, given))
        for name, module in network.named_modules()
        if isinstance(module, WATCHED)
    ]
    try:
        with torch.no_grad():
            network.eval()(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name in runs if runs.count(name) == 1]


def sample(task: Task, images: int, seed: int) -> Iterator[torch.Tensor]:
    """Inputs of the first ``images`` of the training split in the order of ``seed``, by the
    batch; no labels."""
    left = images
    waiting: list[torch.Tensor] = []
    for inputs, _, _ in task.train_batches(seed):
        if left <= 0:
            break
        taken = inputs[:left]
        left -= len(taken)
        most = min(TOGETHER, max(1, INPUT_VALUES // max(1, taken[0].numel())))
        for piece in torch.split(taken, most):
            unlike = bool(waiting) and waiting[0].shape[1:] != piece.shape[1:]
            if unlike or sum(map(len, waiting)) >= most:
                yield torch.cat(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield torch.cat(waiting)


def response_moments(
    original: nn.Module, quantized: nn.Module, name: str, batches: Iterable[torch.Tensor]
) -> Moments:
    """The moments of a layer: its inputs come from ``quantized``, whose lower layers may be
    quantized already, and the responses that are wanted from ``original`` (without the bias)."""
    moments: Moments | None = None
    with torch.no_grad():
        for inputs in batches:
            given = given_to(quantized, name, inputs)
            wanted = answer_of(original, name, inputs)
            for part in _moments(original.get_submodule(name), given, wanted):
                moments = part if moments is None else moments + part
    assert moments is not None, "there is no batch"
    return moments


def given_to(network: nn.Module, name: str, inputs: torch.Tensor) -> torch.Tensor:
    """What the layer ``name`` is given when ``network`` is given ``inputs``."""
    found: list[torch.Tensor] = []

    def catch(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        found.append(given[0])
        raise _Reached

    _run_to(network, inputs, network.get_submodule(name).register_forward_pre_hook(catch))
    return found[0]


def answer_of(network: nn.Module, name: str, inputs: torch.Tensor) -> torch.Tensor:
    """What the layer ``name`` answers when ``network`` is given ``inputs``."""
    found: list[torch.Tensor] = []

    def catch(module: nn.Module, given: tuple[torch.Tensor, ...], answer: torch.Tensor) -> None:
        found.append(answer)
        raise _Reached

    _run_to(network, inputs, network.get_submodule(name).register_forward_hook(catch))
    return found[0]


def _run_to(network: nn.Module, inputs: torch.Tensor, hook: RemovableHandle) -> None:
    """A forward pass that ends where the hook is."""
    try:
        network.eval()(inputs)
    except _Reached:
        pass
    finally:
        hook.remove()


def _moments(layer: nn.Module, given: torch.Tensor, wanted: torch.Tensor) -> Iterator[Moments]:
    """Of one batch, in parts that fit into memory."""
    assert isinstance(layer, WATCHED)
    if isinstance(layer, nn.Linear):
        if layer.bias is not None:
            wanted = wanted - layer.bias
        rows = given.reshape(-1, 1, layer.in_features).float()
        yield Moments.of(rows, wanted.reshape(-1, layer.out_features).float())
        return
    if layer.bias is not None:
        wanted = wanted - layer.bias.reshape(-1, *[1] * (wanted.dim() - 2))
    padded, wanted = _padded(layer, given.float()), wanted.float()
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if isinstance(layer, nn.Conv1d):
        padded, wanted = padded.unsqueeze(2), wanted.unsqueeze(2)
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
    values = layer.weight[0].numel() * layer.groups * wanted[0, 0].numel()
    step = max(1, MOST_VALUES // max(1, values))
    for rows, answers in zip(torch.split(padded, step), torch.split(wanted, step), strict=True):
        seen = unfolded(rows, kernel, stride=stride, dilation=dilation, groups=layer.groups)
        yield Moments.of(seen, answers.flatten(2).transpose(1, 2).reshape(len(seen), -1))


def _padded(layer: nn.Conv1d | nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The input with its padding around it, as the layer itself would add it."""
    pads: list[int] = []
    for at in reversed(range(len(layer.kernel_size))):
        if isinstance(layer.padding, str):
            total = layer.dilation[at] * (layer.kernel_size[at] - 1)
            total = total if layer.padding == "same" else 0
            pads += [total // 2, total - total // 2]
        else:
            pads += [layer.padding[at]] * 2
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(x, pads, mode=mode) if any(pads) else x
