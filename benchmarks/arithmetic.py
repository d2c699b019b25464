"""What benchmarks by arithmetic share: their values follow from a record alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

from benchmarks.benchmark import Context, Measurement, Outcome
from methods.method import Method
from registry.catalog import load_catalog
from registry.record import Paper
from registry.vocabulary import Metric

Found = Iterator[tuple[str, float]]
"""Key of a measurement and its value, in the unit of its metric."""


class Arithmetic(ABC):
    """A benchmark without data, training and randomness."""

    metrics: ClassVar[Mapping[str, Metric]]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Compute from the record of ``context.paper``; ``method`` takes no part."""
        return self.compute(load_catalog().get(context.paper))

    @abstractmethod
    def compute(self, paper: Paper) -> Outcome:
        """Everything for one record.

        Raises:
            UserError: a table lacks something that is computed from.
        """

    def measured(self, values: Mapping[str, float]) -> dict[str, Measurement]:
        """Measurements of ``metric`` or ``metric.layer``, in the metric's unit."""
        return {
            key: Measurement(value=value, unit=self.metrics[key.partition(".")[0]].unit)
            for key, value in values.items()
        }
