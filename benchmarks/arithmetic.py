"""What benchmarks by arithmetic share: their values follow from a record alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from benchmarks.benchmark import Context, Outcome
from methods.method import Method
from registry.catalog import load_catalog
from registry.record import Paper

Found = Iterator[tuple[str, float]]
"""Key of a measurement and its value, in the unit of its metric."""


class Arithmetic(ABC):
    """A benchmark without data, training and randomness."""

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Compute from the record of ``context.paper``; ``method`` takes no part."""
        return self.compute(load_catalog().get(context.paper))

    @abstractmethod
    def compute(self, paper: Paper) -> Outcome:
        """Everything for one record.

        Raises:
            UserError: a table lacks something that is computed from.
        """
