"""Measuring a compressed file, in a process of its own that has nothing but the file.

``python -P -m benchmarks.measure --file F --data mnist`` reads the file, runs the network on the
test split and prints one JSON document.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import Field

from benchmarks.accounting import paper_count
from benchmarks.benchmark import Measurement
from benchmarks.datasets import load
from benchmarks.verdict import wilson
from methods.compressed import Compressed
from methods.training import count_errors
from registry.fields import Model

PIXEL_SCALE = 1 / 256
"""Caffe's MNIST example scales pixels so and does not centre them."""


class SizedReport(Model):
    """Bytes of a file, in all and by part; the base of what is reported on one."""

    file_bytes: int
    size_bytes: dict[str, int]


Report = TypeVar("Report", bound=SizedReport)


class FileReport(SizedReport):
    """What the file alone shows."""

    wrong: int
    n: int
    metrics: dict[str, Measurement] = Field(default_factory=dict)
    """The paper's count, where the file holds formats that it applies to."""


def error_measurement(wrong: int, n: int) -> Measurement:
    """A test error with Wilson's interval."""
    interval = wilson(wrong / n, n)
    return Measurement(value=wrong / n, unit="fraction", low=interval.low, high=interval.high, n=n)


def images_to_tensor(images: Any) -> torch.Tensor:
    """(n, 28, 28) uint8 to (n, 1, 28, 28) float32 of 0 to 255/256."""
    return torch.from_numpy(images).float().unsqueeze(1) * PIXEL_SCALE


def test_split(data: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of the test split; only what measures may call this."""
    arrays = load(data)
    return images_to_tensor(arrays.test_images), torch.from_numpy(arrays.test_labels).long()


def report_on(path: Path, data: str, device: str) -> FileReport:
    """Read ``path`` and measure it.

    Raises:
        FormatError: the file is none of ours, or changed.
        UserError: data are missing.
    """
    compressed = Compressed.load(path)
    inputs, targets = test_split(data)
    network = compressed.network.to(device)
    wrong = count_errors(network, inputs.to(device), targets.to(device))
    return FileReport(
        wrong=wrong,
        n=len(targets),
        file_bytes=path.stat().st_size,
        size_bytes=compressed.size_bytes(),
        metrics=paper_count(compressed.formats),
    )


def measure_in_new_process(path: Path, data: str, device: str) -> FileReport:
    """``report_on`` in another process, which shares nothing with this one but the file.

    Raises:
        RuntimeError: that process failed; its last words are in the message.
    """
    arguments = ["--file", str(path), "--data", data, "--device", device]
    return reported_by("benchmarks.measure", arguments, FileReport)


def reported_by(module: str, arguments: list[str], kind: type[Report]) -> Report:
    """What ``python -P -m module`` reports on a file; its parts add up to the file.

    Raises:
        RuntimeError: that process failed; its last words are in the message.
    """
    report = kind.model_validate_json(said_by(module, arguments))
    require_whole(report)
    return report


def said_by(module: str, arguments: list[str]) -> str:
    """What ``python -P -m module`` prints.

    Raises:
        RuntimeError: it failed; its last words are in the message.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"reading the file back failed: {done.stderr[-2000:]}")
    return done.stdout


def require_whole(report: SizedReport, name: str = "the file") -> None:
    """Hold the bytes of a file's parts against the file.

    Raises:
        RuntimeError: they do not add up.
    """
    parts = sum(report.size_bytes.values())
    if parts != report.file_bytes:
        raise RuntimeError(f"{name}: parts add up to {parts} bytes, not {report.file_bytes}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = report_on(arguments.file, arguments.data, arguments.device)
    json.dump(report.model_dump(mode="json"), sys.stdout)


if __name__ == "__main__":
    main()
