"""EIE's nine layers on the simulated machine: Table IV's two columns and the sweeps of its figures.

Han et al., ISCA 2016, section VI. The layers are drawn at random with the densities of Table III
as printed, and once more with one density a layer inferred from the theoretical time of Table IV
(``eie_layers``), which that column is then met with by construction. The figures print no values
of their curves: the sweeps stand for them, on the layers with inferred densities.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.arithmetic import Found
from benchmarks.benchmark import Context, Outcome, Scale, without_interval
from benchmarks.eie_layers import LAYERS, Densities, EieLayer, drawn, drawn_activation
from methods.eie.encode import EncodedLayer, encode
from methods.eie.energy import energy
from methods.eie.machine import Machine, Simulation, simulate
from methods.eie.sweep import (
    POINTS,
    Activation,
    Parameter,
    Sweep,
    fed_share,
    real_share,
    speedups,
    sweep,
)
from methods.kernels.choice import chosen_path
from methods.method import Method
from registry.vocabulary import Metric, load_vocabulary

QUICK_POINTS: Mapping[Parameter, tuple[int, ...]] = {
    "fifo": (1, 2, 8, 16),
    "width": (32, 64, 128),
    "pes": (1, 32, 64, 256),
}
"""What the claims ask for and no more; all of the figures' points are swept at full scale."""
SCALE_POINTS: Mapping[Scale, Mapping[Parameter, tuple[int, ...]]] = {
    "quick": QUICK_POINTS,
    "full": POINTS,
}
POINT_WORDS: Mapping[Parameter, str] = {"fifo": "depth", "width": "bits", "pes": "pes"}
"""What a point of a series is called after its number."""
LEAST = "nt-we"
"""The layer that the paper sets apart from the other eight."""

DRAWS: Mapping[Scale, int] = {"quick": 1, "full": 8}
"""Of each layer for the two columns of Table IV: one draw's time is off by 0.4 % or so."""

Value = Callable[[Simulation], float]


def theoretical_seconds(run: Simulation) -> float:
    """Entries, padding included, over PEs and clock."""
    return run.theoretical_us / 1e6


def actual_seconds(run: Simulation) -> float:
    """Cycles over the clock."""
    return run.time_us / 1e6


def load_balance(run: Simulation) -> float:
    """Of a layer that ran; 0 where nothing did, which no layer of the paper comes to."""
    return run.load_balance or 0.0


def real_efficiency(run: Simulation) -> float:
    """As ``load_balance``, padding left out."""
    return run.efficiency or 0.0


ENERGIES: Mapping[str, Value] = {
    "energy_inferred": lambda run: energy(run).uj / 1e6,
    "operations_energy_inferred": lambda run: energy(run).events_uj / 1e6,
    "dram_energy_inferred": lambda run: energy(run).dram.uj / 1e6,
}
"""Joules of a layer with inferred densities."""

TABLE_4: Mapping[str, Value] = {
    "theoretical_seconds": theoretical_seconds,
    "actual_seconds": actual_seconds,
    "load_balance": load_balance,
}
"""Metrics that are measured with both densities."""


@dataclass(frozen=True)
class Draws:
    """A layer with both densities on the paper's machine, a simulation a draw."""

    layer: EieLayer
    runs: Mapping[Densities, Sequence[Simulation]]
    first: tuple[EncodedLayer, Activation]
    """The first draw with inferred densities."""

    def mean(self, densities: Densities, value: Value) -> float:
        return statistics.fmean(value(run) for run in self.runs[densities])


def simulate_draws(layer: EieLayer, seed: int, draws: int, machine: Machine) -> Draws:
    """Draw and run. Where only activations are inferred, both densities share the matrices."""
    runs: dict[Densities, list[Simulation]] = {"printed": [], "inferred": []}
    first: tuple[EncodedLayer, Activation] | None = None
    for draw in range(draws):
        coded, activation = drawn(layer, "printed", seed, draw)
        encoded = encode(coded, machine.pes)
        runs["printed"].append(simulate(encoded, activation, machine))
        if layer.free == "activations":
            activation = drawn_activation(layer, "inferred", seed, draw)
        else:
            coded, activation = drawn(layer, "inferred", seed, draw)
            encoded = encode(coded, machine.pes)
        runs["inferred"].append(simulate(encoded, activation, machine))
        first = first or (encoded, activation)
    if first is None:
        raise ValueError("at least one draw is needed")
    return Draws(layer, runs, first)


@dataclass(frozen=True)
class LayerRuns:
    """A layer's draws, and the first one with inferred densities swept."""

    draws: Draws
    sweeps: Mapping[Parameter, Sweep]

    @property
    def layer(self) -> EieLayer:
        return self.draws.layer

    def table_4(self) -> Found:
        mean = self.draws.mean
        suffixes: tuple[tuple[Densities, str], ...] = (("printed", ""), ("inferred", "_inferred"))
        for densities, suffix in suffixes:
            for metric, value in TABLE_4.items():
                yield f"{metric}{suffix}.{self.layer.id}", mean(densities, value)
        yield f"real_efficiency_inferred.{self.layer.id}", mean("inferred", real_efficiency)
        for metric, of in ENERGIES.items():
            yield f"{metric}.{self.layer.id}", mean("inferred", of)

    def ratios(self) -> Found:
        by_pes, by_width = self.sweeps["pes"].runs, self.sweeps["width"].runs
        reads = {width: run.spmat_reads for width, run in by_width.items()}
        yield f"pe_scaling.{self.layer.id}", by_pes[64].time_us / by_pes[256].time_us
        yield f"spmat_reads_32_over_64.{self.layer.id}", reads[32] / reads[64]
        yield f"spmat_reads_64_over_128.{self.layer.id}", reads[64] / reads[128]

    def series(self) -> Found:
        """The curves of the figures, a point a simulation."""
        by_depth, by_width, by_pes = (self.sweeps[one] for one in ("fifo", "width", "pes"))
        yield from self._curve("load_balance_by_depth", by_depth, load_balance)
        yield from self._curve("fed_share_by_depth", by_depth, lambda run: fed_share(run) or 0.0)
        yield from self._curve("spmat_reads_by_width", by_width, lambda run: run.spmat_reads)
        yield from self._curve("real_work_by_pes", by_pes, lambda run: real_share(run) or 0.0)
        yield from self._curve("load_balance_by_pes", by_pes, load_balance)
        for pes, factor in speedups(by_pes).items():
            yield self._key("speedup_by_pes", by_pes, pes), factor or 0.0

    def _curve(self, metric: str, one: Sweep, value: Value) -> Found:
        for point, run in one.runs.items():
            yield self._key(metric, one, point), value(run)

    def _key(self, metric: str, one: Sweep, point: int) -> str:
        return f"{metric}.{self.layer.id}-{point}-{POINT_WORDS[one.parameter]}"


