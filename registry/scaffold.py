"""Starts a new paper: its record, a plugin that runs, and a test for both."""

import json
import keyword
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from registry.bibtex import Entry, parse_bibtex
from registry.catalog import FIRST_LINE, PAPERS_FOLDER, PAPERS_VARIABLE
from registry.errors import UserError
from registry.fields import Line, Url
from registry.record import Paper
from registry.schema import SCHEMA_FILE
from registry.stub import plugin_text, test_text
from registry.validation import PATTERNS
from registry.wording import file_name, shown
from registry.yaml_reader import as_faults, examine

TEMPLATE_FILE: Final = PAPERS_FOLDER / "_template.yaml"
_ID = re.compile(r"[0-9]{4}-[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?\Z")
_RESERVED = frozenset(
    {*sys.stdlib_module_names, *keyword.kwlist}
    | {"torch", "numpy", "pydantic", "yaml", "registry", "methods", "benchmarks", "netcompress"}
)
_TYPES = {
    "article": "article",
    "inproceedings": "inproceedings",
    "conference": "inproceedings",
    "techreport": "techreport",
    "phdthesis": "phdthesis",
}
_VENUE_FIELDS = ("booktitle", "journal", "school", "institution", "howpublished", "publisher")
_LEFT_OUT_FIELDS = frozenset({"title", "year", "abstract", "keywords", "file", "note"})


def default_folder() -> Path:
    """The user's own record folder: NETCOMPRESS_PAPERS, else ours in a checkout, else papers/."""
    own = os.environ.get(PAPERS_VARIABLE, "")
    if own:
        return Path(own)
    is_checkout = Path.cwd() == PAPERS_FOLDER.parent.parent and _tests_folder().is_dir()
    return PAPERS_FOLDER if is_checkout else Path("papers")


def new_paper(paper_id: str, bibtex: str | None = None, folder: Path | None = None) -> list[Path]:
    """Write record, plugin and test of a new paper; the record holds as it is.

    Args:
        paper_id: such as ``2016-new-paper``.
        bibtex: the text of one entry, from which title, authors and the like are taken.
        folder: where the record goes; by default ``default_folder()``. Plugin and test stand
            beside it, or in methods/ and tests/methods/ for a record of this project.

    Returns:
        The files written: record, plugin, test, and the schema where the folder had none.

    Raises:
        UserError: a bad id, files that are there already, or BibTeX that cannot be read.
    """
    if _ID.match(paper_id) is None:
        pattern = "^[0-9]{4}-[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$"
        raise UserError(f"{shown(paper_id)} is not {PATTERNS[pattern]}")
    entry = parse_bibtex(bibtex) if bibtex is not None else None
    folder = default_folder() if folder is None else folder
    module = module_name(paper_id)
    record, plugin, test = _places(paper_id, module, folder)
    taken = [path for path in (record, plugin, test) if os.path.lexists(path)]
    if (PAPERS_FOLDER / record.name).exists() and record not in taken:
        taken.append(PAPERS_FOLDER / record.name)
    if taken:
        names = ", ".join(file_name(path) for path in taken)
        raise UserError(f"already there: {names}. Choose another id, or remove what is there.")
    texts = {
        record: _record_text(paper_id, entry),
        plugin: plugin_text(paper_id, method_name(paper_id), class_name(module)),
        test: test_text(paper_id, record, plugin, test),
    }
    schema = folder / SCHEMA_FILE.name
    if not schema.exists():
        texts[schema] = SCHEMA_FILE.read_text(encoding="utf-8")
    _write_new(texts)
    return list(texts)


def what_next(paths: Sequence[Path]) -> str:
    """What to do with the files that ``new_paper`` wrote, for the terminal."""
    record, plugin, test = (file_name(path) for path in paths[:3])
    lines = [
        f"Written: {', '.join(file_name(path) for path in paths)}",
        "Next:",
        f"  1. Fill in {record}: what the paper claims, where, and which benchmark measures it.",
        f"     netcompress validate {record}",
        f"  2. Replace the stand-in in {plugin} by the paper's method.",
        f"     netcompress check-method {plugin}",
        f"  3. python -m pytest {test}",
        f"  4. netcompress run {paths[0].stem} --scale quick",
    ]
    folder = paths[0].parent
    own = os.environ.get(PAPERS_VARIABLE, "")
    is_known = folder.resolve() == PAPERS_FOLDER or (
        own and Path(own).resolve() == folder.resolve()
    )
    if not is_known:
        lines.append(
            f"  To have record and plugin found: export {PAPERS_VARIABLE}={file_name(folder)}"
        )
    return "\n".join(lines)


def method_name(paper_id: str) -> str:
    """``new-paper`` of ``2016-new-paper``."""
    return paper_id[5:]


