import json
from typing import Any

from registry.catalog import FIRST_LINE, PAPERS_FOLDER
from registry.record import Paper
from registry.schema import SCHEMA_FILE, paper_schema, schema_text


def test_the_committed_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run `python -m registry.schema`"
    )


def test_every_record_names_the_schema_beside_it() -> None:
    assert FIRST_LINE.endswith(f"={SCHEMA_FILE.name}")
    for path in PAPERS_FOLDER.glob("*.yaml"):
        assert path.read_text(encoding="utf-8").startswith(FIRST_LINE + "\n"), path


def test_the_schema_says_what_each_part_is() -> None:
    schema = paper_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["properties"]) == set(Paper.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Claim"]["properties"]["statement"]["description"] == "In our own words."
    parts: list[dict[str, Any]] = [schema, *schema["$defs"].values()]
    objects = [part for part in parts if part.get("type") == "object"]
    assert len(objects) > 10
    assert all(part["description"] and part["title"] for part in objects)
    assert json.loads(schema_text()) == schema