def run_layer(
    layer: EieLayer,
    seed: int,
    points: Mapping[Parameter, Sequence[int]],
    draws: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> LayerRuns:
    """Draw the layer with both densities, run it, and sweep the one with inferred densities.

    Args:
        points: of each sweep.
        progress: told the share of the work done.
    """
    machine = Machine()
    found = simulate_draws(layer, seed, draws, machine)
    progress(0.5)
    sweeps = {
        parameter: sweep(*found.first, parameter, values, machine)
        for parameter, values in points.items()
    }
    return LayerRuns(found, sweeps)


def means(everything: Sequence[LayerRuns]) -> Found:
    """What is said of the nine layers together, and of one beside the others."""

    def mean(parameter: Parameter, point: int, value: Value) -> float:
        return statistics.fmean(value(one.sweeps[parameter].runs[point]) for one in everything)

    excess = [one.draws.mean("inferred", lambda run: run.time_us / run.theoretical_us - 1)
              for one in everything]  # fmt: skip
    yield "time_over_theory", statistics.fmean(excess)
    for depth in (1, 2):
        yield f"idle_share_depth_{depth}", 1 - mean("fifo", depth, load_balance)
    for depth in (8, 16):
        yield f"load_balance_depth_{depth}", mean("fifo", depth, load_balance)
    for pes, words in ((1, "1_pe"), (256, "256_pes")):
        yield f"real_work_{words}", mean("pes", pes, lambda run: real_share(run) or 0.0)
        yield f"load_balance_{words}", mean("pes", pes, load_balance)
    yield from _set_apart(everything)


def _set_apart(everything: Sequence[LayerRuns]) -> Found:
    """Of NT-We, and the least of the other eight."""
    by_layer = {one.layer.id: one for one in everything}
    balances = {layer: one.draws.mean("inferred", load_balance) for layer, one in by_layer.items()}
    scaling = {layer: speedups(one.sweeps["pes"])[256] or 0.0 for layer, one in by_layer.items()}
    yield "load_balance_nt_we", balances.pop(LEAST)
    yield "load_balance_least_other", min(balances.values())
    yield "load_balance_nt_we_32_pes", load_balance(by_layer[LEAST].sweeps["pes"].runs[32])
    yield "scaling_nt_we", scaling.pop(LEAST)
    yield "scaling_least_other", min(scaling.values())


class EieMachine:
    """The nine layers by simulation; a seed is another draw of all matrices and activations."""

    name: ClassVar[str] = "eie-machine"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def __init__(
        self,
        layers: Sequence[EieLayer] = LAYERS,
        draws: Mapping[Scale, int] = DRAWS,
    ) -> None:
        self.layers = tuple(layers)
        self.draws = draws

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Draw and simulate; ``method`` is not asked for anything: nothing is compressed."""
        points, draws = SCALE_POINTS[context.scale], self.draws[context.scale]
        everything = []
        for index, layer in enumerate(self.layers):

            def advance(share: float, done: int = index, name: str = layer.name) -> None:
                context.progress((done + share) / len(self.layers), f"simulating {name}")

            advance(0.0)
            everything.append(run_layer(layer, context.seed, points, draws, advance))
        found = dict(means(everything))
        for one in everything:
            found |= {**dict(one.table_4()), **dict(one.ratios()), **dict(one.series())}
        return Outcome(
            without_interval(found, self.metrics),
            remarks=[
                _path_words(),
                *(_density_words(layer) for layer in self.layers),
                *_energy_words(everything[0].draws.runs["inferred"][0]),
            ],
        )


def _path_words() -> str:
    path = "numba" if chosen_path() == "numba" else "numpy"
    return f"cycles by the recurrence in {path}; no bias, as the layers are drawn without one"


def _energy_words(run: Simulation) -> Iterator[str]:
    """Where the constants of the energies stand, and what they leave out."""
    found = energy(run)
    parts = {"by power": found.by_power, "by operations": found.by_events, "DRAM": (found.dram,)}
    for kind, each in parts.items():
        yield f"energy, {kind}: " + "; ".join(f"{part.name}: {part.source}" for part in each)
    yield from (f"energy: {remark}" for remark in found.remarks)


def _density_words(layer: EieLayer) -> str:
    """The one number that is inferred, beside the printed one."""
    weights, activations = layer.densities("inferred")
    inferred, printed = (
        (weights, layer.weight_density)
        if layer.free == "weights"
        else (activations, layer.activation_density)
    )
    return (
        f"{layer.name}: density of the {layer.free} {100 * inferred:.2f} % inferred, "
        f"{100 * printed:g} % printed"
    )
