"""Multiplications of one minibatch update: by the paper's formula, and counted in a real step.

Lin et al., ICLR 2016, count for the 784-1024-1024-1024-10 network and minibatches of B = 200, with
N weights and U units: 3 N B of the three dense products, 3 U B element-wise, and with batch
normalisation 9 U B + 9 U more. Quantized back-propagation with drawn weights leaves all but the
first; drawn weights alone leave N B of it, the outer products. The rate times the gradients, which
the paper leaves out, stands apart.

Beside the formula one step of the real network, on made-up pixels, is run within a counter
(``benchmarks.multiplication_counter``), and each difference is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from benchmarks.counted_step import Step, counted_step, differences
from methods.normalised_networks import normalised_convnet, normalised_mlp
from registry.record import Paper
from registry.vocabulary import Metric, load_vocabulary

BATCH = 200
WIDTHS = (784, 1024, 1024, 1024, 10)
NARROW_WIDTHS = (784, 256, 256, 256, 10)
PLAIN, NORMALISED = "without-batch-normalisation", "with-batch-normalisation"
_NORMALISATION = nn.modules.batchnorm._BatchNorm


@dataclass
class LayerCount:
    """What a layer with weights does for one example."""

    name: str
    weights: int
    biases: int
    products: int
    """Multiplications of its product."""
    units: int
    """Outputs, after a pooling where one follows."""
    maps: int = 0
    """Outputs with statistics of their own, where batch normalisation follows; else 0."""


@dataclass(frozen=True)
class UpdateCount:
    """Multiplications of one minibatch update, by the paper's formula."""

    layers: tuple[LayerCount, ...]
    batch: int

    @property
    def product(self) -> int:
        """One of the three dense products."""
        return self.batch * sum(layer.products for layer in self.layers)

    @property
    def others(self) -> int:
        """Element-wise, and of batch normalisation."""
        units = sum(layer.units for layer in self.layers)
        normalised = sum(layer.units for layer in self.layers if layer.maps)
        maps = sum(layer.maps for layer in self.layers)
        return 3 * self.batch * units + 9 * self.batch * normalised + 9 * maps

    @property
    def rate(self) -> int:
        """Of the learning rate: one for each weight, bias, and scale of batch normalisation."""
        return sum(layer.weights + layer.biases + layer.maps for layer in self.layers)

    def measured(self, name: str) -> Found:
        """Every metric of a network of that name."""
        full, left = 3 * self.product + self.others, self.others
        yield f"full_precision_multiplications.{name}", full
        yield f"binary_multiplications.{name}", self.product + self.others
        yield f"quantized_multiplications.{name}", left
        yield f"quantized_share.{name}", left / full
        yield f"quantized_multiplications_with_rate.{name}", left + self.rate
        yield f"quantized_share_with_rate.{name}", (left + self.rate) / (full + self.rate)


def count_update(network: nn.Module, example: torch.Tensor, batch: int) -> UpdateCount:
    """The formula for any network, layer by layer.

    Args:
        network: its fully connected layers and two-dimensional convolutions are counted, and the
            batch normalisations and poolings between them.
        example: one input, (1, ...).
        batch: examples of a minibatch.
    """
    found: list[LayerCount] = []

    def see(module: nn.Module, given: object, output: torch.Tensor) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            weights, biases = module.weight.numel(), 0 if module.bias is None else len(output[0])
            products = output.numel() * weights // module.weight.shape[0]
            found.append(LayerCount("", weights, biases, products, output.numel()))
        elif found and isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            found[-1].units = output.numel()
        elif found and isinstance(module, _NORMALISATION):
            found[-1].maps, found[-1].biases = module.num_features, module.num_features

    handles = [one.register_forward_hook(see) for one in network.modules()]
    network.eval()
    with torch.no_grad():
        network(example)
    for handle in handles:
        handle.remove()
    names = [
        name for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)
    ]
    for layer, name in zip(found, names, strict=False):
        layer.name = name
    return UpdateCount(tuple(found), batch)


class MultiplicationCounts(Arithmetic):
    """The paper's table, the networks of the other benchmarks, and counted steps."""

    name: ClassVar[str] = "multiplication-counts"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """The same whatever the record says."""
        counts = dict(formulas())
        values = {key: value for name, one in counts.items() for key, value in one.measured(name)}
        remarks = []
        for normalised in (False, True):
            name = NORMALISED if normalised else PLAIN
            full, left = (
                counted_step(WIDTHS, BATCH, normalised=normalised, step=step)
                for step in (Step("real", False), Step("ternary", True))
            )
            for step_name, one in (("full-precision", full), ("ternary-quantized", left)):
                values |= dict(one.measured(f"{step_name}-{name}"))
            words = name.replace("-", " ")
            remarks += [f"{words}, {one}" for one in differences(counts[name], full, left)]
        return Outcome(without_interval(values, self.metrics), remarks=remarks)


def formulas() -> Iterator[tuple[str, UpdateCount]]:
    """The networks by name, the two of the paper's table first."""
    digits = torch.zeros(1, 1, 28, 28)
    for name, widths, normalised in (
        (PLAIN, WIDTHS, False),
        (NORMALISED, WIDTHS, True),
        ("narrower-network", NARROW_WIDTHS, True),
    ):
        network = normalised_mlp(widths, 0, normalised=normalised)
        yield name, count_update(network, digits, BATCH)
    colour = normalised_convnet(3, 0)
    yield "convolutional-network", count_update(colour, torch.zeros(1, 3, 32, 32), 100)
