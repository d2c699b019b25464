"""How weight tensors are held: the protocol, one file a format, and which kinds files may name."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from methods.formats.format import Format

_PLACES = {
    "dense": ("methods.formats.dense", "Dense"),
    "sparse-codebook": ("methods.formats.sparse_codebook", "SparseCodebook"),
    "sparse": ("methods.formats.sparse", "Sparse"),
    "codebook-dense": ("methods.formats.codebook_dense", "CodebookDense"),
    "uniform": ("methods.formats.uniform", "Uniform"),
    "product-quantized": ("methods.formats.product_quantized", "ProductQuantized"),
    "fixed-factor": ("methods.formats.fixed_factor", "FixedFactor"),
    "low-rank": ("methods.formats.low_rank", "LowRank"),
    "hashed": ("methods.formats.hashed", "Hashed"),
    "ternary": ("methods.formats.ternary", "Ternary"),
    "power-of-two": ("methods.formats.power_of_two", "PowerOfTwo"),
}


class _Formats(Mapping[str, "type[Format]"]):
    """Kind -> class; a class is imported when it is first asked for."""

    def __getitem__(self, kind: str) -> "type[Format]":
        module, name = _PLACES[kind]
        found: type[Format] = getattr(import_module(module), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


FORMATS = _Formats()
"""Every kind that a file may name. A format comes in by its line in ``_PLACES``."""
