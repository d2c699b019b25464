"""Magnitude pruning: which weights survive, and how they stay that way.

Han, Pool, Tran, Dally 2015, "Learning both Weights and Connections", section 3; Deep Compression,
section 2.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import nn

from methods.method import Task
from methods.training import cosine

Masks = dict[str, torch.Tensor]
"""Survivors by parameter name: bool, of the parameter's shape."""


def magnitude_mask(weight: torch.Tensor, density: float) -> torch.Tensor:
    """The mask of the ``round(density * weights)`` largest magnitudes.

    Exactly that many survive; among equal magnitudes the earlier ones do.

    Args:
        weight: any shape, float.
        density: share to keep, 0 to 1.

    Returns:
        bool, of the weight's shape.
    """
    if not 0.0 <= density <= 1.0:
        raise ValueError(f"a density lies between 0 and 1, not {density}")
    keep = round(density * weight.numel())
    order = torch.argsort(weight.detach().abs().flatten(), descending=True, stable=True)
    mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[order[:keep]] = True
    return mask.reshape(weight.shape)


def apply_masks(network: nn.Module, masks: Mapping[str, torch.Tensor]) -> None:
    """Set pruned weights to zero, in place: after every step, since momentum moves them."""
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)


@contextlib.contextmanager
def frozen(network: nn.Module, *, except_for: Collection[str]) -> Iterator[None]:
    """Within it, only the layers named in ``except_for`` are trained."""
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.rpartition(".")[0] in except_for)
    try:
        yield
    finally:
        for parameter, trained in before.items():
            parameter.requires_grad_(trained)


def density_schedule(target: float, rounds: int) -> list[float]:
    """Densities after each of ``rounds`` prunings, geometrically down to ``target``.

    The paper prunes iteratively and leaves the steps open; equal ratios prune the same share of
    the survivors each time.
    """
    if not 0.0 < target <= 1.0:
        raise ValueError(f"a target density lies above 0 and at most at 1, not {target}")
    densities = [target ** ((step + 1) / rounds) for step in range(rounds)]
    densities[-1] = target
    return densities


def prune_to(network: nn.Module, masks: Masks, densities: Mapping[str, float]) -> None:
    """Prune in place to ``densities`` (by parameter name); ``masks`` gets what survives."""
    parameters = dict(network.named_parameters())
    for name, density in densities.items():
        masks[name] = magnitude_mask(parameters[name], density)
    apply_masks(network, masks)


def retrain(
    task: Task,
    network: nn.Module,
    masks: Masks,
    epochs: int,
    *,
    learning_rate: float,
    weight_decay: float | None,
    seed: int,
) -> None:
    """Train on from the current values, the pruned weights held at zero; no epochs ask nothing."""
    if not epochs:
        return
    task.fit(
        network,
        epochs,
        learning_rate=learning_rate,
        schedule=cosine,
        after_step=lambda: apply_masks(network, masks),
        weight_decay=weight_decay,
        seed=seed,
    )
