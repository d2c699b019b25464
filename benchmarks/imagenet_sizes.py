"""Sizes of the ImageNet-sized networks by arithmetic: no data, no training, no randomness.

What a record needs is computed from two sources: the shapes in ``imagenet_networks`` for every
network or layer that it names, and, for Deep Compression, its own Tables 2 to 5, whose printed
shares and bits of each layer are the input of the paper's formula (``accounting``).

The tables do not say how many padding entries there are. The rates here take as many as evenly
random positions would need; ``..._unpadded`` takes none, and ``..._of_rows`` adds up the printed
layer rates. No one of the three gives all the printed totals, so all three are kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

from benchmarks.accounting import LayerCount, expected_padding, row_of, totals_of
from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from benchmarks.imagenet_networks import NETWORKS, described
from methods.networks import NETWORKS as SMALL_NETWORKS
from registry.errors import UserError
from registry.record import Paper, Table
from registry.units import to_base
from registry.vocabulary import Metric, load_vocabulary

FLOAT32_BYTES = 4
LAYER_TABLES: Mapping[str, Mapping[str, str]] = {
    "2016-deep-compression": {
        "table-2": "lenet-300-100",
        "table-3": "lenet-5",
        "table-4": "alexnet",
        "table-5": "vgg16",
    }
}
"""Paper -> table of layers -> network; the columns are those of Deep Compression's tables."""
REFERENCES: Mapping[str, str] = {"2016-squeezenet": "alexnet"}
"""Paper -> the network that the parameters of its own are compared with."""


class ImagenetSizes(Arithmetic):
    """Parameters, multiply-adds, sizes and rates that follow from shapes and printed settings."""

    name: ClassVar[str] = "imagenet-sizes"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """What the record names.

        Raises:
            UserError: a table of layers lacks something that the formula needs.
        """
        values = dict(_of_shapes(paper, _named(paper, self.name)))
        remarks: list[str] = []
        for table_id, network in LAYER_TABLES.get(paper.id, {}).items():
            table = paper.table(table_id)
            if table is None:
                raise UserError(f"{paper.id} has no table {table_id!r}, which {self.name} reads")
            counted = LayerTable.read(table, network)
            values.update(counted.measured())
            remarks.append(counted.remark())
        if paper.id in LAYER_TABLES:
            values["quantized_ratio.eq-1-example"] = eq_1_ratio(weights=16, clusters=4)
        return Outcome(without_interval(values, self.metrics), remarks=remarks)


def eq_1_ratio(weights: int, clusters: int) -> float:
    """Eq. 1 of Deep Compression: one dense layer of float32 weights that share ``clusters`` values.

    Its example, after Fig. 3: 16 weights and 4 clusters give 3.2.
    """
    bits = max(1, (clusters - 1).bit_length())
    dense = LayerCount(
        weights=weights,
        survivors=weights,
        entries=weights,
        centroids=clusters,
        weight_bits=bits,
        index_bits=0,
        coded_weight_bits=bits,
        coded_index_bits=0,
    )
    return totals_of([dense])["quantized_ratio"][0]


def _named(paper: Paper, benchmark: str) -> list[str]:
    """Every layer that the record's claims on ``benchmark`` and its tables name, once."""
    claimed = [claim.layer for claim in paper.claims if claim.benchmark == benchmark]
    tabled = [row.layer for table in paper.tables for row in table.rows]
    return list(dict.fromkeys(layer for layer in (*claimed, *tabled) if layer))


def _of_shapes(paper: Paper, layers: Iterable[str]) -> Found:
    """What follows from shapes alone; a layer that names no part of a network is passed over."""
    reference = NETWORKS[REFERENCES[paper.id]] if paper.id in REFERENCES else None
    for layer in layers:
        network = described(layer)
        if network is None:
            continue
        yield f"parameters.{layer}", network.parameters
        yield f"multiply_adds.{layer}", network.multiply_adds
        if layer in NETWORKS:
            yield f"parameter_bytes.{layer}", FLOAT32_BYTES * network.parameters
            yield f"operations.{layer}", 2 * network.multiply_adds
            if reference is not None:
                yield f"parameter_ratio.{layer}", reference.parameters / network.parameters


def _weights(network: str) -> dict[str, int]:
    """Weights of each layer, biases apart."""
    if network in NETWORKS:
        return {layer.name: layer.weights for layer in NETWORKS[network].weighted}
    parameters = SMALL_NETWORKS[network](0).named_parameters()
    return {
        name.removesuffix(".weight"): parameter.numel()
        for name, parameter in parameters
        if name.endswith(".weight")
    }


@dataclass(frozen=True)
class PrintedLayer:
    """A row of such a table: its settings with the rates that were printed for them."""

    count: LayerCount
    """Survivors only: the table is silent about padding."""
    quantized_rate: float
    coded_rate: float

    @property
    def dense_bytes(self) -> int:
        return FLOAT32_BYTES * self.count.weights

    @property
    def padded(self) -> LayerCount:
        """With the padding that evenly random positions would need."""
        one = self.count
        padding = expected_padding(one.survivors / one.weights, one.index_bits)
        return replace(one, entries=round(one.survivors * (1 + padding)))

    @property
    def padding_implied(self) -> float:
        """Padding entries a survivor that give the printed coded rate; below 0 by rounding."""
        one = self.count
        entry_bits = one.coded_weight_bits + one.coded_index_bits
        entries = (self.coded_rate * 32 * one.weights - one.codebook_bits) / entry_bits
        return entries / one.survivors - 1


