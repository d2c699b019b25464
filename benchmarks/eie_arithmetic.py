"""Derived figures of the EIE paper: sums, quotients and means of its own printed tables.

Everything is computed from the record's Tables I to V and the labels of Figs. 6 and 7. What only
the text says stands below as constants, with its place. ISCA 2016, arXiv 1602.01528.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from statistics import fmean, geometric_mean, median
from typing import ClassVar

from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from benchmarks.eie_layers import LAYERS, EieLayer, expected_theoretical_seconds
from benchmarks.eie_tables import PrintedTables
from methods.eie.energy import LNZD_NODE_MW, lnzd_nodes
from methods.eie.machine import ENTRY_BITS, Machine
from registry.record import Paper
from registry.vocabulary import Metric, load_vocabulary

LNZD_WATTS = LNZD_NODE_MW / 1e3
"""Of one node of the tree that finds the non-zero activations (section VI)."""
WEIGHT_FACTOR, ACTIVATION_FACTOR = 10, 3
"""Static and dynamic sparsity, rounded, as the abstract multiplies them."""
PE_MATRIX_ENTRIES = Machine().matrix_bytes * 8 // ENTRY_BITS
"""What the sparse matrix memory of a PE holds: 128 KB, 8 bits an entry (section IV)."""
POINTER_ENTRIES = 1 << Machine().pointer_bits
"""What pointers of 16 bits can tell apart (section IV)."""
POINTER_BYTES = Machine().pointer_bits // 8
BRAIN_CONNECTIONS, BRAIN_HZ = 1e9, 20
"""The example beside Table I."""
MORE_PES, FASTER_CLOCK, FINER_PITCH = Decimal("3.25"), Decimal("1.6"), Decimal("1.6")
"""The projection to 256 PEs in 28 nm, in the text on Table V."""
PES: Mapping[str, int] = {"eie-64": 64, "eie-256": 256}
FULLY_CONNECTED = ("alex-6", "alex-7", "alex-8")
ON_TABLE_5 = "alex-7"
"""Table V compares FC7 of AlexNet."""
TIMED: Mapping[str, str] = {
    "core-i7": "cpu_1_dense",
    "titan-x": "gpu_1_dense",
    "tegra-k1": "mobile_1_dense",
    "eie-64": "actual",
}
"""Platform of Table V -> its column of Table IV: the CPU and the GPUs run the dense network."""
FASTER: Mapping[str, str] = {
    "cpu_sparse_speedup": "cpu_1_sparse",
    "gpu_dense_speedup": "gpu_1_dense",
    "gpu_sparse_speedup": "gpu_1_sparse",
    "mobile_gpu_dense_speedup": "mobile_1_dense",
    "mobile_gpu_sparse_speedup": "mobile_1_sparse",
    "cpu_speedup": "actual",
}
"""Metric of a column of Fig. 6 -> column of Table IV."""
COMPARED: Mapping[str, str] = {
    "cpu": "cpu_1_dense",
    "gpu": "gpu_1_dense",
    "mobile_gpu": "mobile_1_dense",
}
EFFICIENCY: Mapping[str, str] = {
    "cpu_sparse_energy_ratio": "cpu_sparse",
    "gpu_dense_energy_ratio": "gpu_dense",
    "gpu_sparse_energy_ratio": "gpu_sparse",
    "mobile_gpu_dense_energy_ratio": "mobile_dense",
    "mobile_gpu_sparse_energy_ratio": "mobile_sparse",
}
"""Metric of a column of Fig. 7 -> the column; EIE's own apart."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "components": (
        "memory", "clock-network", "register", "combinational", "filler-by-component",
    ),
    "modules": (
        "act-queue", "ptr-read", "spmat-read", "arithm-unit", "act-rw", "filler-by-module",
    ),
}  # fmt: skip
"""The two ways in which Table II splits a PE."""
SQUARE_MICROMETRES = 1e-6
"""In square millimetres."""


