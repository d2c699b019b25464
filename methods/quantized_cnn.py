"""Q-CNN: product quantization with error correction.

Wu, Leng, Wang, Hu, Cheng: "Quantized Convolutional Neural Networks for Mobile Devices", CVPR
2016, arXiv 1512.06473v3.

1. Every convolution is product-quantized (eq. 7), and its codewords and codes are fitted to the
   response of the original network (eq. 8 to 12) on a few hundred unlabelled training images,
   layer after layer from the input up: what a layer is given comes from the layers below as they
   are quantized already, what it should answer from the original network.
2. The fully connected layers, still dense, are trained on with these convolutions fixed.
3. The fully connected layers are product-quantized (eq. 5) and corrected in the same way, on
   25,000 images, to the response of the network that step 2 left.

Without training data it is the plain product quantization of the weights. Layers that are neither
fully connected nor a convolution, or run more than once in a pass, are quantized so too.

The paper leaves open, and is chosen here: how many sweeps, the ridge (``response_correction``),
and how long step 2 trains. Its kernels, by look-up tables, stand in ``kernels/lookup``.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from methods.compressed import Compressed
from methods.formats.product_quantized import MAX_CODEWORDS, ProductQuantized, stored_bytes
from methods.layer_responses import response_moments, run_once, sample
from methods.method import MethodConfig, Task, UnsuitableTask
from methods.product_quantization import product_quantize
from methods.prune import frozen
from methods.response_correction import Correction, as_columns
from methods.training import cosine
from methods.weights import Weight, holds_weights, require_weights

Width = Annotated[int, Field(ge=1, le=1024)]
Codewords = Annotated[int, Field(ge=1, le=MAX_CODEWORDS)]
Setting = tuple[Width, Codewords]
"""Channels of a subspace, and codewords of each."""
MOST_MATRIX_BYTES = 2**31
"""A layer of which G or the matrix of eq. 11 would take more is not corrected."""


class QuantizedCnnConfig(MethodConfig):
    """Hyper-parameters; the defaults are those of the paper's AlexNet."""

    conv_subspace: Width = 8
    conv_codewords: Codewords = 128
    fc_subspace: Width = 4
    fc_codewords: Codewords = 32
    last_subspace: Width = 1
    last_codewords: Codewords = 16
    """The last fully connected layer. As any layer, it stays dense where product quantization
    would not make it smaller: with few classes (MNIST), not with the 1000 of ImageNet."""
    layers: dict[str, Setting | None] | None = None
    """Of layers by name, over the above: (subspace, codewords), or None to leave it dense."""
    quantize: Literal["all", "convolutions", "fully-connected"] = "all"
    """The layers to quantize; step 2 is taken only where all are."""
    error_correction: bool = True
    conv_images: Annotated[int, Field(ge=1)] = 500
    """The authors: 250 to 500."""
    fc_images: Annotated[int, Field(ge=1)] = 25_000
    sweeps: Annotated[int, Field(ge=1, le=100)] = 10
    """Over the subspaces of a layer, at most; fewer where the error no longer falls."""
    ridge: Annotated[float, Field(ge=0)] = 0.1
    """Pull towards the original weights, against the mean square of an input
    (``response_correction``). Of 0.001 to 3, the response of validation images was nearest with
    0.1 and 0.3, for 784-1000-10 and for LeNet-5."""
    kmeans_iterations: Annotated[int, Field(ge=1, le=1000)] = 50
    finetune_epochs: Annotated[int, Field(ge=0, le=200)] = 5
    finetune_learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """At the start, falling along a cosine."""

    @property
    def epochs(self) -> int | None:
        """Not known before the network is: only what has convolutions is trained on."""
        return None if self.finetune_epochs else 0


@dataclass(frozen=True)
class LayerReport:
    """How far the response of one layer is off, on the images of error correction.

    Errors are relative: eq. 8 over the sum of squares of the responses that were wanted; None
    where nothing was measured.
    """

    subspace: int
    codewords: int
    error: float | None = None
    """Of the plain product quantization."""
    corrected: float | None = None
    """After error correction."""


@dataclass
class Quantized:
    """A network while it is quantized."""

    network: nn.Module
    """With the quantized weights, decoded."""
    formats: dict[str, ProductQuantized] = field(default_factory=dict)
    """By parameter."""
    layers: dict[str, LayerReport] = field(default_factory=dict)
    """By layer, in the order in which they were quantized."""
    remarks: list[str] = field(default_factory=list)

    def compressed(self) -> Compressed:
        """The network in its formats."""
        metadata = {"method": QuantizedCnn.name}
        if self.remarks:
            metadata["remark"] = "; ".join(self.remarks)
        return Compressed.from_module(self.network, self.formats, metadata=metadata)


