"""The one training loop, and the task of classifying rows that are held in memory."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from methods.method import Batch, Loss, UnsuitableTask
from registry.vocabulary import Metric

ERROR = Metric(title="error", unit="fraction", direction="lower", interval="binomial")


FROZEN_KINDS = (nn.Linear, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten)
"""Layers that give the same in training and in use: their outputs may be computed once."""
LAID_OUT = ("torch.nn.", "methods.residual_networks")
"""Modules of these compute the same in any memory format; a user's own may call view()."""
FROZEN_BYTES = 2**30
"""At most so much is kept of what frozen layers give."""


def cosine(share: float) -> float:
    """A rate that falls from 1 to 0 along half a cosine."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


class ClassificationTask:
    """A network that classifies rows, with its training and validation splits.

    Args:
        name: of the network.
        network: the trained reference.
        fresh: makes the same architecture from a seed.
        train: inputs (n, ...) float32 and labels (n) int64.
        validation: the same of the split on which choices are made.
        batch_size: rows a step.
        momentum, weight_decay: of the default optimizer, SGD.
    """

    score = ERROR
    can_train = True

    def __init__(
        self,
        name: str,
        network: nn.Module,
        fresh: Callable[[int], nn.Module],
        train: tuple[torch.Tensor, torch.Tensor],
        validation: tuple[torch.Tensor, torch.Tensor],
        *,
        batch_size: int = 64,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        device: torch.device | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.network = network
        self.device = device or torch.device("cpu")
        self._fresh = fresh
        self._train = tuple(tensor.to(self.device) for tensor in train)
        self._validation = tuple(tensor.to(self.device) for tensor in validation)
        self._batch_size = batch_size
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._progress = progress

    def fresh_network(self, seed: int) -> nn.Module:
        """The same architecture, untrained."""
        return self._fresh(seed).to(self.device)

    def train_batches(self, seed: int) -> Iterator[Batch]:
        """One epoch of the training split; the last batch may be smaller."""
        inputs, targets = self._train
        return self._batches(inputs, targets, seed)

    def _batches(self, inputs: torch.Tensor, targets: torch.Tensor, seed: int) -> Iterator[Batch]:
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
        for rows in torch.split(order.to(self.device), self._batch_size):
            yield inputs[rows], targets[rows], None

    @property
    def validation_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels of the validation split."""
        inputs, labels = self._validation
        return inputs, labels

    def validation_score(self, network: nn.Module) -> float:
        """Error on the validation split, a fraction."""
        inputs, targets = self._validation
        return count_errors(network, inputs, targets) / len(targets)

    def fit(
        self,
        network: nn.Module,
        epochs: int,
        *,
        learning_rate: float,
        seed: int,
        loss: Loss | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        schedule: Callable[[float], float] | None = None,
        before_forward: Callable[[], None] | None = None,
        before_step: Callable[[], None] | None = None,
        after_step: Callable[[], None] | None = None,
        parameters: Sequence[nn.Parameter] | None = None,
        weight_decay: float | None = None,
    ) -> None:
        """Train in place; see ``methods.method.Task.fit``.

        Where the first layers of a plain ``nn.Sequential`` are frozen (``requires_grad`` False),
        what they give is computed once and not at each step.

        Raises:
            UnsuitableTask: nothing is left to train, or training diverges.
        """
        modules = list(network.modules())
        if any(isinstance(module, nn.Conv2d) for module in modules) and all(
            type(module).__module__.startswith(LAID_OUT) for module in modules
        ):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trainable = [one for one in network.parameters() if one.requires_grad]
        trained = trainable if parameters is None else list(parameters)
        if epochs and not trained:
            raise UnsuitableTask(
                "every parameter is frozen, so nothing can be trained: set requires_grad on those "
                "that may change"
            )
        fed, rows, labels = self._past_frozen(network)
        decay = self._weight_decay if weight_decay is None else weight_decay
        steps_an_epoch = math.ceil(len(self._train[0]) / self._batch_size)
        if optimizer is None:
            stepper: torch.optim.Optimizer = torch.optim.SGD(
                trained, lr=learning_rate, momentum=self._momentum, weight_decay=decay
            )
        else:
            stepper = optimizer(trained)
        rates = [group["lr"] for group in stepper.param_groups]
        total, step = epochs * steps_an_epoch, 0
        network.train()
        for epoch in range(epochs):
            for inputs, targets, _ in self._batches(rows, labels, seed * 10_007 + epoch):
                if schedule is not None:
                    factor = schedule(step / total)
                    for group, rate in zip(stepper.param_groups, rates, strict=True):
                        group["lr"] = rate * factor
                if before_forward is not None:
                    before_forward()
                stepper.zero_grad(set_to_none=True)
                outputs = fed(inputs)
                (loss or functional.cross_entropy)(outputs, targets).backward()  # type: ignore[no-untyped-call]
                if before_step is not None:
                    before_step()
                stepper.step()
                if after_step is not None:
                    after_step()
                step += 1
            self._progress()
        network.eval()
        if epochs and not all(bool(torch.isfinite(one).all()) for one in trained):
            raise UnsuitableTask("training diverges: a weight is no finite number; lower the rate")

    def _past_frozen(self, network: nn.Module) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
        """The layers from the first trainable one on, with their inputs; or the whole network."""
        rows, labels = self._train
        head = frozen_layers(network)
        if not head:
            return network, rows, labels
        assert isinstance(network, nn.Sequential)
        with torch.no_grad():
            one = network[: len(head)](rows[:1])
            if one.numel() * one.element_size() * len(rows) > FROZEN_BYTES:
                return network, rows, labels
            given = [network[: len(head)](part) for part in torch.split(rows, 1000)]
        return network[len(head) :], torch.cat(given), labels


def frozen_layers(network: nn.Module) -> list[nn.Module]:
    """The leading layers of a plain ``nn.Sequential`` of which no parameter is trained.

    Empty where none of them has a parameter, or one may give something else in training.
    """
    head: list[nn.Module] = []
    for layer in network if type(network) is nn.Sequential else ():
        if any(one.requires_grad for one in layer.parameters()):
            break
        head.append(layer)
    known = all(isinstance(layer, FROZEN_KINDS) for layer in head)
    return head if known and any(True for layer in head for _ in layer.parameters()) else []


def count_errors(
    network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, batch_size: int = 1000
) -> int:
    """How many rows the network classifies wrongly; it is left in evaluation mode."""
    network.eval()
    wrong = 0
    with torch.inference_mode():
        for rows, labels in zip(
            torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
        ):
            wrong += int((network(rows).argmax(dim=1) != labels).sum())
    return wrong
