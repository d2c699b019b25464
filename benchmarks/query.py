"""SQL over papers, claims and results: DuckDB in memory, without a way to files or the network."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from benchmarks.board import Board
from benchmarks.columns import VIEWS, Columns
from benchmarks.views import Row, claim_row, measurement_rows, paper_rows, result_row
from registry.errors import UserError

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GiB"
ROWS_LIMIT = 1_000_000
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # else a query could name variables of this program
    "temp_directory": "",
    "memory_limit": MEMORY,
    "threads": "2",
}
MISSING = (
    "`netcompress query` needs DuckDB, which is not installed: "
    "python -m pip install 'netcompress[query]'"
)


@dataclass(frozen=True)
class Answer:
    """What a query gave; values are None, bool, int, float, str, lists and dicts."""

    columns: tuple[str, ...]
    """All different: of several with the same name the later ones get a number."""
    rows: tuple[tuple[Any, ...], ...]


def as_records(answer: Answer) -> list[Row]:
    """By column."""
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def column_rows() -> Answer:
    """What may be asked for."""
    rows = [
        (view, name, column.type, column.about)
        for view, columns in VIEWS.items()
        for name, column in columns.items()
    ]
    return Answer(("view", "column", "type", "about"), tuple(rows))


def rows_of(board: Board) -> dict[str, list[Row]]:
    """The rows of each view."""
    stale = board.stale
    return {
        "papers": paper_rows(board.catalog.papers, board.standings),
        "claims": [claim_row(standing) for standing in board.standings],
        "results": [
            result_row(one.result, one.origin, one.result.fingerprint in stale)
            for one in board.stored
        ],
        "measurements": [
            row
            for one in board.stored
            for row in measurement_rows(one.result, one.origin, one.result.fingerprint in stale)
        ],
    }


def query(sql: str, board: Board) -> Answer:
    """The answer to one statement that reads.

    Raises:
        UserError: DuckDB is not installed, does not understand the statement, or is asked for
            anything but reading.
    """
    with open_views(board) as connection:
        return ask(connection, sql)


def open_views(board: Board) -> "duckdb.DuckDBPyConnection":
    """A database in memory with the views filled, its settings locked.

    Raises:
        UserError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise UserError(MISSING) from error
    connection = duckdb.connect(":memory:", config=SETTINGS)
    rows = rows_of(board)
    connection.execute("CREATE SCHEMA held")
    for view, columns in VIEWS.items():
        _fill(connection, view, columns, rows[view])
    connection.execute("SET lock_configuration = true")
    return connection


def ask(connection: "duckdb.DuckDBPyConnection", sql: str) -> Answer:
    """One statement of a user's.

    Raises:
        UserError: it is not understood, or does anything but reading.
    """
    import duckdb

    try:
        _refuse_all_but_reading(connection, sql)
        return _answer(connection.execute(sql))
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.Error as error:
        raise UserError(f"the query cannot be answered: {_one_line(error)}") from None


def _fill(
    connection: "duckdb.DuckDBPyConnection", view: str, columns: Columns, rows: Iterable[Row]
) -> None:
    """Through JSON, which DuckDB turns into lists, structures and maps."""
    shape = {name: column.type for name, column in columns.items()}
    declared = ", ".join(f'"{name}" {type_}' for name, type_ in shape.items())
    connection.execute(f"CREATE TABLE held.{view} ({declared})")
    values = [json.dumps({name: row[name] for name in shape}, allow_nan=False) for row in rows]
    # ->> gives text without its quotation marks, and JSON's null as NULL
    chosen = ", ".join(
        f"item->>'$.\"{name}\"'" if type_ == "VARCHAR" else f"CAST(item->'$.\"{name}\"' AS {type_})"
        for name, type_ in shape.items()
    )
    connection.execute(
        f"INSERT INTO held.{view} SELECT {chosen} FROM (SELECT CAST(unnest(?) AS JSON) AS item)",
        [values],
    )
    connection.execute(f"CREATE VIEW {view} AS FROM held.{view}")


def _refuse_all_but_reading(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    kinds = [str(one.type).rpartition(".")[2] for one in connection.extract_statements(sql)]
    if len(kinds) != 1:
        raise UserError(f"one statement at a time: there are {len(kinds)}")
    if kinds[0] not in ("SELECT", "EXPLAIN"):
        words = kinds[0].replace("_", " ")
        raise UserError(f"a query only reads (SELECT, EXPLAIN, DESCRIBE, SUMMARIZE): {words}")


def _answer(found: "duckdb.DuckDBPyConnection") -> Answer:
    rows = found.fetchmany(ROWS_LIMIT + 1)
    if len(rows) > ROWS_LIMIT:
        raise UserError(f"more than {ROWS_LIMIT:,} rows: add a LIMIT")
    names = [str(column[0]) for column in found.description or ()]
    return Answer(_distinct(names), tuple(tuple(_plain(v) for v in row) for row in rows))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    made: list[str] = []
    for name in names:
        unlike, number = name, 2
        while unlike in made:
            unlike, number = f"{name}_{number}", number + 1
        made.append(unlike)
    return tuple(made)


def _plain(value: Any) -> Any:
    """A value that JSON can hold: no NaN or infinity, which become None."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _one_line(error: Exception) -> str:
    """DuckDB's message without its picture of the statement."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
