"""Training with few multiplications: binary or ternary connect, and quantized back-propagation.

Lin, Courbariaux, Memisevic, Bengio: "Neural Networks with Few Multiplications", ICLR 2016, arXiv
1510.03009; hyper-parameters and details are those of the authors' code for MNIST.

1. Each weight is real, starts uniformly within ``high`` = sqrt(6 / (inputs + outputs)), and is kept
   within W0 = high / 2 after each step. For each minibatch it is drawn as -W0 or W0 (binary
   connect), or as -W0, 0 or W0 (ternary connect), with the weight as its mean. Products with drawn
   weights are sign changes and additions, in both directions.
2. For the gradient of the weights, and there alone, the inputs of a layer are rounded at random to
   powers of two with their sign, without bias: the outer product becomes shifts and additions
   (quantized back-propagation). In convolutions the exponents are kept within -4 and 3.
3. Gradient descent without momentum on the squared hinge; the rate falls once an epoch.
4. Validation and test use the real weights, and statistics of batch normalisation that are taken
   anew, as the mean over minibatches, with the real weights. The network of the epoch of the
   lowest validation error is kept. What is stored is dense: the method saves multiplications in
   training and claims no size.

The paper says that shifts are bounded in all its experiments; its authors' code bounds those of
convolutions alone, and the defaults are the code's.

Differences: those statistics come from the training images alone, not from the validation images
too, and their variance is the unbiased one; training images are shuffled each epoch; two slips of
the authors' code are repeated only by ``authors_slips``. The rate is made for networks with batch
normalisation; without it, it must be far lower.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from methods.compressed import Compressed
from methods.hashing import derived_seed
from methods.method import Loss, MethodConfig, Task, UnsuitableTask
from methods.random_rounding import Exponents
from methods.sampled_layers import (
    NORMALISATIONS,
    Layer,
    SampledConvolution,
    SampledLayer,
    SampledLinear,
    Sampling,
    Weights,
    start,
    start_ranges,
)
from methods.stand_ins import in_place_of
from methods.weights import AppliesTo, require_weights

NOT_SMALLER = "only the training is another one: weights are stored as they are, none is smaller"
_START, _ORDER, _DRAWS = range(3)
"""Uses of the seed, each with numbers of its own."""
_SEEDS = 2**48
"""Seeds of the order of batches are below this: the loop makes others of them."""


class FewMultiplicationsConfig(MethodConfig):
    """Hyper-parameters; the defaults are those of the authors' code for MNIST."""

    weights: Weights = "ternary"
    """What weights are drawn as in training; real: they are used as they are."""
    quantized_back_propagation: bool = True
    """Round inputs to powers of two for the gradient of the weights."""
    train_epochs: Annotated[int, Field(ge=0, le=10_000)] = 1000
    learning_rate: Annotated[float, Field(gt=0)] = 0.3
    """Of the first epoch. Without batch normalisation it must be far lower."""
    final_learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """The rate falls by the same factor after each epoch, and would be this after the last."""
    loss: Literal["squared-hinge", "cross-entropy"] = "squared-hinge"
    convolution_exponents: Exponents | None = (-4, 3)
    """Least and greatest exponent of a convolution's inputs before rounding; null: no bound."""
    linear_exponents: Exponents | None = None
    """The same of fully connected layers."""
    evaluate_every: Annotated[int, Field(ge=1)] = 2
    """Epochs from one validation to the next; the last epoch always has one."""
    keep: Literal["best", "last"] = "best"
    """The epoch of the lowest validation error, of equal ones the later; or the last."""
    authors_slips: bool = False
    """With quantized back-propagation, as in the authors' code: the gradient of a fully connected
    layer's weights leaves out the batch normalisation that follows, and zeros among the inputs of
    a convolution become -2 to the least exponent."""

    @property
    def epochs(self) -> int:
        return self.train_epochs

    @model_validator(mode="after")
    def _exponents_rise(self) -> "FewMultiplicationsConfig":
        for bounds in (self.convolution_exponents, self.linear_exponents):
            if bounds is not None and not -126 <= bounds[0] <= bounds[1] <= 126:
                raise ValueError(f"exponents {bounds} do not rise within -126 and 126")
        return self

    @property
    def is_full_precision(self) -> bool:
        """Whether nothing is drawn or rounded."""
        return self.weights == "real" and not self.quantized_back_propagation

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        share = epoch / self.train_epochs
        return float(self.learning_rate * (self.final_learning_rate / self.learning_rate) ** share)

    def sampling(self, layer: Layer) -> Sampling:
        """How such a layer draws and rounds."""
        is_linear = isinstance(layer, nn.Linear)
        bounds = self.linear_exponents if is_linear else self.convolution_exponents
        slips = self.authors_slips and not is_linear and bounds is not None
        zero = -(2.0 ** bounds[0]) if slips and bounds is not None else 0.0
        return Sampling(self.weights, self.quantized_back_propagation, bounds, zero)


