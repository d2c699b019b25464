"""Product-quantized convolutional networks on small images, with and without error correction.

Wu, Leng, Wang, Hu, Cheng, CVPR 2016, experiments on ImageNet, here on networks and images that are
at hand: the convolutions alone and the fully connected layers alone at the settings of the paper's
tables, and whole networks by its recipe (convolutions, training the fully connected layers on,
fully connected layers), each without and with error correction.

Two networks: LeNet-5, trained here, on MNIST and on Fashion-MNIST; and a classifier of digits
that a package carries, as somebody else trained it.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import contents, digests, ensure
from benchmarks.measure import test_split
from benchmarks.mnist import RECIPES, mnist_task
from benchmarks.quantized_files import (
    QuantizedFiles,
    Reference,
    Setting,
    measured,
    module_of,
    quantized_layers,
    quantizer,
)
from benchmarks.reference import train_reference
from benchmarks.several_files import Digits, normalised_test
from benchmarks.splits import idx_split
from benchmarks.trained_networks import MNIST_CNN, MnistCnn, normalised
from methods.layer_responses import answer_of
from methods.method import Method
from methods.training import ClassificationTask
from registry.vocabulary import Metric, load_vocabulary

NETWORK = "lenet-5"
VALIDATION_ROWS = 5_000
"""Of the network that a package carries: the last training images. Its authors trained on them."""
BATCH_ROWS = 128
RESPONSE_ROWS = 1_000
"""Of the validation split, the first: where the error of responses is measured."""


def _convolutions(width: int, codewords: int) -> Setting:
    changes = {
        "quantize": "convolutions",
        "conv_subspace": width,
        "conv_codewords": codewords,
    }
    return Setting(f"conv-{width}-{codewords}", changes)


def _fully_connected(width: int, codewords: int) -> Setting:
    changes = {"quantize": "fully-connected", "fc_subspace": width, "fc_codewords": codewords}
    return Setting(f"fc-{width}-{codewords}", changes)


WHOLE = Setting("", {})
"""The run's own configuration: by default 8/128 in convolutions and 4/32 elsewhere."""
CONVOLUTIONS, FULLY_CONNECTED = _convolutions(8, 128), _fully_connected(4, 32)
"""The two settings of which the errors of responses are told: the halves of the whole."""
SETTINGS: Mapping[Scale, Sequence[Setting]] = {
    "full": (
        *(_convolutions(4, 64), _convolutions(6, 64), _convolutions(6, 128), CONVOLUTIONS),
        *(_fully_connected(2, 16), _fully_connected(3, 16), _fully_connected(3, 32)),
        FULLY_CONNECTED,
        Setting("whole-3-32", {"fc_subspace": 3, "fc_codewords": 32}),
        WHOLE,
    ),
    "quick": (CONVOLUTIONS, WHOLE),
}
"""Those of the paper's tables of convolutions, of fully connected layers and of whole networks."""
FEWER: Mapping[Scale, Sequence[Setting]] = {
    "full": (*SETTINGS["full"][:4], FULLY_CONNECTED, WHOLE),
    "quick": SETTINGS["quick"],
}
"""All settings of convolutions, one of the others: what the time for a paper's runs bears."""


