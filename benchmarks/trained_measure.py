"""Measuring a compressed trained network, in a process of its own that has nothing but the file.

``python -P -m benchmarks.trained_measure --file F --network speech-detector --data D`` reads the
file into a fresh module, runs it beside the network that the package carries, and prints one JSON
document.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from benchmarks.benchmark import Measurement
from benchmarks.datasets import contents, ensure
from benchmarks.measure import SizedReport, error_measurement, reported_by
from benchmarks.speech import clips, fidelity, probabilities
from benchmarks.splits import idx_split
from benchmarks.trained_networks import (
    MNIST_CNN,
    SPEECH_DETECTOR,
    TrainedNetwork,
    normalised,
)
from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.networks import float32_bytes
from methods.training import count_errors
from methods.weights import find_weights

Metrics = dict[str, Measurement]
Judge = Callable[[nn.Module, nn.Module, Mapping[str, bytes], str], Metrics]
"""Of reference, network read back, the data set's files and the device."""


class TrainedReport(SizedReport):
    """What the file alone shows, beside the network that it was made of."""

    metrics: Metrics
    left_dense: tuple[str, ...] = Field(default=())
    """Weights that the file holds as they were."""


def digit_metrics(
    reference: nn.Module, read: nn.Module, files: Mapping[str, bytes], device: str
) -> Metrics:
    """Errors on MNIST's test images, before and after."""
    arrays = idx_split(files)
    inputs = normalised(arrays.test_images).to(device)
    targets = torch.from_numpy(arrays.test_labels).long().to(device)
    before, after = (count_errors(one, inputs, targets) for one in (reference, read))
    rows = len(targets)
    return {
        "reference_error": error_measurement(before, rows),
        "error": error_measurement(after, rows),
        "error_increase": Measurement(value=(after - before) / rows, unit="fraction", n=rows),
    }


def speech_metrics(
    reference: nn.Module, read: nn.Module, files: Mapping[str, bytes], device: str
) -> Metrics:
    """How far the probabilities of all recordings are from those before."""
    recordings = [clip.to(device) for clip in clips(files)]
    found = fidelity(*(probabilities(one, recordings) for one in (reference, read)))

    def share(value: float) -> Measurement:
        return Measurement(value=value, unit="fraction", n=found.chunks)

    return {
        "largest_difference": share(found.largest_difference),
        "mean_difference": share(found.mean_difference),
        "agreement": share(found.agreement),
    }


JUDGES: dict[str, tuple[TrainedNetwork, Judge]] = {
    MNIST_CNN.name: (MNIST_CNN, digit_metrics),
    SPEECH_DETECTOR.name: (SPEECH_DETECTOR, speech_metrics),
}
"""By the name of the network."""


def report_on(path: Path, network: str, data: str, device: str) -> TrainedReport:
    """Read ``path`` and measure it.

    Raises:
        FormatError: the file is none of ours, or changed.
        UserError: it does not fit the network, or data are missing.
    """
    trained, judge = JUDGES[network]
    read = trained.fresh()
    compressed = Compressed.load(path, into=read)
    reference = trained.trained(ensure(data).paths)
    size, file_bytes = float32_bytes(reference), path.stat().st_size
    metrics = judge(reference.to(device), read.to(device), contents(data), device)
    metrics |= {
        "reference_bytes": Measurement(value=size, unit="bytes"),
        "file_bytes": Measurement(value=file_bytes, unit="bytes"),
        "file_ratio": Measurement(value=size / file_bytes, unit="ratio"),
    }
    left = left_dense(compressed, reference)
    return TrainedReport(
        metrics=metrics,
        size_bytes=compressed.size_bytes(),
        file_bytes=file_bytes,
        left_dense=left,
    )


def left_dense(compressed: Compressed, reference: nn.Module) -> tuple[str, ...]:
    """Weights of the layers of ``reference`` that the file holds in full, in their own type."""
    found = []
    for weight in find_weights(reference).handled:
        held = compressed.formats[weight.name]
        if isinstance(held, Dense) and held.values.dtype == weight.tensor.dtype:
            found.append(weight.name)
    return tuple(found)


def measure_in_new_process(path: Path, network: str, data: str, device: str) -> TrainedReport:
    """``report_on`` in another process, which shares nothing with this one but the file.

    Raises:
        RuntimeError: that process failed; its last words are in the message.
    """
    arguments = ["--file", str(path), "--network", network, "--data", data, "--device", device]
    return reported_by("benchmarks.trained_measure", arguments, TrainedReport)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trained_measure")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--network", choices=JUDGES, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = report_on(arguments.file, arguments.network, arguments.data, arguments.device)
    json.dump(report.model_dump(mode="json"), sys.stdout)


if __name__ == "__main__":
    main()
