"""Turns what Pydantic says about a file's value into places and plain words."""

import types
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from registry.wording import FieldPath, nearest, shown, unknown


class Found(NamedTuple):
    """Something wrong at a place in a file's value."""

    path: FieldPath
    message: str
    line: int = 0
    """From 1; 0 where the place tells the line."""


_WANTED = {
    "string_type": "text is expected here",
    "int_type": "a whole number is expected here",
    "int_from_float": "a whole number is expected here",
    "float_type": "a number is expected here",
    "bool_type": "true or false is expected here",
    "tuple_type": "a list is expected here",
    "list_type": "a list is expected here",
    "dict_type": "a mapping of keys to values is expected here",
    "model_type": "a mapping of keys to values is expected here",
    "model_attributes_type": "a mapping of keys to values is expected here",
    "none_required": "null is expected here",
}

_BOUNDS = {
    "string_too_short": ("text of at least {min_length} characters is expected here", "min_length"),
    "string_too_long": ("text of at most {max_length} characters is allowed here", "max_length"),
    "too_short": ("at least {min_length} entries are expected here", "min_length"),
    "too_long": ("at most {max_length} entries are allowed here", "max_length"),
    "greater_than_equal": ("must be at least {ge}", "ge"),
    "greater_than": ("must be above {gt}", "gt"),
    "less_than_equal": ("must be at most {le}", "le"),
    "less_than": ("must be below {lt}", "lt"),
}

PATTERNS = {
    r"^[0-9]{4}-[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$": (
        "a record's id: the year, a dash, then lower-case letters, digits and dashes, "
        "such as 2016-deep-compression"
    ),
    r"^[a-z0-9](?:[a-z0-9_.-]{0,78}[a-z0-9])?$": (
        "a name: at most 80 lower-case letters, digits, dashes, dots and underscores"
    ),
    r"^[a-z][a-z0-9_]{0,59}$": (
        "an identifier: at most 60 lower-case letters, digits and underscores, a letter first"
    ),
    r"^[0-9a-f]{7,40}$": "a commit: 7 to 40 hexadecimal digits",
    r"^[a-z][a-z0-9:_-]{1,59}$": (
        "a citation key: 2 to 60 lower-case letters, digits, colons, dashes and underscores"
    ),
    r"^[a-zA-Z]{2,20}$": "a BibTeX field: 2 to 20 letters",
}
"""What the patterns of registry.fields and registry.record say, in words."""


WORDED_FAULTS = 400
"""Beyond these, faults are counted but not worded: near misses take time to find."""


def found_by(error: ValidationError, model: type[BaseModel], data: Any) -> list[Found]:
    """Each of the error's findings with its place in ``data``; alternatives of a union as one."""
    found: list[Found] = []
    told: set[FieldPath] = set()
    misspelt: set[FieldPath] = set()
    details = error.errors(include_url=False)
    for detail in sorted(details, key=lambda detail: detail["type"] == "missing"):
        path, is_alternative = _place(detail["loc"], data, detail["type"] == "missing")
        if (is_alternative and path in told) or path in misspelt or _is_enough(detail):
            continue
        told.add(path)
        if len(found) >= WORDED_FAULTS:
            found.append(Found(path, "is wrong"))
            continue
        if detail["type"] == "extra_forbidden":
            meant = nearest_key(model, path, data)
            misspelt |= {(*path[:-1], meant)} if meant else set()
        found.append(Found(path, _message(detail, model, path, data)))
    return found


def _is_enough(detail: Any) -> bool:
    """Pydantic counts only the entries that hold: a list whose entries have faults is not short."""
    if detail["type"] != "too_short":
        return False
    return len(detail["input"]) >= int(detail["ctx"]["min_length"])


def _place(loc: tuple[int | str, ...], data: Any, is_missing: bool) -> tuple[FieldPath, bool]:
    """``loc`` without the parts that name no place in the file (a union's branch, ``[key]``)."""
    path: list[int | str] = []
    is_alternative = False
    for index, part in enumerate(loc):
        inside_dict = isinstance(data, dict) and isinstance(part, str) and part in data
        inside_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if inside_dict or inside_list:
            path.append(part)
            data = data[part]
        elif is_missing and index == len(loc) - 1:
            path.append(part)
        else:
            is_alternative = is_alternative or part != "[key]"
    return tuple(path), is_alternative


def _message(detail: Any, model: type[BaseModel], path: FieldPath, data: Any) -> str:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        near = nearest_key(model, path, data)
        hint = f" (did you mean {near!r}?)" if near else ""
        return f"unknown key {shown(str(path[-1]))}{hint}"
    if kind in _WANTED:
        return _wrong_type(kind, given)
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return words.format(**{key: context[key]})
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return f"{shown(given)} is not {PATTERNS.get(pattern, f'of the form {pattern}')}"
    if kind == "literal_error":
        return _unknown_word(model, path, given)
    if kind == "value_error":
        return str(context["error"])
    if kind == "finite_number":
        return "NaN and infinity are not allowed"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _wrong_type(kind: str, given: Any) -> str:
    article = {dict: "", list: "", type(None): "", str: "the text "}
    words = f"{_WANTED[kind]}, not {article.get(type(given), 'the value ')}{shown(given)}"
    is_scalar = isinstance(given, int | float)
    return f"{words}: put it in quotes" if kind == "string_type" and is_scalar else words


def nearest_key(model: type[BaseModel], path: FieldPath, data: Any) -> str | None:
    """The key that was meant by the unknown one at ``path``: the nearest that is not there yet."""
    for part in path[:-1]:
        data = data[part]
    owner = _annotation_at(model, path[:-1])
    keys = set(owner.model_fields) if _is_model(owner) else set()
    key = str(path[-1])
    return nearest(key, sorted(keys - set(data))) or nearest(key, sorted(keys))


def _unknown_word(model: type[BaseModel], path: FieldPath, given: Any) -> str:
    options = [str(option) for option in _literals(_annotation_at(model, path))]
    if not isinstance(given, str):
        return f"one of {', '.join(options)} is expected here, not {shown(given)}"
    return unknown("value", given, options, listed=30)


def _literals(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return tuple(word for part in get_args(annotation) for word in _literals(part))
    return ()


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _annotation_at(annotation: Any, path: FieldPath) -> Any:
    """The type that stands at ``path`` below ``annotation``, or None where it cannot be told."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _annotation_at(get_args(annotation)[0], path)
    if origin in (Union, types.UnionType):
        if not path:
            return annotation
        parts = (_annotation_at(part, path) for part in get_args(annotation))
        return next((part for part in parts if part is not None), None)
    if not path:
        return annotation
    if _is_model(annotation):
        entry = annotation.model_fields.get(path[0])
        return _annotation_at(entry.annotation, path[1:]) if entry else None
    if origin in (tuple, list):
        return _annotation_at(get_args(annotation)[0], path[1:])
    if origin is dict:
        return _annotation_at(get_args(annotation)[1], path[1:])
    return None
