"""Methods by name, found without importing them: built in, from other packages, or in a file.

Other packages add theirs through the entry point group ``netcompress.methods``; files that lie
beside a user's own records (``NETCOMPRESS_PAPERS``) are found too. What cannot be
loaded is kept with the reason, so that a list of methods can show it.
"""

import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from registry.baselines import BASELINES
from registry.catalog import PAPERS_VARIABLE
from registry.errors import UserError

if TYPE_CHECKING:
    from methods.method import Method

GROUP = "netcompress.methods"

BUILT_IN: Mapping[str, tuple[str, str]] = {
    "deep-compression": ("methods.deep_compression:DeepCompression", "2016-deep-compression"),
    "eie": ("methods.eie.plugin:Eie", "2016-eie"),
    "quantized-cnn": ("methods.quantized_cnn:QuantizedCnn", "2016-quantized-cnn"),
    "hashed-nets": ("methods.hashed_nets:HashedNets", "2015-hashed-nets"),
    "predicting-parameters": (
        "methods.predicting_parameters:PredictingParameters",
        "2013-predicting-parameters",
    ),
    "few-multiplications": (
        "methods.few_multiplications:FewMultiplications",
        "2016-few-multiplications",
    ),
    "trained-ternary-quantization": (
        "methods.trained_ternary_quantization:TrainedTernaryQuantization",
        "2017-trained-ternary-quantization",
    ),
    "float16": ("methods.baselines:Float16", BASELINES),
    "int8-rtn": ("methods.baselines:Int8", BASELINES),
    "uniform": ("methods.baselines:UniformRounding", BASELINES),
    "magnitude-pruning": ("methods.baselines:MagnitudePruning", BASELINES),
}
"""Method name -> (``module:Class``, id of its paper): a list of them imports no torch."""


@dataclass
class Found:
    """A class that was found by name and is imported only when asked for."""

    name: str
    origin: str
    """``built in``, ``package NAME`` or ``file PATH``."""
    target: str
    """``module:Class``, or ``file.py`` with or without ``:Class``."""
    paper: str | None = None
    """The paper's id, where it is known without an import."""
    required: tuple[str, ...] = ()
    """Attributes that tell a class of the kind that is looked for."""
    _reason: str | None = field(default=None, repr=False)

    def load(self) -> type[Any]:
        """The class itself.

        Raises:
            UserError: it cannot be imported, or is no class of this kind; says why.
        """
        try:
            with contextlib.redirect_stdout(sys.stderr):  # ours is for data, such as one JSON text
                found = self._import()
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, UserError) else _said(error)
            self._reason = reason
            raise UserError(f"{self.name!r} ({self.origin}) cannot be loaded: {reason}") from error
        self._reason = None
        return found

    def constant(self, name: str) -> Any:
        """A constant of the class, such as ``revision``; None where it has none.

        What is built in is read from its source: importing torch for a number takes seconds.

        Raises:
            UserError: the class has to be imported for it and cannot be.
        """
        if self.origin == "built in":
            module_name, class_name = split_target(self.target)
            spec = importlib.util.find_spec(module_name)
            if spec is not None and spec.origin is not None and class_name is not None:
                return _class_constants(Path(spec.origin), class_name).get(name)
        return getattr(self.load(), name, None)

    @property
    def why_not(self) -> str | None:
        """Why it cannot be loaded, or None. What is built in is not imported to find out."""
        if self.origin != "built in":
            try:
                self.load()
            except UserError:
                return self._reason
        return self._reason

    def _import(self) -> type[Any]:
        module_name, class_name = split_target(self.target)
        if module_name.endswith(".py"):
            module = _module_from_file(Path(module_name))
        else:
            module = importlib.import_module(module_name)
        found = getattr(module, class_name) if class_name else self._only_class(module)
        if not isinstance(found, type):
            raise UserError(f"{self.target} is not a class")
        missing = [name for name in self.required if not hasattr(found, name)]
        if missing:
            raise UserError(f"class {found.__name__} has no {', '.join(missing)}")
        return found

    def _only_class(self, module: ModuleType) -> type[Any]:
        fitting = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and value.__module__ == module.__name__
            and all(hasattr(value, name) for name in self.required)
        ]
        if len(fitting) != 1:
            names = ", ".join(cls.__name__ for cls in fitting) or "none"
            raise UserError(f"expected one fitting class, found {names}: name it as FILE.py:Class")
        return fitting[0]


METHOD_ATTRIBUTES = (
    "name", "paper", "Config", "starts_from", "needs", "compresses", "revision", "applies_to",
    "compress",
)  # fmt: skip


