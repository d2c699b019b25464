"""EIE's tables with ours beside them, as rows: Tables II, III, IV and V, speed-ups and energy.

What the paper prints, how far ours may lie from it and why comes from the record's claims; no row
is left out. Times are simulated here and now; verdicts, which take published results, are in
``netcompress claims 2016-eie``.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from pydantic import JsonValue

from benchmarks.benchmark import Measurement
from benchmarks.eie_arithmetic import EieArithmetic
from benchmarks.eie_layers import LAYERS, Densities, EieLayer
from benchmarks.eie_machine import Draws, actual_seconds, simulate_draws, theoretical_seconds
from benchmarks.verdict import band
from methods.eie.energy import Energy, energy
from methods.eie.machine import Machine, Simulation
from registry.record import Claim, Paper
from registry.units import from_base, to_base

Rows = list[dict[str, JsonValue]]
Progress = Callable[[int, int, str], None]
"""Told how many layers are done, of how many, and which one is next."""

TIMES: Mapping[str, Callable[[Simulation], float]] = {
    "theoretical": theoretical_seconds,
    "actual": actual_seconds,
}
SUFFIXES: Mapping[Densities, str] = {"printed": "", "inferred": "_inferred"}
OVER: Mapping[str, str] = {"cpu": "CPU", "gpu": "GPU", "mobile_gpu": "mobile GPU"}
MISSED, HELD = "missed", "holds"
BY_CONSTRUCTION = "by construction"
"""The run was given the value, so that it proves nothing."""


def simulate_layers(
    seed: int,
    draws: int,
    layers: Sequence[EieLayer] = LAYERS,
    progress: Progress = lambda done, of, name: None,
) -> list[Draws]:
    """Every layer with printed and with inferred densities on the paper's machine."""
    machine, found = Machine(), []
    for done, layer in enumerate(layers):
        progress(done, len(layers), layer.name)
        found.append(simulate_draws(layer, seed, draws, machine))
    return found


def all_tables(paper: Paper, drawn_layers: Sequence[Draws]) -> dict[str, Rows]:
    """Every table by its key in JSON."""
    printed = EieArithmetic().compute(paper).metrics
    return {
        "table_2": claimed_rows(paper, printed, "Table II,"),
        "table_3": densities_rows([one.layer for one in drawn_layers]),
        "table_4": times_rows(paper, drawn_layers),
        "speedups": speedup_rows(paper, printed),
        "figure_6": claimed_rows(paper, printed, "Fig. 6,"),
        "table_5": claimed_rows(paper, printed, "Table V,"),
        "energy": energy_rows(drawn_layers),
    }


def claimed_rows(paper: Paper, values: Mapping[str, Measurement], place: str) -> Rows:
    """The claims that stand at ``place`` and follow from ``values``: printed, ours, held or not."""
    labels = {row.id: row.label for table in paper.tables for row in table.rows}
    rows: Rows = []
    for claim in paper.claims:
        key = claim.measured_as or ""
        if key in values and claim.reported is not None and paper.place(claim).startswith(place):
            rows.append(
                {
                    "claim": claim.id,
                    "row": claim.layer or "",
                    "label": labels.get(claim.layer or "") or claim.layer or "",
                    "quantity": EieArithmetic.metrics[key.partition(".")[0]].title,
                    **_held_against(claim, float(values[key].value)),
                }
            )
    return rows


def _held_against(claim: Claim, value: float) -> dict[str, JsonValue]:
    """Printed and ours in the claim's unit, the deviation, and whether it holds.

    Args:
        value: in the base unit.
    """
    assert claim.reported is not None  # the callers pass over orderings
    accepted = band(claim.reported, claim.unit, claim.tolerance)
    holds = accepted.low <= value <= accepted.high
    reported = float(to_base(Decimal(claim.reported), claim.unit))
    word = HELD if holds else MISSED
    return {
        "unit": claim.unit,
        "paper": claim.reported,
        "ours": from_base(value, claim.unit),
        "deviation_percent": 100 * (value / reported - 1) if reported else None,
        "verdict": f"{word} {BY_CONSTRUCTION}" if holds and claim.by_construction else word,
        "tolerance": _tolerance_words(claim),
        "remark": claim.reason,
    }


