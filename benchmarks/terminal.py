"""Cells of the tables that the terminal shows. Plain text: whoever prints it escapes it."""

from collections.abc import Sequence

from benchmarks.baselines import FIGURES, compared_runs, figure_text, own_text
from benchmarks.board import Board
from benchmarks.compare import Comparison
from benchmarks.numbers import in_unit, interval
from benchmarks.report import (
    claim_marks,
    gap_text,
    measured_text,
    reported_text,
    yours_text,
)
from benchmarks.standing import Standing
from benchmarks.store import Stored
from registry.survey import SurveyRow

CLAIM_HEADERS = [
    "claim",
    "check",
    "claimed",
    "measured",
    "95 % interval",
    "verdict",
    "gap",
    "yours",
]


def claim_cells(
    standings: Sequence[Standing], *, with_paper: bool = True, with_place: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: claimed, published with its verdict, and the user's own.

    Args:
        with_place: where in the paper each claim stands, too.
    """
    rows = []
    for standing in standings:
        judged = standing.judgement
        row = [
            standing.claim.statement + claim_marks(standing),
            *([standing.paper.place(standing.claim)] if with_place else []),
            standing.claim.check,
            reported_text(standing),
            measured_text(standing),
            interval(judged.low, judged.high, standing.claim.unit),
            judged.verdict,
            gap_text(standing),
            yours_text(standing),
        ]
        rows.append([standing.paper.id, *row] if with_paper else row)
    headers = [CLAIM_HEADERS[0], *(["where"] if with_place else []), *CLAIM_HEADERS[1:]]
    return (["paper", *headers] if with_paper else headers), rows


def survey_cells(rows: Sequence[SurveyRow]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the source's table, its flags as they stand there."""
    flags = ("matrix_factorization", "parameter_sharing", "pruning", "parameter_quantization",
             "software", "hardware")  # fmt: skip
    headers = ["paper", "year", *(flag.replace("_", " ") for flag in flags), "DNN type"]
    cells = [
        [row.paper, str(row.year), *("O" if getattr(row, f) else "" for f in flags), row.dnn_type]
        for row in rows
    ]
    return headers, cells


def result_cells(
    stored: Sequence[Stored], stale: frozenset[str]
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of results, failures included."""
    headers = ["paper", "benchmark", "run", "scale", "seed", "data", "outcome", "key figures",
               "seconds", "started", "origin"]  # fmt: skip
    rows = []
    for one in stored:
        result, identity = one.result, one.result.identity
        outcome = result.outcome if result.reason is None else f"{result.outcome}: {result.reason}"
        rows.append(
            [
                identity.paper,
                identity.benchmark,
                identity.run,
                identity.scale,
                str(identity.seed),
                identity.data,
                outcome + (" (stale)" if result.fingerprint in stale else ""),
                _key_figures(one),
                f"{result.provenance.seconds:.0f}",
                result.provenance.started,
                one.origin,
            ]
        )
    return headers, rows


def baseline_cells(board: Board) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of plain baselines, published and the user's own."""
    rows = [
        [
            benchmark,
            one.owner.method,
            one.measured.run.name,
            *(figure_text(one.published(key), unit) for key, _, unit in FIGURES[:4]),
            one.measured.status,
            own_text(one),
        ]
        for benchmark, runs in compared_runs(board).items()
        for one in runs
        if one.is_baseline
    ]
    figures = [name.lower() for _, name, _ in FIGURES[:4]]
    return ["network", "baseline", "run", *figures, "state", "yours"], rows


def _key_figures(one: Stored) -> str:
    """Error and size, where a result has them."""
    metrics = one.result.metrics
    parts = []
    if "error" in metrics:
        parts.append(f"error {100 * metrics['error'].value:.2f} %")
    if "file_bytes" in metrics:
        parts.append(f"{metrics['file_bytes'].value:,.0f} B")
    if "file_ratio" in metrics:
        parts.append(f"{metrics['file_ratio'].value:.1f}× on disk")
    return ", ".join(parts)


def comparison_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of two folders, claim by claim; values in base units."""
    headers = [
        "paper",
        "claim",
        "metric",
        "scale",
        "data",
        "A",
        "B",
        "difference",
        "unit",
        "seeds",
        "same",
    ]
    rows = [
        [
            row.paper,
            row.claim,
            row.metric,
            row.scale,
            row.data,
            in_unit(row.a, row.unit),
            in_unit(row.b, row.unit),
            in_unit(row.difference, row.unit),
            row.unit,
            f"{row.seeds_a} / {row.seeds_b}",
            {True: "yes", False: "no", None: ""}[row.same_configuration],
        ]
        for row in comparison.rows
    ]
    return headers, rows
