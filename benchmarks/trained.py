"""Any method on two trained networks that packages carry, as a user tries it on one of her own.

The method is given the network and, but for ``trained-mnist-cnn-with-data``, no data at all; what
it made is written to a file, and measured in another process (``trained_measure.py``).
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import nn

from benchmarks.benchmark import Context, Outcome
from benchmarks.datasets import contents, ensure
from benchmarks.splits import idx_split
from benchmarks.trained_measure import measure_in_new_process
from benchmarks.trained_networks import (
    MNIST_CNN,
    SPEECH_DETECTOR,
    TrainedNetwork,
    normalised,
)
from benchmarks.trained_remarks import dense_remarks
from methods.method import Method, Task, UnsuitableTask, parse_config
from methods.training import ClassificationTask
from methods.user_data import DatalessTask
from methods.weights import find_weights
from registry.vocabulary import Metric, load_vocabulary

VALIDATION_ROWS = 5_000
"""The last of the 60,000 training images."""
BATCH_ROWS = 128
LEFT_AS_IT_WAS = "the method left it as it was"


class _TrainedNetwork:
    """Compress a trained network, write it, read it into a fresh module elsewhere, measure that."""

    name: ClassVar[str]
    network: ClassVar[TrainedNetwork]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure ``method`` on the network."""
        if method is None:
            raise UnsuitableTask("this benchmark measures a method")
        config = parse_config(method, context.configuration)
        network = self.network.trained(ensure(context.data).paths)
        epochs, done = config.epochs or 1, 0

        def advance() -> None:
            nonlocal done
            done += 1
            context.progress(min(0.95, done / epochs), f"epoch {done} of {epochs}")

        task = self.task(network, context, advance)
        compressed = method.compress(task, config, seed=context.seed)
        path = context.folder / "network.netc"
        compressed.save(path)
        context.progress(0.96, "reading the file back in another process")
        report = measure_in_new_process(path, self.network.name, context.data, context.device)
        reasons = find_weights(network, method.applies_to).dense
        left = {name: reasons.get(name, LEFT_AS_IT_WAS) for name in report.left_dense}
        remarks = dense_remarks(left)
        return Outcome(dict(report.metrics), dict(report.size_bytes), remarks, network_file=path)

    def task(self, network: nn.Module, context: Context, advance: Callable[[], None]) -> Task:
        """What the method may ask: the network, and no data."""
        device = torch.device(context.device)
        return DatalessTask(self.network.name, network.to(device), device)


class TrainedMnistCnn(_TrainedNetwork):
    """The digit classifier, without any data."""

    name: ClassVar[str] = "trained-mnist-cnn"
    network: ClassVar[TrainedNetwork] = MNIST_CNN
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class TrainedMnistCnnWithData(_TrainedNetwork):
    """The digit classifier, with MNIST's training images for methods that train on."""

    name: ClassVar[str] = "trained-mnist-cnn-with-data"
    network: ClassVar[TrainedNetwork] = MNIST_CNN
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def task(self, network: nn.Module, context: Context, advance: Callable[[], None]) -> Task:
        """The first 55,000 training images, and the last 5,000 to choose by; never the test's."""
        arrays = idx_split(contents(context.data))
        inputs = normalised(arrays.train_images)
        targets = torch.from_numpy(arrays.train_labels).long()
        return ClassificationTask(
            self.network.name,
            network.to(context.device),
            self.network.fresh,
            (inputs[:-VALIDATION_ROWS], targets[:-VALIDATION_ROWS]),
            (inputs[-VALIDATION_ROWS:], targets[-VALIDATION_ROWS:]),
            batch_size=BATCH_ROWS,
            device=torch.device(context.device),
            progress=advance,
        )


class TrainedSpeechDetector(_TrainedNetwork):
    """The speech detector, without any data: there is no training set of it to be had."""

    name: ClassVar[str] = "trained-speech-detector"
    network: ClassVar[TrainedNetwork] = SPEECH_DETECTOR
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
