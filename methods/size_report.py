"""What a compressed file costs, tensor by tensor and part by part."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from methods.compressed import PARAMETERS
from methods.container import read_document
from methods.document import ALIAS, ITEM_BYTES, Document, section_bytes
from methods.formats.format import FormatError
from methods.regular_file import open_regular
from registry.errors import UserError

METHOD = "method"
LISTED = 6


def file_report(path: Path) -> dict[str, Any]:
    """``size_report`` of a .netc file; nothing in it is decoded.

    Raises:
        FormatError: the file is damaged or none of ours; names the file.
        UserError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as fault:
        raise UserError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    try:
        document = read_document(data, max_weights=sys.maxsize)
    except FormatError as fault:
        raise FormatError(f"{path}: {fault}") from fault
    return size_report(document, len(data))


def size_report(document: Document, file_bytes: int) -> dict[str, Any]:
    """Sizes as JSON: the bytes of ``layers`` and ``header_bytes`` sum to ``file_bytes``.

    ``reference_bytes`` are all parameters in float32, what is tied counted once;
    ``original_bytes`` all tensors in their own types.
    """
    parts = section_bytes(document)
    layers = [
        {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "format": tensor.kind,
            "bytes": sum(parts[tensor.name].values()),
            "bits_per_weight": _bits(sum(parts[tensor.name].values()), math.prod(tensor.shape)),
            "dtype": tensor.dtype,
            "parts": parts[tensor.name],
        }
        for tensor in document.tensors
    ]
    own = [tensor for tensor in document.tensors if tensor.kind != ALIAS]
    numbers = sum(math.prod(tensor.shape) for tensor in own)
    reference_bytes = 4 * _parameters(document.metadata, numbers)
    return {
        "method": document.metadata.get(METHOD),
        "reference_bytes": reference_bytes,
        "original_bytes": sum(math.prod(one.shape) * ITEM_BYTES[one.dtype] for one in own),
        "file_bytes": file_bytes,
        "header_bytes": file_bytes - sum(sum(sizes.values()) for sizes in parts.values()),
        "ratio": round(reference_bytes / file_bytes, 4),
        "metadata": dict(document.metadata),
        "layers": layers,
    }


def _bits(size: int, weights: int) -> float | None:
    return round(8 * size / weights, 4) if weights else None


def _parameters(metadata: Mapping[str, str], numbers: int) -> int:
    """As the file says, where it holds more than parameters."""
    said = metadata.get(PARAMETERS, "")
    return int(said) if said.isascii() and said.isdigit() and int(said) <= numbers else numbers


def table_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Name, shape, format, bytes, bits per weight and parts of each tensor; then the header."""
    rows = [
        [
            layer["name"],
            " x ".join(map(str, layer["shape"])) or "scalar",
            layer["format"],
            f"{layer['bytes']:,}",
            "" if layer["bits_per_weight"] is None else f"{layer['bits_per_weight']:.2f}",
            ", ".join(f"{part} {size:,}" for part, size in layer["parts"].items()),
        ]
        for layer in report["layers"]
    ]
    return [*rows, ["header", "", "", f"{report['header_bytes']:,}", "", ""]]


def summary(report: Mapping[str, Any]) -> str:
    """A line: bytes before and after, and the true ratio; and what the method remarked."""
    original = ""
    if report["original_bytes"] != report["reference_bytes"]:
        original = f" ({report['original_bytes']:,} as it was)"
    told = report["metadata"].get("remark")
    return (
        f"{report['reference_bytes']:,} bytes of parameters in float32{original}, "
        f"{report['file_bytes']:,} in the file: ratio {report['ratio']:.2f}"
        + (f"\n{told[:1].upper()}{told[1:]}." if told else "")
    )


def dense_lines(dense: Mapping[str, str]) -> list[str]:
    """What was left dense, a line a reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in dense.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"left dense ({reason}): {_listed(names)}" for reason, names in by_reason.items()]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
