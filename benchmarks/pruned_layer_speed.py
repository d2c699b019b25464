"""Deep Compression's Table 8 on this machine: pruned fully connected layers, dense against sparse.

The times depend on shapes and densities and hardly on values, so random weights stand for the
pruned networks, which are not at hand. Dense is torch's float32 product; sparse is the kernel
that our formats run on, and torch's own compressed rows with int32 indices beside it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.imagenet_networks import NETWORKS
from benchmarks.provenance import largest_cache_bytes
from benchmarks.timing import alternate, median_ratio
from methods.kernels.choice import chosen_path
from methods.kernels.sparse import SparseRows
from methods.method import Method, UnsuitableTask
from registry.vocabulary import Metric, load_vocabulary

BATCHES: Mapping[int, str] = {1: "", 64: "_batch_64"}
"""The batch sizes of Table 8 and the ends of their metrics' names."""
ROUNDS: Mapping[Scale, Mapping[int, int]] = {"full": {1: 101, 64: 15}, "quick": {1: 9, 64: 1}}
TOLERANCE = 1e-5
"""Of the largest output: between two orders of summation in float32."""
ROWS_AT_ONCE = 256

Product = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class PrunedLayer:
    """A fully connected layer and the share of its weights that pruning kept."""

    name: str
    outputs: int
    inputs: int
    density: float

    @classmethod
    def of(cls, network: str, layer: str, density: float) -> "PrunedLayer":
        found = NETWORKS[network].layer(layer)
        return cls(f"{network}.{layer}", found.outputs, found.inputs, density)


LAYERS = (
    PrunedLayer.of("alexnet", "fc6", 0.09),
    PrunedLayer.of("alexnet", "fc7", 0.09),
    PrunedLayer.of("alexnet", "fc8", 0.25),
    PrunedLayer.of("vgg16", "fc6", 0.04),
    PrunedLayer.of("vgg16", "fc7", 0.04),
    PrunedLayer.of("vgg16", "fc8", 0.23),
)
"""The six of Table 8, with the shares of Tables 4 and 5."""


class PrunedLayerSpeed:
    """Time dense and sparse products alternately on one thread and report their ratios.

    The same weights are used again and again, as the paper uses them for 4,096 inputs: what fits
    into the processor's caches stays there, what does not comes from memory each time.
    """

    name: ClassVar[str] = "pruned-layer-speed"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    runs_alone: ClassVar[bool] = True

    def __init__(
        self,
        layers: Sequence[PrunedLayer] = LAYERS,
        rounds: Mapping[Scale, Mapping[int, int]] = ROUNDS,
    ) -> None:
        self.layers = tuple(layers)
        self.rounds = rounds

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the kernels; ``method`` is not asked for anything."""
        if context.device != "cpu":
            raise UnsuitableTask("this benchmark times the processor: run it with --device cpu")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._measure(context)
        finally:
            torch.set_num_threads(threads)

    def _measure(self, context: Context) -> Outcome:
        metrics: dict[str, Measurement] = {}
        rounds = self.rounds[context.scale]
        told = " and ".join(f"{rounds[batch]} at batch {batch}" for batch in BATCHES)
        remarks = [f"sparse product by {chosen_path()}; rounds: {told}; {_cache_words()}"]
        for index, layer in enumerate(self.layers):
            context.progress(index / len(self.layers), f"timing {layer.name}")
            pair = DenseAndSparse.draw(layer, np.random.default_rng([context.seed, index]))
            for batch, suffix in BATCHES.items():
                for series, ratio in pair.ratios(batch, rounds[batch]).items():
                    metrics[f"speedup{series}{suffix}.{layer.name}"] = ratio
            remarks.append(pair.size_words(layer.name))
        for series in ("", "_csr", "_batch_64"):
            metrics[f"speedup_mean{series}"] = _geometric_mean(
                [metrics[f"speedup{series}.{layer.name}"] for layer in self.layers]
            )
        return Outcome(metrics, remarks=remarks)


class DenseAndSparse:
    """The same matrix, held in three ways."""

    def __init__(
        self,
        dense: NDArray[np.float32],
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> None:
        shape = (dense.shape[0], dense.shape[1])
        self.dense = torch.from_numpy(dense)
        self.sparse = SparseRows(shape, rows, columns, dense[rows, columns])
        self.csr = self.sparse.csr(torch.device("cpu"))
        self._generator = generator

    @classmethod
    def draw(cls, layer: PrunedLayer, generator: np.random.Generator) -> "DenseAndSparse":
        """Each weight survives with the layer's density, independently; normal values."""
        dense = np.zeros((layer.outputs, layer.inputs), np.float32)
        places = []
        for start in range(0, layer.outputs, ROWS_AT_ONCE):
            block = dense[start : start + ROWS_AT_ONCE]
            rows, columns = np.nonzero(generator.random(block.shape, np.float32) < layer.density)
            block[rows, columns] = generator.standard_normal(rows.size, np.float32)
            places.append((rows + start, columns))
        rows, columns = (np.concatenate(parts) for parts in zip(*places, strict=True))
        return cls(dense, rows, columns, generator)

    def ratios(self, batch: int, rounds: int) -> dict[str, Measurement]:
        """Dense time over sparse time, by series: ours as "", torch's compressed rows as "_csr".

        The paper's rows of batch 64 are answered by our kernel alone.

        Raises:
            RuntimeError: the products differ by more than ``TOLERANCE``.
        """
        drawn = self._generator.standard_normal((self.dense.shape[1], batch), np.float32)
        x = torch.from_numpy(drawn)
        vector = x[:, 0]

        def dense() -> torch.Tensor:
            return torch.mv(self.dense, vector) if batch == 1 else torch.mm(self.dense, x)

        products: dict[str, Product] = {"": lambda: self.sparse.product(x)}
        if batch == 1:
            products["_csr"] = lambda: self.csr @ x
        expected = dense().reshape(-1, batch)
        allowed = TOLERANCE * float(expected.abs().max())
        for series, product in products.items():
            gap = float((product() - expected).abs().max())
            if not gap <= allowed:
                raise RuntimeError(f"product {series!r} is off by {gap}, allowed are {allowed}")
        seconds = alternate({"dense": dense, **products}, rounds)
        return {series: median_ratio(seconds["dense"], seconds[series]) for series in products}

    def size_words(self, name: str) -> str:
        """What each form reads for a product."""
        dense = self.dense.numel() * self.dense.element_size()
        return (
            f"{name}: {self.dense.shape[0]} x {self.dense.shape[1]}, "
            f"{self.sparse.values.size:,} survivors, {dense / 1e6:.1f} MB dense, "
            f"{self.sparse.bytes_read / 1e6:.1f} MB sparse"
        )


def _geometric_mean(ratios: Sequence[Measurement]) -> Measurement:
    logs = [math.log(ratio.value) for ratio in ratios]
    return Measurement(value=math.exp(sum(logs) / len(logs)), unit="ratio")


def _cache_words() -> str:
    """The size of the largest cache, which the weights of most of these layers exceed."""
    largest = largest_cache_bytes()
    return f"largest cache {largest / 2**20:.0f} MiB" if largest else "caches not known"
