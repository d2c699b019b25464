"""Reads YAML that strangers wrote: the one door through which YAML comes in.

The file's events are walked before any value is built, and the values are built here, so nothing
of YAML's own object construction ever runs. Allowed is what every YAML reader understands alike:
mappings with text keys, lists, text, decimal numbers, true, false and null. Refused are anchors,
aliases, merge keys, tags, a second document, keys that stand twice, and plain scalars that YAML 1.1
and 1.2 read differently (``no``, ``1:30``, ``010``, ``1e3``, dates), each with its line.
"""

import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import yaml
from pydantic import ValidationError

from registry.errors import Fault, FaultyFile
from registry.fields import REFUSED_CATEGORIES, Model
from registry.validation import Found, found_by
from registry.wording import FieldPath, field_name, file_name, shown
from registry.yaml_scalars import plain_scalar

ModelType = TypeVar("ModelType", bound=Model)
Marks = dict[FieldPath, int]
"""The line, from 1, on which each key or list item stands."""


@dataclass(frozen=True)
class Limits:
    """What a file may ask for."""

    size_bytes: int = 256 * 1024
    events: int = 20_000
    depth: int = 12
    faults: int = 200
    """How many faults of one file are told."""


LIMITS: Final = Limits()
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C: about 20 times as fast


class Unreadable(Exception):
    """The file cannot be walked any further."""

    def __init__(self, line: int, message: str, path: FieldPath = ()) -> None:
        super().__init__(message)
        self.found = Found(path, message, line)


@dataclass
class Tree:
    """A file's value with its lines and what is wrong with its YAML."""

    data: Any = None
    marks: Marks = field(default_factory=dict)
    faults: list[Found] = field(default_factory=list)
    spoilt: set[FieldPath] = field(default_factory=set)
    """Places whose value stands for something refused: what is said of them says enough."""
    first_line: str = ""

    def line(self, path: FieldPath) -> int:
        """The line of ``path``, or of the nearest part around it; 0 where the file has none."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, 0)


@dataclass(frozen=True)
class Examined(Generic[ModelType]):
    """A file held against its model: the value where it holds, and every fault."""

    tree: Tree
    value: ModelType | None
    faults: tuple[Found, ...]


def read_yaml(source: Path | bytes, limits: Limits = LIMITS) -> tuple[Any, Marks]:
    """The value of a YAML file, or of its bytes, and the line of each part.

    Raises:
        FaultyFile: the file cannot be read, or its YAML breaks a rule; names every fault.
    """
    tree = read_tree(source, limits)
    if tree.faults:
        raise FaultyFile(as_faults(source if isinstance(source, Path) else None, tree, limits))
    return tree.data, tree.marks


def read_model(path: Path, model: type[ModelType], limits: Limits = LIMITS) -> ModelType:
    """The file's value as ``model``.

    Raises:
        FaultyFile: the file cannot be read or breaks a rule; names every fault with its line.
    """
    examined = examine(path, model, limits)
    if examined.value is None or examined.faults:
        raise FaultyFile(as_faults(path, examined.tree, limits, examined.faults))
    return examined.value


def examine(
    source: Path | bytes, model: type[ModelType], limits: Limits = LIMITS
) -> Examined[ModelType]:
    """Read and check, gathering faults instead of raising them."""
    tree = read_tree(source, limits)
    if tree.data is None and tree.faults:
        return Examined(tree, None, tuple(tree.faults))
    if not isinstance(tree.data, dict):
        kind = "is empty" if tree.data is None else f"holds {shown(tree.data)} at its top"
        found = Found((), f"the file {kind}: it must be a mapping of keys to values", 1)
        return Examined(tree, None, (*tree.faults, found))
    value, faults = _validated(tree, model)
    return Examined(tree, None if tree.faults else value, (*tree.faults, *faults))


def _validated(tree: Tree, model: type[ModelType]) -> tuple[ModelType | None, list[Found]]:
    try:
        return model.model_validate_json(json.dumps(tree.data)), []
    except ValidationError as error:
        found = found_by(error, model, tree.data)
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        found = [Found((), f"cannot be checked: {type(error).__name__}")]
    return None, [fault for fault in found if not _is_spoilt(fault.path, tree.spoilt)]


def _is_spoilt(path: FieldPath, spoilt: set[FieldPath]) -> bool:
    return any(path[:length] in spoilt for length in range(len(path) + 1))


def as_faults(
    path: Path | None, tree: Tree, limits: Limits = LIMITS, found: tuple[Found, ...] | None = None
) -> list[Fault]:
    """What was found, each with the file's name and its line; the first ``limits.faults`` of it."""
    name = file_name(path) if path is not None else "YAML"
    everything = tree.faults if found is None else found
    faults = {
        Fault(name, item.line or tree.line(item.path), field_name(item.path), item.message)
        for item in everything
    }
    ordered = sorted(faults)
    told, rest = ordered[: limits.faults], ordered[limits.faults :]
    if rest:
        message = f"{len(rest)} more faults from here on: mend those above first"
        told.append(Fault(name, rest[0].line, "", message))
    return told