@dataclass(frozen=True)
class LayerTable:
    """One of Tables 2 to 5, and what follows from it."""

    network: str
    layers: Mapping[str, PrintedLayer]
    printed: tuple[str, str]
    """Compression in the total row, before and after Huffman coding, as printed."""

    @classmethod
    def read(cls, table: Table, network: str) -> "LayerTable":
        """From a record's table; a row is a layer of the network, or the total.

        Raises:
            UserError: a row or a cell is missing.
        """
        layers = {
            name: _printed_layer(table, name, weights)
            for name, weights in _weights(network).items()
        }
        totals = [row.id for row in table.rows if row.id not in layers]
        if len(totals) != 1:
            raise UserError(f"table {table.id!r} has {len(totals)} rows beside those of layers")
        printed = (
            _cell(table, totals[0], "quantized_ratio"),
            _cell(table, totals[0], "paper_ratio"),
        )
        return cls(network, layers, printed)

    def measured(self) -> Found:
        """Measurements of each layer and of the network."""
        for name, layer in self.layers.items():
            key = f"{self.network}.{name}"
            padded, bare = row_of([layer.padded]), row_of([layer.count])
            for metric in ("quantized_rate", "coded_rate"):
                yield f"{metric}.{key}", padded[metric][0]
                yield f"{metric}_unpadded.{key}", bare[metric][0]
            yield f"padding.{key}", padded["padding"][0]
            yield f"padding_implied.{key}", layer.padding_implied
        yield from self._pruned()
        yield from self._totals()

    def _pruned(self) -> Found:
        survivors = sum(layer.count.survivors for layer in self.layers.values())
        yield f"parameters.{self.network}.kept", survivors
        yield f"parameter_ratio.{self.network}", self.weights / survivors
        yield f"pruned_bytes.{self.network}", FLOAT32_BYTES * survivors

    def _totals(self) -> Found:
        """The total row in three ways."""
        padded = self._sums([layer.padded for layer in self.layers.values()])
        for metric, value in padded.items():
            yield f"{metric}.{self.network}", value
        for suffix, sums in (("unpadded", self.unpadded), ("of_rows", self.of_rows)):
            for metric in ("quantized_ratio", "coded_ratio", "bytes"):
                yield f"{metric}_{suffix}.{self.network}", sums[metric]

    @property
    def weights(self) -> int:
        return sum(layer.count.weights for layer in self.layers.values())

    @property
    def unpadded(self) -> Mapping[str, float]:
        """The totals by the formula, survivors alone."""
        return self._sums([layer.count for layer in self.layers.values()])

    @property
    def of_rows(self) -> Mapping[str, float]:
        """The totals that the printed rates of the layers add up to."""
        dense = FLOAT32_BYTES * self.weights
        quantized = sum(one.quantized_rate * one.dense_bytes for one in self.layers.values())
        coded = sum(one.coded_rate * one.dense_bytes for one in self.layers.values())
        return {"quantized_ratio": dense / quantized, "coded_ratio": dense / coded, "bytes": coded}

    def _sums(self, counts: list[LayerCount]) -> Mapping[str, float]:
        row, totals = row_of(counts), totals_of(counts)
        return {
            "quantized_rate": row["quantized_rate"][0],
            "coded_rate": row["coded_rate"][0],
            "quantized_ratio": totals["quantized_ratio"][0],
            "coded_ratio": totals["paper_ratio"][0],
            "quantized_bytes": FLOAT32_BYTES * self.weights * row["quantized_rate"][0],
            "bytes": totals["paper_bytes"][0],
            "entropy_coding_saving": totals["entropy_coding_saving"][0],
        }

    def remark(self) -> str:
        """The totals as printed and in three ways, in one line."""
        padded = self._sums([layer.padded for layer in self.layers.values()])
        ways = (
            ("its printed layer rates add up to", self.of_rows),
            ("the formula gives, with the padding of random positions,", padded),
            ("and without padding", self.unpadded),
        )
        told = "; ".join(
            f"{words} {sums['quantized_ratio']:.1f} and {sums['coded_ratio']:.1f}"
            for words, sums in ways
        )
        quantized, coded = self.printed
        return (
            f"{self.network}: printed total {quantized} times before and {coded} after Huffman "
            f"coding; {told}"
        )


def _printed_layer(table: Table, row: str, weights: int) -> PrintedLayer:
    def fraction(column: str) -> float:
        return float(to_base(Decimal(_cell(table, row, column)), "percent"))

    survivors = round(weights * fraction("kept"))
    weight_bits = int(_cell(table, row, "weight_bits"))
    count = LayerCount(
        weights=weights,
        survivors=survivors,
        entries=survivors,
        centroids=1 << weight_bits,
        weight_bits=weight_bits,
        index_bits=int(_cell(table, row, "index_bits")),
        coded_weight_bits=float(_cell(table, row, "coded_weight_bits")),
        coded_index_bits=float(_cell(table, row, "coded_index_bits")),
    )
    return PrintedLayer(count, fraction("quantized_rate"), fraction("coded_rate"))


def _cell(table: Table, row: str, column: str) -> str:
    try:
        printed = table.cell(row, column)
    except KeyError as error:
        raise UserError(str(error.args[0])) from error
    if printed is None:
        raise UserError(f"table {table.id!r} says nothing in row {row!r}, column {column!r}")
    return printed
