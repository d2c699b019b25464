"""Reference pages made from the code: fields of a record, data sets, benchmarks, commands."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.columns import FILES, VIEWS, Columns
from benchmarks.declarations import DATASETS
from benchmarks.escape import html
from benchmarks.markup import (
    code_block,
    front_matter,
    heading,
    inner_link,
    page,
    paragraph,
    small,
    table,
)
from benchmarks.provenance import child_environment
from registry.catalog import Catalog
from registry.errors import UserError
from registry.schema import paper_schema

COMMANDS_SCRIPT = """
import json, typer
from netcompress.app import app
def walk(command, path):
    context = typer.Context(command, info_name=path)
    children = getattr(command, "commands", {})
    parameters = []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None and parameter.param_type_name == "argument":
            record = (parameter.make_metavar(context), getattr(parameter, "help", None) or "")
        if record is not None and record[0] != "--help":
            parameters.append(list(record))
    yield {"path": path, "help": command.help or "", "group": bool(children),
           "usage": command.get_usage(context), "parameters": parameters}
    for name in children:
        yield from walk(children[name], f"{path} {name}")
print(json.dumps(list(walk(typer.main.get_command(app), "netcompress"))))
"""
LIMIT_SECONDS = 60


def fields_page() -> str:
    """What a record may hold, from its JSON Schema."""
    schema = paper_schema()
    blocks = [
        heading("Fields of a record"),
        paragraph(
            "Made from the JSON Schema that <code>netcompress schema</code> prints. A field with "
            "a star must be there. All text is plain text, never markup."
        ),
        "## Paper",
        _fields_table("Paper", schema),
    ]
    for name, part in schema["$defs"].items():
        if "properties" in part:
            blocks += [
                f"## {name}",
                paragraph(html(str(part.get("description", "")))),
                _fields_table(name, part),
            ]
    return page(front_matter("Fields of a record"), blocks)


def data_page() -> str:
    """The data sets with their licences."""
    rows = [
        [
            f"<code>{html(name)}</code>" + small(html(one.title)),
            html(one.about) + small(html(f"Caution: {one.caution}") if one.caution else ""),
            html(one.licence) + small(html(one.citation)),
            f"{one.size_bytes:,}",
            "<br>".join(html(source.label) for source in one.sources),
        ]
        for name, one in DATASETS.items()
    ]
    headers = ["Name", "What", "Licence and citation", "Bytes", "Asked in this order"]
    return page(
        front_matter("Data sets", toc=False),
        [
            heading("Data sets"),
            paragraph(
                "Each file is known by its size and SHA-256 before it is asked for. Files of your "
                "own are found by digest in the folder that <code>NETCOMPRESS_DATA</code> names."
            ),
            table(headers, rows, label="Data sets", align="lllrl"),
        ],
    )


def benchmarks_page(catalog: Catalog) -> str:
    """Every benchmark that a record may name, with its metrics."""
    blocks = [
        heading("Benchmarks"),
        paragraph("Built ones run; planned ones are named by records and say not run."),
    ]
    for name, entry in catalog.vocabulary.benchmarks.items():
        rows = [
            [
                f"<code>{html(metric)}</code>",
                html(one.title),
                html(one.unit.replace("_", " ")),
                html({"neither": ""}.get(one.direction, f"{one.direction} is better")),
                html(one.interval),
                html(" ".join(x for x in (one.counting, one.per and f"per {one.per}") if x)),
            ]
            for metric, one in entry.metrics.items()
        ]
        data = f" Data: {', '.join(entry.data)}." if entry.data else ""
        blocks += [
            f'<h2 id="{html(name)}">{html(entry.title)}</h2>',
            paragraph(
                f"<code>{html(name)}</code>, {entry.kind}, {entry.status}. "
                f"{html(entry.about + data)}"
            ),
            table(
                ["Metric", "What", "Unit", "Direction", "Interval", "Counting"], rows, label=name
            ),
        ]
    return page(front_matter("Benchmarks", searched=False, toc=False), blocks)


def columns_section() -> str:
    """The columns of the views and of the site's files, as a part of a page."""
    blocks = ["## Columns of the views"]
    for name, columns in VIEWS.items():
        blocks += [f"### {name}", _columns_table(name, columns)]
    blocks.append("## Columns of the other files")
    for name, columns in FILES.items():
        blocks += [f"### {name}.csv, {name}.json", _columns_table(name, columns)]
    return "\n\n".join(blocks) + "\n"