class EieArithmetic(Arithmetic):
    """What follows from the printed tables alone."""

    name: ClassVar[str] = "eie-arithmetic"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """Everything that the tables give.

        Raises:
            UserError: a table lacks something that is computed from.
        """
        tables = PrintedTables(paper)
        parts = (_speedups, _means_of_labels, _excess, _energy, _dram, _operations, _savings,
                 _platforms, _element, _capacity, _theory)  # fmt: skip
        values = {key: value for part in parts for key, value in part(tables)}
        return Outcome(without_interval(values, self.metrics), remarks=list(_remarks(values)))


def _speedups(tables: PrintedTables) -> Found:
    """Fig. 6 again, from the times of Table IV."""
    layers = tables.rows("table-4")
    for metric, column in FASTER.items():
        ratios = {
            layer: tables.seconds(layer, "cpu_1_dense") / tables.seconds(layer, column)
            for layer in layers
        }
        for layer, ratio in ratios.items():
            yield f"{metric}.{layer}", ratio
        yield f"{metric}.mean", geometric_mean(ratios.values())
    for name, column in COMPARED.items():
        yield (
            f"{name}_speedup_mean",
            geometric_mean(tables.seconds(x, column) / tables.seconds(x, "actual") for x in layers),
        )


def _means_of_labels(tables: PrintedTables) -> Found:
    """The means that the labels of Fig. 6 give, and the times of EIE that they imply."""
    layers = tables.rows("table-4")
    implied = {
        layer: tables.seconds(layer, "cpu_1_dense") / tables.number("figure-6", layer, "eie")
        for layer in layers
    }
    for layer, seconds in implied.items():
        yield f"seconds_of_label.{layer}", seconds
    for name, column in COMPARED.items():
        yield (
            f"{name}_speedup_mean_of_labels",
            geometric_mean(tables.seconds(layer, column) / implied[layer] for layer in layers),
        )


def _excess(tables: PrintedTables) -> Found:
    """Actual over theoretical time, as Table IV prints them."""
    excess = []
    for layer in tables.rows("table-4"):
        theory, actual = (tables.seconds(layer, column) for column in ("theoretical", "actual"))
        excess.append(actual / theory - 1)
        yield f"layer_over_theory.{layer}", excess[-1]
        yield f"load_balance.{layer}", theory / actual
    yield "actual_over_theory", fmean(excess)
    yield "actual_over_theory_median", median(excess)


def _energy(tables: PrintedTables) -> Found:
    """Fig. 7's means, and what its labels say together with those of Fig. 6 and Tables II, V."""
    layers = tables.rows("table-4")
    labels = {
        column: [tables.number("figure-7", layer, column) for layer in layers]
        for column in (*EFFICIENCY.values(), "eie")
    }
    for metric, column in EFFICIENCY.items():
        yield f"{metric}.mean", geometric_mean(labels[column])
    eie = labels["eie"]
    yield "cpu_energy_ratio_mean", geometric_mean(eie)
    for name, column in (("gpu", "gpu_dense"), ("mobile_gpu", "mobile_dense")):
        ratios = [one / other for one, other in zip(eie, labels[column], strict=True)]
        yield f"{name}_energy_ratio_mean", geometric_mean(ratios)
    watts, cpu_watts = _eie_watts(tables), tables.number("table-5", "core-i7", "power")
    ratios_at_table_5 = []
    for layer, label in zip(layers, eie, strict=True):
        seconds = tables.seconds(layer, "actual")
        yield f"energy.{layer}", watts * seconds
        yield (
            f"cpu_watts_of_labels.{layer}",
            label
            / tables.number("figure-6", layer, "eie")
            * tables.number("table-5", "eie-64", "power"),
        )
        ratios_at_table_5.append(
            tables.seconds(layer, "cpu_1_dense") * cpu_watts / (watts * seconds)
        )
        yield f"cpu_energy_ratio.{layer}", ratios_at_table_5[-1]
    yield "cpu_energy_ratio.mean", geometric_mean(ratios_at_table_5)


