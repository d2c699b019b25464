"""The protocols between a paper's plugin, what it is given, and what it gives back.

A plugin is one class in one file. It never sees a test set: all it may ask stands in ``Task``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from registry.vocabulary import Metric

if TYPE_CHECKING:
    from methods.compressed import Compressed

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Inputs (batch first), targets, and lengths of sequences (int64) or None."""

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class MethodConfig(BaseModel):
    """Hyper-parameters of a method: the paper's values are the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def epochs(self) -> int | None:
        """How many epochs it trains in all, for progress; None where it cannot be told."""
        return None


@runtime_checkable
class Task(Protocol):
    """What a method may ask. A user's own network comes in through it too."""

    name: str
    """The network by name, such as ``lenet-300-100``; a method may keep settings under it."""
    network: nn.Module
    """The trained reference. A method copies it and leaves it as it was."""
    score: Metric
    """What ``validation_score`` returns, with its direction."""
    device: torch.device
    can_train: bool
    """False where there are no data: then ``fit`` and ``train_batches`` raise UnsuitableTask."""

    def fresh_network(self, seed: int) -> nn.Module:
        """The same architecture, untrained."""
        ...

    def train_batches(self, seed: int) -> Iterable[Batch]:
        """One epoch of the training split in the order of ``seed``; never the test split."""
        ...

    def validation_score(self, network: nn.Module) -> float:
        """The score on the validation split, in the unit of ``score``."""
        ...

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
        """Train ``network`` in place on the training split.

        Args:
            epochs: passes over the training split.
            learning_rate: of the default optimizer, before the schedule.
            seed: of the order of batches.
            loss: of (outputs, targets); cross-entropy by default.
            optimizer: made from parameters; the task's own by default.
            schedule: factor of the rate at a share of the training done (0 to 1).
            before_forward: called before each forward pass.
            before_step: called between the backward pass and the step.
            after_step: called after each step: where masks are applied again.
            parameters: those to train; all by default.
            weight_decay: of the default optimizer; the task's own by default.
        """
        ...


@runtime_checkable
class Method(Protocol):
    """A paper's method. The constructor takes nothing and does nothing."""

    name: ClassVar[str]
    """As records name it, such as ``deep-compression``."""
    paper: ClassVar[str]
    """The record's id."""
    Config: ClassVar[type[MethodConfig]]
    starts_from: ClassVar[Literal["trained", "scratch"]]
    needs: ClassVar[Literal["nothing", "data", "training"]]
    compresses: ClassVar[bool]
    """False: it changes training only and claims no size."""
    revision: ClassVar[int]
    """Raised when the numbers that it gives change."""

    def applies_to(self, module: nn.Module) -> str | None:
        """None where it can compress this module's weights, else why not."""
        ...

    def compress(self, task: Task, config: Any, *, seed: int) -> "Compressed":
        """Compress ``task.network``.

        Raises:
            UnsuitableTask: the method cannot work on this network, or not with this config.
        """
        ...


class UnsuitableTask(Exception):
    """The network or the configuration is none that the method can work with: says why."""


def parse_config(method: Method, values: Mapping[str, Any]) -> MethodConfig:
    """``values`` over the method's defaults.

    Raises:
        pydantic.ValidationError: an unknown key, or a value out of its range.
    """
    return method.Config.model_validate(dict(values))
