"""EIE's Figs. 8, 9 and 11 to 13 as rows: the nine layers swept, and what the paper says of them."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from benchmarks.eie_layers import EieLayer, drawn
from methods.eie.machine import Simulation
from methods.eie.sweep import (
    FIELDS,
    Parameter,
    Sweep,
    fed_share,
    real_share,
    speedups,
    sweep,
    width_conditions,
)
from registry.record import Paper

Document = dict[str, JsonValue]
Value = Callable[[Simulation], float | int | None]

FIGURES: Mapping[Parameter, tuple[str, ...]] = {
    "fifo": ("Fig. 8",),
    "width": ("Fig. 9",),
    "pes": ("Fig. 11", "Fig. 12", "Fig. 13", "on Table V"),
}
"""Where the paper speaks of each sweep."""


def load_balance(run: Simulation) -> float | None:
    return run.load_balance


def efficiency(run: Simulation) -> float | None:
    return run.efficiency


def spmat_reads(run: Simulation) -> int:
    return run.spmat_reads


CURVES: Mapping[Parameter, Mapping[str, tuple[str, Value]]] = {
    "fifo": {
        "load_balance": ("Load balance: entries with padding / (cycles x PEs)", load_balance),
        "real_efficiency": ("Efficiency without padding: weights / (cycles x PEs)", efficiency),
        "fed_share": ("Fig. 8's definition: 1 - starvation / (cycles x PEs)", fed_share),
    },
    "width": {"spmat_reads": ("Reads of the sparse matrix memory", spmat_reads)},
    "pes": {
        "real_share": ("Fig. 12: real work / total work", real_share),
        "load_balance": ("Fig. 13: load balance with queues of depth 8", load_balance),
    },
}
"""Curve -> its title and its value; the speed-up of Fig. 11 goes over a whole sweep."""
SPEEDUP = ("speedup", "Fig. 11: speed-up over 1 PE")


def sweep_document(
    paper: Paper,
    parameter: Parameter,
    layers: Sequence[EieLayer],
    seed: int,
    progress: Callable[[int, int, str], None] = lambda done, of, name: None,
) -> Document:
    """Each layer, drawn with inferred densities, at every point of the figure; as JSON.

    Args:
        progress: told how many layers are done, of how many, and which one is next.
    """
    rows: list[JsonValue] = []
    for done, layer in enumerate(layers):
        progress(done, len(layers), layer.name)
        coded, activation = drawn(layer, "inferred", seed)
        rows.append(_layer_row(layer, sweep(coded, activation, parameter)))
    return {
        "sweep": parameter,
        "parameter": FIELDS[parameter],
        "seed": seed,
        "densities": "inferred",
        "layers": rows,
        "paper": said_of(paper, parameter),
    }


def _layer_row(layer: EieLayer, found: Sweep) -> Document:
    factors = speedups(found)
    points: list[JsonValue] = []
    for value, run in found.runs.items():
        point: Document = {
            found.parameter: value,
            "cycles": run.cycles,
            "time_us": run.time_us,
            "stall_cycles": run.stall_cycles,
            "bubble_cycles": {
                "empty": run.empty_cycles,
                "starvation": run.starvation_cycles,
                "tail": run.tail_cycles,
            },
        }
        point |= {name: of(run) for name, (_, of) in CURVES[found.parameter].items()}
        if found.parameter == "pes":
            point[SPEEDUP[0]] = factors[value]
        points.append(point)
    row: Document = {"layer": layer.name, "points": points}
    if found.parameter == "width":
        bounds = width_conditions({width: run.spmat_reads for width, run in found.runs.items()})
        row["least_energy_at_64_bits_if"] = {
            "e64_over_e32_below": bounds.narrower_below,
            "e128_over_e64_above": bounds.wider_above,
        }
    return row


def said_of(paper: Paper, parameter: Parameter) -> list[JsonValue]:
    """What the paper's text says of the figure, from the record's claims."""
    said: list[JsonValue] = []
    for claim in paper.claims:
        place = paper.place(claim)
        if claim.benchmark in ("eie-machine", None) and place.endswith(FIGURES[parameter]):
            said.append(
                {
                    "claim": claim.id,
                    "where": place,
                    "statement": claim.statement,
                    "reported": claim.reported,
                    "unit": claim.unit,
                    "remark": claim.reason,
                }
            )
    return said


def curve_titles(parameter: Parameter) -> dict[str, str]:
    """The curves of a sweep by their keys in JSON, with their titles."""
    titles = {name: title for name, (title, _) in CURVES[parameter].items()}
    return ({SPEEDUP[0]: SPEEDUP[1]} if parameter == "pes" else {}) | titles
