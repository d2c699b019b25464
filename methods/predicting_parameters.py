"""Predicting Parameters: of each layer's two factors one is fixed, and few weights are learned.

Denil, Shakibi, Dinh, Ranzato, de Freitas: "Predicting Parameters in Deep Learning", NIPS 2013,
arXiv 1306.0543. The paper's body gives no settings that we know of; definitions and
hyper-parameters are those of the authors' repository (github.com/mdenil/parameter_prediction):
kernels and ridge from the parent of commit 3f64a29, the recipe from examples/multijob/mnist_0001.

1. Each layer but the last is W = U V by columns of outputs, U from a dictionary
   (``methods.prediction.dictionaries``) and V learned, from scratch.
2. Layer by layer from the input up: a dictionary that is made from data is made of what the layers
   below give, then the layer is pre-trained as an autoencoder with tied weights (fully connected
   layers only; the authors' convolution settings have no pre-training).
3. All learned factors, biases and the output layer are trained together.

Left out: dictionaries that stand in the authors' code only (k-means centres, DCT, Fourier, random
positive-definite and sigmoid-Jacobian kernels).
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from methods.compressed import Compressed
from methods.formats.format import Format
from methods.method import Task, UnsuitableTask
from methods.prediction.builder import Builder, make_plan
from methods.prediction.layers import Factored, limit_norms, with_fixed_first
from methods.prediction.pretraining import FEATURE_BYTES, own_weights
from methods.prediction.settings import PredictingParametersConfig
from methods.training import cosine


@dataclass(frozen=True)
class Counts:
    """Weights of the layers before the last, biases left out."""

    weights: int
    """Of the dense layers."""
    learned: int
    """Numbers that are learned."""
    stored: int
    """Numbers in the file, those of dictionaries made from data included."""


class PredictingParameters:
    """The plugin."""

    name: ClassVar[str] = "predicting-parameters"
    paper: ClassVar[str] = "2013-predicting-parameters"
    Config: ClassVar[type[PredictingParametersConfig]] = PredictingParametersConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "scratch"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Fully connected layers, and convolutions in two dimensions without groups."""
        if type(module) is nn.Linear:
            return None
        if type(module) is not nn.Conv2d:
            return f"{type(module).__name__} is no fully connected or convolutional layer"
        if module.groups != 1:
            return "its convolution is in groups"
        return None if module.padding_mode == "zeros" else f"it pads with {module.padding_mode}"

    def compress(self, task: Task, config: PredictingParametersConfig, *, seed: int) -> Compressed:
        """Train a fresh network whose layers but the last are predicted.

        The file's metadata say ``learned_weights``, ``stored_weights`` and ``hidden_weights``; see
        ``counts_of``.

        Raises:
            UnsuitableTask: there are no data, nothing to predict, a name that no layer has, or a
                dictionary that a layer cannot have.
        """
        if not task.can_train:
            raise UnsuitableTask(
                "it trains from scratch and needs training data: give --data FILE.npz with arrays "
                "x and y"
            )
        dense = task.fresh_network(seed)
        network = copy.deepcopy(dense)
        plan = make_plan(task, network, config, self.applies_to)
        builder = Builder(task, network, config, seed)
        for at, (place, choice) in enumerate(plan.hidden):
            builder.build(at, place, choice)
        _train(task, network, [*builder.layers.values(), plan.output], config, seed)
        return _compressed(dense, network, builder.layers, config, {"method": self.name})


def _train(
    task: Task,
    network: nn.Module,
    layers: list[nn.Module],
    config: PredictingParametersConfig,
    seed: int,
) -> None:
    """Train all that is learned together, in place."""
    weights = [own_weights(layer) for layer in layers]
    decayed = {id(one) for layer in layers for one in layer.parameters() if one.dim() > 1}

    def make(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        held = list(parameters)
        groups = [
            {"params": [one for one in held if (id(one) in decayed) == decays], "weight_decay": by}
            for decays, by in ((True, 2 * config.weight_decay), (False, 0.0))
        ]
        wanted = [group for group in groups if group["params"]]
        return torch.optim.SGD(wanted, lr=config.learning_rate, momentum=config.momentum)

    rows = sum(len(x) for x, _, _ in task.train_batches(0))
    task.fit(
        with_fixed_first(network, rows, FEATURE_BYTES),
        config.train_epochs,
        learning_rate=config.learning_rate,
        optimizer=make,
        schedule=cosine if config.schedule == "cosine" else None,
        after_step=lambda: limit_norms(weights, config.max_norm),
        seed=seed,
    )
    network.eval()


def _compressed(
    dense: nn.Module,
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    config: PredictingParametersConfig,
    metadata: dict[str, str],
) -> Compressed:
    """Fill ``dense`` with what was learned, and hold each layer as its factors or densely."""
    trained = network.state_dict()
    made = {
        f"{name}.weight": layer.to_format()
        for name, layer in layers.items()
        if isinstance(layer, Factored)
    }
    with torch.no_grad():
        for name, tensor in dense.state_dict().items():
            tensor.copy_(made[name].decode() if name in made else trained[name])
    held: dict[str, Format] = {}
    weights = learned = stored = 0
    for layer_name, layer in layers.items():
        name = f"{layer_name}.weight"
        tensor = dense.get_parameter(name)
        numbers = tensor.numel()
        weights += numbers
        learned += layer.learned_weights if isinstance(layer, Factored) else numbers
        factors = made.get(name)
        if factors is not None:
            size = sum(factors.size_bytes().values())
            if config.store == "factors" or size < numbers * tensor.element_size():
                held[name] = factors
                numbers = factors.stored_weights
        stored += numbers
    metadata |= dict(zip(COUNTS, map(str, (weights, learned, stored)), strict=True))
    if wide := [name for name in made if name not in held]:
        metadata["remark"] = f"their factors take more bytes, so dense are {', '.join(wide)}"
    return Compressed.from_module(dense, held, metadata=metadata)


COUNTS = ("hidden_weights", "learned_weights", "stored_weights")
"""Metadata of a file, as ``counts_of`` reads them."""


def counts_of(compressed: Compressed) -> Counts:
    """Weights, learned weights and stored weights of a file that this method made.

    Raises:
        KeyError: it made no such file.
    """
    weights, learned, stored = (int(compressed.metadata[key]) for key in COUNTS)
    return Counts(weights, learned, stored)
