"""What a simulation is told as: JSON for scripts, a table and a sentence for people."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from methods.eie.coded import CodedLayer
from methods.eie.energy import Energy, energy
from methods.eie.machine import Simulation

WELL_BALANCED = 0.9
"""From this load balance on, the work itself is what takes the time: the paper's "around 10 %"."""
WORTH_SAYING = 0.1
COUNTERS = (
    "cycles", "entries", "padding_entries", "stored_entries", "stored_padding_entries",
    "broadcasts", "pointer_reads", "spmat_reads", "stall_cycles", "empty_cycles",
    "starvation_cycles", "tail_cycles",
)  # fmt: skip
"""Fields of a simulation that add up over layers."""
BUBBLES = ("empty", "starvation", "tail")


@dataclass(frozen=True, eq=False)
class LayerRun:
    """A layer that went through the machine, and what is known of it beside the counters."""

    shape: tuple[int, int]
    """Outputs, inputs."""
    weight_density: float
    activation_density: float
    """Of what is broadcast, the bias left out."""
    simulation: Simulation
    """Of all steps together where a layer has several."""
    steps: int = 1
    name: str = ""
    """Where there are several layers."""
    change: float | None = None
    """Of the weights by coding them here, relative: norm of the difference over norm."""
    bias_change: float | None = None
    """The same of the bias."""
    negative: int = 0
    """Given activations that are not broadcast because they are below 0."""
    outputs: NDArray[np.float32] | None = None
    """The sums, before ReLU."""

    @classmethod
    def of(cls, coded: CodedLayer, steps: Sequence[Simulation]) -> Self:
        """From the layer and what each of its steps did."""
        whole = replace(total(steps), overflow=steps[0].overflow)
        sent = whole.broadcasts - len(steps) * int(coded.has_bias)
        share = sent / (len(steps) * coded.inputs)
        return cls((coded.outputs, coded.inputs), coded.density, share, whole, len(steps))


def total(runs: Sequence[Simulation]) -> Simulation:
    """One after the other on the same machine; what overflows is left to each."""
    sums = {name: sum(getattr(run, name) for run in runs) for name in COUNTERS}
    return replace(runs[0], **sums, overflow=())


def total_energy(runs: Sequence[Simulation]) -> Energy:
    """Of all of them together."""
    first, *others = (energy(run) for run in runs)
    for one in others:
        first = first + one
    return first


def counters(run: Simulation, taken: Energy) -> dict[str, Any]:
    """The keys that scripts rely on, for a layer or for several together."""
    return {
        "cycles": run.cycles,
        "time_us": run.time_us,
        "theoretical_us": run.theoretical_us,
        "entries": run.entries,
        "padding_entries": run.padding_entries,
        "stored_entries": run.stored_entries,
        "stored_padding_entries": run.stored_padding_entries,
        "broadcasts": run.broadcasts,
        "pointer_reads": run.pointer_reads,
        "spmat_reads": run.spmat_reads,
        "stall_cycles": run.stall_cycles,
        "bubble_cycles": {name: getattr(run, f"{name}_cycles") for name in BUBBLES},
        "load_balance": run.load_balance,
        "real_efficiency": run.efficiency,
        "energy_uj": taken.uj,
        "energy_by_power_uj": {part.name: part.uj for part in taken.by_power},
        "energy_by_events_uj": {part.name: part.uj for part in taken.by_events},
        "energy_from_dram_uj": taken.dram.uj,
        "energy_remarks": list(taken.remarks),
        "overflow": list(run.overflow),
    }


def layer_json(run: LayerRun) -> dict[str, Any]:
    """One layer with its counters; ``outputs`` only where they were computed."""
    document: dict[str, Any] = {
        **({"name": run.name} if run.name else {}),
        "shape": list(run.shape),
        "weight_density": run.weight_density,
        "activation_density": run.activation_density,
        **counters(run.simulation, energy(run.simulation)),
        "coding_error": run.change,
        "bias_coding_error": run.bias_change,
        **({"steps": run.steps} if run.steps > 1 else {}),
    }
    if run.outputs is not None:
        document["outputs"] = [
            float(value) if np.isfinite(value) else None for value in run.outputs
        ]
    return document


def machine_json(run: Simulation) -> dict[str, Any]:
    """The parameters of the machine."""
    return run.machine.model_dump(mode="json")


