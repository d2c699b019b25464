"""Autoencoders: one that gives a dictionary, and layer-wise pre-training of a network.

The recipe is that of the authors' MNIST grid (``examples/multijob/mnist_0001`` of their
repository), whose values are the defaults of ``PredictingParametersConfig``.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional

from methods.method import UnsuitableTask
from methods.prediction.layers import Factored, Predicted, limit_norms

DICTIONARY_RANGE = 0.001
"""Weights of the dictionary's autoencoder start uniformly within it."""
DICTIONARY_DECAY = 1.000004
"""The rate is divided by it at each update."""
RAMP_EPOCHS = 250
"""Its momentum rises from the first epoch to this one."""
DICTIONARY_MOMENTA = (0.5, 0.7)
LEAST_RATE = 1e-6
FEATURE_BYTES = 2**29
"""At most so much is kept of what a fixed factor makes of all rows."""


def train_dictionary(
    rows: torch.Tensor,
    units: int,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> torch.Tensor:
    """The weights of a tied sigmoid autoencoder on ``rows``: (units, inputs) float32.

    Args:
        rows: (n, inputs).

    Raises:
        UnsuitableTask: training diverges.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.empty(units, rows.shape[1])
    start.uniform_(-DICTIONARY_RANGE, DICTIONARY_RANGE, generator=generator)
    weight = nn.Parameter(start.to(rows))
    bias, visible = (nn.Parameter(rows.new_zeros(size)) for size in (units, rows.shape[1]))
    reconstruct = _decoder(rows)
    stepper = torch.optim.SGD([weight, bias, visible], lr=learning_rate, momentum=0.5)

    def cost(batch: torch.Tensor) -> torch.Tensor:
        hidden = torch.sigmoid(functional.linear(batch, weight, bias))
        return reconstruct(hidden @ weight + visible, batch)

    low, high = DICTIONARY_MOMENTA
    for epoch in range(epochs):
        risen = min(1.0, epoch / (RAMP_EPOCHS - 1))
        stepper.param_groups[0]["momentum"] = low + (high - low) * risen
        last = math.nan
        for chosen in _batches(len(rows), batch_size, seed * 10_007 + epoch):
            last = _step(stepper, cost(rows[chosen]))
            stepper.param_groups[0]["lr"] /= DICTIONARY_DECAY
        _check(last, "the dictionary's autoencoder", "dictionary_learning_rate")
    return weight.detach().float().cpu()


def pretrain_layer(
    layer: Factored | nn.Linear,
    rows: torch.Tensor,
    activation: nn.Module,
    *,
    epochs: int,
    learning_rate: float,
    momentum: float,
    decay: float,
    most_norm: float,
    batch_size: int,
    seed: int,
) -> None:
    """Train a fully connected layer in place as the encoder of an autoencoder with tied weights.

    What is fixed stays so. The decoder goes back through both factors.

    Args:
        rows: what the layers below give, (n, inputs).
        activation: of the hidden units.
        decay: the rate is divided by it at each update.
        most_norm: of each unit's learned values.

    Raises:
        UnsuitableTask: training diverges.
    """
    visible = nn.Parameter(rows.new_zeros(rows.shape[1]))
    trained = [one for one in layer.parameters() if one.requires_grad]
    stepper = torch.optim.SGD([*trained, visible], lr=learning_rate, momentum=momentum)
    reconstruct = _decoder(rows)
    seen = _features(layer, rows)

    def cost(chosen: torch.Tensor) -> torch.Tensor:
        batch = rows[chosen]
        if seen is None:
            given = layer(batch)
        else:
            assert isinstance(layer, Predicted)
            given = layer.from_features(seen[chosen])
        hidden = activation(given)
        if isinstance(layer, Factored):
            back = layer.backward_product(hidden)
        else:
            back = hidden @ layer.weight
        return reconstruct(back + visible, batch)

    for epoch in range(epochs):
        last = math.nan
        for chosen in _batches(len(rows), batch_size, seed * 10_007 + epoch):
            last = _step(stepper, cost(chosen))
            limit_norms([own_weights(layer)], most_norm)
            group = stepper.param_groups[0]
            group["lr"] = max(group["lr"] / decay, LEAST_RATE)
        _check(last, "pre-training", "pretraining_learning_rate")


def own_weights(layer: nn.Module) -> torch.Tensor:
    """What each output of a layer has of its own: (outputs, ...), a view of the parameter."""
    if isinstance(layer, Factored):
        return layer.values.T
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return weight


def _features(layer: nn.Module, rows: torch.Tensor) -> torch.Tensor | None:
    """What a fixed factor makes of all rows, once; None where there is none, or it is too much."""
    if not isinstance(layer, Predicted):
        return None
    columns, atoms, _ = layer.fixed.shape
    if len(rows) * columns * atoms * rows.element_size() > FEATURE_BYTES:
        return None
    with torch.no_grad():
        return torch.cat([layer.features(part) for part in torch.split(rows, 1000)])


def _decoder(rows: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The cost of decoded values against the inputs, of (decoded, inputs).

    For inputs between 0 and 1, as the authors' are, the decoder is a sigmoid and the cost the
    squared error summed over inputs, mean over rows (pylearn2's). Others are decoded linearly, and
    the mean over inputs keeps the same rate stable.
    """
    if float(rows.min()) >= 0 and float(rows.max()) <= 1:
        return lambda decoded, x: ((torch.sigmoid(decoded) - x) ** 2).sum(dim=1).mean()
    return lambda decoded, x: ((decoded - x) ** 2).mean()


def _batches(count: int, size: int, seed: int) -> Iterator[torch.Tensor]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return iter(torch.split(order, size))


def _step(stepper: torch.optim.Optimizer, cost: torch.Tensor) -> float:
    stepper.zero_grad(set_to_none=True)
    cost.backward()  # type: ignore[no-untyped-call]
    stepper.step()
    return float(cost.detach())


def _check(cost: float, what: str, field: str) -> None:
    if not math.isfinite(cost):
        raise UnsuitableTask(f"{what} diverges: lower {field}, or set its epochs to 0")
