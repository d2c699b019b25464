"""Reference networks: trained once for each recipe, data and seed, then taken from the cache."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from benchmarks.cache import cache_folder, locked
from methods.compressed import Compressed
from methods.training import ClassificationTask, cosine
from registry.errors import UserError
from registry.fields import Model

REFERENCE_SECONDS = 1800.0
"""How long a job waits for another that trains the same network."""


class Recipe(Model):
    """How a reference network is trained: SGD with momentum, the rate falling along a cosine."""

    network: str
    epochs: int
    learning_rate: float
    batch_size: int
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float | None = None
    """Share of the training in which the rate rises from 0, before it falls."""
    rows: int | None = None
    """So many of the training split, the first; None for all."""
    input_dropout: float | None = None
    """Chance that an input of the first layer is left out of a step."""
    dropout: float | None = None
    """The same of a hidden unit, after its ReLU."""
    revision: int = 1
    """Raised when the loop or the network changes what this recipe gives."""

    def schedule(self, share: float) -> float:
        """The factor of the rate at a share of the training done."""
        start = self.warm_up or 0.0
        return share / start if share < start else cosine((share - start) / (1 - start))

    def fingerprint(self, data_digests: Mapping[str, str], seed: int) -> str:
        """Of everything that the trained weights depend on but the machine."""
        content = {
            "recipe": self.model_dump(exclude_none=True),
            "data": dict(data_digests),
            "seed": seed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def train_reference(
    task: ClassificationTask,
    recipe: Recipe,
    data_digests: Mapping[str, str],
    seed: int,
    skipped: Callable[[int], None] = lambda epochs: None,
) -> None:
    """Train ``task.network``, or fill it from the cache.

    Two jobs that want the same network train it once: the second waits for the first.

    Args:
        skipped: told the epochs that the cache saved.
    """
    name = f"{recipe.network}-{recipe.fingerprint(data_digests, seed)[:24]}.netc"
    path = cache_folder() / "references" / name
    with locked(path, seconds=REFERENCE_SECONDS):
        if path.exists() and _fill(task.network, path):
            skipped(recipe.epochs)
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of what dropout leaves out
            task.fit(
                with_dropout(task.network, recipe),
                recipe.epochs,
                learning_rate=recipe.learning_rate,
                schedule=recipe.schedule,
                seed=seed,
            )
        task.network.eval()
        Compressed.from_module(task.network, {}, metadata={}).save(path)


def with_dropout(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The same layers with dropout between them as the recipe says; the network itself if none.

    Args:
        network: a plain sequence that begins with a flattening layer, where there is dropout.
    """
    if recipe.input_dropout is None and recipe.dropout is None:
        return network
    layers: list[nn.Module] = []
    for layer in network.children():
        layers.append(layer)
        if isinstance(layer, nn.Flatten) and recipe.input_dropout is not None:
            layers.append(nn.Dropout(recipe.input_dropout))
        elif isinstance(layer, nn.ReLU) and recipe.dropout is not None:
            layers.append(nn.Dropout(recipe.dropout))
    return nn.Sequential(*layers)


def _fill(network: nn.Module, path: Path) -> bool:
    """Load a cached network; False where the file is damaged or another's: it is made anew."""
    try:
        Compressed.load(path, into=network)
    except UserError:
        return False
    network.eval()
    return True
