"""Training on the outputs of another network: dark knowledge.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015, section 2; Ba, Caruana:
"Do Deep Nets Really Need to be Deep?", NIPS 2014.
"""

import copy

import torch
from torch import nn
from torch.nn import functional


class Taught(nn.Module):
    """A student that gives its teacher's scores beside its own, for ``soft_target_loss``."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        """The teacher is copied and never trained; it is no part of what ``train`` switches."""
        super().__init__()
        self.student = student
        held = copy.deepcopy(teacher).eval().requires_grad_(False)
        self._teacher = (held,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 2 classes): the student's scores, then the teacher's."""
        with torch.no_grad():
            taught = self._teacher[0](x)
        return torch.cat([self.student(x), taught], dim=1)


def soft_target_loss(
    outputs: torch.Tensor, targets: torch.Tensor, *, temperature: float, weight: float
) -> torch.Tensor:
    """Cross-entropy with the labels and, by ``weight`` (0 to 1), with the teacher's shares.

    Args:
        outputs: of ``Taught``, (batch, 2 classes).
        targets: labels, (batch) int64.
        temperature: both sides' scores are divided by it; the soft part is multiplied by its
            square, so that its gradient keeps its size (Hinton et al., section 2).
    """
    own, taught = outputs.chunk(2, dim=1)
    shares = functional.softmax(taught / temperature, dim=1)
    soft = functional.cross_entropy(own / temperature, shares) * temperature**2
    return (1 - weight) * functional.cross_entropy(own, targets) + weight * soft
