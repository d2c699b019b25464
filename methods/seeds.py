"""Randomness from a seed, which nothing else in the process has a part in."""

import torch


def seeded(seed: int) -> torch.Generator:
    """A CPU generator: the one source of randomness of whoever holds it."""
    return torch.Generator().manual_seed(seed)
