"""One network product-quantized in several ways: with and without error correction, into files.

What the benchmarks of Q-CNN share. Each way is written to a file, and all files are read back and
tested in another process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.benchmark import Context, Measurement
from benchmarks.measure import FileReport, error_measurement
from benchmarks.several_files import Digits, measure_folder_in_new_process
from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.formats.format import Format
from methods.formats.product_quantized import ProductQuantized, stored_bytes
from methods.method import Method, UnsuitableTask, parse_config
from methods.networks import float32_bytes
from methods.quantized_cnn import QuantizedCnnConfig
from methods.training import ClassificationTask, count_errors

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Setting:
    """A name, which metrics carry, and what it sets in the method's configuration."""

    name: str
    """Empty for the one that metrics carry no name of."""
    changes: Mapping[str, Any]

    @property
    def suffix(self) -> str:
        """What follows the metric's name."""
        return f".{self.name}" if self.name else ""

    @property
    def words(self) -> str:
        return self.name or "whole"

    def file_name(self, *, corrected: bool) -> str:
        """Without the ending."""
        return f"{self.words}-{'corrected' if corrected else 'plain'}"


@dataclass(frozen=True)
class Reference:
    """The uncompressed network on the test images."""

    wrong: int
    rows: int
    bytes: int
    """Of all its parameters in float32."""

    @classmethod
    def of(
        cls, task: ClassificationTask, inputs: torch.Tensor, targets: torch.Tensor
    ) -> "Reference":
        """``task``'s network, tested on the test images given."""
        wrong = count_errors(task.network, inputs.to(task.device), targets.to(task.device))
        return cls(wrong, len(targets), float32_bytes(task.network))

    @property
    def error(self) -> Measurement:
        return error_measurement(self.wrong, self.rows)


@dataclass(frozen=True)
class Pair:
    """The network of one setting, quantized without and with error correction."""

    plain: Compressed
    corrected: Compressed

    def validation_remark(self, task: ClassificationTask) -> str:
        """Errors on the validation split, in words."""
        networks = (task.network, module_of(self.plain), module_of(self.corrected))
        before, plain, corrected = (task.validation_score(one) for one in networks)
        return (
            f"validation error {before:.4f} before, {plain:.4f} quantized without error "
            f"correction, {corrected:.4f} with it"
        )


def module_of(compressed: Compressed) -> nn.Module:
    """The network with the quantized weights, dense: its layers can be watched one by one."""
    assert compressed.module is not None
    return compressed.module.eval()


def quantized_layers(compressed: Compressed) -> list[str]:
    """Names of the layers that are product-quantized, in the network's order."""
    return [
        name.removesuffix(".weight")
        for name, held in compressed.formats.items()
        if isinstance(held, ProductQuantized)
    ]


def quantizer(method: Method | None, context: Context) -> tuple[Method, QuantizedCnnConfig]:
    """The method with the run's configuration.

    Raises:
        UnsuitableTask: the method is another: only Q-CNN has an error correction to leave out.
    """
    if method is None or not issubclass(method.Config, QuantizedCnnConfig):
        raise UnsuitableTask("this benchmark takes the error correction of quantized-cnn away")
    config = parse_config(method, context.configuration)
    assert isinstance(config, QuantizedCnnConfig)
    return method, config


@dataclass
class QuantizedFiles:
    """Quantizes, writes and, at last, has all of it tested."""

    method: Method
    config: QuantizedCnnConfig
    context: Context
    made: dict[str, Compressed] = field(default_factory=dict)
    """By file name."""

    def quantize(self, task: ClassificationTask, setting: Setting) -> Pair:
        """Both ways of one setting, written."""
        plain, corrected = (self._quantize(task, setting, way) for way in (False, True))
        return Pair(plain, corrected)

    def _quantize(self, task: ClassificationTask, setting: Setting, corrected: bool) -> Compressed:
        changes = {**setting.changes, "error_correction": corrected}
        config = self.config.model_copy(update=changes)
        compressed = self.method.compress(task, config, seed=self.context.seed)
        name = setting.file_name(corrected=corrected)
        compressed.save(self.context.folder / f"{name}.netc")
        self.made[name] = compressed
        return compressed

    def tested(self, digits: Digits, rows: int) -> dict[str, FileReport]:
        """Each file as another process read it.

        Raises:
            RuntimeError: a file was not tested, or not on ``rows`` images.
        """
        self.context.progress(0.97, "reading the files back in another process")
        folder, data, device = self.context.folder, self.context.data, self.context.device
        reports = measure_folder_in_new_process(folder, data, digits, device)
        if set(reports) != set(self.made):
            raise RuntimeError(f"files written: {sorted(self.made)}, tested: {sorted(reports)}")
        for name, report in reports.items():
            if report.n != rows:
                raise RuntimeError(f"{name}: {report.n} rows tested of {rows}")
        return reports


def measured(
    files: QuantizedFiles,
    reports: Mapping[str, FileReport],
    setting: Setting,
    reference: Reference,
) -> dict[str, Measurement]:
    """What the two files of a setting show beside the uncompressed network.

    Sizes are those of the corrected network: the other one's differ in nothing but the values.
    """
    found: dict[str, Measurement] = {}
    for corrected, end in ((False, ""), (True, "_corrected")):
        report = reports[setting.file_name(corrected=corrected)]
        added = (report.wrong - reference.wrong) / report.n
        found[f"error{end}"] = error_measurement(report.wrong, report.n)
        found[f"error_increase{end}"] = Measurement(value=added, unit="fraction", n=report.n)
    name = setting.file_name(corrected=True)
    size = reports[name].file_bytes
    found["file_bytes"] = Measurement(value=size, unit="bytes")
    found["file_ratio"] = Measurement(value=reference.bytes / size, unit="ratio")
    ratio = weights_ratio(files.made[name].formats)
    found["paper_ratio"] = Measurement(value=ratio, unit="ratio")
    return {f"{metric}{setting.suffix}": value for metric, value in found.items()}


def weights_ratio(formats: Mapping[str, Format]) -> float:
    """Compression by the paper's Table 1: codebooks and assignments, weights alone, no biases."""
    weights = {name: held for name, held in formats.items() if len(held.shape) > 1}
    dense = sum(held.weights for held in weights.values())
    return FLOAT32_BYTES * dense / sum(_stored(held) for held in weights.values())


def _stored(held: Format) -> int:
    if isinstance(held, ProductQuantized):
        return stored_bytes(held.shape, held.subspace, held.codewords)
    if isinstance(held, Dense):
        return FLOAT32_BYTES * held.weights
    raise TypeError(f"the paper counts no {held.kind}")
