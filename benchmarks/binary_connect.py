"""Training with few multiplications in four ways: the columns of the paper's table of errors.

Lin et al., ICLR 2016. One network is trained at full precision, with binary connect, and with
binary and with ternary connect and quantized back-propagation besides: all for as many epochs, from
the same rate to the same. Each is written with its real-valued weights; another process reads the
files back and tests what it reads. Nothing is chosen by the test images.

Two things are ours. The ternary network is tested once more with each weight rounded to -1, 0 or 1
by thresholds, without chance, its statistics of batch normalisation taken anew. And on the
narrower network inputs are rounded within bounds: with shifts of at most n bits, e lies within -n
and n - 1, so that a rounded input lies within 2^-n and 2^n, for every layer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.centred_images import MARGIN, centred_training
from benchmarks.datasets import load
from benchmarks.hashed_training import Parts, tested_elsewhere
from benchmarks.measure import error_measurement
from benchmarks.several_files import Digits
from benchmarks.whitened_images import whitened_training
from methods.compressed import Compressed
from methods.few_multiplications import (
    FewMultiplicationsConfig,
    drawn_layers,
    recompute_statistics,
)
from methods.method import Method, UnsuitableTask, parse_config
from methods.normalised_networks import (
    normalised_convnet,
    normalised_convnet_colour,
    normalised_convnet_narrow,
    normalised_mlp_3x256,
    normalised_mlp_3x1024,
)
from methods.sampled_layers import start_ranges, threshold_
from methods.training import ClassificationTask
from registry.vocabulary import Metric, load_vocabulary

TEST_ROWS = 10_000
COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "error_full_precision": {"weights": "real", "quantized_back_propagation": False},
    "error_binary": {"weights": "binary", "quantized_back_propagation": False},
    "error_binary_quantized": {"weights": "binary", "quantized_back_propagation": True},
    "error_ternary_quantized": {"weights": "ternary", "quantized_back_propagation": True},
}
"""Metric -> what of the method's configuration makes it, in the order of training."""
TERNARY = "error_ternary_quantized"
THRESHOLDED = "error_thresholded"
"""Of the ternary network with its weights rounded by thresholds; it is not trained apart."""
UNBOUNDED = "error_shift_unbounded"


@dataclass(frozen=True)
class Plan:
    """Which networks are trained, on what, and for how long."""

    network: Callable[[int], nn.Sequential]
    """Untrained, from a seed."""
    batch_rows: int
    epochs: int
    """Of each column, where the run does not name them."""
    rows: int | None = None
    """So many of the training images, the first; None for all."""
    validation_rows: int | None = None
    """So many of the images that are chosen by, the first; None for all."""
    shifts: tuple[int, ...] = ()
    """Bits that a shift may have, one network each, and one without bounds."""
    shift_epochs: int = 0

    def trainings(self) -> Iterator["Training"]:
        """Every network, in the order of training."""
        for metric, settings in COLUMNS.items():
            yield Training(metric, settings, self.epochs)
        ternary = COLUMNS[TERNARY]
        for bits in self.shifts:
            settings = {**ternary, "linear_exponents": (-bits, bits - 1)}
            yield Training(f"error_shift_bits.{bits}-bits", settings, self.shift_epochs)
        if self.shifts:
            unbounded = {**ternary, "linear_exponents": None}
            yield Training(UNBOUNDED, unbounded, self.shift_epochs)


@dataclass(frozen=True)
class Training:
    """One network: the key of its error, what differs in its training, and its epochs."""

    key: str
    settings: Mapping[str, Any]
    epochs: int

    @property
    def name(self) -> str:
        """Of its file, without the ending."""
        return file_name(self.key)

    def config(self, base: FewMultiplicationsConfig) -> FewMultiplicationsConfig:
        """``base`` with these settings; the run's own epochs go before the plan's."""
        merged = {
            "train_epochs": self.epochs,
            **base.model_dump(exclude_unset=True),
            **self.settings,
        }
        return FewMultiplicationsConfig.model_validate(merged)


def beside_each_shift(errors: Mapping[str, Measurement], plan: Plan) -> dict[str, Measurement]:
    """With the error without bounds at each point of the curve, to be compared with it."""
    found = {key: one for key, one in errors.items() if key != UNBOUNDED}
    return found | {f"{UNBOUNDED}.{bits}-bits": errors[UNBOUNDED] for bits in plan.shifts}


def file_name(key: str) -> str:
    """``ternary-quantized`` for ``error_ternary_quantized``."""
    return key.removeprefix("error_").replace("_", "-").replace(".", "-")


class _BinaryConnect:
    """Trains the networks of a plan, writes them, and tests what is read back."""

    name: ClassVar[str]
    plans: ClassVar[Mapping[Scale, Plan]]
    digits: ClassVar[Digits] = "centred"

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure every network of the plan.

        Raises:
            UnsuitableTask: the method is another, whose settings this does not know.
        """
        base = None if method is None else parse_config(method, context.configuration)
        if method is None or not isinstance(base, FewMultiplicationsConfig):
            raise UnsuitableTask("this benchmark trains in the ways of few-multiplications")
        plan = self.plans[context.scale]
        trainer = _Trainer(method, base, plan, self.parts(context), context)
        validation: dict[str, float] = {}
        for training in plan.trainings():
            validation |= trainer.train(training)
        names = {file_name(key) for key in validation}
        reports = tested_elsewhere(context, self.digits, names, TEST_ROWS)
        errors = {
            key: error_measurement(reports[file_name(key)].wrong, reports[file_name(key)].n)
            for key in validation
        }
        told = ", ".join(f"{file_name(key)} {100 * one:.2f}" for key, one in validation.items())
        remarks = [told_plan(plan, base), f"validation errors in per cent: {told}"]
        kept = context.folder / f"{file_name(TERNARY)}.netc"
        return Outcome(beside_each_shift(errors, plan), remarks=remarks, network_file=kept)

    def parts(self, context: Context) -> Parts:
        """What is trained on, and what choices are made by; never the test images."""
        return centred_training(load(context.data), MARGIN if self.digits == "centred-32" else 0)


class MnistMlpBinaryConnect(_BinaryConnect):
    """The paper's MNIST network."""

    name: ClassVar[str] = "mnist-mlp-binary-connect"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(normalised_mlp_3x1024, batch_rows=200, epochs=10),
        "quick": Plan(normalised_mlp_3x1024, 200, 1, rows=2_000, validation_rows=1_000),
    }


