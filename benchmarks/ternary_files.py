"""One trained network made ternary in several ways, each written, read back elsewhere and tested.

What the benchmarks of trained ternary quantization share. Every way starts from the same float32
network and trains for as many epochs; the float32 network that it is held against has had the
same number, too.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.benchmark import Context, Measurement
from benchmarks.measure import FileReport, error_measurement
from benchmarks.mnist import TEST_ROWS
from benchmarks.several_files import measure_folder_in_new_process
from methods.compressed import Compressed
from methods.formats.ternary import Coding, Ternary
from methods.method import Method, UnsuitableTask
from methods.networks import float32_bytes
from methods.ternary_weights import Snapshot
from methods.trained_ternary_quantization import (
    TrainedTernaryConfig,
    TrainedTernaryQuantization,
)
from methods.training import ClassificationTask, cosine

CODINGS: Mapping[str, Coding] = {"": "two-bit", "_five_trits": "five-trits", "_entropy": "entropy"}
"""What follows the metric's name -> the coding of the file."""


def ternary_method(
    method: Method | None, context: Context
) -> tuple[TrainedTernaryQuantization, TrainedTernaryConfig]:
    """The method with the run's configuration.

    Raises:
        UnsuitableTask: the method is another, whose settings these benchmarks do not know.
    """
    plugin: object = method
    if not isinstance(plugin, TrainedTernaryQuantization):
        raise UnsuitableTask("this benchmark varies the settings of trained-ternary-quantization")
    return plugin, TrainedTernaryConfig.model_validate(dict(context.configuration))


@dataclass
class TernaryFiles:
    """Makes networks, writes them and, at last, has all of them tested."""

    method: TrainedTernaryQuantization
    config: TrainedTernaryConfig
    rates: Mapping[str, float]
    """The rate by what the weights become (``trained``, ...), where the run names none."""
    context: Context
    made: dict[str, Compressed] = field(default_factory=dict)
    """By the name of the file, without the ending."""
    validation: dict[str, float] = field(default_factory=dict)
    """Errors on the validation images, fractions."""

    def ternary(
        self, task: ClassificationTask, name: str, changes: Mapping[str, Any]
    ) -> list[Snapshot]:
        """The network of ``task`` with the run's configuration but for ``changes``, written."""
        values = {**self.config.model_dump(exclude_unset=True), **changes}
        config = TrainedTernaryConfig.model_validate(values)
        if config.learning_rate is None:
            config = config.model_copy(update={"learning_rate": self.rates[config.weights]})
        made, told = self.method.compress_and_tell(task, config, seed=self.context.seed)
        self._write(task, name, made)
        return told

    def float32(
        self, task: ClassificationTask, name: str, epochs: int, learning_rate: float
    ) -> nn.Module:
        """The network of ``task`` trained on in float32, written."""
        network = copy.deepcopy(task.network)
        if epochs:
            # The order of batches of the ternary networks, whose seed is the job's.
            task.fit(
                network,
                epochs,
                learning_rate=learning_rate,
                schedule=cosine,
                seed=self.context.seed,
            )
        self._write(task, name, Compressed.from_module(network, {}))
        return network

    def coded_sizes(self, name: str) -> dict[str, Measurement]:
        """Bytes of the network in each coding, from files of their own that are read back here.

        Raises:
            RuntimeError: a coding came back as other weights.
        """
        made = self.made[name]
        assert made.module is not None
        reference = float32_bytes(made.module)
        found = {"reference_bytes": Measurement(value=reference, unit="bytes")}
        for end, coding in CODINGS.items():
            formats = {
                key: held.recoded(coding)
                for key, held in made.formats.items()
                if isinstance(held, Ternary)
            }
            other = Compressed.from_module(made.module, formats, metadata=made.metadata)
            path = self.context.folder / f"{name}-{coding}.coded"
            size = other.save(path)
            back = Compressed.load(path).tensors()
            if any(not torch.equal(back[key], held) for key, held in made.tensors().items()):
                raise RuntimeError(f"{name} in {coding} is another network")
            found[f"file_bytes{end}"] = Measurement(value=size, unit="bytes")
            found[f"file_ratio{end}"] = Measurement(value=reference / size, unit="ratio")
            for key, held in formats.items():
                bits = 8 * sum(held.size_bytes().values()) / held.weights
                found[f"bits_per_weight{end}.{layer_of(key)}"] = Measurement(
                    value=bits, unit="bits_per_weight"
                )
                found[f"zeros.{layer_of(key)}"] = Measurement(value=held.zeros, unit="fraction")
        return found

    def _write(self, task: ClassificationTask, name: str, made: Compressed) -> None:
        made.save(self.context.folder / f"{name}.netc")
        self.made[name] = made
        network = copy.deepcopy(task.network)
        made.fill(network)
        self.validation[name] = task.validation_score(network)

    def tested(self) -> dict[str, FileReport]:
        """Each file as another process read it.

        Raises:
            RuntimeError: a file was not tested, or not on the whole test split.
        """
        self.context.progress(0.97, "reading the files back in another process")
        folder, data, device = self.context.folder, self.context.data, self.context.device
        reports = measure_folder_in_new_process(folder, data, "plain", device)
        if set(reports) != set(self.made):
            raise RuntimeError(f"files written: {sorted(self.made)}, tested: {sorted(reports)}")
        rows = TEST_ROWS[data]
        if any(report.n != rows for report in reports.values()):
            raise RuntimeError(f"not every network was tested on {rows} rows")
        return reports

    def remarks(self) -> list[str]:
        """Errors on the validation images, in words."""
        told = ", ".join(f"{name} {error:.4f}" for name, error in self.validation.items())
        return [f"validation errors: {told}"]


@dataclass
class Progress:
    """Told each epoch of any network."""

    work: int
    """In all, in epochs times ``weight``."""
    context: Context
    weight: int = 1
    """How long an epoch takes of the network that is trained now, beside others."""
    what: str = ""
    done: int = field(default=0, init=False)

    def __call__(self) -> None:
        self.skip(1)

    def skip(self, epochs: int) -> None:
        """So many more epochs are done, or need not be."""
        self.done += epochs * self.weight
        self.context.progress(min(0.96, self.done / self.work), self.what)


def error_of(report: FileReport) -> Measurement:
    """The test error of what was read back."""
    return error_measurement(report.wrong, report.n)


def increase(report: FileReport, reference: FileReport) -> Measurement:
    """The test error added, beside the float32 network of as many epochs."""
    added = (report.wrong - reference.wrong) / report.n
    return Measurement(value=added, unit="fraction", n=report.n)


def trajectories(told: list[Snapshot], layers: Mapping[str, str]) -> dict[str, Measurement]:
    """Densities and scales over training as series; a line is a layer.

    Args:
        layers: parameter name -> how its lines are called; others are left out.
    """
    found: dict[str, Measurement] = {}
    for one in told:
        if one.name in layers:
            line, after = layers[one.name], f"{one.epoch}-epochs"
            found[f"density.{line}-{after}"] = Measurement(value=one.density, unit="fraction")
            for sign, value in (("positive", one.positive), ("negative", one.negative)):
                found[f"scale.{line}-{sign}-{after}"] = Measurement(value=value, unit="number")
    return found


def layer_of(parameter: str) -> str:
    """``ip1`` of ``ip1.weight``, and ``stage1-0-conv1`` of ``stage1-0.conv1.weight``."""
    return parameter.removesuffix(".weight").replace(".", "-")