class QuantizedCnn:
    """The plugin."""

    name: ClassVar[str] = "quantized-cnn"
    paper: ClassVar[str] = "2016-quantized-cnn"
    Config: ClassVar[type[QuantizedCnnConfig]] = QuantizedCnnConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with a weight matrix or kernels."""
        return holds_weights(module)

    def compress(self, task: Task, config: QuantizedCnnConfig, *, seed: int) -> Compressed:
        """Quantize a copy of ``task.network``; see ``quantize``."""
        return self.quantize(task, config, seed=seed).compressed()

    def quantize(self, task: Task, config: QuantizedCnnConfig, *, seed: int) -> Quantized:
        """The same, with the error of each layer's response.

        Raises:
            UnsuitableTask: a layer that the configuration names is not there, or none would be
                quantized.
        """
        weights = require_weights(task.network, self.applies_to).handled
        chosen = settings_for(weights, config)
        done = Quantized(copy.deepcopy(task.network).eval())
        large = [one.name for one in asked_for(weights, config) if one.name not in chosen]
        if large:
            done.remarks.append(f"codebooks would be no smaller than {', '.join(large)}")
        originals = copy.deepcopy(done.network)
        order = _order(task, originals, chosen) if task.can_train else []
        if not task.can_train and config.error_correction:
            done.remarks.insert(0, "no training data: plain product quantization of the weights")
        first, then = _phases(task.network, chosen, order)
        work = _Work(task, config, seed, set(order) if config.error_correction else set())
        work.quantize(done, originals, first, config.conv_images)
        if first and then and task.can_train and config.finetune_epochs:
            finetune(task, done.network, config, seed)
            originals = copy.deepcopy(done.network)
        work.quantize(done, originals, then, config.fc_images)
        return done


def settings_for(weights: tuple[Weight, ...], config: QuantizedCnnConfig) -> dict[str, Setting]:
    """Subspace and codewords of each parameter that is to be quantized, in the network's order.

    A layer that product quantization would not make smaller is left out, unless the configuration
    names it.

    Raises:
        UnsuitableTask: the configuration names a layer that is not there, or nothing is left.
    """
    named = config.layers or {}
    chosen: dict[str, Setting] = {}
    for weight, setting in asked_for(weights, config).items():
        fitted = _fitted(weight.shape, setting)
        shrinks = stored_bytes(weight.shape, *fitted) < 4 * weight.tensor.numel()
        if shrinks or weight.name.removesuffix(".weight") in named:
            chosen[weight.name] = fitted
    if not chosen:
        raise UnsuitableTask(
            "no layer is to be quantized: each is too small for its codebooks or left dense by the "
            "configuration. Set conv_codewords, fc_codewords or last_codewords lower, or name the "
            f'layers: layers={{"{weights[0].name.removesuffix(".weight")}": [4, 16]}}'
        )
    return chosen


def asked_for(weights: tuple[Weight, ...], config: QuantizedCnnConfig) -> dict[Weight, Setting]:
    """What the configuration says of each weight that it does not leave dense.

    Raises:
        UnsuitableTask: it names a layer that is not there.
    """
    layers = {weight.name.removesuffix(".weight"): weight for weight in weights}
    named = config.layers or {}
    unknown = sorted(set(named) - set(layers))
    if unknown:
        raise UnsuitableTask(
            f"the configuration names layers that the network has not: {', '.join(unknown)} "
            f"(it has {', '.join(layers)})"
        )
    linear = [name for name, weight in layers.items() if isinstance(weight.module, nn.Linear)]
    asked: dict[Weight, Setting] = {}
    for name, weight in layers.items():
        convolution = len(weight.shape) > 2
        kind = "convolutions" if convolution else "fully-connected"
        if name not in named and config.quantize not in ("all", kind):
            continue
        setting = (config.fc_subspace, config.fc_codewords)
        if convolution:
            setting = (config.conv_subspace, config.conv_codewords)
        elif name in linear[-1:]:
            setting = (config.last_subspace, config.last_codewords)
        wanted = named.get(name, setting)
        if wanted is not None:
            asked[weight] = wanted
    return asked


def _fitted(shape: tuple[int, ...], setting: Setting) -> Setting:
    """No subspace wider than the channels, no more codewords than vectors to cluster."""
    vectors = shape[0]
    for size in shape[2:]:
        vectors *= size
    return min(setting[0], shape[1]), min(setting[1], vectors)


def _order(task: Task, network: nn.Module, chosen: Mapping[str, Setting]) -> list[str]:
    """Parameters whose layers' responses can be corrected, in the order in which they run."""
    inputs, _, _ = next(iter(task.train_batches(0)))
    names = [f"{name}.weight" for name in run_once(network, inputs[:2])]
    shared: dict[int, int] = {}
    for _, parameter in network.named_parameters(remove_duplicate=False):
        shared[id(parameter)] = shared.get(id(parameter), 0) + 1
    parameters = dict(network.named_parameters(remove_duplicate=False))
    return [
        name
        for name in names
        if name in chosen
        and shared[id(parameters[name])] == 1
        and _matrix_bytes(network.get_submodule(name.removesuffix(".weight")), chosen[name])
        <= MOST_MATRIX_BYTES
    ]


