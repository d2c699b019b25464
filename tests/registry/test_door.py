import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import registry

ROOT = Path(__file__).parents[2]


def test_the_door_holds_what_it_promises() -> None:
    assert registry.__all__ == sorted(registry.__all__)
    assert set(registry.__all__) == set(registry._HOMES)
    for name in registry.__all__:
        assert getattr(registry, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = registry.nothing


def test_errors_alone_are_quick_to_import() -> None:
    program = "import sys, registry.errors; sys.exit(bool({'pydantic', 'yaml'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert (
        subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode
        == 0
    )


def test_the_registry_imports_no_other_room_and_no_torch() -> None:
    refused = {"torch", "numpy", "methods", "benchmarks", "netcompress"}
    for path in (ROOT / "registry").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & refused, path


def test_yaml_is_loaded_in_one_place() -> None:
    users = [
        path.name
        for path in (ROOT / "registry").glob("*.py")
        if "import yaml" in path.read_text(encoding="utf-8")
    ]
    assert users == ["yaml_reader.py"]
