"""Whole networks on the simulated EIE machine, with their errors on real test data.

Han et al., ISCA 2016, sections III and VI. A network is trained, compressed by Deep Compression,
written to a file and read back; its layers are coded for the machine, whose codebooks have 15
values beside 0, and every test case runs through it layer by layer: in float32, and in fixed point
of 16 and of 8 bits, activations, codebook and accumulators alike. Fraction bits are those that hold
the ranges seen on the validation split. Products are rounded down when they are shifted, and for
comparison to the nearest.

The cycles are those of the first test cases. The LSTM runs in the mode in which non-zero instead
of positive activations are broadcast, which is none of the paper's machine.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import digests
from benchmarks.measure import error_measurement, test_split
from benchmarks.mnist import RECIPES, TEST_ROWS, mnist_task
from benchmarks.reference import Recipe, train_reference
from benchmarks.spoken_vowels import TEST_CASES, load_vowels, vowel_task
from methods.compressed import Compressed
from methods.deep_compression import DeepCompression, DeepCompressionConfig
from methods.eie.datapath import Formats
from methods.eie.energy import energy
from methods.eie.machine import Machine, Simulation
from methods.eie.networks import MachineLayer, NetworkOnMachine, coded_network
from methods.method import Method
from methods.prune_and_share import weights_by_layer
from methods.training import ClassificationTask, count_errors
from registry.vocabulary import Metric, load_vocabulary

Floats = NDArray[np.float32]

FIXED_BITS = (16, 8)
LENET = "lenet-300-100"
LENET_RECIPES: Mapping[Scale, Recipe] = {
    "full": RECIPES[LENET]["full"],
    "quick": RECIPES[LENET]["quick"].model_copy(update={"rows": 12_000}),
}
_LSTM_RECIPE = Recipe(
    network="lstm-100", epochs=60, learning_rate=0.1, batch_size=16, weight_decay=1e-4, warm_up=0.1
)
"""Chosen on the validation utterances, of which all rates from 0.05 to 0.2 missed 1 to 3 of 54."""
LSTM_RECIPES: Mapping[Scale, Recipe] = {
    "full": _LSTM_RECIPE,
    "quick": _LSTM_RECIPE.model_copy(update={"epochs": 30}),
}
DENSITIES = (0.10, 0.15, 0.20)
"""Of all weights of the LSTM, tried in this order."""
SIMULATED_ROWS: Mapping[Scale, int] = {"full": 1_000, "quick": 50}
"""Test cases, the first, whose products are run cycle by cycle."""
ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, eq=False)
class Made:
    """A network before and after compression, and what it is measured on."""

    reference: nn.Module
    compressed: nn.Module
    """What was read back from the file."""
    size_bytes: Mapping[str, int]
    validation: torch.Tensor
    inputs: torch.Tensor
    """Of the test split, as its targets."""
    targets: torch.Tensor
    remarks: tuple[str, ...]

    @classmethod
    def of(
        cls,
        task: ClassificationTask,
        compressed: tuple[nn.Module, Mapping[str, int]],
        test: tuple[torch.Tensor, torch.Tensor],
        rows: int,
        *remarks: str,
    ) -> Self:
        """From a trained task, what was read back with its bytes, and the test split.

        Raises:
            RuntimeError: the test split has not its ``rows``.
        """
        read, sizes = compressed
        inputs, targets = test
        if len(targets) != rows:
            raise RuntimeError(f"{len(targets)} test cases of {rows}")
        return cls(
            reference=task.network.cpu(),
            compressed=read,
            size_bytes=sizes,
            validation=task.validation_rows[0].cpu(),
            inputs=inputs,
            targets=targets,
            remarks=(validation_remark(task, read), *remarks),
        )


class _EieNetwork(ABC):
    """From a trained network to its test errors on the machine.

    Deep Compression makes the network, with the configuration of the run; every choice is made on
    a validation split. The test cases give the printed numbers and nothing else.
    """

    signed: ClassVar[bool]

    @abstractmethod
    def made(self, config: DeepCompressionConfig, context: Context) -> Made:
        """The network, trained, compressed, written and read back."""

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the network; ``method`` is not asked, the machine takes what any method made."""
        config = DeepCompressionConfig.model_validate(dict(context.configuration))
        made = self.made(config, context)
        context.progress(0.8, "running the test split on the machine")
        on_machine = NetworkOnMachine(coded_network(made.compressed), Machine(signed=self.signed))
        runs = on_machine.simulations(made.inputs[: SIMULATED_ROWS[context.scale]].numpy())
        wrong = {
            "reference_error": count_errors(made.reference, made.inputs, made.targets),
            "compressed_error": count_errors(made.compressed, made.inputs, made.targets),
            "machine_error": count_wrong(on_machine.floats, made),
        }
        remarks = [*made.remarks, *coding_remarks(on_machine.network.layers)]
        for bits in FIXED_BITS:
            context.progress(0.9, f"running the test split in {bits} bits")
            formats = on_machine.choose_formats(made.validation.numpy(), bits)
            metric = f"machine_error_{bits}_bits"
            wrong[metric] = count_wrong(fixed_run(on_machine, formats), made)
            nearest = {name: replace(one, nearest=True) for name, one in formats.items()}
            wrong[f"{metric}_nearest"] = count_wrong(fixed_run(on_machine, nearest), made)
            remarks.append(f"{bits} bits: {told_formats(formats)}")
        remarks += overflow_remarks(runs)
        rows = len(made.targets)
        metrics = {name: error_measurement(count, rows) for name, count in wrong.items()}
        for name, (after, before) in LOSSES.items():
            share = (wrong[after] - wrong[before]) / rows
            metrics[name] = Measurement(value=share, unit="fraction", n=rows)
        for layer in on_machine.network.layers:
            metrics |= layer_metrics(layer, runs[layer.name])
        return Outcome(metrics, dict(made.size_bytes), remarks)


