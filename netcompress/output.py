"""Printing: data on standard output, remarks on standard error, tables for a terminal."""

import json
import sys
import time
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


SPEAK_EVERY_SECONDS = 60
"""A file of progress grows by a line as often, at least where an epoch takes no longer."""
LONG_SECONDS = 60
"""Training that goes on for longer is told how to shorten it."""


class EpochLine:
    """Progress of training on standard error: one line that moves, or every tenth in a file.

    The second epoch tells how long the rest will take; where that is long, what to do about it is
    said once.
    """

    def __init__(self, advice: str = "") -> None:
        self._advice = advice
        self._first = self._spoken = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if done <= 1:
            self._first = now
        last = total is not None and done >= total
        left = 0.0
        if total is not None and done > 1:
            left = (now - self._first) / (done - 1) * (total - done)
        advice, long = "", left > LONG_SECONDS
        if long:
            advice, self._advice = self._advice, ""
        text = f"epoch {done}" + (f" of {total}" if total else "")
        text += f", about {_duration(left)} left" if left > LONG_SECONDS / 6 else ""
        if sys.stderr.isatty():
            end = "\n" if last or advice else ""
            print(f"\r{text}\x1b[K", end=end, file=sys.stderr, flush=True)
        elif (
            last
            or done % max((total or 0) // 10, 1) == 0
            or (long and done == 2)
            or now - self._spoken > SPEAK_EVERY_SECONDS
        ):
            self._spoken = now
            print(text, file=sys.stderr, flush=True)
        if advice:
            print(advice, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


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
