"""The whole picture at once: the catalog, both stores, and where each claim stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import find_benchmark
from benchmarks.datasets import digests
from benchmarks.declarations import DATASETS
from benchmarks.job import configuration_of, fingerprint
from benchmarks.result import Result
from benchmarks.standing import Standing, standings
from benchmarks.store import (
    Store,
    Stored,
    StoredResults,
    default_folder,
    merged,
    published_store,
)
from methods.discovery import find_method
from registry.catalog import PAPERS_FOLDER, Catalog, load_catalog
from registry.errors import Fault, UserError


@dataclass(frozen=True)
class Board:
    """Read once, shown anywhere."""

    catalog: Catalog
    stored: tuple[Stored, ...]
    faults: tuple[Fault, ...]
    """Files in the stores that are no results: remarked on, never fatal."""
    standings: tuple[Standing, ...]
    stale: frozenset[str]
    """Fingerprints of results whose method, benchmark, data or configuration moved on."""

    def of(self, paper_id: str) -> list[Standing]:
        """The claims of one paper."""
        return [standing for standing in self.standings if standing.paper.id == paper_id]


def read_board(folder: Path | None = None, catalog: Catalog | None = None) -> Board:
    """Everything there is to show.

    Args:
        folder: the user's results; ``default_folder()`` where None.

    Raises:
        FaultyFile: a record breaks rules.
    """
    own = Store(folder or default_folder())
    return _board(catalog or load_catalog(), merged(published_store(), own))


def read_published_board() -> Board:
    """What comes with netcompress alone: our records and the published results."""
    return _board(load_catalog([PAPERS_FOLDER]), merged(published_store()))


def _board(catalog: Catalog, read: StoredResults) -> Board:
    revisions = _Revisions(catalog)
    stale = frozenset(
        one.result.fingerprint for one in read.results if not revisions.is_current(one.result)
    )
    found = standings(
        catalog,
        [one.result for one in read.results if one.origin == "published"],
        [one.result for one in read.results if one.origin == "yours"],
        is_current=lambda result: result.fingerprint not in stale,
    )
    return Board(catalog, read.results, read.faults, tuple(found), stale)


class _Revisions:
    """What a result's fingerprint would be today."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[str, str], int | None] = {}

    def is_current(self, result: Result) -> bool:
        one = result.identity
        found = self._catalog.find_run(one.paper, one.benchmark, one.run)
        if found is None:
            return False
        owner, run = found
        benchmark = self._revision("benchmark", one.benchmark)
        if benchmark is None:
            return False
        expected = fingerprint(
            one,
            configuration_of(run, one.scale),
            self._revision("method", owner.method),
            benchmark,
            _digests_of(one.data),
        )
        return expected == result.fingerprint

    def _revision(self, kind: str, name: str) -> int | None:
        key = (kind, name)
        if key not in self._known:
            find = find_benchmark if kind == "benchmark" else find_method
            try:
                self._known[key] = int(find(name).constant("revision"))
            except UserError:
                self._known[key] = None
        return self._known[key]


def _digests_of(data: str) -> Mapping[str, str]:
    return digests(data) if data in DATASETS else {}
