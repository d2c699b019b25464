"""Checks what can be checked of a record that has faults, so that one pass tells them all."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from registry.consistency import record_faults
from registry.record import Claim, NetworkType, Paper, Platform, Source, Table, Technique
from registry.runs import Run
from registry.validation import Found
from registry.vocabulary import Vocabulary
from registry.wording import FieldPath

_ITEMS: dict[str, Any] = {"runs": Run, "tables": Table, "claims": Claim}
_FIELDS: dict[str, Any] = {
    "benchmarks": tuple[str, ...],
    "techniques": tuple[Technique, ...],
    "platforms": tuple[Platform, ...],
    "network_type": NetworkType,
    "source": Source,
}


def partial_faults(
    data: dict[str, Any], known: Sequence[Found], vocabulary: Vocabulary, *, is_template: bool
) -> Iterator[Found]:
    """Faults between those parts of a record that have none of their own.

    Args:
        data: the record's value.
        known: the faults already found; parts at or around them are left out.
    """
    faulty = {found.path[:length] for found in known for length in range(len(found.path) + 1)}
    positions: dict[str, list[int]] = {}
    fields: dict[str, Any] = {"benchmarks": (), "source": Source(), "network_type": None}
    for name, model in _ITEMS.items():
        items = data.get(name)
        kept = _sound_items(name, items, model, faulty) if isinstance(items, list) else {}
        positions[name], fields[name] = list(kept), tuple(kept.values())
    for name, annotation in _FIELDS.items():
        if name in data and (name,) not in faulty:
            value = _value(annotation, data[name])
            fields |= {name: value} if value is not None else {}
    doubtful = {path[0] for path in faulty if len(path) == 1}
    _leave_out(fields, doubtful)
    for found in record_faults(
        Paper.model_construct(None, **fields), vocabulary, is_template=is_template
    ):
        if not _rests_on(found.path, doubtful):
            yield Found(_as_in_file(found.path, positions), found.message)


def _sound_items(name: str, items: list[Any], model: Any, faulty: set[FieldPath]) -> dict[int, Any]:
    values = {
        index: _value(model, item)
        for index, item in enumerate(items)
        if (name, index) not in faulty
    }
    return {index: value for index, value in values.items() if value is not None}


def _value(annotation: Any, data: Any) -> Any:
    try:
        return TypeAdapter(annotation).validate_json(json.dumps(data))
    except ValidationError:
        return None  # told already, with its place


def _leave_out(fields: dict[str, Any], doubtful: set[str | int]) -> None:
    """Empty what cannot be judged because the part that it is held against is not known."""
    if doubtful & {"benchmarks"} or not fields["benchmarks"]:
        named = [item.benchmark for name in ("runs", "claims") for item in fields[name]]
        fields["benchmarks"] = tuple(dict.fromkeys(name for name in named if name))
    flags_known = fields["network_type"] and "techniques" in fields and "platforms" in fields
    if not flags_known:
        fields["source"] = Source(listing=fields["source"].listing)


def _rests_on(path: FieldPath, doubtful: set[str | int]) -> bool:
    """Whether the fault may only be due to a run, table or benchmark that is left out."""
    if path[0] == "benchmarks" and "benchmarks" in doubtful:
        return True
    if path[-1] == "run" and "runs" in doubtful:
        return True
    is_of_cell = path[0] == "claims" and ("where" in path or path[-1] == "reported")
    return is_of_cell and "tables" in doubtful


def _as_in_file(path: FieldPath, positions: dict[str, list[int]]) -> FieldPath:
    if path[0] in positions and len(path) > 1 and isinstance(path[1], int):
        return (path[0], positions[str(path[0])][path[1]], *path[2:])
    return path
