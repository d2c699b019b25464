"""Stored values of HashedNets' networks, and widths of dense ones of equal size, by arithmetic."""

from collections.abc import Mapping
from typing import ClassVar

from benchmarks.arithmetic import Arithmetic, Found
from benchmarks.benchmark import Outcome, without_interval
from benchmarks.hashed_points import NETWORK_NAMES, Point
from registry.record import Paper
from registry.vocabulary import Metric, load_vocabulary

FLOAT32_BYTES = 4
TIMES = (1, 2, 4, 8, 16, 32, 64)
"""The compressions of Figs. 2 and 3."""


class HashedSizes(Arithmetic):
    """Every compression of the paper's figures at both depths; the seed is not counted."""

    name: ClassVar[str] = "hashed-sizes"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def compute(self, paper: Paper) -> Outcome:
        """The same whatever the record says."""
        return Outcome(without_interval(dict(_found()), self.metrics))


def _found() -> Found:
    for layers in NETWORK_NAMES:
        full = Point(layers, 1)
        for times in TIMES:
            point = Point(layers, times)
            yield f"parameters.{point.name}", point.stored
            yield f"parameter_ratio.{point.name}", full.stored / point.stored
            yield f"parameter_bytes.{point.name}", FLOAT32_BYTES * point.stored
            yield f"equal_width.{point.name}", point.equal_width
