"""The settings of a method, as text: what ``--set`` takes."""

from collections.abc import Mapping
from typing import Any

from methods.discovery import load_method

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
"""In the order in which they are told."""
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "array": "a list",
    "object": "a value for each name",
}


def settings_of(method: str) -> list[dict[str, Any]]:
    """``setting``, ``default`` (None too where there is none) and ``takes``, of each.

    Raises:
        UserError: there is no such method, or it cannot be loaded.
    """
    config = load_method(method).Config
    schema = config.model_json_schema()
    shared = schema.get("$defs", {})
    return [
        {
            "setting": name,
            # A schema leaves out what a factory makes, which is an empty dictionary or list.
            "default": held.get("default", {"object": {}, "array": []}.get(held.get("type"))),
            "takes": _takes(held, shared),
        }
        for name, held in schema.get("properties", {}).items()
    ]


def _takes(held: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    """What a part of a JSON Schema lets through."""
    if "$ref" in held:
        return _takes(shared.get(held["$ref"].rpartition("/")[2], {}), shared)
    if "anyOf" in held:
        return " or ".join(dict.fromkeys(_takes(one, shared) for one in held["anyOf"]))
    if "enum" in held or "const" in held:
        return ", ".join(map(str, held.get("enum", [held.get("const")])))
    words = _KINDS.get(str(held.get("type")), "a value")
    bounds = [f"{said} {held[key]}" for key, said in _BOUNDS.items() if key in held]
    if "prefixItems" in held:
        parts = [_takes(one, shared) for one in held["prefixItems"]]
        words += f" of {len(parts)}: " + ", ".join(dict.fromkeys(parts))
    elif isinstance(held.get("additionalProperties"), dict):
        words += ": " + _takes(held["additionalProperties"], shared)
    return " ".join((words, " and ".join(bounds))).strip()
