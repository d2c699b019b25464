"""The literature of neural-network compression, executable.

The library's verbs, each imported when it is first asked for: ``load_catalog()``,
``compress(network, method=..., data=...)``, ``load(path)`` and ``run(papers, scale=...)``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.session import run_papers as run
    from methods.compress import compress
    from methods.compressed import load
    from registry.catalog import load_catalog

__all__ = ["__version__", "compress", "load", "load_catalog", "run"]
__version__ = "0.1.0"

_HOMES = {
    "compress": ("methods.compress", "compress"),
    "load": ("methods.compressed", "load"),
    "load_catalog": ("registry.catalog", "load_catalog"),
    "run": ("benchmarks.session", "run_papers"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
