"""Deep Compression: pruning, trained quantization and Huffman coding.

Han, Mao, Dally: "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained
Quantization and Huffman Coding", ICLR 2016, arXiv 1510.00149v5; the pruning stage is that of Han,
Pool, Tran, Dally: "Learning both Weights and Connections", NIPS 2015, arXiv 1506.02626.

1. Pruning (section 2): the smallest magnitudes go, the survivors are retrained from their current
   values, round by round. The paper publishes the densities that it reached (Tables 2 to 5) and
   not its thresholds, so the densities are the hyper-parameter here.
2. Trained quantization (section 3): per layer, k-means over the survivors (eq. 2) with linear,
   density-based or random initialisation; then the centroids are trained by the summed gradient
   of their members (eq. 3), the assignment fixed.
3. Huffman coding (section 4) of codes and of relative positions, in the format
   ``SparseCodebook``. Padding entries are one more symbol of the code, so all ``2^bits``
   centroids remain for weights (the authors' released AlexNet spends a centroid on zero).

Stages 1 and 2 stand in ``prune_and_share``, which EIE takes too.

Left out: dropout (LeNets have none) and dropping neurons that lost all connections.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from methods.compressed import Compressed
from methods.formats.codebook_dense import CodebookDense
from methods.formats.dense import Dense
from methods.formats.format import Format
from methods.formats.sparse_codebook import SparseCodebook
from methods.method import Task, UnsuitableTask
from methods.prune_and_share import (
    Codebook,
    StagesConfig,
    prune,
    share,
    train_codebooks,
    weights_by_layer,
    without_training,
)
from methods.weights import Weight, holds_weights

Bits = Annotated[int, Field(ge=1, le=8)]


@dataclass(frozen=True)
class Settings:
    """What the paper's tables give for one network, by layer."""

    densities: Mapping[str, float]
    weight_bits: Mapping[str, int]
    index_bits: int


PAPER_SETTINGS: dict[str, Settings] = {
    "lenet-300-100": Settings(  # Table 2
        densities={"ip1": 0.08, "ip2": 0.09, "ip3": 0.26},
        weight_bits={"ip1": 6, "ip2": 6, "ip3": 6},
        index_bits=5,
    ),
    "lenet-5": Settings(  # Table 3
        densities={"conv1": 0.66, "conv2": 0.12, "ip1": 0.08, "ip2": 0.19},
        weight_bits={"conv1": 8, "conv2": 8, "ip1": 5, "ip2": 5},
        index_bits=5,
    ),
}
DEFAULT_DENSITY = 0.10
"""For networks that the paper has no table of: it reaches 7.5 to 11 % in all (Tables 2 to 5)."""
CONVOLUTION_BITS, LINEAR_BITS = 8, 5
"""Tables 3 to 5, for networks without a table of their own."""


class DeepCompressionConfig(StagesConfig):
    """Hyper-parameters; None means the paper's value for this network (``PAPER_SETTINGS``)."""

    weight_bits: Bits | dict[str, Bits] | None = None
    index_bits: Annotated[int, Field(ge=1, le=8)] | None = None
    bias_dtype: Literal["float32", "float16"] = "float32"


class DeepCompression:
    """The plugin."""

    name: ClassVar[str] = "deep-compression"
    paper: ClassVar[str] = "2016-deep-compression"
    Config: ClassVar[type[DeepCompressionConfig]] = DeepCompressionConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Every layer with a weight matrix: the paper prunes fully connected and convolutional
        ones, and nothing in its steps asks for more than a tensor of weights."""
        return holds_weights(module)

    def compress(self, task: Task, config: DeepCompressionConfig, *, seed: int) -> Compressed:
        """Prune, share and code a copy of ``task.network``.

        Without training data nothing can be retrained. Then only layers whose densities the
        configuration names are pruned, at once, and the centroids stay those of k-means.

        Raises:
            UnsuitableTask: a layer that the configuration names is not there, or none applies.
        """
        network = copy.deepcopy(task.network)
        layers = weights_by_layer(network)
        densities, weight_bits, index_bits = settings_for(task.name, layers, config)
        metadata = {"method": self.name}
        if not task.can_train:
            densities, config, metadata["remark"] = without_training(densities, config)
        masks = prune(task, network, densities, config, seed)
        clusters = {name: 2**bits for name, bits in weight_bits.items()}
        codebooks = share(network, masks, clusters, config, seed)
        if config.codebook_epochs:
            train_codebooks(task, network, masks, codebooks, config, seed)
        formats = {
            name: _format(masks[name], codebook, index_bits, config)
            for name, codebook in codebooks.items()
        }
        if config.bias_dtype == "float16":
            for name, parameter in network.named_parameters():
                if name not in formats and parameter.dtype == torch.float32:
                    half = Dense(parameter.detach(), storage="float16")
                    if not torch.equal(half.values.isfinite(), parameter.isfinite()):
                        raise UnsuitableTask(f"{name} is beyond float16: leave bias_dtype out")
                    formats[name] = half
        return Compressed.from_module(network, formats, metadata=metadata)


def _format(
    mask: torch.Tensor, codebook: Codebook, index_bits: int, config: DeepCompressionConfig
) -> Format:
    """Without positions where every weight survived."""
    centroids = codebook.centroids.detach()
    if bool(mask.all()):
        return CodebookDense.from_codes(
            codebook.codes.reshape(mask.shape),
            centroids,
            codebook_dtype=config.codebook_dtype,
        )
    return SparseCodebook.from_codes(
        mask=mask,
        codes=codebook.codes,
        codebook=centroids,
        index_bits=index_bits,
        codebook_dtype=config.codebook_dtype,
    )


def settings_for(
    network: str, layers: Mapping[str, Weight], config: DeepCompressionConfig
) -> tuple[dict[str, float], dict[str, int], int]:
    """Densities and bits by layer, and index bits: configured, the paper's, or defaults."""
    paper = PAPER_SETTINGS.get(network)
    if paper is not None and set(paper.densities) != set(layers):
        paper = None
    bits = config.weight_bits
    by_layer = (
        config.densities or {},
        bits if isinstance(bits, dict) else {},
    )
    for named in by_layer:
        unknown = sorted(set(named) - set(layers))
        if unknown:
            raise UnsuitableTask(
                f"the configuration names layers that {network} has not: {', '.join(unknown)} "
                f"(it has {', '.join(layers)})"
            )
    densities: dict[str, float] = {}
    weight_bits: dict[str, int] = {}
    for name, weight in layers.items():
        one = 1 / weight.tensor.numel()  # a layer of a few weights keeps one
        default = paper.densities[name] if paper else max(DEFAULT_DENSITY, one)
        densities[name] = by_layer[0].get(name, default)
        default_bits = CONVOLUTION_BITS if weight.tensor.dim() > 2 else LINEAR_BITS
        if paper:
            default_bits = paper.weight_bits[name]
        if isinstance(bits, int):
            default_bits = bits
        weight_bits[name] = by_layer[1].get(name, default_bits)
    return densities, weight_bits, config.index_bits or (paper.index_bits if paper else 5)
