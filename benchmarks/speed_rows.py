"""Cases timed against peers: rows, what sums them up, and how short functions are timed."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.timing import alternate
from registry.errors import UserError

MOST_CALLS = 400

Cache = Literal["warm", "cold"]
Function = Callable[[], object]


@dataclass(frozen=True)
class SpeedRow:
    """A case against a peer; times are medians of a call, in microseconds."""

    case: str
    peer: str
    ours_us: float
    peer_us: float
    low: float | None
    """95 % interval of the ratio over rounds."""
    high: float | None
    threads: int = 1
    cache: Cache = "warm"

    @property
    def ratio(self) -> float:
        """Above 1 we win."""
        return self.peer_us / self.ours_us

    def as_json(self) -> dict[str, Any]:
        """An entry of ``results`` of ``netcompress bench --json``."""
        return {
            "case": self.case, "peer": self.peer, "ours_us": self.ours_us,
            "peer_us": self.peer_us, "ratio": self.ratio, "low": self.low, "high": self.high,
            "threads": self.threads, "cache": self.cache,
        }  # fmt: skip


def summary(rows: Iterable[SpeedRow], peers: Iterable[str]) -> dict[str, dict[str, float]]:
    """Of each peer that has rows, the geometric mean and the least of its ratios."""
    held = tuple(rows)
    return {
        peer: {"geometric_mean": statistics.geometric_mean(ratios), "least": min(ratios)}
        for peer in peers
        if (ratios := [row.ratio for row in held if row.peer == peer])
    }


def named(names: Sequence[str], known: Iterable[str], what: str) -> tuple[str, ...]:
    """Those of ``known`` that hold one of ``names``; all if none is given.

    Raises:
        UserError: a name is in none of them.
    """
    everything = tuple(known)
    for name in names:
        if not any(name in one for one in everything):
            listed = "; ".join(everything)
            raise UserError(f"no {what} has {name!r} in its name; they are: {listed}")
    return tuple(one for one in everything if not names or any(name in one for name in names))


def seconds_per_call(
    functions: Mapping[str, Function],
    rounds: int,
    block_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of a call of each function in each round, by ``clock``, taken alternately.

    A function that takes less than ``block_seconds`` is called again and again for about so long,
    at most ``MOST_CALLS`` times, and the mean taken.
    """
    calls = {name: _calls(function, block_seconds) for name, function in functions.items()}
    blocks = {name: _block(function, calls[name]) for name, function in functions.items()}
    seconds = alternate(blocks, rounds, clock)
    return {name: [s / calls[name] for s in found] for name, found in seconds.items()}


def _calls(function: Function, block_seconds: float) -> int:
    """How often to call it in a row; the first call, which may compile, is not looked at."""
    seconds = min(alternate({"it": function}, 3)["it"])
    return min(MOST_CALLS, max(1, math.ceil(block_seconds / max(seconds, 1e-9))))


def _block(function: Function, calls: int) -> Function:
    def run() -> None:
        for _ in range(calls):
            function()

    return run
