"""Benchmarks on the handwritten digits of MNIST."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import digests, load
from benchmarks.measure import (
    error_measurement,
    images_to_tensor,
    measure_in_new_process,
    test_split,
)
from benchmarks.reference import Recipe, train_reference
from methods.method import Method, UnsuitableTask, parse_config
from methods.networks import NETWORKS, float32_bytes
from methods.training import ClassificationTask, count_errors
from registry.vocabulary import Metric, load_vocabulary

TEST_ROWS = {"mnist": 10_000, "mnist-5k": 1_000, "fashion-mnist": 10_000}
VALIDATION_SHARE = 12
"""One row in twelve of the training split, its last ones: 5,000 of 60,000."""

RECIPES: dict[str, dict[Scale, Recipe]] = {
    "lenet-300-100": {
        "full": Recipe(network="lenet-300-100", epochs=30, learning_rate=0.1, batch_size=128),
        "quick": Recipe(network="lenet-300-100", epochs=4, learning_rate=0.1, batch_size=128),
    },
    "lenet-5": {
        # Without the warm-up this rate diverges from some seeds.
        "full": Recipe(
            network="lenet-5", epochs=12, learning_rate=0.05, batch_size=128, warm_up=0.05
        ),
        "quick": Recipe(
            network="lenet-5", epochs=2, learning_rate=0.02, batch_size=128, rows=12_000
        ),
    },
}


class _MnistNetwork:
    """Train a network, compress it, write it, read it back elsewhere, test what was read.

    Every choice is made on a validation split of the training images. The test images are looked
    at twice: once for the reference network and once for what was read from the file.
    """

    network: ClassVar[str]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure ``method`` on the network."""
        if method is None:
            raise UnsuitableTask("this benchmark measures a method")
        config = parse_config(method, context.configuration)
        recipe = RECIPES[self.network][context.scale]
        epochs = recipe.epochs + (config.epochs or 0)
        done = 0

        def advance(by: int = 1) -> None:
            nonlocal done
            done += by
            context.progress(min(0.97, done / epochs), f"epoch {done} of {epochs}")

        task = mnist_task(context, recipe, advance)
        train_reference(task, recipe, digests(context.data), context.seed, skipped=advance)
        validation_reference = task.validation_score(task.network)
        compressed = method.compress(task, config, seed=context.seed)
        path = context.folder / "network.netc"
        compressed.save(path)
        context.progress(0.98, "reading the file back in another process")
        report = measure_in_new_process(path, context.data, context.device)
        inputs, targets = test_split(context.data)
        reference_wrong = count_errors(
            task.network, inputs.to(task.device), targets.to(task.device)
        )
        rows = TEST_ROWS[context.data]
        if not report.n == len(targets) == rows:
            raise RuntimeError(f"{report.n} rows tested of {rows}")
        reference_bytes = float32_bytes(task.network)
        metrics = {
            "reference_error": error_measurement(reference_wrong, rows),
            "error": error_measurement(report.wrong, rows),
            "error_increase": Measurement(
                value=(report.wrong - reference_wrong) / rows, unit="fraction", n=rows
            ),
            "reference_bytes": Measurement(value=reference_bytes, unit="bytes"),
            "file_bytes": Measurement(value=report.file_bytes, unit="bytes"),
            "file_ratio": Measurement(value=reference_bytes / report.file_bytes, unit="ratio"),
            **report.metrics,
        }
        validation = task.validation_score(compressed.network)
        remarks = [
            f"validation error {validation_reference:.4f} before, {validation:.4f} after",
        ]
        return Outcome(metrics, dict(report.size_bytes), remarks, network_file=path)


class MnistLenet300100(_MnistNetwork):
    """LeNet-300-100."""

    name: ClassVar[str] = "mnist-lenet-300-100"
    network: ClassVar[str] = "lenet-300-100"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class MnistLenet5(_MnistNetwork):
    """LeNet-5 with the sizes of Caffe's example."""

    name: ClassVar[str] = "mnist-lenet-5"
    network: ClassVar[str] = "lenet-5"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


def mnist_task(
    context: Context, recipe: Recipe, advance: Callable[[], None] = lambda: None
) -> ClassificationTask:
    """The untrained network of ``recipe`` with the training images, the last of them held out."""
    arrays = load(context.data)
    inputs = images_to_tensor(arrays.train_images)
    targets = torch.from_numpy(arrays.train_labels).long()
    train = len(targets) - len(targets) // VALIDATION_SHARE
    used = min(train, recipe.rows or train)
    make = NETWORKS[recipe.network]
    return ClassificationTask(
        recipe.network,
        make(context.seed).to(context.device),
        make,
        (inputs[:used], targets[:used]),
        (inputs[train:], targets[train:]),
        batch_size=recipe.batch_size,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        device=torch.device(context.device),
        progress=advance,
    )
