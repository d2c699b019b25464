"""How fast the kernels of low-precision weights are: against torch, alternately in one process.

The weights are given, in the layout that each product reads; what a product does with its
activations, rounding included, is inside of the times, and so is the way from tensor to tensor.
Warm, the same weights are multiplied again and again. Cold, copies of them take turns, enough that
each has left the caches when its turn comes again, ours and the peers' alike. On one thread, the
clock is that thread's processor time, which stands still while other programs have the processor.
Before anything is timed, the products are checked.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.kernel_cases import PEERS, KernelCase, Side
from benchmarks.provenance import cpu_model, largest_cache_bytes
from benchmarks.speed_rows import Cache, Function, SpeedRow, named, seconds_per_call, summary
from benchmarks.timing import median_ratio
from methods.kernels.choice import chosen_path
from methods.kernels.low_precision import Path, path_here
from registry.errors import UserError

ROUNDS = 15
SEED = 0
BLOCK_SECONDS = 0.002
"""A product is called again and again for about so long, and the mean taken."""
COLD_CACHES = 4
"""So many times the largest cache take the copies that take turns."""
UNKNOWN_CACHE_BYTES = 1 << 25
CACHES: tuple[Cache, ...] = ("warm", "cold")


@dataclass(frozen=True)
class KernelRow(SpeedRow):
    """A row that says which of the peer's ways was the fastest, and what each side reads.

    The layer's shape stands in it, as its case has a name that does not tell it.
    """

    way: str = ""
    ours_bytes: int = 0
    peer_bytes: int = 0
    outputs: int = 0
    inputs: int = 0

    def as_json(self) -> dict[str, Any]:
        more = {
            "peer_way": self.way, "ours_bytes": self.ours_bytes, "peer_bytes": self.peer_bytes,
            "outputs": self.outputs, "inputs": self.inputs,
        }  # fmt: skip
        return super().as_json() | more


@dataclass(frozen=True)
class KernelReport:
    """All rows of a run."""

    rows: tuple[KernelRow, ...]
    rounds: int
    path: Path
    remarks: tuple[str, ...] = field(default=())

    @property
    def peers(self) -> tuple[str, ...]:
        """Those that have rows."""
        return tuple(dict.fromkeys(row.peer for row in self.rows))

    def summary(self, cache: Cache | None = None) -> dict[str, dict[str, float]]:
        """Of each peer, over all rows or those of one state of the caches."""
        return summary((row for row in self.rows if cache in (None, row.cache)), self.peers)

    def as_json(self) -> dict[str, Any]:
        """The document of ``netcompress bench kernels --json``."""
        return {
            "results": [row.as_json() for row in self.rows],
            "summary": self.summary(),
            "summary_by_cache": {cache: self.summary(cache) for cache in CACHES},
            "kernels": self.path,
            "rounds": self.rounds,
            "cpu": cpu_model(),
            "seed": SEED,
            "remarks": list(self.remarks),
        }


def chosen_cases(names: Sequence[str], cases: Sequence[KernelCase]) -> tuple[KernelCase, ...]:
    """The cases of these names, or that hold one of them; all if none is given.

    Raises:
        UserError: a name is of no case.
    """
    known = {case.name: case for case in cases}
    exact = tuple(known[name] for name in names if name in known)
    if exact and len(exact) == len(names):
        return exact
    return tuple(known[name] for name in named(names, known, "case"))


def chosen_peers(names: Sequence[str]) -> tuple[str, ...]:
    """The peers that hold one of ``names``; all if none is given.

    Raises:
        UserError: a name is of no peer.
    """
    return named(names, PEERS, "peer")


def measure(
    cases: Sequence[KernelCase],
    peers: Sequence[str] = tuple(PEERS),
    rounds: int = ROUNDS,
    threads: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> KernelReport:
    """Time every case against every peer; ours run on one thread, torch's on ``threads``.

    Raises:
        UserError: numba is not installed or not wanted, or torch has none of the peers.
        RuntimeError: two products differ by more than rounding may do.
    """
    import torch

    if chosen_path() != "numba":
        raise UserError(
            "these kernels are compiled by numba: run pip install 'netcompress[fast]', and leave "
            "NETCOMPRESS_KERNELS at auto"
        )
    remarks = {peer: reason for peer in peers if (reason := PEERS[peer].missing())}
    left = tuple(peer for peer in peers if peer not in remarks)
    told = tuple(f"{peer} is left out: {reason}" for peer, reason in remarks.items())
    for words in told:
        progress(words)
    if not left:
        raise UserError(f"nothing is left to compare with: {'; '.join(told)}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rows: list[KernelRow] = []
    try:
        with torch.inference_mode():
            for case in cases:
                progress(f"timing {case.name}")
                rows += _rows(case, left, rounds, threads)
    finally:
        torch.set_num_threads(before)
    return KernelReport(tuple(rows), rounds, path_here(), told)


def _rows(case: KernelCase, peers: Sequence[str], rounds: int, threads: int) -> Iterator[KernelRow]:
    layer = case.draw(np.random.default_rng(SEED))
    sides = {(peer, way): side for peer in peers for way, side in PEERS[peer].sides(layer).items()}
    layer.check({f"{peer} by {way}": side for (peer, way), side in sides.items()})
    timed = {"ours": layer.ours} | {f"{peer}/{way}": side for (peer, way), side in sides.items()}
    for cache in CACHES:
        functions = {name: _function(side, cache) for name, side in timed.items()}
        clock = time.thread_time if threads == 1 else time.perf_counter
        seconds = seconds_per_call(functions, rounds, BLOCK_SECONDS, clock)
        for peer in peers:
            ways = [way for named_peer, way in sides if named_peer == peer]
            fastest = min(ways, key=lambda way: statistics.median(seconds[f"{peer}/{way}"]))
            mine, theirs = seconds["ours"], seconds[f"{peer}/{fastest}"]
            ratio = median_ratio(theirs, mine)
            yield KernelRow(
                case.name, peer, 1e6 * statistics.median(mine), 1e6 * statistics.median(theirs),
                ratio.low, ratio.high, threads, cache, fastest, layer.ours.weight_bytes,
                sides[peer, fastest].weight_bytes, *layer.rows.shape,
            )  # fmt: skip


def _function(side: Side, cache: Cache) -> Function:
    """One call: of the one product, or of the copy whose turn it is."""
    if cache == "warm":
        return side.product
    held = COLD_CACHES * (largest_cache_bytes() or UNKNOWN_CACHE_BYTES)
    copies = [side.copied() for _ in range(max(2, math.ceil(held / side.weight_bytes)))]
    for product in copies:  # which makes what is made at the first use
        product()
    turns: Iterator[Function] = itertools.cycle(copies)
    return lambda: next(turns)()