LOSSES = {
    "reclustering_loss": ("machine_error", "compressed_error"),
    "loss_16_bits": ("machine_error_16_bits", "machine_error"),
    "loss_8_bits": ("machine_error_8_bits", "machine_error"),
}
"""Errors added, by what comes after and what before."""


class EieLenet300100(_EieNetwork):
    """LeNet-300-100 on MNIST."""

    name: ClassVar[str] = "eie-lenet-300-100"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    signed: ClassVar[bool] = False

    def made(self, config: DeepCompressionConfig, context: Context) -> Made:
        """With the densities and bits of Deep Compression's Table 2 unless configured."""
        recipe = LENET_RECIPES[context.scale]
        advance = advancer(context, recipe.epochs + config.epochs)
        task = mnist_task(context, recipe, advance)
        train_reference(task, recipe, digests(context.data), context.seed, skipped=advance)
        compressed = compressed_and_read(task, config, context)
        return Made.of(task, compressed, test_split(context.data), TEST_ROWS[context.data])


class EieSpokenVowels(_EieNetwork):
    """An LSTM of 100 units on Japanese Vowels, at the density that validation prefers."""

    name: ClassVar[str] = "eie-spoken-vowels"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    signed: ClassVar[bool] = True

    def made(self, config: DeepCompressionConfig, context: Context) -> Made:
        """The least validation error wins; of equals the sparsest."""
        recipe = LSTM_RECIPES[context.scale]
        splits = load_vowels()
        advance = advancer(context, recipe.epochs + len(DENSITIES) * config.epochs)
        task = vowel_task(splits, recipe, context.seed, context.device, advance)
        train_reference(task, recipe, digests(context.data), context.seed, skipped=advance)
        names = weights_by_layer(task.network)
        tried = {}
        for density in DENSITIES:
            chosen = config.model_copy(update={"densities": dict.fromkeys(names, density)})
            tried[density] = compressed_and_read(task, chosen, context)
        errors = {density: task.validation_score(one) for density, (one, _) in tried.items()}
        best = min(DENSITIES, key=lambda density: (errors[density], density))
        by_density = ", ".join(f"{density:.0%}: {error:.4f}" for density, error in errors.items())
        return Made.of(
            task, tried[best], splits.test.padded(), sum(TEST_CASES),
            f"validation errors by density: {by_density}; {best:.0%} was taken",
            "non-zero instead of positive activations are broadcast; the gates of the LSTM are "
            "outside the machine, in float32",
        )  # fmt: skip


