"""Modules that stand in a network for others while it is trained."""

import contextlib
from collections.abc import Iterator, Mapping

from torch import nn


@contextlib.contextmanager
def in_place_of(
    network: nn.Module, layers: Mapping[str, nn.Module], stand_ins: Mapping[str, nn.Module]
) -> Iterator[None]:
    """Within it, ``stand_ins`` are in ``network`` wherever ``layers`` of the same names were.

    A layer that the network holds in several places is replaced in all of them.
    """
    replaced = {id(layers[name]): module for name, module in stand_ins.items()}
    places = [
        (parent, key, child, replaced[id(child)])
        for parent in network.modules()
        for key, child in parent._modules.items()
        if id(child) in replaced
    ]
    for parent, key, _, module in places:
        setattr(parent, key, module)
    try:
        yield
    finally:
        for parent, key, child, _ in places:
            setattr(parent, key, child)
