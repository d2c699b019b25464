"""The printed tables of the EIE record as numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from registry.errors import UserError
from registry.record import Paper, Table
from registry.units import to_base

PAPER = "2016-eie"


@dataclass(frozen=True)
class PrintedTables:
    """The record's tables, read cell by cell.

    Every reader raises UserError where the table, the row, the column or the number is missing.
    """

    paper: Paper

    def table(self, table_id: str) -> Table:
        table = self.paper.table(table_id)
        if table is None:
            raise UserError(f"{self.paper.id} has no table {table_id!r}, which is computed from")
        return table

    def exact(self, table_id: str, row: str, column: str) -> Decimal:
        """A cell in the base unit of its column: seconds, watts, fractions; else as printed."""
        table = self.table(table_id)
        try:
            printed = table.cell(row, column)
            number = Decimal((printed or "").partition(" ")[0])
        except KeyError as error:
            raise UserError(str(error.args[0])) from error
        except ArithmeticError as error:
            raise UserError(
                f"table {table_id!r} has no number in row {row!r}, column {column!r}"
            ) from error
        unit = next(one.unit for one in table.columns if one.id == column)
        return number if unit is None else to_base(number, unit)

    def number(self, table_id: str, row: str, column: str) -> float:
        """As `exact`, as a float."""
        return float(self.exact(table_id, row, column))

    def half_digit(self, table_id: str, row: str, column: str) -> float:
        """Half a unit in the last printed digit of a cell, in the base unit of its column."""
        table = self.table(table_id)
        exponent = Decimal(table.cell(row, column) or "0").as_tuple().exponent
        unit = next(one.unit for one in table.columns if one.id == column)
        assert isinstance(exponent, int)  # printed numbers are finite
        half = Decimal(1).scaleb(exponent) / 2
        return float(half if unit is None else to_base(half, unit))

    def rows(self, table_id: str) -> list[str]:
        return [row.id for row in self.table(table_id).rows]

    def numbers(self, table_id: str, column: str) -> Iterator[tuple[str, float]]:
        """Row and number of every row that prints one in ``column``."""
        for row in self.rows(table_id):
            if self.table(table_id).cell(row, column) is not None:
                yield row, self.number(table_id, row, column)

    def seconds(self, layer: str, column: str) -> float:
        """A time of Table IV."""
        return self.number("table-4", layer, column)