def advancer(context: Context, epochs: int) -> Callable[..., None]:
    """Tells how many of ``epochs`` are done; they are four fifths of the work."""
    done = 0

    def advance(by: int = 1) -> None:
        nonlocal done
        done += by
        context.progress(0.8 * min(1.0, done / epochs), f"epoch {done} of {epochs}")

    return advance


def compressed_and_read(
    task: ClassificationTask, config: DeepCompressionConfig, context: Context
) -> tuple[nn.Module, dict[str, int]]:
    """The network of the file that Deep Compression's result was written to, and its bytes."""
    path = context.folder / "network.netc"
    DeepCompression().compress(task, config, seed=context.seed).save(path)
    read = copy.deepcopy(task.network).cpu()
    compressed = Compressed.load(path, into=read)
    return read.eval(), compressed.size_bytes()


def fixed_run(
    on_machine: NetworkOnMachine, formats: Mapping[str, Formats]
) -> Callable[[Floats], Floats]:
    """The network in fixed point, as a function of inputs."""
    return lambda inputs: on_machine.fixed(inputs, formats)


def count_wrong(run: Callable[[Floats], Floats], made: Made) -> int:
    """How many test cases are classified wrongly."""
    wrong = 0
    for rows, labels in zip(
        torch.split(made.inputs, ROWS_AT_ONCE), torch.split(made.targets, ROWS_AT_ONCE), strict=True
    ):
        wrong += int((run(rows.numpy()).argmax(axis=1) != labels.numpy()).sum())
    return wrong


def layer_metrics(layer: MachineLayer, runs: list[Simulation]) -> dict[str, Measurement]:
    """Means over the products of a layer."""

    def mean(quantity: Callable[[Simulation], float]) -> float:
        return float(np.mean([quantity(one) for one in runs]))

    machine = runs[0].machine
    name, columns = layer.name, layer.coded.columns
    balances = [one.load_balance for one in runs if one.load_balance is not None]
    sent = mean(lambda one: one.broadcasts - layer.coded.has_bias)
    return {
        f"cycles.{name}": Measurement(value=mean(lambda one: one.cycles), unit="cycles"),
        f"theoretical_cycles.{name}": Measurement(
            value=mean(lambda one: one.entries / machine.pes), unit="cycles"
        ),
        f"load_balance.{name}": Measurement(value=float(np.mean(balances)), unit="fraction"),
        f"energy.{name}": Measurement(value=mean(lambda one: energy(one).uj) * 1e-6, unit="joules"),
        f"weight_density.{name}": Measurement(value=layer.coded.density, unit="fraction"),
        f"activation_density.{name}": Measurement(
            value=sent / (columns - layer.coded.has_bias), unit="fraction"
        ),
        f"products.{name}": Measurement(value=len(runs), unit="count"),
    }


def validation_remark(task: ClassificationTask, read: nn.Module) -> str:
    before, after = task.validation_score(task.network), task.validation_score(read.to(task.device))
    return f"validation error {before:.4f} before compression, {after:.4f} after"


def coding_remarks(layers: tuple[MachineLayer, ...]) -> list[str]:
    """What became of each layer's values."""
    return [
        f"{layer.name}: {layer.values} weight values "
        + ("clustered to 15, the bias along with them" if layer.clustered else "kept")
        for layer in layers
    ]


def told_formats(formats: Mapping[str, Formats]) -> str:
    """Fraction bits by layer, in words."""
    return "; ".join(
        f"{name} has {one.activation} fraction bits in activations, {one.codebook} in the codebook "
        f"and {one.accumulator} in accumulators"
        for name, one in formats.items()
    )


def overflow_remarks(runs: Mapping[str, list[Simulation]]) -> list[str]:
    """What the memories of the machine cannot hold."""
    return [f"{name}: {text}" for name, of_layer in runs.items() for text in of_layer[0].overflow]