def _dram(tables: PrintedTables) -> Found:
    """Fetching every dense weight from DRAM by Table I, against the energy of EIE."""
    read, ratios = tables.number("table-1", "dram-read", "energy"), []
    for layer in tables.rows("table-3"):
        sizes = [tables.number("table-3", layer, column) for column in ("inputs", "outputs")]
        joules = sizes[0] * sizes[1] * read
        ratios.append(joules / (_eie_watts(tables) * tables.seconds(layer, "actual")))
        yield f"dram_energy.{layer}", joules
        yield f"dram_energy_ratio.{layer}", ratios[-1]
    yield "dram_energy_ratio.mean", geometric_mean(ratios)


def _operations(tables: PrintedTables) -> Found:
    """Work a second, and what is left of the operations (Table III)."""
    clock_hz = tables.number("table-5", "eie-64", "clock") * 1e6
    operations = PES["eie-64"] * clock_hz * 2 / 1e9  # a multiplication and an addition a cycle
    yield "operations_per_second", operations
    yield "dense_operations_per_second", operations * WEIGHT_FACTOR * ACTIVATION_FACTOR
    seconds = sum(tables.seconds(layer, "actual") for layer in FULLY_CONNECTED)
    yield "network_frames_per_second", 1 / seconds
    for layer in tables.rows("table-3"):
        left = tables.exact("table-3", layer, "weight_density")
        yield (
            f"operations_share.{layer}",
            float(left * tables.exact("table-3", layer, "activation_density")),
        )


def _savings(tables: PrintedTables) -> Found:
    """Table I, and the four factors of the abstract."""
    joules = dict(tables.numbers("table-1", "energy"))
    for row, value in joules.items():
        yield f"relative_cost.{row}", value / joules["int-add"]
    over_sram = joules["dram-read"] / joules["sram-read"]
    yield "dram_over_sram", over_sram
    yield "dram_power", BRAIN_CONNECTIONS * BRAIN_HZ * joules["dram-read"]
    weights = [density for _, density in tables.numbers("table-3", "weight_density")]
    # The caption network's activations are dense: 100 per cent.
    active = [d for _, d in tables.numbers("table-3", "activation_density") if d < 1]
    yield "weight_sparsity_saving", 1 / geometric_mean(weights)
    yield "activation_sparsity_saving", 1 / geometric_mean(active)
    yield "activation_energy_saving", 1 - fmean(active)
    bits = [tables.number("table-5", row, "weights") for row in ("core-i7", "eie-64")]
    yield "weight_sharing_saving", bits[0] / bits[1]


def _eie_watts(tables: PrintedTables) -> float:
    """64 PEs of Table II and the tree beside them."""
    return (
        PES["eie-64"] * tables.number("table-2", "total", "power")
        + lnzd_nodes(PES["eie-64"]) * LNZD_WATTS
    )  # fmt: skip


def _platforms(tables: PrintedTables) -> Found:
    """Table V's cells that follow from other cells."""
    frames = {row: 1 / tables.seconds(ON_TABLE_5, column) for row, column in TIMED.items()}
    frames["eie-256"] = frames["eie-64"] * float(MORE_PES * FASTER_CLOCK)
    for platform, value in frames.items():
        yield f"frames_per_second.{platform}", value
    more = PES["eie-256"] // PES["eie-64"]
    yield "power.eie-64", _eie_watts(tables)
    yield "power.eie-256", more * tables.number("table-5", "eie-64", "power")
    element = tables.number("table-2", "total", "area") * SQUARE_MICROMETRES
    yield "area.eie-64", PES["eie-64"] * element
    # Exact until the end: 63.75 is printed as 63.8.
    finer = more * tables.exact("table-5", "eie-64", "area") / FINER_PITCH**2
    yield "area.eie-256", float(finer)
    clocks = [tables.number("table-5", platform, "clock") for platform in PES]
    yield "clock_ratio", clocks[1] / clocks[0]
    yield from _efficiencies(tables)


def _efficiencies(tables: PrintedTables) -> Found:
    frames = dict(tables.numbers("table-5", "frames_per_second"))
    for metric, column in (("area_efficiency", "area"), ("energy_efficiency", "power")):
        for platform, value in tables.numbers("table-5", column):
            yield f"{metric}.{platform}", frames[platform] / value
    for metric, column in (
        ("throughput_ratio", "frames_per_second"),
        ("area_efficiency_ratio", "area_efficiency"),
        ("energy_efficiency_ratio", "energy_efficiency"),
    ):
        values = dict(tables.numbers("table-5", column))
        yield f"{metric}.eie-256", values["eie-256"] / values["dadiannao"]