def module_name(paper_id: str) -> str:
    """The plugin's module: ``new_paper`` of ``2016-new-paper``; never a name that is taken."""
    name = re.sub(r"_+", "_", method_name(paper_id).replace("-", "_"))
    if name[0].isdigit():
        name = f"method_{name}"
    return f"{name}_method" if name in _RESERVED else name


def class_name(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))


def _tests_folder() -> Path:
    return PAPERS_FOLDER.parent.parent / "tests"


def _places(paper_id: str, module: str, folder: Path) -> tuple[Path, Path, Path]:
    record = folder / f"{paper_id}.yaml"
    if folder.resolve() != PAPERS_FOLDER:
        return record, folder / f"{module}.py", folder / f"test_{module}.py"
    if not _tests_folder().is_dir():
        raise UserError(
            f"the installed package's own records are not to be changed: set {PAPERS_VARIABLE} "
            "to a folder of yours"
        )
    methods = PAPERS_FOLDER.parent.parent / "methods"
    return record, methods / f"{module}.py", _tests_folder() / "methods" / f"test_{module}.py"


def _write_new(texts: dict[Path, str]) -> None:
    """All files or none."""
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        where = file_name(Path(str(error.filename))) if error.filename else "the files"
        raise UserError(f"cannot write {where}: {error.strerror or error}") from error


def _record_text(paper_id: str, entry: Entry | None) -> str:
    """The template with the new paper's own lines.

    Raises:
        UserError: what the BibTeX entry says cannot stand in a record; names each fault.
    """
    head = f"{FIRST_LINE}\n"
    head += "".join(f"{line}\n" for line in _head(paper_id, entry))
    template = TEMPLATE_FILE.read_text(encoding="utf-8")
    method = template.index("\nmethod: ")
    described = template[template.index("\ntechniques:") : template.index("\nsource:")]
    rest = template[template.index("\nbenchmarks:", method) :]
    text = f"{head.rstrip()}{described}\nmethod: {method_name(paper_id)}{rest}"
    examined = examine(text.encode("utf-8"), Paper)
    if examined.faults:
        path = Path("the new record")
        faults = as_faults(path, examined.tree, found=examined.faults)
        raise UserError("\n".join(f"{fault.field}: {fault.message}" for fault in faults))
    return text


def _head(paper_id: str, entry: Entry | None) -> list[str]:
    """The lines up to the paper's links."""
    fields = entry.fields if entry else {}
    year = fields.get("year", "")
    title = fields.get("title") or "New paper"
    authors = entry.authors if entry and entry.authors else ("Given Family",)
    venue = next((fields[name] for name in _VENUE_FIELDS if name in fields), None)
    key = re.sub(r"[^a-z0-9:_-]", "", entry.key.lower()) if entry else ""
    key = key if re.match(r"[a-z].", key) else f"key{method_name(paper_id)}"
    lines = [
        f"id: {paper_id}",
        f"title: {_quoted(title)}",
        f"year: {year if re.fullmatch('[0-9]{4}', year) else paper_id[:4]}",
        "authors:",
        *(f"  - {_quoted(author)}" for author in authors),
        f"venue: {_quoted(venue or 'Name of the conference or journal')}",
        "citation:",
        f"  type: {_TYPES.get(entry.type, 'misc') if entry else 'misc'}",
        f"  key: {key[:60].rstrip('-')}",
    ]
    kept = {
        name: text
        for name, text in fields.items()
        if re.fullmatch("[a-zA-Z]{2,20}", name)
        and name not in _LEFT_OUT_FIELDS
        and _holds(TypeAdapter(Line).validate_python, text)
    }
    if kept:
        lines.append("  fields:")
        lines += [f"    {name}: {_quoted(text)}" for name, text in kept.items()]
    return [*lines, "links:", f"  - {{kind: paper, url: {_quoted(_address(paper_id, fields))}}}"]


def _address(paper_id: str, fields: dict[str, str]) -> str:
    """Where the paper lies, as its entry says; else an address to replace."""
    candidates = [fields.get("url", "")]
    if fields.get("doi"):
        candidates.append(f"https://doi.org/{fields['doi']}")
    if re.fullmatch(r"[0-9]{4}\.[0-9]{4,5}(v[0-9]+)?", fields.get("eprint", "")):
        candidates.append(f"https://arxiv.org/abs/{fields['eprint']}")
    check = TypeAdapter(Url).validate_python
    return next((url for url in candidates if _holds(check, url)), _placeholder(paper_id))


def _placeholder(paper_id: str) -> str:
    return f"https://example.org/{method_name(paper_id)}"


def _holds(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except ValidationError:
        return False
    return True


def _quoted(text: str) -> str:
    """Double-quoted YAML: JSON's escapes are YAML's too."""
    return json.dumps(text, ensure_ascii=False)
