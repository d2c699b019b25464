"""AlexNet's layers by look-up tables, against dense products and against plain compiled loops.

Q-CNN, CVPR 2016, section 5 and the authors' README: how much faster a quantized AlexNet is hangs
on what the dense one runs on. So each layer's look-ups are held against the fastest dense product
that torch has, and against a direct loop as a compiler makes it, which is what the paper's phone
ran. The times depend on shapes and not on values, so random codes and codewords stand for the
network.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.imagenet_networks import NETWORKS, Layer
from benchmarks.timing import alternate, median_ratio
from methods.kernels.choice import chosen_path
from methods.kernels.lookup import LookupConvolution, LookupLinear, uses_avx512
from methods.method import Method, UnsuitableTask
from registry.vocabulary import Metric, load_vocabulary

ROUNDS: Mapping[Scale, int] = {"full": 101, "quick": 6}
TOLERANCE = 5e-6
"""Of each output's sum of magnitudes: between two orders of summation in float32."""

Product = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer with the width of its subspaces and the size of its codebooks."""

    name: str
    layer: Layer
    subspace: int
    codewords: int
    counted: bool = True
    """Whether it is part of the network's sum."""

    @classmethod
    def of(
        cls, layer: str, subspace: int, codewords: int, *, counted: bool = True
    ) -> "QuantizedLayer":
        """AlexNet's; one that is not counted is named after its sizes, too."""
        name = f"alexnet.{layer}" if counted else f"alexnet.{layer}-{subspace}-{codewords}"
        return cls(name, NETWORKS["alexnet"].layer(layer), subspace, codewords, counted)


LAYERS = (
    *(QuantizedLayer.of(f"conv{number}", 8, 128) for number in range(1, 6)),
    QuantizedLayer.of("fc6", 4, 32),
    QuantizedLayer.of("fc7", 4, 32),
    QuantizedLayer.of("fc8", 1, 16),
    QuantizedLayer.of("fc6", 3, 32, counted=False),
    QuantizedLayer.of("fc7", 3, 32, counted=False),
)
"""With the sizes of the released AlexNet, and the finer ones that the paper tried."""


