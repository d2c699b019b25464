"""What a network's layers are given: the order in which they run, grids, and training inputs."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from methods.method import Task

PATCHES = 20_000
"""Of a convolution's inputs, about so many are taken from the training split."""
IMAGES_A_BATCH = 8
"""They come from so many inputs of each batch, which is shuffled."""


@dataclass(frozen=True)
class Place:
    """A layer as a run of the network meets it."""

    name: str
    grid: tuple[int, int, int] | None
    """Channels, rows and columns of its inputs, flattened in this order; None where they have
    none. A convolution's are those of its filters."""
    activation: nn.Module | None
    """The layer without parameters that is called next on its outputs, if that is one that acts
    on each output alone."""


ACTIVATIONS = (nn.Sigmoid, nn.ReLU, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus)


class _Stop(Exception):
    """The layer whose inputs are wanted has been reached."""


@torch.no_grad()
def trace(network: nn.Module, x: torch.Tensor) -> list[Place]:
    """The fully connected and convolutional layers in the order in which a run first calls them.

    Args:
        x: a few inputs of the network, batch first.
    """
    names = {module: name for name, module in network.named_modules()}
    found: dict[nn.Module, Place] = {}
    lately: list[nn.Module] = []
    grid = _grid(x.shape)

    def called(module: nn.Module, given: tuple[object, ...], result: object) -> None:
        nonlocal grid
        if lately and isinstance(module, ACTIVATIONS) and lately[-1] in found:
            last = found[lately[-1]]
            found[lately[-1]] = Place(last.name, last.grid, module)
        lately.append(module)
        x = given[0] if given else None
        if isinstance(x, torch.Tensor) and module not in found:
            if isinstance(module, nn.Linear):
                is_flat = grid is not None and math.prod(grid) == module.in_features
                found[module] = Place(names[module], grid if is_flat else None, None)
            elif isinstance(module, nn.Conv2d):
                _, channels, rows, columns = module.weight.shape
                found[module] = Place(names[module], (channels, rows, columns), None)
        if isinstance(result, torch.Tensor):
            own = _grid(result.shape)
            kept = grid is not None and result[0].numel() == math.prod(grid)
            if own is not None or not kept or isinstance(module, nn.Linear):
                grid = own

    leaves = [one for one in network.modules() if not any(True for _ in one.children())]
    hooks = [one.register_forward_hook(called) for one in leaves]
    was_training = network.training
    try:
        network.eval()(x)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return list(found.values())


def _grid(shape: torch.Size) -> tuple[int, int, int] | None:
    if len(shape) == 3:  # one channel without a dimension of its own
        return (1, shape[1], shape[2])
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 else None


def layer_inputs(
    task: Task, network: nn.Module, layer: nn.Module, *, seed: int
) -> Iterator[torch.Tensor]:
    """What ``layer`` is given in one epoch of the training split, batch by batch.

    Yields:
        (rows, inputs), detached; of a convolution patches drawn at random, ``PATCHES`` in all.
    """
    batches = sum(1 for _ in task.train_batches(seed))
    patches = -(-PATCHES // max(batches, 1))
    caught: list[torch.Tensor] = []

    def catch(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        caught.append(given[0].detach())
        raise _Stop

    generator = torch.Generator().manual_seed(seed)
    hook = layer.register_forward_pre_hook(catch)
    was_training = network.training
    network.eval()
    try:
        for x, _, _ in task.train_batches(seed):
            with torch.no_grad(), contextlib.suppress(_Stop):
                network(x[:IMAGES_A_BATCH] if isinstance(layer, nn.Conv2d) else x)
            yield _rows(layer, caught.pop(), patches, generator)
    finally:
        hook.remove()
        network.train(was_training)


def _rows(
    layer: nn.Module, x: torch.Tensor, patches: int, generator: torch.Generator
) -> torch.Tensor:
    if not isinstance(layer, nn.Conv2d):
        return x.reshape(-1, x.shape[-1])
    padding = layer.padding
    if isinstance(padding, str):  # "same" or "valid"; patches across the edge are left out
        padding = (0, 0)
    unfolded = functional.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)
    rows = unfolded.transpose(1, 2).flatten(0, 1)
    chosen = torch.randperm(len(rows), generator=generator)[:patches]
    return rows[chosen.to(rows.device)]


def covariance(rows: Iterator[torch.Tensor], *, squared: bool = False) -> torch.Tensor:
    """The covariance of the inputs, or of their squares: (inputs, inputs) float64.

    Args:
        rows: (n, inputs), part by part; two rows at least in all.
    """
    count, shift, total, products = 0, torch.zeros(0), torch.zeros(0), torch.zeros(0)
    for part in rows:
        values = part.float() ** 2 if squared else part.float()
        if count == 0:  # near the mean, so that little cancels below
            shift = values.mean(dim=0)
            total = torch.zeros_like(shift, dtype=torch.float64)
            products = torch.zeros(len(shift), len(shift), dtype=torch.float64, device=part.device)
        values = values - shift
        count += len(values)
        total += values.sum(dim=0)
        products += values.T @ values
    products.addr_(total, total, alpha=-1 / max(count, 1))
    return products.div_(max(count - 1, 1)).cpu()
