"""Rules of the house that a reader of the code may rely on, checked over our own sources."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.benchmark import load_benchmarks
from methods.discovery import find_method
from registry.catalog import load_catalog
from registry.vocabulary import load_vocabulary

ROOT = Path(benchmarks.__file__).resolve().parent.parent
ROOMS = {"registry": 0, "methods": 1, "benchmarks": 2, "netcompress": 3}
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        other = name.split(".")[0]
        if other in ROOMS:
            assert ROOMS[other] <= ROOMS[room], f"{room} imports {name}"
        if room == "registry":
            assert other not in ("torch", "numpy"), f"{room} imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if "netcompress" in p.parts[-3:]], ids=lambda path: path.name
)
def test_the_front_door_only_handles_arguments(path):
    """No loops over data formats, no arithmetic of its own: functions there stay short."""
    tree = ast.parse(path.read_text("utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.While)]
    for name in imports(path):
        assert name.split(".")[0] not in ("torch", "numpy", "yaml", "mkdocs", "subprocess")


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
YAML_HOME = "registry/yaml_reader.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path):
    assert unsafe_parts(path, str(path.relative_to(ROOT))) == []


def unsafe_parts(path: Path, where: str) -> list[str]:
    found = [
        f"{where} imports {name}"
        for name in imports(path)
        if name.split(".")[0] in FORBIDDEN_MODULES
        or (name.split(".")[0] in ("yaml", "ruamel") and not where.startswith("registry/yaml_"))
    ]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and is_unsafe(node, where):
            found.append(f"{where}:{node.lineno} {ast.unparse(node.func)}")
    return found


def is_unsafe(node: ast.Call, where: str) -> bool:
    called = ast.unparse(node.func)
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    return (
        called in FORBIDDEN_CALLS
        or called in ("os.system", "os.popen", "pty.spawn")
        or keywords.get("shell", "False") != "False"
        or called.endswith((".extractall", "unpack_archive"))
        or (called in ("torch.load", "load_file") and keywords.get("weights_only") != "True")
        or keywords.get("allow_pickle", "False") != "False"
        or (called.startswith("yaml.") and "load" in called.lower() and where != YAML_HOME)
    )


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from yaml import load", "eval('1')", "os.system('ls')",
        "subprocess.run('ls', shell=True)", "archive.extractall()", "torch.load('x')",
        "torch.load('x', weights_only=False)", "np.load('x', allow_pickle=True)",
        "yaml.safe_load('x')",
    ],
)  # fmt: skip
def test_the_rule_can_be_broken(line, tmp_path):
    """The checks above see what they should."""
    bad = tmp_path / "bad.py"
    bad.write_text(f"{line}\n", "utf-8")
    assert len(unsafe_parts(bad, "methods/bad.py")) == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_stays_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= 420


def test_benchmarks_are_those_that_the_vocabulary_says_are_built():
    built = {n for n, entry in load_vocabulary().benchmarks.items() if entry.status == "built"}
    classes = load_benchmarks()
    assert set(classes) == built
    for name, cls in classes.items():
        assert dict(cls.metrics) == load_vocabulary().benchmarks[name].metrics


def test_what_a_benchmark_sets_is_a_setting_of_its_runs_methods():
    catalog = load_catalog()
    entries = catalog.vocabulary.benchmarks
    for paper in catalog.papers:
        for run in paper.runs:
            if named := entries[run.benchmark].sets:
                assert set(named) <= set(find_method(paper.method).load().Config.model_fields)


def test_every_paper_of_the_survey_is_there():
    ids = [
        "2013-predicting-parameters", "2014-linear-structure", "2014-low-rank-expansions",
        "2015-hashed-nets", "2016-deep-compression", "2016-eie", "2016-few-multiplications",
        "2016-joint-low-rank-rnn", "2016-limited-precision-rnn", "2016-quantized-cnn",
        "2016-squeezenet", "2017-trained-ternary-quantization",
    ]  # fmt: skip
    catalog = load_catalog()
    assert [paper.id for paper in catalog.papers] == ids
    for paper in catalog.papers:
        assert sum(claim.headline for claim in paper.claims) >= 1
        assert paper.source.listing is not None
        assert paper.method == paper.id[5:]


def test_help_is_quick_and_imports_no_torch():
    script = (
        "import sys, json\nfrom netcompress.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps([m for m in ('torch', 'numpy', 'pydantic', 'mkdocs', 'rich.table') "
        "if m in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert json.loads(done.stderr) == []
    assert "papers" in done.stdout