def what_bounds(layer: LayerRun) -> str:
    """One sentence on where the cycles go."""
    run = layer.simulation
    if run.load_balance is None:
        return "No broadcast column holds an entry, so the layer takes no cycle."
    slots = run.machine.pes * run.cycles
    lost = {name: getattr(run, f"{name}_cycles") / slots for name in BUBBLES}
    worst = max(lost, key=lambda name: lost[name])
    stalled = run.stall_cycles / run.cycles
    work = f"{run.load_balance:.1%} of the PEs' cycles handle an entry"
    if run.load_balance >= WELL_BALANCED:
        padding = run.padding_entries / run.entries
        filler = f", {padding:.0%} of them padding" if padding >= WORTH_SAYING else ""
        return f"The work itself bounds it: {work}{filler}."
    if worst == "tail":
        idle = run.machine.pes - layer.shape[0]
        rowless = f", and {idle} of {run.machine.pes} PEs have no row" if idle > 0 else ""
        why = f"in {lost[worst]:.1%} a PE is done while another is not"
        return f"Load balance bounds it: {work}; {why}{rowless}."
    if worst == "empty":
        why = f"{lost[worst]:.1%} go to columns of which a PE holds nothing"
        return f"Empty slices bound it: {work}; {why}, and fewer PEs would lose less."
    if stalled >= lost[worst] / 2:
        why = f"one PE's full queue stops the broadcast in {stalled:.1%} of the cycles"
        return f"Load balance bounds it: {work}; {why}, and others wait in {lost[worst]:.1%}."
    why = f"in {lost[worst]:.1%} a PE waits for the next activation, of which one is sent a cycle"
    return f"The scan bounds it: {work}; {why}."


def layer_rows(run: LayerRun) -> list[tuple[str, str]]:
    """What people read of one layer: a quantity and its value with the unit."""
    found, taken = run.simulation, energy(run.simulation)
    slots = found.machine.pes * found.cycles
    rows = [
        ("layer", f"{run.shape[0]:,} outputs x {run.shape[1]:,} inputs"),
        ("density", f"{run.weight_density:.2%} of weights, {run.activation_density:.2%} of inputs"),
        ("cycles", f"{found.cycles:,}"),
        ("time", f"{found.time_us:.4g} us at {found.machine.clock_mhz:g} MHz"),
        ("theoretical time", f"{found.theoretical_us:.4g} us with even load"),
        ("load balance", _share(found.load_balance)),
        ("entries", f"{found.entries:,}, of which {found.padding_entries:,} are padding"),
        ("stored entries", f"{found.stored_entries:,}"),
        ("broadcasts", f"{found.broadcasts:,}"),
        ("pointer reads", f"{found.pointer_reads:,} pairs"),
        ("matrix reads", f"{found.spmat_reads:,} lines of {found.machine.width_bits} bits"),
        ("stalls", f"{found.stall_cycles:,} cycles of the broadcast"),
        *(
            (f"bubbles: {name}", _of(getattr(found, f"{name}_cycles"), slots, "PE cycles"))
            for name in BUBBLES
        ),
        ("energy, an estimate", f"{taken.uj:.4g} uJ by Table II's power"),
        ("the operations alone", f"{taken.events_uj:.4g} uJ by Table I"),
        ("entries from DRAM", f"{taken.dram.uj:.4g} uJ by Table I"),
    ]
    if run.change is not None:
        bias = "" if run.bias_change is None else f", the bias by {run.bias_change:.2%}"
        rows.insert(2, ("coding to 4 bits", f"changes the weights by {run.change:.2%}{bias}"))
    return rows


def layer_remarks(run: LayerRun) -> list[str]:
    """For standard error: what does not fit, and what the energy is an estimate of."""
    prefix = f"layer {run.name}: " if run.name else ""
    said = [f"{prefix}overflow, {text}" for text in run.simulation.overflow]
    said += energy(run.simulation).remarks[1:]  # the first stands in the table
    if run.negative:
        said.append(
            f"{run.negative:,} activations are below 0 and not broadcast: --signed sends them"
        )
    if run.outputs is not None and not np.isfinite(run.outputs).all():
        said.append(f"{prefix}outputs beyond the range of float32 are null")
    return said


def output_rows(outputs: NDArray[np.float32]) -> list[tuple[str, str]]:
    """The place and the value of each."""
    return [(str(place), f"{value:.9g}") for place, value in enumerate(outputs.tolist())]


NETWORK_HEADERS = (
    "layer", "out x in", "weights", "inputs", "cycles", "time us", "theory us",
    "load balance", "entries", "padding", "stalls", "empty", "starvation", "tail", "energy uJ",
)  # fmt: skip


def network_rows(runs: Sequence[LayerRun]) -> list[list[str]]:
    """A row a layer, and their total."""
    rows = [
        [run.name, f"{run.shape[0]} x {run.shape[1]}", f"{run.weight_density:.1%}",
         f"{run.activation_density:.1%}", *_cells(run.simulation, energy(run.simulation))]
        for run in runs
    ]  # fmt: skip
    everything = [run.simulation for run in runs]
    last = ["total", "", "", "", *_cells(total(everything), total_energy(everything))]
    return [*rows, last] if len(rows) > 1 else rows


def _cells(run: Simulation, taken: Energy) -> list[str]:
    slots = run.machine.pes * run.cycles
    shares = [getattr(run, f"{name}_cycles") / slots if slots else None for name in BUBBLES]
    return [
        f"{run.cycles:,}", f"{run.time_us:.4g}", f"{run.theoretical_us:.4g}",
        _share(run.load_balance), f"{run.entries:,}", f"{run.padding_entries:,}",
        f"{run.stall_cycles:,}", *map(_share, shares), f"{taken.uj:.4g}",
    ]  # fmt: skip


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _of(count: int, whole: int, unit: str) -> str:
    return f"{count:,} {unit}" + (f" ({count / whole:.1%})" if whole else "")
