"""Deep Compression's own count of a network's size, layer by layer.

The layer rates of its Tables 2 to 5 follow from one formula: (entries x (weight bits + index
bits) + 32 x centroids) / (32 x weights), entries being survivors and padding zeros. Biases, code
tables and headers are not in it; they are in the bytes of the file, which are counted apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.benchmark import Measurement
from methods.formats.codebook_dense import CodebookDense
from methods.formats.format import Format
from methods.formats.sparse_codebook import SparseCodebook
from registry.units import Unit


@dataclass(frozen=True)
class LayerCount:
    """What the count needs of a layer."""

    weights: int
    survivors: int
    entries: int
    """Survivors and padding zeros."""
    centroids: int
    weight_bits: int
    index_bits: int
    coded_weight_bits: float
    """Mean length of the Huffman code of an entry's weight code, padding included."""
    coded_index_bits: float

    @property
    def codebook_bits(self) -> int:
        return 32 * self.centroids

    @property
    def quantized_bits(self) -> float:
        return self.entries * (self.weight_bits + self.index_bits) + self.codebook_bits

    @property
    def coded_bits(self) -> float:
        coded = self.coded_weight_bits + self.coded_index_bits
        return self.entries * coded + self.codebook_bits


def expected_padding(density: float, index_bits: int) -> float:
    """Padding entries a survivor, for survivors at evenly random positions.

    A field bridges 2^index_bits positions; with q = (1 - density)^(2^index_bits), the chance that
    none of them holds a survivor, a survivor needs q + q^2 + ... = q / (1 - q) padding entries.
    """
    if not 0 < density <= 1:
        raise ValueError(f"a density is above 0 and at most 1, not {density}")
    empty: float = (1 - density) ** (1 << index_bits)
    return empty / (1 - empty)


def count_layer(layer: SparseCodebook | CodebookDense) -> LayerCount:
    """The numbers of one layer, read off its format; a layer that was not pruned needs no index."""
    if isinstance(layer, CodebookDense):
        return LayerCount(
            weights=layer.weights,
            survivors=layer.weights,
            entries=layer.weights,
            centroids=len(layer.codebook),
            weight_bits=max(1, (len(layer.codebook) - 1).bit_length()),
            index_bits=0,
            coded_weight_bits=layer.code_bits_mean,
            coded_index_bits=0.0,
        )
    return LayerCount(
        weights=layer.weights,
        survivors=len(layer.positions),
        entries=layer.entries,
        centroids=len(layer.codebook),
        weight_bits=max(1, (len(layer.codebook) - 1).bit_length()),
        index_bits=layer.index_bits,
        coded_weight_bits=layer.code_bits_mean,
        coded_index_bits=layer.index_bits_mean,
    )


def paper_count(formats: Mapping[str, Format]) -> dict[str, Measurement]:
    """Metrics of the paper's tables: ``metric.layer``, and ``metric`` for the total row.

    Args:
        formats: by parameter name (``ip1.weight``); those without a codebook, such as
            biases, are not part of the paper's count.
    """
    layers = {
        name.removesuffix(".weight"): count_layer(held)
        for name, held in formats.items()
        if isinstance(held, SparseCodebook | CodebookDense)
    }
    if not layers:
        return {}
    found: dict[str, Measurement] = {}
    for name, layer in layers.items():
        for metric, (value, unit) in row_of([layer]).items():
            found[f"{metric}.{name}"] = Measurement(value=value, unit=unit)
    for metric, (value, unit) in (row_of(layers.values()) | totals_of(layers.values())).items():
        found[metric] = Measurement(value=value, unit=unit)
    return found


def row_of(layers: Iterable[LayerCount]) -> dict[str, tuple[float, Unit]]:
    """One row of the table: a layer, or all of them; bits are means over entries."""
    rows = list(layers)
    weights = sum(layer.weights for layer in rows)
    survivors = sum(layer.survivors for layer in rows)
    entries = sum(layer.entries for layer in rows)
    coded = sum(layer.coded_bits for layer in rows)

    def mean(values: Iterable[float]) -> float:
        return sum(values) / entries if entries else 0.0

    return {
        "kept": (survivors / weights, "fraction"),
        "kept_weights": (survivors, "count"),
        "pruning_ratio": (weights / survivors if survivors else 0.0, "ratio"),
        "padding": ((entries - survivors) / survivors if survivors else 0.0, "fraction"),
        "weight_bits": (mean(x.entries * x.weight_bits for x in rows), "bits"),
        "coded_weight_bits": (mean(x.entries * x.coded_weight_bits for x in rows), "bits"),
        "index_bits": (mean(x.entries * x.index_bits for x in rows), "bits"),
        "coded_index_bits": (mean(x.entries * x.coded_index_bits for x in rows), "bits"),
        "quantized_rate": (sum(x.quantized_bits for x in rows) / (32 * weights), "fraction"),
        "coded_rate": (coded / (32 * weights), "fraction"),
        "codebook_share": (sum(x.codebook_bits for x in rows) / coded, "fraction"),
        "index_share": (sum(x.entries * x.coded_index_bits for x in rows) / coded, "fraction"),
    }


def totals_of(layers: Iterable[LayerCount]) -> dict[str, tuple[float, Unit]]:
    """What only the total row has."""
    rows = list(layers)
    weights = sum(layer.weights for layer in rows)
    quantized = sum(layer.quantized_bits for layer in rows)
    coded = sum(layer.coded_bits for layer in rows)
    return {
        "paper_bytes": (coded / 8, "bytes"),
        "paper_ratio": (32 * weights / coded, "ratio"),
        "quantized_ratio": (32 * weights / quantized, "ratio"),
        "entropy_coding_saving": (1 - coded / quantized, "fraction"),
    }
