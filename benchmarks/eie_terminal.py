"""EIE's tables and sweeps for a terminal. Plain text: whoever prints it escapes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.eie_report import Rows
from benchmarks.eie_sweeps import curve_titles
from benchmarks.numbers import significant
from methods.eie.sweep import Parameter
from registry.units import SYMBOLS, Unit

SHARES = frozenset({"load_balance", "real_efficiency", "fed_share", "real_share"})
"""Fractions, shown in per cent."""
WIDTH_WORDS = (
    "The paper prints no energy of a read at any width. A port of 64 bits needs the least energy "
    "with these reads if a read of 64 bits takes less than the first factor times one of 32 bits, "
    "and a read of 128 bits more than the second factor times one of 64 bits."
)


@dataclass(frozen=True)
class Shown:
    """A table for people and the remarks under it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()

    @property
    def numbers(self) -> str:
        """Headers of the columns that are aligned to the right."""
        return ",".join(one for one in self.headers if one not in WORDS)


WORDS = frozenset({"layer", "row", "quantity", "column", "verdict", "over", "part", "source",
                   "inferred", "statement", "where", "remark", "reason"})  # fmt: skip


def shown_tables(tables: Mapping[str, Rows]) -> Iterator[Shown]:
    """Every table of ``eie_report.all_tables``, in the paper's order."""
    yield _claimed("Table II: one PE, its parts summed", tables["table_2"])
    yield _densities(tables["table_3"])
    yield from _times(tables["table_4"])
    yield _speedups(tables["speedups"])
    yield _claimed("Fig. 6: speed-up over the CPU, from Table IV", tables["figure_6"])
    yield _claimed("Table V: the cells that follow from others", tables["table_5"])
    yield from _energy(tables["energy"])


def _claimed(title: str, rows: Rows) -> Shown:
    cells = [
        [
            str(row["label"]),
            str(row["quantity"]),
            _with_unit(str(row["paper"]), row["unit"]),
            _with_unit(_number(row["ours"]), row["unit"]),
            _percent(row["deviation_percent"]),
            str(row["verdict"]),
        ]
        for row in rows
    ]
    return Shown(title, ["row", "quantity", "paper", "ours", "deviation", "verdict"], cells,
                 _misses(rows, "label", "quantity"))  # fmt: skip


def _densities(rows: Rows) -> Shown:
    cells = [
        [
            str(row["layer"]),
            f"{row['inputs']:,}",
            f"{row['outputs']:,}",
            _share(row["weight_density"]),
            _share(row["activation_density"]),
            f"{_share(row['inferred_density'])} of the {row['inferred']}",
        ]
        for row in rows
    ]
    headers = ["layer", "inputs", "outputs", "weights", "activations", "inferred"]
    said = (
        "Inferred by us: the one density that makes the expected entries meet the theoretical "
        "time of Table IV; that column then holds by construction and proves nothing."
    )
    return Shown("Table III: densities, printed and inferred", headers, cells, [said])


def _times(rows: Rows) -> Iterator[Shown]:
    for column in ("theoretical", "actual"):
        for densities in ("printed", "inferred"):
            chosen = [
                row for row in rows if (row["column"], row["densities"]) == (column, densities)
            ]
            cells = [
                [
                    str(row["layer"]),
                    str(row["paper"]),
                    f"{row['ours']:.2f}",
                    "–" if row["ours_sd_us"] is None else f"{row['ours_sd_us']:.3f}",
                    _percent(row["deviation_percent"]),
                    str(row["verdict"]),
                ]
                for row in chosen
            ]
            title = f"Table IV: {column} time in µs, {densities} densities"
            headers = ["layer", "paper", "ours", "sd of draws", "deviation", "verdict"]
            yield Shown(title, headers, cells, _misses(chosen, "layer"))


def _speedups(rows: Rows) -> Shown:
    cells = [
        [
            str(row["over"]),
            f"{row['claimed']}×",
            f"{row['from_table_4']:.1f}×",
            f"{row['from_labels_of_figure_6']:.1f}×",
            str(row["reason"] or ""),
        ]
        for row in rows
    ]
    headers = ["over", "claimed", "from Table IV", "from Fig. 6's labels", "reason"]
    return Shown("Speed-ups at batch 1: geometric means of nine layers", headers, cells)