class _ConvnetQuantization:
    """Quantize one network at every setting, write, read back elsewhere, test what was read.

    Nothing is chosen by the test images.
    """

    digits: ClassVar[Digits] = "plain"
    settings: ClassVar[Mapping[Scale, Sequence[Setting]]] = FEWER

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the method on the network.

        Raises:
            UnsuitableTask: the method is not Q-CNN, which alone has an error correction to leave
                out.
        """
        files = QuantizedFiles(*quantizer(method, context), context)
        settings = self.settings[context.scale]
        stages = ["training the network", *(f"quantizing: {one.words}" for one in settings)]
        stage = 0

        def tell() -> None:
            context.progress(0.96 * stage / len(stages), stages[stage])

        task = self.trained(context, tell)
        reference = Reference.of(task, *self.test_split(context))
        found: dict[str, Measurement] = {"reference_error": reference.error}
        remarks: list[str] = []
        inputs = task.validation_rows[0][:RESPONSE_ROWS]
        for setting in settings:
            stage += 1
            tell()
            pair = files.quantize(task, setting)
            remarks.append(f"{setting.words}: {pair.validation_remark(task)}")
            if setting in (CONVOLUTIONS, FULLY_CONNECTED):
                for end, one in (("", pair.plain), ("_corrected", pair.corrected)):
                    layers, network = quantized_layers(one), module_of(one)
                    errors = response_errors(task.network, network, layers, inputs)
                    found |= {f"response_error{end}.{layer}": e for layer, e in errors.items()}
        reports = files.tested(self.digits, reference.rows)
        for setting in settings:
            found |= measured(files, reports, setting, reference)
        shown = WHOLE.file_name(corrected=True)
        return Outcome(
            found,
            dict(reports[shown].size_bytes),
            remarks,
            network_file=context.folder / f"{shown}.netc",
        )

    def trained(self, context: Context, advance: Callable[[], None]) -> ClassificationTask:
        """The network, trained here."""
        recipe = RECIPES[NETWORK][context.scale]
        task = mnist_task(context, recipe, advance)
        train_reference(task, recipe, digests(context.data), context.seed)
        return task

    def test_split(self, context: Context) -> tuple[torch.Tensor, torch.Tensor]:
        """As the network takes them."""
        return test_split(context.data)


class FashionMnistConvnetQuantization(_ConvnetQuantization):
    """LeNet-5 on Fashion-MNIST, at every setting."""

    name: ClassVar[str] = "fashion-mnist-convnet-product-quantization"
    settings: ClassVar[Mapping[Scale, Sequence[Setting]]] = SETTINGS
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class MnistConvnetQuantization(_ConvnetQuantization):
    """LeNet-5 on MNIST."""

    name: ClassVar[str] = "mnist-convnet-product-quantization"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class MnistCnnQuantization(_ConvnetQuantization):
    """The digit classifier that a package carries, with MNIST's training images."""

    name: ClassVar[str] = "mnist-cnn-product-quantization"
    digits: ClassVar[Digits] = "normalised"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def trained(self, context: Context, advance: Callable[[], None]) -> ClassificationTask:
        """The network as it was trained elsewhere."""
        arrays = idx_split(contents(context.data))
        inputs = normalised(arrays.train_images)
        targets = torch.from_numpy(arrays.train_labels).long()
        train = len(targets) - VALIDATION_ROWS
        return ClassificationTask(
            MNIST_CNN.name,
            as_layers(MNIST_CNN.trained(ensure(context.data).paths)).to(context.device),
            lambda seed: as_layers(MNIST_CNN.fresh(seed)),
            (inputs[:train], targets[:train]),
            (inputs[train:], targets[train:]),
            batch_size=BATCH_ROWS,
            device=torch.device(context.device),
            progress=advance,
        )

    def test_split(self, context: Context) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels less their mean over their deviation."""
        return normalised_test(context.data)


def as_layers(network: nn.Module) -> nn.Sequential:
    """The layers of ``MnistCnn`` one after another, so that files can name them."""
    assert isinstance(network, MnistCnn)
    first, second = network.features, network.classifier
    return nn.Sequential(
        OrderedDict(
            conv1=first[0],
            relu1=first[1],
            pool1=first[2],
            conv2=first[3],
            relu2=first[4],
            pool2=first[5],
            flatten=nn.Flatten(),
            ip1=second[0],
            relu3=second[1],
            ip2=second[2],
        )
    ).eval()


def response_errors(
    original: nn.Module, quantized: nn.Module, layers: Sequence[str], inputs: torch.Tensor
) -> dict[str, Measurement]:
    """How far each layer's response is off: eq. 8, over the sum of squares of the original's.

    Each network computes the response from its own lower layers, so that what these do wrong
    counts too. Biases are not part of a response.

    Args:
        inputs: of the whole network.
    """
    found = {}
    with torch.no_grad():
        for layer in layers:
            wanted, given = (
                answer_of(one, layer, inputs).double() for one in (original, quantized)
            )
            off = float((given - wanted).square().sum())
            whole = float((wanted - _bias(original.get_submodule(layer))).square().sum())
            found[layer] = Measurement(value=off / whole, unit="fraction", n=len(inputs))
    return found


def _bias(layer: nn.Module) -> torch.Tensor:
    """As it is added to a response."""
    bias = layer.get_parameter("bias").double()
    return bias.reshape(-1, 1, 1) if isinstance(layer, nn.Conv2d) else bias
