"""What a training step costs where weights are hashed: against dense layers, on one thread.

The virtual matrix is as large as the dense one, so the products cost the same; hashing adds that
the values are spread over it and its gradient collected, and saves the optimizer's way through all
weights. Chen et al., ICML 2015, give no times. Beside our layers stands the plain way by torch's
gather and scatter-add with an index of 64 bits, as implementations by others have it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.timing import alternate, median_ratio
from methods.equal_storage import Budget
from methods.formats.hashed import Hashed
from methods.hashed_layers import HashedLinear
from methods.hashing import buckets_and_signs, derived_seed, packed_index
from methods.kernels.choice import chosen_path
from methods.method import Method, UnsuitableTask
from methods.networks import mlp
from methods.seeds import seeded
from registry.vocabulary import Metric, load_vocabulary

COMPRESSION, BATCH = 1 / 8, 50
"""Of the paper's Table 1, and of the authors' program."""
LEARNING_RATE, MOMENTUM = 0.01, 0.9
"""Of the timed steps: so low that nothing grows in hundreds of them."""
STEPS = 10
"""In a row, as in training, so that the caches hold what the step before has left there."""
TOLERANCE = 1e-4
"""Of the largest gradient: between two orders of summation in float32."""


@dataclass(frozen=True)
class Depth:
    """A network by its widths, and how often its steps are timed."""

    name: str
    widths: tuple[int, ...]
    rounds: Mapping[Scale, int]


DEPTHS = (
    Depth("3-layers", (784, 1000, 10), {"quick": 9, "full": 61}),
    Depth("5-layers", (784, 1000, 1000, 1000, 10), {"quick": 6, "full": 31}),
)
"""As the paper counts: the input is a layer."""


class HashedStepSpeed:
    """Time dense, hashed and plainly hashed steps alternately and report their ratios."""

    name: ClassVar[str] = "hashed-step-speed"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    runs_alone: ClassVar[bool] = True

    def __init__(self, depths: Sequence[Depth] = DEPTHS) -> None:
        self.depths = tuple(depths)

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the layers; ``method`` is not asked for anything."""
        if context.device != "cpu":
            raise UnsuitableTask("this benchmark times the processor: run it with --device cpu")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._measure(context)
        finally:
            torch.set_num_threads(threads)

    def _measure(self, context: Context) -> Outcome:
        metrics: dict[str, Measurement] = {}
        told = []
        for at, depth in enumerate(self.depths):
            context.progress(at / len(self.depths), f"timing {depth.name}")
            steps = Steps(depth.widths, context.seed)
            steps.check()
            rounds = depth.rounds[context.scale]
            seconds = alternate(steps.functions, rounds)
            for series, key in (("hashed", "step_ratio"), ("plain", "step_ratio_plain")):
                ratio = median_ratio(seconds[series], seconds["dense"])
                metrics[f"{key}.{depth.name}"] = ratio
            told.append(f"{rounds} of {depth.name}")
        return Outcome(metrics, remarks=[_words(told)])


def _words(rounds: Sequence[str]) -> str:
    return f"layers by {chosen_path()}; rounds of {STEPS} steps: {', '.join(rounds)}"


class Steps:
    """Training steps of the same architecture in three ways."""

    def __init__(self, widths: Sequence[int], seed: int) -> None:
        generator = seeded(seed)
        self.inputs = torch.rand(BATCH, widths[0], generator=generator)
        self.labels = torch.randint(widths[-1], (BATCH,), generator=generator)
        dense, hashed, plain = (mlp(widths, seed) for _ in range(3))
        for at, (name, layer) in enumerate(list(hashed.named_children())):
            if isinstance(layer, nn.Linear):
                budget = Budget.of(layer, COMPRESSION, hash_biases=True)
                ours = HashedLinear(layer, budget, derived_seed(seed, at))
                setattr(hashed, name, ours)
                setattr(plain, name, PlainHashedLinear(ours))
        self.networks: dict[str, nn.Module] = {"dense": dense, "hashed": hashed, "plain": plain}
        self.functions = {name: self._steps(one) for name, one in self.networks.items()}

    def _steps(self, network: nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

        def steps() -> None:
            for _ in range(STEPS):
                optimizer.zero_grad(set_to_none=True)
                self.backward(network)
                optimizer.step()

        return steps

    def backward(self, network: nn.Module) -> None:
        """Forward and backward pass of the one batch."""
        loss = functional.cross_entropy(network(self.inputs), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]

    def check(self) -> None:
        """Our layers against the plain ones.

        Raises:
            RuntimeError: a gradient differs by more than ``TOLERANCE``.
        """
        for name in ("hashed", "plain"):
            self.backward(self.networks[name])
        pairs = zip(
            *(self.networks[name].named_parameters() for name in ("hashed", "plain")), strict=True
        )
        for (name, ours), (_, plain) in pairs:
            assert ours.grad is not None
            assert plain.grad is not None
            gap = float((ours.grad - plain.grad).abs().max())
            allowed = TOLERANCE * float(plain.grad.abs().max())
            if not gap <= allowed:
                raise RuntimeError(f"gradient of {name} is off by {gap}, allowed are {allowed}")


class PlainHashedLinear(nn.Module):
    """The same layer by torch alone: ``sign * values[index]``, and autograd's scatter-add."""

    def __init__(self, layer: HashedLinear) -> None:
        """With copies of the values of ``layer``, and its hash functions."""
        super().__init__()
        self.values = nn.Parameter(layer.values.detach().clone())
        assert layer.bias_values is not None
        self.bias_values = nn.Parameter(layer.bias_values.detach().clone())
        for role, held in layer.formats().items():
            assert isinstance(held, Hashed)
            index, signs = buckets_and_signs(
                packed_index(held.seed, held.weights, held.values.size)
            )
            self.register_buffer(f"{role}_index", torch.from_numpy(index).view(held.shape))
            self.register_buffer(f"{role}_signs", torch.from_numpy(signs).view(held.shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.get_buffer("weight_signs") * self.values[self.get_buffer("weight_index")]
        bias = self.get_buffer("bias_signs") * self.bias_values[self.get_buffer("bias_index")]
        return functional.linear(x, weight, bias)
