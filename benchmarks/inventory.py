"""What there is to run, and what this machine has to run it with."""

import os
import platform
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.benchmark import discover_benchmarks
from benchmarks.cache import cache_folder
from benchmarks.datasets import present
from benchmarks.declarations import DATASETS
from benchmarks.provenance import cpu_model, package_versions
from methods.discovery import Found, discover
from registry.catalog import load_catalog
from registry.errors import UserError

Row = dict[str, Any]
CPU_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "asimd")
OUR_PACKAGES = ("registry", "methods", "benchmarks", "netcompress")


def method_rows() -> list[Row]:
    """One row a method: those of records and baselines, and those that plugins bring."""
    catalog = load_catalog()
    papers: dict[str, list[str]] = {}
    for paper in catalog.papers:
        papers.setdefault(paper.method, []).append(paper.id)
    found = discover()
    rows = []
    baselines = {baseline.method for baseline in catalog.baselines}
    for name in sorted(set(papers) | baselines | set(found)):
        plugin = found.get(name)
        cls, why_not = _loaded(plugin)
        status = "planned" if plugin is None else ("runs" if cls else f"not loaded: {why_not}")
        rows.append(
            {
                "name": name,
                "papers": papers.get(name, []),
                "baseline": name in baselines,
                "status": status,
                "why_not": why_not,
                "starts_from": getattr(cls, "starts_from", None),
                "needs": getattr(cls, "needs", None),
                "compresses": getattr(cls, "compresses", None),
                "revision": getattr(cls, "revision", None),
                "origin": plugin.origin if plugin else None,
            }
        )
    return rows


def _loaded(plugin: Found | None) -> tuple[type[Any] | None, str | None]:
    """The class, or why there is none."""
    if plugin is None:
        return None, "no plugin of this name yet"
    try:
        return plugin.load(), None
    except UserError as error:
        return None, plugin.why_not or str(error)


def benchmark_rows() -> list[Row]:
    """One row a benchmark of the vocabulary, and those that plugins bring."""
    catalog = load_catalog()
    entries = catalog.vocabulary.benchmarks
    found = discover_benchmarks()
    rows = []
    for name in sorted(set(entries) | set(found)):
        entry, plugin = entries.get(name), found.get(name)
        rows.append(
            {
                "name": name,
                "title": entry.title if entry else name,
                "kind": entry.kind if entry else None,
                "status": entry.status if entry else "built",
                "why_not": plugin.why_not if plugin else "planned, not built yet",
                "data": list(entry.data) if entry else [],
                "metrics": {
                    metric: {"unit": m.unit, "direction": m.direction, "per": m.per}
                    for metric, m in (entry.metrics.items() if entry else ())
                },
                "papers": [p.id for p in catalog.papers if name in p.benchmarks],
            }
        )
    return rows


def data_rows() -> list[Row]:
    """One row a data set."""
    return [
        {
            "name": name,
            "title": dataset.title,
            "about": dataset.about,
            "sources": [source.label for source in dataset.sources],
            "licence": dataset.licence,
            "citation": dataset.citation,
            "caution": dataset.caution,
            "bytes": dataset.size_bytes,
            "files": {file.name: file.sha256 for file in dataset.files},
            "present": present(name),
        }
        for name, dataset in DATASETS.items()
    ]


@dataclass(frozen=True)
class Finding:
    """One thing that ``doctor`` looks at."""

    name: str
    value: Any
    problem: str | None = None
    """What is wrong and how to mend it."""


def examine_machine() -> list[Finding]:
    """Python, torch, CPU features, numba, data, cache, and whether our packages are ours."""
    import torch

    versions = package_versions()
    cache = cache_folder()
    cached = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return [
        Finding("python", platform.python_version()),
        Finding("platform", platform.platform()),
        Finding("cpu", cpu_model()),
        Finding("cores", os.cpu_count()),
        Finding("cpu_features", _cpu_features()),
        Finding("torch", torch.__version__),
        Finding("cuda", torch.cuda.is_available()),
        Finding("numba", versions.get("numba")),
        Finding("npm", _on_path("npm")),
        Finding("packages", versions),
        Finding("data", {name: present(name) for name in DATASETS}),
        Finding("cache_folder", str(cache)),
        Finding("cache_bytes", cached),
        *(_examine_package(name) for name in OUR_PACKAGES),
    ]


def _examine_package(name: str) -> Finding:
    """Whether ``import name`` gives our package and not another of that plain name."""
    spec = find_spec(name)
    where = str(Path(spec.origin).parent) if spec and spec.origin else "nowhere"
    ours = Path(__file__).resolve().parent.parent
    problem = None
    if not spec or not spec.origin or Path(spec.origin).resolve().parent.parent != ours:
        problem = (
            f"`import {name}` gives {where}, which is not ours: another package or a folder of "
            f"that name comes first in sys.path ({sys.path[0]!r}); rename it, or run elsewhere"
        )
    else:
        import_module(name)
    return Finding(f"package_{name}", where, problem)


def _cpu_features() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return []
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    flags = set(next(lines, "").split())
    return [feature for feature in CPU_FEATURES if feature in flags]


def _on_path(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None