class FewMultiplications:
    """The plugin."""

    name: ClassVar[str] = "few-multiplications"
    paper: ClassVar[str] = "2016-few-multiplications"
    Config: ClassVar[type[FewMultiplicationsConfig]] = FewMultiplicationsConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "scratch"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = False
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Fully connected layers and two-dimensional convolutions."""
        if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
            return None
        if isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward:
            if module.padding_mode != "zeros" or module.padding == "same":
                return "its padding is not given as a number of zeros"
            return None
        return f"{type(module).__name__} is no plain fully connected layer or convolution"

    def compress(self, task: Task, config: FewMultiplicationsConfig, *, seed: int) -> Compressed:
        """Train the architecture of ``task.network`` from scratch, and store it densely.

        Layers of other kinds are trained with it at full precision.

        Raises:
            UnsuitableTask: no data, no layer that weights can be drawn for, or training diverges.
        """
        network = task.fresh_network(seed)
        layers = drawn_layers(network, self.applies_to)
        ranges = start_ranges(network, layers)
        start(network, layers, ranges, derived_seed(seed, _START) % _SEEDS)
        scales = {name: high / 2 for name, high in ranges.items()}
        train(task, network, Training(layers, scales, config), seed)
        metadata = {"method": self.name, "remark": NOT_SMALLER}
        return Compressed.from_module(network, {}, metadata=metadata)


def drawn_layers(network: nn.Module, applies_to: AppliesTo) -> dict[str, Layer]:
    """The layers whose weights are drawn, by name; frozen ones are not.

    Raises:
        UnsuitableTask: there is none within the network, or one is not float32.
    """
    found: dict[str, Layer] = {}
    for weight in require_weights(network, applies_to).handled:
        if not isinstance(weight.module, nn.Linear | nn.Conv2d) or not weight.tensor.requires_grad:
            continue
        if weight.tensor.dtype != torch.float32:
            raise UnsuitableTask(
                f"{weight.name} holds {weight.tensor.dtype}: call float() on the network, as "
                "weights are drawn in float32"
            )
        found[weight.module_name] = weight.module
    if not found or "" in found:
        raise UnsuitableTask(
            "no fully connected layer or convolution within the network can be trained with drawn "
            "weights: a layer that is the network itself goes into an nn.Sequential"
        )
    return found


class Training:
    """What is drawn in a training, and how: the layers, their scales W0, and the settings."""

    def __init__(
        self, layers: dict[str, Layer], scales: dict[str, float], config: FewMultiplicationsConfig
    ) -> None:
        self.layers, self.scales, self.config = layers, scales, config

    def sampled(self, seed: int) -> dict[str, SampledLayer]:
        """What stands for each layer in training; empty at full precision."""
        if self.config.is_full_precision:
            return {}
        return {name: self._sampled(name, derived_seed(seed, _DRAWS, at))
                for at, name in enumerate(self.layers)}  # fmt: skip

    def _sampled(self, name: str, seed: int) -> SampledLayer:
        layer, scale = self.layers[name], self.scales[name]
        sampling = self.config.sampling(layer)
        if isinstance(layer, nn.Linear):
            return SampledLinear(layer, scale, sampling, seed)
        return SampledConvolution(layer, scale, sampling, seed)

    def clip(self) -> None:
        """Keep each weight within its W0; at full precision the authors' code does not."""
        if self.config.weights != "real":
            with torch.no_grad():
                for name, layer in self.layers.items():
                    layer.weight.clamp_(-self.scales[name], self.scales[name])