def _columns_table(name: str, columns: Columns) -> str:
    rows = [
        [f"<code>{html(column)}</code>", html(held.about), f"<code>{html(held.type)}</code>"]
        for column, held in columns.items()
    ]
    return table(["Column", "What", "Type"], rows, label=f"Columns of {name}")


def commands_page() -> str:
    """The command line, from the help of each command.

    Raises:
        UserError: the command line cannot be asked for its help.
    """
    blocks = [
        heading("Command line"),
        paragraph(
            "Every command has <code>--help</code>. Those that print data take "
            "<code>--json</code>: one document on standard output, remarks on standard error. "
            "Exit codes: 0 done; 1 it ran and something did not hold; 2 mend what the message "
            "says; 130 interrupted."
        ),
    ]
    for command in _commands():
        if command["group"] and command["path"] != "netcompress":
            continue
        blocks.append(f"## {command['path']}")
        about, _, example = command["help"].partition("Example:")
        blocks.append(paragraph(html(about)))
        if command["parameters"]:
            rows = [[f"<code>{html(a)}</code>", html(b)] for a, b in command["parameters"]]
            blocks.append(table(["Option", "What"], rows, label=command["path"]))
        if example:
            blocks.append(code_block(example.strip(), "bash"))
    blocks += ["## Environment", _environment()]
    return page(front_matter("Command line"), blocks)


def _environment() -> str:
    names = {
        "NETCOMPRESS_CACHE": "data and reference networks",
        "NETCOMPRESS_DATA": "your own data files, found by digest",
        "NETCOMPRESS_RESULTS": "your results",
        "NETCOMPRESS_PAPERS": "a folder of your own records, shown beside ours",
        "NO_COLOR": "no colours on the terminal",
    }
    rows = [[f"<code>{name}</code>", html(what)] for name, what in names.items()]
    return table(["Variable", "What"], rows, label="Environment variables")


def _commands() -> list[dict[str, Any]]:
    """Asked of the command line in a process of its own: this package never imports it."""
    asked = subprocess.run(
        [sys.executable, "-P", "-c", COMMANDS_SCRIPT],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env=child_environment(),
        check=False,
    )
    if asked.returncode != 0:
        end = asked.stderr.strip().splitlines()[-1:]
        raise UserError(f"the command line does not tell its help: {' '.join(end)}")
    commands: list[dict[str, Any]] = json.loads(asked.stdout)
    return commands


def _fields_table(name: str, part: Mapping[str, Any]) -> str:
    required: Sequence[str] = part.get("required", [])
    rows = []
    for field, entry in part["properties"].items():
        star = "*" if field in required else ""
        rows.append(
            [
                f"<code>{html(field)}</code>{star}",
                _kind(entry),
                html(str(entry.get("description", "")).replace("``", "")),
            ]
        )
    return table(["Field", "Kind", "What"], rows, label=name)


def _kind(entry: Mapping[str, Any]) -> str:
    """A field's kind in a few words."""
    if "$ref" in entry:
        name = str(entry["$ref"]).rsplit("/", 1)[-1]
        return "any JSON" if name == "JsonValue" else inner_link(name, f"#{name.lower()}")
    if "anyOf" in entry:
        kinds = [_kind(one) for one in entry["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in entry or "const" in entry:
        values = entry.get("enum", [entry.get("const")])
        return ", ".join(f"<code>{html(str(value))}</code>" for value in values)
    if entry.get("type") == "array":
        return f"list of {_kind(entry.get('items', {}))}"
    if entry.get("type") == "object":
        return f"mapping to {_kind(entry.get('additionalProperties') or {})}"
    return html({"string": "text"}.get(str(entry.get("type")), str(entry.get("type", "any"))))
