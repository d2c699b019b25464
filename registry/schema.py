"""The records' JSON Schema, for editors that complete and check while one writes."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

from registry import record, runs
from registry.record import Paper

SCHEMA_FILE = Path(__file__).with_name("papers") / "paper.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def paper_schema() -> dict[str, Any]:
    """JSON Schema of a record; descriptions are the docstrings of registry.record and runs."""
    schema = Paper.model_json_schema(mode="validation")
    docstrings = _field_docstrings()
    for name, part in ((Paper.__name__, schema), *schema.get("$defs", {}).items()):
        for field, entry in part.get("properties", {}).items():
            text = docstrings.get((name, field))
            if text is not None:
                entry.setdefault("description", text)
    return {"$schema": DIALECT, **schema, "title": "netcompress record of a paper"}


def schema_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(paper_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(path: Path = SCHEMA_FILE) -> None:
    path.write_text(schema_text(), encoding="utf-8")


@cache
def _field_docstrings() -> dict[tuple[str, str], str]:
    """The text under each field, by class and field."""
    nodes: list[ast.stmt] = []
    for module in (record, runs):
        nodes += ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    found: dict[tuple[str, str], str] = {}
    for owner in (node for node in nodes if isinstance(node, ast.ClassDef)):
        for first, second in zip(owner.body, owner.body[1:], strict=False):
            if (
                isinstance(first, ast.AnnAssign)
                and isinstance(first.target, ast.Name)
                and isinstance(second, ast.Expr)
                and isinstance(second.value, ast.Constant)
                and isinstance(second.value.value, str)
            ):
                text = " ".join(second.value.value.split())
                found[(owner.name, first.target.id)] = text
    return found


if __name__ == "__main__":
    write_schema()