class LookupLayerSpeed:
    """Time each layer's three products alternately, one image, one thread; report their ratios."""

    name: ClassVar[str] = "lookup-layer-speed"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    runs_alone: ClassVar[bool] = True

    def __init__(
        self,
        layers: Sequence[QuantizedLayer] = LAYERS,
        rounds: Mapping[Scale, int] = ROUNDS,
    ) -> None:
        self.layers = tuple(layers)
        self.rounds = rounds

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the kernels; ``method`` is not asked for anything.

        Raises:
            UnsuitableTask: not on the processor, or without numba, which compiles the loops.
        """
        if context.device != "cpu":
            raise UnsuitableTask("this benchmark times the processor: run it with --device cpu")
        if chosen_path() != "numba":
            raise UnsuitableTask(
                "this benchmark times compiled loops: run pip install 'netcompress[fast]', and "
                "leave NETCOMPRESS_KERNELS at auto"
            )
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._measure(context)
        finally:
            torch.set_num_threads(threads)

    def _measure(self, context: Context) -> Outcome:
        metrics: dict[str, Measurement] = {}
        rounds = self.rounds[context.scale]
        how = "AVX-512" if uses_avx512() else "loops without AVX-512"
        remarks = [f"look-ups by {how}; {rounds} rounds of one image"]
        sums: dict[str, list[float]] = {}
        for index, layer in enumerate(self.layers):
            context.progress(index / len(self.layers), f"timing {layer.name}")
            products = Products(layer, np.random.default_rng([context.seed, index]))
            seconds = products.seconds(rounds)
            metrics |= _ratios(seconds, layer.name)
            remarks.append(f"{layer.name}: {products.words(seconds)}")
            if layer.counted:
                for kind in ("dense", "loop", "look-up"):
                    before = sums.get(kind, [0.0] * rounds)
                    sums[kind] = [a + b for a, b in zip(before, seconds[kind], strict=True)]
        metrics |= _ratios(sums, "alexnet")
        return Outcome(metrics, remarks=remarks)


class Products:
    """The same layer's product in several ways, on the same input."""

    def __init__(self, layer: QuantizedLayer, generator: np.random.Generator) -> None:
        """Draw codes uniformly, and codewords and the input from normal distributions."""
        self.layer = layer
        shape, inputs = layer.layer.shape, layer.layer.shape[1]
        subspaces = -(-inputs // layer.subspace)
        codes = generator.integers(0, layer.codewords, (*shape[2:], subspaces, shape[0]), np.uint8)
        books = (subspaces, layer.codewords, layer.subspace)
        codebooks = generator.standard_normal(books, np.float32)
        size = (layer.layer.input_size,) * (len(shape) - 2)
        drawn = generator.standard_normal((1, layer.layer.inputs, *size), np.float32)
        self.x = torch.from_numpy(drawn)
        if len(size):
            self.lookup: LookupConvolution | LookupLinear = LookupConvolution(
                codes, codebooks, inputs
            )
        else:
            self.lookup = LookupLinear(codes, codebooks, inputs)
        self.dense = self.lookup.decoded(self.x.device)

    def dense_products(self) -> dict[str, Product]:
        """Torch's, by name."""
        if self.dense.ndim == 2:
            x = self.x[0]
            return {
                "linear": lambda: functional.linear(self.x, self.dense),
                "mv": lambda: torch.mv(self.dense, x).reshape(1, -1),
            }
        last = torch.channels_last
        weight, image = self.dense.to(memory_format=last), self.x.to(memory_format=last)
        return {
            "conv2d": lambda: self._convolution(self.x, self.dense),
            "conv2d, channels last": lambda: self._convolution(image, weight),
        }

    def _convolution(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        layer = self.layer.layer
        return functional.conv2d(x, weight, None, layer.stride, layer.padding, 1, layer.groups)

    def look_up(self) -> torch.Tensor:
        """Ours."""
        if isinstance(self.lookup, LookupLinear):
            return self.lookup.product(self.x)
        layer = self.layer.layer
        stride, padding = (layer.stride,) * 2, (layer.padding,) * 2
        return self.lookup.product(self.x, stride, padding, (1, 1), layer.groups)

    def loop(self) -> torch.Tensor:
        """The dense product by a plain compiled loop."""
        from benchmarks import dense_loops

        if self.dense.ndim == 2:
            out = np.zeros(self.dense.shape[0], np.float32)
            dense_loops.linear(self.x[0].numpy(), self.dense.numpy(), out)
            return torch.from_numpy(out).reshape(1, -1)
        layer = self.layer.layer
        out = np.zeros((layer.outputs, layer.output_size, layer.output_size), np.float32)
        padded = functional.pad(self.x[0], (layer.padding,) * 4).numpy()
        dense_loops.convolution(padded, self.dense.numpy(), layer.stride, layer.groups, out)
        return torch.from_numpy(out)[None]

    def seconds(self, rounds: int) -> dict[str, list[float]]:
        """Of ``dense`` (torch's product with the least median), ``loop`` and ``look-up``.

        Torch's products are there by their own names, too.

        Raises:
            RuntimeError: the products differ by more than ``TOLERANCE``.
        """
        dense = self.dense_products()
        products: dict[str, Product] = {**dense, "loop": self.loop, "look-up": self.look_up}
        self._check(products)
        seconds = alternate(products, rounds)
        fastest = min(dense, key=lambda name: statistics.median(seconds[name]))
        return {**seconds, "dense": seconds[fastest]}

    def _check(self, products: Mapping[str, Product]) -> None:
        x, weight = self.x.abs(), self.dense.abs()
        magnitude = x @ weight.T if weight.ndim == 2 else self._convolution(x, weight)
        expected = next(iter(products.values()))()
        for name, product in products.items():
            gap = float(((product() - expected).abs() / magnitude).max())
            if not gap <= TOLERANCE:
                raise RuntimeError(
                    f"{self.layer.name} by {name} is off by {gap} of its magnitudes, "
                    f"allowed are {TOLERANCE}"
                )

    def words(self, seconds: Mapping[str, Sequence[float]]) -> str:
        """Sizes, and which dense product was the fastest."""
        layer, sizes = self.layer.layer, f"{self.layer.subspace}/{self.layer.codewords}"
        fastest = next(name for name in self.dense_products() if seconds[name] == seconds["dense"])
        return (
            f"subspaces and codewords {sizes}, {layer.multiply_adds:,} multiply-adds; "
            f"the fastest dense product is {fastest}"
        )


def _ratios(seconds: Mapping[str, Sequence[float]], name: str) -> dict[str, Measurement]:
    return {
        f"speedup.{name}": median_ratio(seconds["dense"], seconds["look-up"]),
        f"loop_speedup.{name}": median_ratio(seconds["loop"], seconds["look-up"]),
    }
