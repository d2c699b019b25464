"""All records: read, checked against each other, the vocabulary and the source, and queried."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, get_args

from registry.baselines import BASELINES, BASELINES_FILE, Baseline, read_baselines
from registry.consistency import record_faults
from registry.errors import Fault, FaultyFile, UserError
from registry.partial import partial_faults
from registry.record import NetworkType, Paper, Platform, Technique
from registry.runs import Run, RunOwner
from registry.validation import Found
from registry.vocabulary import Vocabulary, load_vocabulary
from registry.wording import file_name, nearest, shown, unknown
from registry.yaml_reader import Unreadable, as_faults, examine, read_bounded

PAPERS_FOLDER: Final = Path(__file__).with_name("papers")
PAPERS_VARIABLE: Final = "NETCOMPRESS_PAPERS"
FIRST_LINE: Final = "# yaml-language-server: $schema=paper.schema.json"


@dataclass(frozen=True)
class Catalog:
    """Every record, by id, and the vocabulary that they were checked against."""

    papers: tuple[Paper, ...]
    vocabulary: Vocabulary
    files: Mapping[str, Path] = field(default_factory=dict)
    """The file of each record by the record's id."""
    baselines: tuple[Baseline, ...] = ()
    """Plain methods that are measured beside the papers."""

    def get(self, paper_id: str) -> Paper:
        """The record of that id.

        Raises:
            UserError: there is none; says which is near.
        """
        for paper in self.papers:
            if paper.id == paper_id:
                return paper
        raise UserError(
            f"{unknown('paper', paper_id, [paper.id for paper in self.papers])}; "
            "`netcompress papers` lists them all"
        )

    def owners(self, names: Iterable[str] = ()) -> tuple[RunOwner, ...]:
        """The records of these ids, or all baselines for ``baselines``; everything for no name.

        Raises:
            UserError: nothing has a name; says what is near.
        """
        found: list[RunOwner] = []
        for name in names:
            found += self.baselines if name == BASELINES else [self._named(name)]
        return tuple(found) or (*self.papers, *self.baselines)

    def find_run(self, owner: str, benchmark: str, name: str) -> tuple[RunOwner, Run] | None:
        """The run that a result is of, with the paper or baseline that has it."""
        everything: tuple[RunOwner, ...] = (*self.papers, *self.baselines)
        for one in everything:
            run = one.run_named(benchmark, name) if one.owner == owner else None
            if run is not None:
                return one, run
        return None

    def _named(self, name: str) -> Paper:
        if nearest(name, [BASELINES]) and not any(name == paper.id for paper in self.papers):
            raise UserError(f"unknown paper {shown(name)} (did you mean {BASELINES!r}?)")
        return self.get(name)

    def select(
        self,
        *,
        technique: str | None = None,
        network: str | None = None,
        platform: str | None = None,
        year: int | None = None,
    ) -> tuple[Paper, ...]:
        """The records that fit everything asked for, by id.

        Raises:
            UserError: a technique, network or platform that no record could have.
        """
        _must_be_one_of("technique", technique, get_args(Technique))
        _must_be_one_of("network", network, get_args(NetworkType))
        _must_be_one_of("platform", platform, get_args(Platform))
        return tuple(
            paper
            for paper in self.papers
            if (technique is None or technique in paper.techniques)
            and (network is None or network == paper.network_type)
            and (platform is None or platform in paper.platforms)
            and (year is None or year == paper.year)
        )


def _must_be_one_of(kind: str, value: str | None, options: Sequence[str]) -> None:
    if value is not None and value not in options:
        raise UserError(unknown(kind, value, options))


def record_folders() -> tuple[Path, ...]:
    """The folder of our records, then the user's own (NETCOMPRESS_PAPERS) where it is set."""
    own = os.environ.get(PAPERS_VARIABLE, "")
    return (PAPERS_FOLDER, Path(own)) if own else (PAPERS_FOLDER,)


def load_catalog(folders: Iterable[Path] | None = None) -> Catalog:
    """All records of ``folders``, by default ours and the user's own.

    Raises:
        FaultyFile: a file breaks a rule; names every fault of every file.
    """
    files, faults = _record_files(record_folders() if folders is None else folders)
    vocabulary, vocabulary_faults = _vocabulary()
    checked = [_check(path, vocabulary) for path in files]
    faults += vocabulary_faults
    faults += [fault for item in checked for fault in item.faults]
    faults += _shared_faults(checked)
    baselines, baseline_faults = _baselines(vocabulary)
    faults += baseline_faults
    papers = [item for item in checked if item.paper is not None]
    if faults or vocabulary is None:
        raise FaultyFile(faults)
    by_id = {item.paper.id: item for item in papers if item.paper is not None}
    return Catalog(
        papers=tuple(item.paper for _, item in sorted(by_id.items()) if item.paper is not None),
        vocabulary=vocabulary,
        files={paper_id: item.path for paper_id, item in by_id.items()},
        baselines=baselines,
    )


def check_catalog(folders: Iterable[Path] | None = None) -> list[Fault]:
    """Every fault of every record of ``folders``, in order; an empty list where all is well."""
    try:
        load_catalog(folders)
    except FaultyFile as error:
        return error.faults
    return []


def check_files(paths: Iterable[Path]) -> list[Fault]:
    """Every fault of these record files, in order; an empty list where all is well."""
    vocabulary, faults = _vocabulary()
    checked = [_check(Path(path), vocabulary) for path in dict.fromkeys(paths)]
    faults += [fault for item in checked for fault in item.faults]
    return sorted(faults + _shared_faults(checked))