def _energy(rows: Rows) -> Iterator[Shown]:
    cells = [
        [
            str(row["layer"]),
            *(_number(row[name]) for name in ("energy_uj", "events_uj", "dram_uj")),
        ]
        for row in rows
    ]
    headers = ["layer", "by power (Table II)", "by operations (Table I)", "entries from DRAM"]
    remarks: dict[str, None] = {}
    sources: dict[str, str] = {}
    for row in rows:
        remarks |= dict.fromkeys(_texts(row["remarks"]))
        for part in _records(row["parts"]):
            sources.setdefault(str(part["part"]), str(part["source"]))
    yield Shown("Energy in µJ, inferred densities", headers, cells, list(remarks))
    yield Shown(
        "Where the constants of the energy stand", ["part", "source"],
        [[part, source] for part, source in sources.items()],
    )  # fmt: skip


def _misses(rows: Rows, *names: str) -> list[str]:
    """Tolerances and reasons of the rows that are missed, each once."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["verdict"] == "missed":
            which = " ".join(str(row[name]) for name in names).strip()
            said = f"Missed beyond {row['tolerance']}"
            found.setdefault(said, []).append(which)
            if row["remark"]:
                found.setdefault(f"{which}: {row['remark']}", [])
    return [f"{said} ({', '.join(which)})" if which else said for said, which in found.items()]


def shown_sweep(document: Mapping[str, Any]) -> Iterator[Shown]:
    """A sweep of ``eie_sweeps.sweep_document``: a table a curve, then what the paper says."""
    parameter: Parameter = document["sweep"]
    layers = _records(document["layers"])
    points = [str(point[parameter]) for point in _records(layers[0]["points"])]
    word = {"fifo": "queue depth", "width": "bits", "pes": "PEs"}[parameter]
    for curve, title in curve_titles(parameter).items():
        cells = [
            [str(row["layer"]), *(_curve_cell(curve, p[curve]) for p in _records(row["points"]))]
            for row in layers
        ]
        yield Shown(f"{title}, by {word}", ["layer", *points], cells)
    if parameter == "width":
        yield _conditions(layers)
    said = [
        [str(one["statement"]), _with_unit(str(one["reported"] or "–"), one["unit"]),
         str(one["where"]), str(one["remark"] or "")]
        for one in _records(document["paper"])
    ]  # fmt: skip
    note = "The figure's curves carry no printed values; `netcompress claims 2016-eie` has verdicts"
    yield Shown("What the paper says", ["statement", "paper", "where", "remark"], said, [note])


def _conditions(layers: Sequence[Mapping[str, Any]]) -> Shown:
    cells = []
    for row in layers:
        bounds = row["least_energy_at_64_bits_if"]
        factors = (bounds["e64_over_e32_below"], bounds["e128_over_e64_above"])
        cells.append(
            [str(row["layer"]), *("–" if one is None else f"{one:.3f}" for one in factors)]
        )
    headers = ["layer", "64 over 32 bits below", "128 over 64 bits above"]
    return Shown("Energy of a read: when 64 bits are best", headers, cells, [WIDTH_WORDS])


def _curve_cell(curve: str, value: Any) -> str:
    if value is None:
        return "–"
    if curve in SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}×"


def _records(value: Any) -> list[Mapping[str, Any]]:
    """A list of objects of a JSON document."""
    assert isinstance(value, list)
    return value


def _texts(value: Any) -> list[str]:
    assert isinstance(value, list)
    return [str(one) for one in value]


def _number(value: Any) -> str:
    return "–" if value is None else significant(float(value))


def _share(value: Any) -> str:
    return f"{significant(100 * float(value))} %"


def _percent(value: Any) -> str:
    return "–" if value is None else f"{float(value):+.1f} %"


def _with_unit(text: str, unit: Any) -> str:
    named: Mapping[Unit, str] = SYMBOLS
    symbol = named[unit]
    if text == "–" or not symbol:
        return text
    return f"{text}×" if unit == "ratio" else f"{text} {symbol}"