def discover() -> dict[str, Found]:
    """Every method by name: built in, then of the user's own records, then of packages.

    The first of a name holds: what is built in cannot be replaced.
    """
    built_in = [
        Found(name, "built in", target, paper, METHOD_ATTRIBUTES)
        for name, (target, paper) in BUILT_IN.items()
    ]
    return with_entry_points([*built_in, *_of_own_papers()], GROUP, METHOD_ATTRIBUTES)


def _of_own_papers() -> Iterator[Found]:
    """Plugins that lie beside the user's own records: ``my_paper.py`` is ``my-paper``."""
    folder = os.environ.get(PAPERS_VARIABLE)
    if not folder:
        return
    for path in sorted(Path(folder).glob("*.py")):
        if not path.name.startswith(("test_", "_", ".")):
            name, place = path.stem.replace("_", "-"), path.absolute()
            yield Found(name, f"file {path}", str(place), None, METHOD_ATTRIBUTES)


def with_entry_points(
    built_in: Iterable[Found], group: str, required: tuple[str, ...]
) -> dict[str, Found]:
    """``built_in`` and what other packages offer in ``group``, by name."""
    found: dict[str, Found] = {}
    for one in built_in:
        found.setdefault(one.name, one)
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist is not None else "unknown"
        other = Found(point.name, f"package {package}", point.value, None, required)
        found.setdefault(point.name, other)
    return found


def find_method(name_or_file: str) -> Found:
    """The method of that name, of that paper (by its id), or in that file.

    Raises:
        UserError: there is none; with what was probably meant.
    """
    if is_file_target(name_or_file):
        return found_in_file(name_or_file, METHOD_ATTRIBUTES)
    methods = discover()
    if name_or_file in methods:
        return methods[name_or_file]
    for found in methods.values():
        if _paper_of(found) == name_or_file != BASELINES:  # those are several
            return found
    papers = [one.paper for one in methods.values() if one.paper and one.paper != BASELINES]
    raise UserError(unknown("method", name_or_file, [*methods, *papers]))


def load_method(name_or_file: str) -> "Method":
    """An instance of the method of that name, of that paper (by its id), or in that file.

    Args:
        name_or_file: such as ``deep-compression``, ``2016-deep-compression``, ``mine.py`` or
            ``mine.py:Class``.

    Raises:
        UserError: there is none, or it cannot be loaded; says why.
    """
    found = find_method(name_or_file)
    method: Method = _built(found)
    return method


def _built(found: Found) -> Any:
    cls = found.load()
    try:
        return cls()
    except Exception as error:
        raise UserError(
            f"{found.name!r} ({found.origin}) cannot be made: {_said(error)}"
        ) from error


def _paper_of(found: Found) -> str | None:
    if found.paper is None and found.origin != "built in":
        try:
            found.paper = str(found.load().paper)
        except UserError:
            return None
    return found.paper


def is_file_target(text: str) -> bool:
    """Whether ``text`` names a Python file, with or without a class behind a colon."""
    return split_target(text)[0].endswith(".py")


def found_in_file(target: str, required: tuple[str, ...]) -> Found:
    """The class in a file given as ``file.py`` or ``file.py:Class``.

    Raises:
        UserError: there is no such file.
    """
    path_text, class_name = split_target(target)
    path = Path(path_text).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{path_text}: there is no such file")
    whole = f"{path}:{class_name}" if class_name else str(path)
    return Found(target, f"file {path_text}", whole, None, required)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """A message for a name that nothing has, with what was probably meant."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names) or 'none'}"
    return f"unknown {kind} {name!r} ({hint})"


def split_target(target: str) -> tuple[str, str | None]:
    """``module:Class`` or ``file.py:Class`` in two; a drive letter's colon is none of ours."""
    head, colon, tail = target.rpartition(":")
    return (head, tail) if colon and tail.isidentifier() and len(head) > 1 else (target, None)


@cache
def _class_constants(source: Path, class_name: str) -> Mapping[str, Any]:
    """The literal values that a class body assigns to its names."""
    found: dict[str, Any] = {}
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else []
                if isinstance(line, ast.AnnAssign):
                    targets = [line.target]
                value = getattr(line, "value", None)
                if isinstance(value, ast.Constant):
                    found |= {t.id: value.value for t in targets if isinstance(t, ast.Name)}
    return found


def _module_from_file(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"netcompress_file_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # models defined in it look their names up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _said(error: BaseException) -> str:
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