def read_tree(source: Path | bytes, limits: Limits = LIMITS) -> Tree:
    """The file's value with the line of each part, and what is wrong with its YAML."""
    tree = Tree()
    try:
        content = source if isinstance(source, bytes) else read_bounded(source, limits)
        if len(content) > limits.size_bytes:
            raise Unreadable(0, f"larger than {limits.size_bytes:,} bytes")
        text = _decoded(content, tree)
        tree.first_line = text.partition("\n")[0]
        _Builder(tree, limits).build(yaml.parse(text, Loader=_LOADER))
    except Unreadable as error:
        tree.faults.append(error.found)
    except yaml.YAMLError as error:
        tree.faults.append(_parse_fault(error, limits))
    except (RecursionError, ValueError, OverflowError, MemoryError) as error:
        tree.faults.append(Found((), f"cannot be read as YAML: {type(error).__name__}", 1))
    return tree


def read_bounded(path: Path, limits: Limits = LIMITS) -> bytes:
    """At most one byte more than allowed, from a regular file (a pipe would block).

    Raises:
        Unreadable: no such file, or not a regular one.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable(0, "not a regular file")
            return file.read(limits.size_bytes + 1)
    except IsADirectoryError:
        raise Unreadable(0, "not a regular file: a folder") from None
    except OSError as error:
        raise Unreadable(0, f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # a NUL in the name
        raise Unreadable(0, "cannot be read: not a file name") from None


def _decoded(content: bytes, tree: Tree) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(1, "UTF-16 is not allowed: save the file as UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        tree.faults.append(Found((), "begins with a byte order mark: save as UTF-8 without it", 1))
        content = content[3:]
    try:
        text = content.decode("utf-8", errors="strict").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise Unreadable(line, f"not UTF-8 (byte 0x{byte:02X}): save it as UTF-8") from None
    if text.isascii() and text.isprintable():
        return text
    return _without_refused(text, tree)


def _without_refused(text: str, tree: Tree) -> str:
    """Faults for characters that must not stand in a file, which are then read as ``?``."""
    refused: set[str] = set()
    for match in re.finditer(r"[^ -~\n\t]", text):
        character = match.group()
        if unicodedata.category(character) in REFUSED_CATEGORIES:
            refused.add(character)
            line = text.count("\n", 0, match.start()) + 1
            code = f"U+{ord(character):04X}"
            tree.faults.append(Found((), f"character {code} is not allowed in a file", line))
            if len(tree.faults) > LIMITS.faults:
                raise Unreadable(line, "too many characters that are not allowed")
    return text.translate({ord(character): "?" for character in refused}) if refused else text


def _parse_fault(error: yaml.YAMLError, limits: Limits) -> Found:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    if "nesting depth" in problem:  # the C loader's own limit, met before its first event
        problem = f"nested more than {limits.depth} deep"
    context = getattr(error, "context", None)
    words = f"{problem} {context}" if context else str(problem)
    return Found((), f"not YAML: {words}", mark.line + 1 if mark is not None else 1)


@dataclass
class _Frame:
    """A mapping or list under construction."""

    value: dict[str, Any] | list[Any]
    path: FieldPath
    kept: bool
    """False: part of something refused; it is walked and dropped."""
    is_key: bool = False
    key: str | None = None
    drops_next: bool = False
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def next_path(self) -> FieldPath:
        if isinstance(self.value, list):
            return (*self.path, len(self.value))
        return self.path if self.key is None else (*self.path, self.key)


class _Builder:
    """Walks events and builds the value, without recursion."""

    def __init__(self, tree: Tree, limits: Limits) -> None:
        self.tree = tree
        self.limits = limits
        self.frames: list[_Frame] = []
        self.documents = 0

    def build(self, events: Iterator[Any]) -> None:
        for count, event in enumerate(events):
            line = event.start_mark.line + 1
            if count >= self.limits.events:
                raise Unreadable(line, f"more than {self.limits.events:,} parts: too large")
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, line)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._document(event, line)

    def _fault(self, line: int, message: str, path: FieldPath) -> None:
        self.tree.faults.append(Found(path, message, line))
        if len(self.tree.faults) > self.limits.faults:
            raise Unreadable(line, "too many faults: mend these first")

    def _document(self, event: yaml.DocumentStartEvent, line: int) -> None:
        self.documents += 1
        if self.documents > 1:
            raise Unreadable(line, "a second document: a file holds one")
        if getattr(event, "version", None) or getattr(event, "tags", None):
            self._fault(line, "YAML directives (%) are not allowed", ())

    def _node(self, event: yaml.NodeEvent, line: int, path: FieldPath) -> bool:
        """False, with a fault, where the node carries an anchor or a tag."""
        tag = getattr(event, "tag", None)
        if event.anchor is not None:
            self._fault(line, f"anchors are not allowed (&{shown(event.anchor)[1:-1]})", path)
        if tag is not None:
            self._fault(line, f"tags are not allowed ({shown(tag)})", path)
            self.tree.spoilt.add(path)
        return tag is None

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        path = self.frames[-1].next_path() if self.frames else ()
        self._fault(line, f"aliases are not allowed (*{shown(event.anchor)[1:-1]})", path)
        self.tree.spoilt.add(path)
        if self.frames and self.frames[-1].wants_key:
            self.frames[-1].key, self.frames[-1].drops_next = "*", True
        else:
            self._place(None, line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.wants_key:
            self._key(event, frame, line)
            return
        path = frame.next_path() if frame else ()
        if not self._node(event, line, path) or not event.implicit[0]:
            self._place(event.value, line)
            return
        value, oddity = plain_scalar(event.value)
        if oddity is not None:
            self._fault(line, f"{shown(event.value)} {oddity}", path)
            self.tree.spoilt.add(path)
        self._place(value, line)

    def _key(self, event: yaml.ScalarEvent, frame: _Frame, line: int) -> None:
        key = str(event.value)
        frame.drops_next = not self._node(event, line, frame.path)
        frame.key = key
        if event.implicit[0] and key == "<<":
            self._fault(line, "merge keys (<<) are not allowed: write the keys out", frame.path)
            self.tree.spoilt.add(frame.path)
            frame.drops_next = True
        elif key in frame.lines:
            first = frame.lines[key]
            path = (*frame.path, key)
            self._fault(line, f"this key stands twice: on line {first} and on line {line}", path)
            frame.drops_next = True
        else:
            frame.lines[key] = line
            if frame.kept:
                self.tree.marks[(*frame.path, key)] = line

    def _open(self, event: Any, line: int) -> None:
        parent = self.frames[-1] if self.frames else None
        path = parent.next_path() if parent else ()
        if len(self.frames) >= self.limits.depth:
            raise Unreadable(line, f"nested more than {self.limits.depth} deep", path)
        self._node(event, line, path)
        is_key = parent is not None and parent.wants_key
        if is_key:
            self._fault(line, "a key must be text, not a list or mapping", path)
        kept = not is_key and (parent is None or (parent.kept and not parent.drops_next))
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        if not is_key:
            self._mark(path, line, kept)
        self.frames.append(_Frame(value, path, kept, is_key))

    def _close(self) -> None:
        frame = self.frames.pop()
        if frame.is_key:
            self.frames[-1].key, self.frames[-1].drops_next = "?", True
        else:
            self._place(frame.value, 0)

    def _place(self, value: Any, line: int) -> None:
        if not self.frames:
            self.tree.data = value
            self.tree.marks.setdefault((), 1)
            return
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            if line:
                self._mark(frame.next_path(), line, frame.kept)
            frame.value.append(value)
            return
        if not frame.drops_next and frame.key is not None:
            frame.value[frame.key] = value
        frame.key, frame.drops_next = None, False

    def _mark(self, path: FieldPath, line: int, kept: bool) -> None:
        if kept:
            self.tree.marks.setdefault(path, line)
