"""One parameter of the machine at a time: EIE's Figs. 8, 9, 11, 12 and 13 for a layer of any kind.

Han et al., ISCA 2016, section VI. The figures print no values of their curves, so these are the
machine's own. Two efficiencies are kept apart, as two curves: the load balance counts padding as
work, as Table IV's quotient of theoretical and actual time does; the fed share is Fig. 8's own
definition, 1 - bubble cycles / total cycles, whose bubbles are the cycles that a PE starves in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from methods.eie.coded import CodedLayer
from methods.eie.encode import EncodedLayer, encode
from methods.eie.machine import Machine, Simulation, simulate
from registry.errors import UserError

Parameter = Literal["fifo", "width", "pes"]

POINTS: Mapping[Parameter, tuple[int, ...]] = {
    "fifo": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "width": (32, 64, 128, 256, 512),
    "pes": (1, 2, 4, 8, 16, 32, 64, 128, 256),
}
"""Those of Figs. 8 (queue depth), 9 (bits of the matrix memory's port), and 11 to 13 (PEs)."""
FIELDS: Mapping[Parameter, str] = {"fifo": "queue_depth", "width": "width_bits", "pes": "pes"}
"""The machine's parameter of each."""
CHOSEN_WIDTH = 64

Activation = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Told how many points are done, and of how many."""


@dataclass(frozen=True)
class Sweep:
    """A layer on the same machine with one parameter varied."""

    parameter: Parameter
    runs: Mapping[int, Simulation]
    """By the parameter's value, rising."""


def sweep(
    layer: CodedLayer | EncodedLayer,
    activation: Activation,
    parameter: Parameter,
    points: Sequence[int] = (),
    machine: Machine | None = None,
    progress: Progress = lambda done, of: None,
) -> Sweep:
    """Run the layer at each point.

    Args:
        layer: encoded already for some number of PEs, it is not encoded again for that one.
        activation: float32 (inputs).
        points: of the parameter; the figures' own by default.
        machine: of everything else; the paper's by default.

    Raises:
        UserError: as ``simulate``, for a point or an activation that the machine refuses.
    """
    whole = sorted(set(points or POINTS[parameter]))
    base = machine or Machine()
    machines = {point: varied(base, parameter, point) for point in whole}
    given = layer if isinstance(layer, EncodedLayer) else encode(layer, base.pes)
    last = given
    runs = {}
    for done, (point, one) in enumerate(machines.items()):
        progress(done, len(whole))
        if last.pes != one.pes:  # one at a time beside the given one: large layers are large
            last = given if given.pes == one.pes else encode(given.decoded, one.pes)
        runs[point] = simulate(last, activation, one)
    progress(len(whole), len(whole))
    return Sweep(parameter, runs)


def speedups(by_pes: Sweep) -> dict[int, float | None]:
    """Cycles at the least point over cycles at each (Fig. 11); None where nothing ran."""
    first = next(iter(by_pes.runs.values())).cycles
    return {pes: first / run.cycles if run.cycles else None for pes, run in by_pes.runs.items()}


def varied(machine: Machine, parameter: Parameter, value: int) -> Machine:
    """The machine with one parameter changed, checked again.

    Raises:
        UserError: the machine cannot be built so.
    """
    changed = machine.model_dump() | {FIELDS[parameter]: value}
    try:
        return Machine.model_validate(changed)
    except ValidationError as error:
        said = "; ".join(fault["msg"] for fault in error.errors())
        raise UserError(f"{FIELDS[parameter].replace('_', ' ')} {value}: {said}") from None


def fed_share(run: Simulation) -> float | None:
    """1 - starvation / (cycles x PEs): Fig. 8's definition; None where nothing ran."""
    slots = run.cycles * run.machine.pes
    return 1 - run.starvation_cycles / slots if slots else None


def real_share(run: Simulation) -> float | None:
    """Entries that are weights over all entries (Fig. 12); None where there are none."""
    return 1 - run.padding_entries / run.entries if run.entries else None


@dataclass(frozen=True)
class WidthConditions:
    """What the energy of one read must satisfy for a width to need the least energy.

    The paper prints no energy of a read at any width, so the minimum of Fig. 9 cannot be found;
    but reads are counted exactly, and energy is reads times energy of a read.
    """

    width: int
    narrower: int | None
    narrower_below: float | None
    """Energy of a read at ``width`` over that at the next narrower one must stay below this."""
    wider: int | None
    wider_above: float | None
    """Energy of a read at the next wider one over that at ``width`` must exceed this."""


def width_conditions(reads: Mapping[int, int], width: int = CHOSEN_WIDTH) -> WidthConditions:
    """The two conditions between neighbours of ``width``.

    Args:
        reads: of the sparse matrix memory, by width in bits; ``width`` is one of them.
    """
    widths = sorted(reads)
    place = widths.index(width)
    narrower = widths[place - 1] if place else None
    wider = widths[place + 1] if place + 1 < len(widths) else None
    return WidthConditions(
        width,
        narrower,
        reads[narrower] / reads[width] if narrower is not None and reads[width] else None,
        wider,
        reads[width] / reads[wider] if wider is not None and reads[wider] else None,
    )