def _element(tables: PrintedTables) -> Found:
    """Table II summed in its two ways, and its shares."""
    power, area = (dict(tables.numbers("table-2", column)) for column in ("power", "area"))
    for way, rows in PARTS.items():
        yield f"pe_power.{way}", sum(power.get(row, 0.0) for row in rows)
        yield f"pe_area.{way}", sum(area[row] for row in rows) * SQUARE_MICROMETRES
        for row in rows:
            if row in power:
                yield f"power_share.{row}", power[row] / power["total"]
            yield f"area_share.{row}", area[row] / area["total"]
    yield "memory_power_share", power["memory"] / power["total"]
    yield "memory_area_share", area["memory"] / area["total"]


def _capacity(tables: PrintedTables) -> Found:
    """What fits: weights in the matrix memories, entries under a pointer, pointers of a layer."""
    for platform, pes in PES.items():
        yield f"dense_weights.{platform}", pes * PE_MATRIX_ENTRIES * WEIGHT_FACTOR
    yield "pointer_reach", POINTER_ENTRIES / PE_MATRIX_ENTRIES
    for layer in tables.rows("table-3"):
        columns = int(tables.exact("table-3", layer, "inputs"))
        yield f"pointer_bytes.{layer}", POINTER_BYTES * (columns + 1)


def _theory(tables: PrintedTables) -> Found:
    """The theoretical time by formula, and the density that meets the printed one."""
    for layer in LAYERS:
        weights, activations = layer.densities("printed")
        padded = expected_theoretical_seconds(layer, weights, activations)
        bare = _unpadded_seconds(tables, layer)
        yield f"unpadded_seconds.{layer.id}", bare
        yield f"padded_seconds.{layer.id}", padded
        yield f"padding_factor.{layer.id}", padded / bare
        for metric, sign in (("padded_seconds_least", -1), ("padded_seconds_most", 1)):
            yield f"{metric}.{layer.id}", _at_the_edge(tables, layer, sign)
        inferred = layer.densities("inferred")
        if layer.free == "weights":
            yield f"inferred_weight_density.{layer.id}", inferred[0]
        else:
            yield f"inferred_activation_density.{layer.id}", inferred[1]


def _unpadded_seconds(tables: PrintedTables, layer: EieLayer) -> float:
    weights, activations = layer.densities("printed")
    clock_hz = tables.number("table-5", "eie-64", "clock") * 1e6
    return layer.outputs * weights * layer.inputs * activations / (PES["eie-64"] * clock_hz)


def _at_the_edge(tables: PrintedTables, layer: EieLayer, sign: int) -> float:
    """The time at one end of the rounding of both densities; 100 per cent is taken as exact."""
    half = [
        tables.half_digit("table-3", layer.id, column)
        for column in ("weight_density", "activation_density")
    ]
    weights, activations = layer.densities("printed")
    if layer.free == "activations":
        activations += sign * half[1]
    return expected_theoretical_seconds(layer, weights + sign * half[0], activations)


def _remarks(values: Mapping[str, float]) -> Iterator[str]:
    def three(suffix: str) -> str:
        return " / ".join(f"{values[f'{name}_speedup_mean{suffix}']:.1f}" for name in COMPARED)

    yield (
        "speed-up over CPU, GPU and mobile GPU, geometric means of nine layers: "
        f"{three('')} from Table IV, {three('_of_labels')} from the labels of Fig. 6, "
        "which imply other times of NT-We and NT-LSTM than Table IV prints"
    )
    inferred = (
        f"{key.rpartition('.')[2]} {'weights' if 'weight' in key else 'activations'} {value:.4f}"
        for key, value in values.items()
        if key.startswith("inferred_")
    )
    yield (
        "densities inferred by us, one a layer, so that entries with padding meet the theoretical "
        f"time of Table IV: {'; '.join(inferred)}"
    )
