"""Measuring many compressed files in one process that has nothing but the files.

``python -P -m benchmarks.several_files --folder D --data mnist --digits plain`` reads every
``.netc`` file of the folder, runs each network on the test split and prints one JSON document.
"""

import argparse
from pathlib import Path
from typing import Literal, get_args

import torch
from pydantic import TypeAdapter

from benchmarks.centred_images import MARGIN, centred_test
from benchmarks.datasets import contents, load
from benchmarks.measure import FileReport, require_whole, said_by, test_split
from benchmarks.rotated_digits import rotated_test
from benchmarks.splits import idx_split
from benchmarks.trained_networks import normalised
from benchmarks.whitened_images import whitened_test
from methods.compressed import Compressed
from methods.training import count_errors

Digits = Literal["plain", "rotated", "normalised", "centred", "centred-32", "whitened"]
"""The test images as they are, the turned ones of ``benchmarks.rotated_digits``, as the digit
network of ``benchmarks.trained_networks`` takes them, less the mean of the training images
(``benchmarks.centred_images``; with a margin of zeros, 32x32), or those of
``benchmarks.whitened_images``."""

MANY_ROWS, FEW_ROWS = 1000, 100
"""Tested at a time; deep convolutional networks are slower on many."""

REPORTS = TypeAdapter(dict[str, FileReport])


def test_images(data: str, digits: Digits) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of the test split; only what measures may call this."""
    if digits == "rotated":
        return rotated_test(load(data))
    if digits in ("centred", "centred-32"):
        return centred_test(load(data), MARGIN if digits == "centred-32" else 0)
    if digits == "whitened":
        return whitened_test(load(data))
    return normalised_test(data) if digits == "normalised" else test_split(data)


def normalised_test(data: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Of ``mnist-cnn-and-mnist``."""
    arrays = idx_split(contents(data))
    return normalised(arrays.test_images), torch.from_numpy(arrays.test_labels).long()


def report_on_folder(folder: Path, data: str, digits: Digits, device: str) -> dict[str, FileReport]:
    """Each ``.netc`` file of ``folder`` by its name without the ending.

    Raises:
        FormatError: a file is none of ours, or changed.
        UserError: data are missing.
    """
    inputs, targets = (one.to(device) for one in test_images(data, digits))
    rows = FEW_ROWS if digits in ("centred-32", "whitened") else MANY_ROWS
    reports: dict[str, FileReport] = {}
    for path in sorted(folder.glob("*.netc")):
        compressed = Compressed.load(path)
        reports[path.stem] = FileReport(
            wrong=count_errors(compressed.network.to(device), inputs, targets, rows),
            n=len(targets),
            file_bytes=path.stat().st_size,
            size_bytes=compressed.size_bytes(),
        )
    return reports


def measure_folder_in_new_process(
    folder: Path, data: str, digits: Digits, device: str
) -> dict[str, FileReport]:
    """``report_on_folder`` in another process, which shares nothing with this one but the files.

    Raises:
        RuntimeError: that process failed, with its last words; or parts do not sum to a file.
    """
    arguments = ["--folder", str(folder), "--data", data, "--digits", digits, "--device", device]
    reports = REPORTS.validate_json(said_by("benchmarks.several_files", arguments))
    for name, report in reports.items():
        require_whole(report, name)
    return reports


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.several_files")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--digits", choices=get_args(Digits), default="plain")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reports = report_on_folder(arguments.folder, arguments.data, arguments.digits, arguments.device)
    print(REPORTS.dump_json(reports).decode())


if __name__ == "__main__":
    main()
