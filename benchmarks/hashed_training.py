"""What the benchmarks of HashedNets share: the images, the task, and the configuration.

All networks of a benchmark are trained from scratch, alike but for their rate. Nothing is chosen by
the test images, which are not read here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks.benchmark import Context
from benchmarks.datasets import load
from benchmarks.measure import FileReport, images_to_tensor
from benchmarks.rotated_digits import Rows
from benchmarks.several_files import Digits, measure_folder_in_new_process
from methods.hashed_nets import HashedNetsConfig
from methods.method import Method, UnsuitableTask, parse_config
from methods.training import ClassificationTask

BATCH_ROWS = 128
"""The authors' driver has 50. A step of 128 takes twice as long as one of 50 and an epoch less."""
VALIDATION_SHARE = 12
"""One row in twelve of the training split, its last ones: 5,000 of 60,000."""

Parts = tuple[Rows, Rows]
"""What is trained on, and what choices are made by: inputs and labels each."""


def training_parts(data: str) -> Parts:
    """The training images of a data set, the last of them held out to choose by."""
    arrays = load(data)
    inputs = images_to_tensor(arrays.train_images)
    targets = torch.from_numpy(arrays.train_labels).long()
    train = len(targets) - len(targets) // VALIDATION_SHARE
    return (inputs[:train], targets[:train]), (inputs[train:], targets[train:])


def scratch_task(
    name: str,
    fresh: Callable[[int], nn.Module],
    parts: Parts,
    context: Context,
    *,
    rows: int | None = None,
    teacher: nn.Module | None = None,
    progress: Callable[[], None] = lambda: None,
) -> ClassificationTask:
    """The task of training from scratch.

    Args:
        fresh: makes the architecture from a seed.
        rows: so many of the training images, the first; None for all.
        teacher: the trained full network, for what learns from its outputs.
    """
    device = torch.device(context.device)
    (inputs, targets), validation = parts
    network = fresh(context.seed) if teacher is None else teacher
    return ClassificationTask(
        name,
        network.to(device),
        fresh,
        (inputs[:rows], targets[:rows]),
        validation,
        batch_size=BATCH_ROWS,
        weight_decay=0.0,  # the authors' driver has none
        device=device,
        progress=progress,
    )


def hashed_config(method: Method | None, context: Context) -> tuple[Method, HashedNetsConfig]:
    """The method and the configuration of the run.

    Raises:
        UnsuitableTask: the method is not HashedNets.
    """
    config = None if method is None else parse_config(method, context.configuration)
    if method is None or not isinstance(config, HashedNetsConfig):
        raise UnsuitableTask("this benchmark trains the networks of hashed-nets")
    return method, config


def epochs_of(config: HashedNetsConfig, otherwise: int) -> int:
    """Those that the configuration names, else ``otherwise``."""
    return config.train_epochs if "train_epochs" in config.model_fields_set else otherwise


def with_values(
    config: HashedNetsConfig, values: Mapping[str, Any], otherwise: Mapping[str, Any]
) -> HashedNetsConfig:
    """``config`` with ``values``, and with ``otherwise`` where it names nothing; checked."""
    merged = {**otherwise, **config.model_dump(exclude_unset=True), **values}
    return type(config).model_validate(merged)


def tested_elsewhere(
    context: Context, digits: Digits, names: set[str], rows: int
) -> Mapping[str, FileReport]:
    """Each network of ``names`` in the job's folder, read back and tested in another process.

    Raises:
        RuntimeError: a file was not read back, or not on all ``rows`` of the test split.
    """
    context.progress(0.96, "reading the files back in another process")
    reports = measure_folder_in_new_process(context.folder, context.data, digits, context.device)
    if set(reports) != names:
        raise RuntimeError(f"read back were {sorted(reports)}, not {sorted(names)}")
    if any(report.n != rows for report in reports.values()):
        raise RuntimeError(f"not all {rows} rows were tested")
    return reports
