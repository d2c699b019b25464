"""Printing: data on standard output, remarks on standard error, tables for a terminal."""

import json
import sys
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """One JSON document, nothing else."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def print_text(text: str) -> None:
    """Text as it is, with a line break at its end."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def remark(text: str) -> None:
    """For people, on standard error."""
    print(text, file=sys.stderr)


class EpochLine:
    """Progress of training on standard error: one line that moves, or every tenth in a file."""

    def __call__(self, done: int, total: int | None) -> None:
        last = total is not None and done >= total
        text = f"epoch {done}" + (f" of {total}" if total else "")
        if sys.stderr.isatty():
            print(f"\r{text}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last or done % max((total or 0) // 10, 1) == 0:
            print(text, file=sys.stderr, flush=True)


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", right: str = ""
) -> None:
    """A table for people; cells are plain text, control characters dropped, no markup.

    Args:
        right: headers that are aligned to the right, separated by commas.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from benchmarks.escape import terminal

    to_right = set(right.split(","))
    table = Table(title=Text(title) if title else None, title_justify="left", pad_edge=False)
    for header in headers:
        table.add_column(
            Text(header), justify="right" if header in to_right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(terminal(cell), style=_style(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(160, console.width))
    console.print(table)


def _style(cell: str) -> str:
    """A colour for a verdict; the word itself says it too."""
    return {
        "reproduced": "green", "better": "green", "agrees": "green",
        "missed": "red", "disagrees": "red", "failed": "red",
        "inconclusive": "yellow", "stale": "yellow",
    }.get(cell, "")  # fmt: skip


def cell(value: object) -> str:
    """A value of a row as the text of a table's cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {cell(held)}" for name, held in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, int) and value > 9_999:
        return f"{value:,}"
    return str(value)