def _matrix_bytes(layer: nn.Module, setting: Setting) -> int:
    """Of the larger of G and, for kernels, the matrix of all codewords of a subspace, float64."""
    weight = layer.get_parameter("weight")
    groups = layer.groups if isinstance(layer, nn.Conv1d | nn.Conv2d) else 1
    codewords = (setting[0] * setting[1]) ** 2 if weight.dim() > 2 else 0
    return 8 * max(groups * weight[0].numel() ** 2, codewords)


def _phases(
    network: nn.Module, chosen: Mapping[str, Setting], order: list[str]
) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """Convolutions, and all others: those that are corrected in the order of ``order``, after the
    ones that are not."""
    names = [*(name for name in chosen if name not in order), *order]
    parameters = dict(network.named_parameters(remove_duplicate=False))
    convolutions = {name: chosen[name] for name in names if parameters[name].dim() > 2}
    return convolutions, {name: chosen[name] for name in names if name not in convolutions}


@dataclass(frozen=True)
class _Work:
    """What quantizing a layer needs to know."""

    task: Task
    config: QuantizedCnnConfig
    seed: int
    corrected: set[str]
    """Parameters that error correction is for."""

    def quantize(
        self, done: Quantized, original: nn.Module, chosen: Mapping[str, Setting], images: int
    ) -> None:
        """Quantize these parameters of ``done.network``, one after another."""
        targets = dict(original.named_parameters(remove_duplicate=False))
        for name, (subspace, codewords) in chosen.items():
            weight = targets[name].detach().float()
            plain = product_quantize(
                weight,
                subspace,
                codewords,
                seed=self.seed,
                iterations=self.config.kmeans_iterations,
            )
            held, report = plain, LayerReport(subspace, codewords)
            if name in self.corrected:
                held, report = self._correct(done, original, name, weight, plain, images)
            done.formats[name] = held
            done.layers[name.removesuffix(".weight")] = report
            _write(done.network, name, held)

    def _correct(
        self,
        done: Quantized,
        original: nn.Module,
        name: str,
        weight: torch.Tensor,
        plain: ProductQuantized,
        images: int,
    ) -> tuple[ProductQuantized, LayerReport]:
        layer = name.removesuffix(".weight")
        batches = sample(self.task, images, self.seed)
        moments = response_moments(original, done.network, layer, batches)
        if not moments.are_finite:
            raise UnsuitableTask(
                f"the responses of {layer} are not all finite, so they cannot be fitted: set "
                "error_correction to false"
            )
        columns = as_columns(weight)
        correction = Correction(plain, moments.near(columns, self.config.ridge))
        before = moments.error(correction.weight)
        correction.run(self.config.sweeps)
        after = moments.error(correction.weight)
        whole = moments.responses or 1.0
        report = LayerReport(plain.subspace, plain.codewords, before / whole, after / whole)
        return correction.held(), report


def finetune(task: Task, network: nn.Module, config: QuantizedCnnConfig, seed: int) -> None:
    """Step 2, in place: train on the fully connected layers alone."""
    linear = [name for name, one in network.named_modules() if isinstance(one, nn.Linear)]
    with frozen(network, except_for=linear):
        task.fit(
            network,
            config.finetune_epochs,
            learning_rate=config.finetune_learning_rate,
            schedule=cosine,
            seed=seed * 100,
        )


def _write(network: nn.Module, name: str, held: ProductQuantized) -> None:
    """Put the decoded weights into the network."""
    parameter = dict(network.named_parameters(remove_duplicate=False))[name]
    with torch.no_grad():
        parameter.copy_(held.decode().to(parameter.device, parameter.dtype))