def train(task: Task, network: nn.Module, training: Training, seed: int) -> None:
    """Train in place; the network is then that of the epoch that is kept, and clipped."""
    config = training.config
    sampled = training.sampled(seed)
    best: float | None = None
    kept = copy.deepcopy(network.state_dict())
    for epoch in range(config.train_epochs):
        with in_place_of(network, training.layers, sampled), _slips(network, training, sampled):
            _one_epoch(task, network, training, sampled, epoch, seed)
        last = epoch == config.train_epochs - 1
        if last or (config.keep == "best" and (epoch + 1) % config.evaluate_every == 0):
            recompute_statistics(task, network, seed)
            score = task.validation_score(network)
            sign = 1 if task.score.direction == "lower" else -1
            if best is None or sign * score <= sign * best or config.keep == "last":
                best, kept = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    if config.train_epochs == 0:
        training.clip()
        recompute_statistics(task, network, seed)


def _one_epoch(
    task: Task,
    network: nn.Module,
    training: Training,
    sampled: dict[str, SampledLayer],
    epoch: int,
    seed: int,
) -> None:
    """One pass: plain gradient descent has no memory, so epochs may be fitted one by one."""
    rate = training.config.rate(epoch)
    loss: Loss = functional.cross_entropy
    if training.config.loss == "squared-hinge":
        loss = squared_hinge

    def draw() -> None:
        for layer in sampled.values():
            layer.draw()

    task.fit(
        network,
        1,
        learning_rate=rate,
        seed=derived_seed(seed, _ORDER, epoch) % _SEEDS,
        loss=loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=rate),
        before_forward=draw,
        after_step=training.clip,
    )


def squared_hinge(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """mean over rows of the sum over classes of max(0, 1 - t y)^2, t = 1 for the label, else -1.

    Args:
        outputs: scores y, (batch, classes).
        targets: labels, (batch) int64.
    """
    signs = torch.full_like(outputs, -1).scatter_(1, targets.unsqueeze(1), 1)
    return (1 - signs * outputs).clamp(min=0).square().sum(dim=1).mean()


def recompute_statistics(task: Task, network: nn.Module, seed: int) -> None:
    """Statistics of batch normalisation from nothing: the mean over the training minibatches.

    Those of frozen ones, too: in training they normalise by each minibatch.
    """
    found = [one for one in network.modules() if isinstance(one, NORMALISATIONS)]
    tracking = [one for one in found if one.track_running_stats]
    if not tracking:
        return
    momenta = [one.momentum for one in tracking]
    network.eval()
    for one in tracking:
        one.reset_running_stats()
        one.momentum = None  # a cumulative average
        one.train()
    with torch.no_grad():
        for inputs, _, _ in task.train_batches(derived_seed(seed, _ORDER) % _SEEDS):
            if len(inputs) > 1:
                network(inputs)
    for one, momentum in zip(tracking, momenta, strict=True):
        one.momentum = momentum
    network.eval()


@contextlib.contextmanager
def _slips(
    network: nn.Module, training: Training, sampled: dict[str, SampledLayer]
) -> Iterator[None]:
    """Within it, where ``authors_slips`` is set, weight gradients of fully connected layers take
    the error after the batch normalisation that follows in the order of the modules."""
    handles = []
    if training.config.authors_slips and training.config.quantized_back_propagation:
        order = [one for one in network.modules() if not list(one.children())]
        for layer in sampled.values():
            at = order.index(layer) + 1
            follows = order[at] if at < len(order) else None
            if isinstance(layer, SampledLinear) and isinstance(follows, NORMALISATIONS):
                handles.append(follows.register_forward_hook(_noting(layer)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _noting(layer: SampledLayer) -> Callable[[nn.Module, object, torch.Tensor], None]:
    """A hook that tells ``layer`` the error of what the hooked module gives."""

    def keep(error: torch.Tensor) -> None:
        layer.error = error

    def note(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(keep)  # type: ignore[no-untyped-call]

    return note