def _vocabulary() -> tuple[Vocabulary | None, list[Fault]]:
    try:
        return load_vocabulary(), []
    except FaultyFile as error:
        return None, list(error.faults)


def _baselines(vocabulary: Vocabulary | None) -> tuple[tuple[Baseline, ...], list[Fault]]:
    try:
        return read_baselines(vocabulary)
    except Unreadable as error:
        return (), [Fault(file_name(BASELINES_FILE), error.found.line, "", error.found.message)]


def _record_files(folders: Iterable[Path]) -> tuple[list[Path], list[Fault]]:
    """The record files of the folders by name, and what is wrong with their names."""
    files: list[Path] = []
    faults: list[Fault] = []
    seen: set[Path] = set()
    for folder in folders:
        real = Path(os.path.realpath(folder))
        if not real.is_dir():
            hint = f" ({PAPERS_VARIABLE} names it)" if folder != PAPERS_FOLDER else ""
            faults.append(Fault(file_name(folder), 0, "", f"is not a folder{hint}"))
        elif real not in seen:
            seen.add(real)
            for path in sorted(folder.iterdir()):
                message = _name_fault(path, real)
                if message is not None:
                    faults.append(Fault(file_name(path), 0, "", message))
                elif _is_record(path):
                    files.append(path)
    return files, faults


def _is_record(path: Path) -> bool:
    return path.suffix == ".yaml" and path.name[0] not in "_."


def _name_fault(path: Path, folder: Path) -> str | None:
    """Why a file of a record folder is not read, where it looks as if it should be."""
    if path.name[0] in "_.":
        return None
    if path.suffix.lower() in (".yml", ".yaml") and path.suffix != ".yaml":
        return "a record's file name ends in .yaml"
    if _is_record(path) and Path(os.path.realpath(path)).parent != folder:
        return "is a link that leads out of the folder"
    return None


@dataclass(frozen=True)
class _Checked:
    """One file with what it holds and what is wrong with it."""

    path: Path
    paper: Paper | None
    paper_id: str | None
    row: str | None
    faults: tuple[Fault, ...]
    lines: tuple[int, int]
    """Of the id and of the source's row."""


_cache: dict[tuple[str, str, int], tuple[bytes, _Checked]] = {}
"""By file, its name in messages and vocabulary; good while the content has the same digest."""


def _check(path: Path, vocabulary: Vocabulary | None) -> _Checked:
    try:
        content = read_bounded(path)
    except Unreadable as error:
        fault = Fault(file_name(path), error.found.line, "", error.found.message)
        return _Checked(path, None, None, None, (fault,), (0, 0))
    key = (os.path.realpath(path), file_name(path), id(vocabulary))
    digest = sha256(content).digest()
    if key not in _cache or _cache[key][0] != digest:
        _cache[key] = (digest, _check_content(path, content, vocabulary))
    return _cache[key][1]


def _check_content(path: Path, content: bytes, vocabulary: Vocabulary | None) -> _Checked:
    examined = examine(content, Paper)
    tree, found = examined.tree, list(examined.faults)
    data: dict[str, Any] = tree.data if isinstance(tree.data, dict) else {}
    is_template = path.name.startswith("_")
    if data:
        found += _file_faults(path, data, tree.first_line, is_template=is_template)
    if vocabulary is not None and examined.value is not None:
        found += record_faults(examined.value, vocabulary, is_template=is_template)
    elif vocabulary is not None and data:
        found += partial_faults(data, found, vocabulary, is_template=is_template)
    source = data.get("source")
    row = source.get("row") if isinstance(source, dict) else None
    paper_id = data.get("id")
    return _Checked(
        path=path,
        paper=examined.value,
        paper_id=paper_id if isinstance(paper_id, str) else None,
        row=row if isinstance(row, str) else None,
        faults=tuple(as_faults(path, tree, found=tuple(found))),
        lines=(tree.line(("id",)), tree.line(("source", "row"))),
    )


def _file_faults(
    path: Path, data: dict[str, Any], first_line: str, *, is_template: bool
) -> Iterator[Found]:
    if first_line != FIRST_LINE:
        yield Found((), f"the first line must be: {FIRST_LINE}", 1)
    paper_id = data.get("id")
    if isinstance(paper_id, str) and paper_id != path.stem and not is_template:
        yield Found(
            ("id",),
            f"the id {shown(paper_id)} is not the file's name {shown(path.stem)} less .yaml",
        )


def _shared_faults(checked: Sequence[_Checked]) -> list[Fault]:
    """What is wrong between files: an id or a source row that two of them claim."""
    faults: list[Fault] = []
    ids: dict[str, Path] = {}
    rows: dict[str, Path] = {}
    for item in checked:
        name = file_name(item.path)
        if item.paper_id is not None:
            first = ids.setdefault(item.paper_id.lower(), item.path)
            if first != item.path:
                message = f"the id {shown(item.paper_id)} is taken by {file_name(first)}"
                faults.append(Fault(name, item.lines[0], "id", message))
        if item.row is not None:
            first = rows.setdefault(item.row, item.path)
            if first != item.path:
                message = f"this row of the source is taken by {file_name(first)}"
                faults.append(Fault(name, item.lines[1], "source.row", message))
    return faults
