"""Product-quantized MLPs on MNIST, with and without error correction.

Wu, Leng, Wang, Hu, Cheng, CVPR 2016, the experiment on MNIST: 784-1000-10 and
784-1000-1000-1000-10, subspaces of 4 inputs and 32 codewords, the last layer float32. The paper
takes its networks from HashedNets: ReLU, dropout, SGD with momentum. The settings of the training
here were chosen on a validation split, so that the error that quantization *adds* compares better
than the error itself.
"""

from collections.abc import Mapping
from typing import ClassVar

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import digests
from benchmarks.measure import test_split
from benchmarks.mnist import TEST_ROWS, mnist_task
from benchmarks.quantized_files import (
    QuantizedFiles,
    Reference,
    Setting,
    measured,
    quantizer,
)
from benchmarks.reference import Recipe, train_reference
from methods.method import Method
from methods.training import ClassificationTask
from registry.vocabulary import Metric, load_vocabulary

NETWORKS: Mapping[str, str] = {"3-layers": "mlp-1000", "5-layers": "mlp-3x1000"}
"""By the layers of units, inputs included, as the paper counts."""
SHOWN = Setting("5-layers", {})
"""The network whose parts stand in the result, and whose file is kept."""


def _recipe(network: str, epochs: int, learning_rate: float) -> Recipe:
    """Of the full scale; what was tried stands in the record, at the run."""
    return Recipe(
        network=network,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=128,
        weight_decay=5e-5,
        input_dropout=0.2,
        dropout=0.25,
    )


def _quick(network: str, learning_rate: float) -> Recipe:
    return Recipe(
        network=network, epochs=2, learning_rate=learning_rate, batch_size=128, rows=6_000
    )


RECIPES: Mapping[str, Mapping[Scale, Recipe]] = {
    "mlp-1000": {"full": _recipe("mlp-1000", 40, 0.1), "quick": _quick("mlp-1000", 0.1)},
    "mlp-3x1000": {"full": _recipe("mlp-3x1000", 30, 0.05), "quick": _quick("mlp-3x1000", 0.05)},
}
HIDDEN_LAYERS = {"3-layers": 1, "5-layers": 3}
"""How much longer an epoch takes, about, for progress."""
QUANTIZING_EPOCHS = 4
"""About as many epochs take as long as both quantizations."""


class MnistProductQuantization:
    """Train both MLPs, quantize each in two ways, write, read back elsewhere, test what was read.

    Nothing is chosen by the test images.
    """

    name: ClassVar[str] = "mnist-product-quantization"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 2

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the method on both networks.

        Raises:
            UnsuitableTask: the method is not Q-CNN, which alone has an error correction to leave
                out.
        """
        files = QuantizedFiles(*quantizer(method, context), context)
        progress = _Progress(context)
        references: dict[str, Reference] = {}
        remarks: list[str] = []
        for point in NETWORKS:
            task = _trained(point, context, progress)
            references[point] = Reference.of(task, *test_split(context.data))
            progress.tell(point, 0, "quantizing")
            pair = files.quantize(task, Setting(point, {}))
            progress.tell(point, QUANTIZING_EPOCHS, "quantized")
            remarks.append(f"{point}: {pair.validation_remark(task)}")
        reports = files.tested("plain", TEST_ROWS[context.data])
        found: dict[str, Measurement] = {}
        for point, reference in references.items():
            found[f"reference_error.{point}"] = reference.error
            found |= measured(files, reports, Setting(point, {}), reference)
        shown = SHOWN.file_name(corrected=True)
        return Outcome(
            found,
            dict(reports[shown].size_bytes),
            [*remarks, f"sizes by part are those of {shown}"],
            network_file=context.folder / f"{shown}.netc",
        )


class _Progress:
    """Counts epochs, each as long as it takes, and quantizations as so many epochs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._done = 0
        epochs = {point: RECIPES[name][context.scale].epochs for point, name in NETWORKS.items()}
        self._whole = sum(
            HIDDEN_LAYERS[point] * (epochs[point] + QUANTIZING_EPOCHS) for point in NETWORKS
        )

    def tell(self, point: str, epochs: int, what: str) -> None:
        """So many more ``epochs`` of the network at ``point`` are done."""
        self._done += HIDDEN_LAYERS[point] * epochs
        self._context.progress(min(0.96, self._done / self._whole), f"{point}: {what}")


def _trained(point: str, context: Context, progress: _Progress) -> ClassificationTask:
    """The trained network, from the cache where it is there."""
    recipe = RECIPES[NETWORKS[point]][context.scale]

    def advance(epochs: int = 1) -> None:
        progress.tell(point, epochs, f"training for {recipe.epochs} epochs")

    task = mnist_task(context, recipe, advance)
    train_reference(task, recipe, digests(context.data), context.seed, skipped=advance)
    return task