def _tolerance_words(claim: Claim) -> str:
    if claim.tolerance is None:
        return "rounding"
    unit = "%" if claim.tolerance.kind == "relative_percent" else claim.unit.replace("_", " ")
    return f"rounding and {claim.tolerance.value} {unit}: {claim.tolerance.reason}"


def densities_rows(layers: Sequence[EieLayer]) -> Rows:
    """Table III, with the one density of each layer that is inferred; fractions."""
    rows: Rows = []
    for layer in layers:
        weights, activations = layer.densities("inferred")
        rows.append(
            {
                "layer": layer.name,
                "inputs": layer.inputs,
                "outputs": layer.outputs,
                "weight_density": layer.weight_density,
                "activation_density": layer.activation_density,
                "inferred": layer.free,
                "inferred_density": weights if layer.free == "weights" else activations,
            }
        )
    return rows


def times_rows(paper: Paper, drawn_layers: Sequence[Draws]) -> Rows:
    """Table IV's two columns of EIE, a row a layer, column and choice of densities."""
    claims = {
        claim.measured_as: claim
        for claim in paper.claims
        if claim.benchmark == "eie-machine" and claim.reported is not None
    }
    rows: Rows = []
    for one in drawn_layers:
        for column, seconds in TIMES.items():
            for densities, suffix in SUFFIXES.items():
                values = [seconds(run) for run in one.runs[densities]]
                claim = claims.get(f"{column}_seconds{suffix}.{one.layer.id}")
                head: dict[str, JsonValue] = {
                    "claim": claim.id if claim else None,
                    "layer": one.layer.name,
                    "column": column,
                    "densities": densities,
                    "ours_sd_us": 1e6 * statistics.stdev(values) if len(values) > 1 else None,
                }
                mean = statistics.fmean(values)
                rows.append(
                    head | (_held_against(claim, mean) if claim else _unheld(one, column, mean))
                )
    return rows


def _unheld(one: Draws, column: str, value: float) -> dict[str, JsonValue]:
    """A cell that no claim of the record speaks of."""
    layer = one.layer
    printed = layer.theoretical_seconds if column == "theoretical" else layer.actual_seconds
    return {
        "unit": "microseconds",
        "paper": f"{printed * 1e6:.1f}",
        "ours": value * 1e6,
        "deviation_percent": 100 * (value / printed - 1),
        "verdict": "",
        "tolerance": "",
        "remark": None,
    }


def speedup_rows(paper: Paper, values: Mapping[str, Measurement]) -> Rows:
    """The claimed geometric means beside those of Table IV's times and of Fig. 6's labels."""
    rows: Rows = []
    for claim in paper.claims:
        for name, words in OVER.items():
            if claim.metric == f"{name}_speedup_mean" and claim.layer is None:
                rows.append(
                    {
                        "claim": claim.id,
                        "over": words,
                        "claimed": claim.reported,
                        "from_table_4": values[f"{name}_speedup_mean"].value,
                        "from_labels_of_figure_6": values[f"{name}_speedup_mean_of_labels"].value,
                        "reason": claim.reason,
                    }
                )
    return rows


def energy_rows(drawn_layers: Sequence[Draws]) -> Rows:
    """Of each layer's first draw with inferred densities; each part with its constant's source."""
    rows: Rows = []
    for one in drawn_layers:
        run = one.runs["inferred"][0]
        found = energy(run)
        rows.append(
            {
                "layer": one.layer.name,
                "energy_uj": found.uj,
                "events_uj": found.events_uj,
                "dram_uj": found.dram.uj,
                "parts": [{"part": name, "uj": uj, "source": source}
                          for name, uj, source in _parts(found)],
                "remarks": list(found.remarks),
            }
        )  # fmt: skip
    return rows


def _parts(found: Energy) -> Iterator[tuple[str, float, str]]:
    for part in found.by_power:
        yield f"by power: {part.name}", part.uj, part.source
    for part in found.by_events:
        yield f"by events: {part.name}", part.uj, part.source
    yield found.dram.name, found.dram.uj, found.dram.source