class MnistNarrowBinaryConnect(_BinaryConnect):
    """A narrower network, trained for longer; and shifts of few bits."""

    name: ClassVar[str] = "mnist-narrow-binary-connect"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(
            normalised_mlp_3x256, 200, 24, shifts=(1, 2, 3, 4, 6), shift_epochs=6
        ),
        "quick": Plan(
            normalised_mlp_3x256, 200, 2, rows=4_000, validation_rows=1_000,
            shifts=(1, 4), shift_epochs=1,
        ),
    }  # fmt: skip


class FashionConvnetBinaryConnect(_BinaryConnect):
    """The paper's convolutional network with an eighth of the width, on Fashion-MNIST."""

    name: ClassVar[str] = "fashion-mnist-convnet-binary-connect"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    digits: ClassVar[Digits] = "centred-32"
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(
            normalised_convnet_narrow, 100, 10, rows=10_000, validation_rows=5_000
        ),
        "quick": Plan(normalised_convnet_narrow, 100, 1, rows=1_000, validation_rows=500),
    }  # fmt: skip


class Cifar10ConvnetBinaryConnect(_BinaryConnect):
    """The paper's convolutional network and recipe, where the user has the data."""

    name: ClassVar[str] = "cifar-10-convnet-binary-connect"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    digits: ClassVar[Digits] = "whitened"
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(normalised_convnet_colour, batch_rows=100, epochs=300),
        "quick": Plan(
            lambda seed: normalised_convnet(3, seed, divisor=8), 100, 1, rows=1_500,
            validation_rows=1_000,
        ),
    }  # fmt: skip

    def parts(self, context: Context) -> Parts:
        """45,000 whitened images, and 5,000 others."""
        return whitened_training(load(context.data))


class _Trainer:
    """Trains the networks of a plan one after another, and writes them."""

    def __init__(
        self,
        method: Method,
        base: FewMultiplicationsConfig,
        plan: Plan,
        parts: Parts,
        context: Context,
    ) -> None:
        self._method, self._base, self._plan = method, base, plan
        self._parts, self._context = parts, context
        self._epochs = sum(one.config(base).train_epochs for one in plan.trainings())
        self._done = 0

    def train(self, training: Training) -> dict[str, float]:
        """Train and write one network, and the thresholded one after the ternary one.

        Returns:
            Errors on the validation images by key, fractions.
        """

        def advance() -> None:
            self._done += 1
            self._context.progress(0.95 * min(1.0, self._done / self._epochs), training.name)

        task = self._task(advance)
        config = training.config(self._base)
        made = self._method.compress(task, config, seed=self._context.seed)
        network = task.fresh_network(self._context.seed)
        made.fill(network)
        found = {training.key: self._write(training.key, task, made, network)}
        if training.key == TERNARY:
            layers = drawn_layers(network, self._method.applies_to)
            scales = {name: high / 2 for name, high in start_ranges(network, layers).items()}
            threshold_(layers, scales, "ternary")
            recompute_statistics(task, network, self._context.seed)
            rounded = Compressed.from_module(network, {})
            found[THRESHOLDED] = self._write(THRESHOLDED, task, rounded, network)
        return found

    def _write(
        self, key: str, task: ClassificationTask, made: Compressed, network: nn.Module
    ) -> float:
        """Its error on the validation images."""
        made.save(self._context.folder / f"{file_name(key)}.netc")
        return task.validation_score(network)

    def _task(self, advance: Callable[[], None]) -> ClassificationTask:
        (inputs, labels), (chosen_by, chosen_labels) = self._parts
        plan, device = self._plan, torch.device(self._context.device)
        rows, validation_rows = plan.rows, plan.validation_rows
        return ClassificationTask(
            self._context.run,
            plan.network(self._context.seed).to(device),
            plan.network,
            (inputs[:rows], labels[:rows]),
            (chosen_by[:validation_rows], chosen_labels[:validation_rows]),
            batch_size=plan.batch_rows,
            device=device,
            progress=advance,
        )


def told_plan(plan: Plan, base: FewMultiplicationsConfig) -> str:
    """How long and on what, in words."""
    lengths: dict[int, list[str]] = {}
    for one in plan.trainings():
        lengths.setdefault(one.config(base).train_epochs, []).append(one.name)
    words = "; ".join(
        f"{epochs} epoch"
        + "s" * (epochs != 1)
        + (f" of {', '.join(names)}" if len(lengths) > 1 else "")
        for epochs, names in lengths.items()
    )
    rows = "" if plan.rows is None else f", on the first {plan.rows:,} training images"
    chosen = plan.validation_rows
    told = "" if chosen is None else f", chosen by {chosen:,} others"
    return f"trained for {words}{rows}{told}, in batches of {plan.batch_rows}"
