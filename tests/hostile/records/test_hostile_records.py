"""A hostile record is an error line, never a traceback, a crash or a wait (promise 9)."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BATCH = 25
SECONDS_LIMIT = 1.0
MEMORY_LIMIT_BYTES = 200_000_000


def _cases() -> Any:
    spec = importlib.util.spec_from_file_location("hostile_record_cases", HERE / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases = _cases()


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each case's file in a folder of its own."""
    root = tmp_path_factory.mktemp("hostile")
    made = {}
    for name, case in cases.CASES.items():
        folder = root / name
        folder.mkdir()
        made[name] = folder / cases.NAME
        case.make(made[name])
    return made


@pytest.fixture(scope="module")
def outcomes(files: dict[str, Path]) -> dict[str, Any]:
    """What was told of each case. Batches run in processes of their own: one may crash."""
    names = list(files)
    told: dict[str, Any] = {}
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        paths = [str(files[name]) for name in batch]
        done = _run([str(HERE / "examine_files.py"), *paths])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for name, line in zip(batch, lines, strict=False):
            told[name] = line
        if len(lines) < len(batch):
            told[batch[len(lines)]] = {"crash": f"exit {done.returncode}: {done.stderr[-500:]}"}
    return told


def test_there_are_sixty_kinds_and_more() -> None:
    assert len(cases.CASES) >= 60


def test_the_record_that_they_are_made_from_holds(tmp_path: Path) -> None:
    path = tmp_path / cases.NAME
    path.write_text(cases.RECORD, encoding="utf-8")
    done = _run([str(HERE / "examine_files.py"), str(path)])
    assert json.loads(done.stdout)["faults"] == []


@pytest.mark.parametrize("name", list(cases.CASES))
def test_hostile_record(name: str, outcomes: dict[str, Any]) -> None:
    case, told = cases.CASES[name], outcomes[name]
    assert "crash" not in told, told
    fitting = [
        message
        for line, field, message in told["faults"]
        if line == case.line and field == case.field and case.message in message
    ]
    expected = f"{case.line} {case.field}: {case.message}"
    assert fitting, f"expected {expected!r} among {told['faults'][:5]}"
    assert told["seconds"] < SECONDS_LIMIT
    assert told["peak_bytes"] < MEMORY_LIMIT_BYTES
    for _, field, message in told["faults"]:
        assert f"{field}{message}".isprintable()
        assert len(message) < 600
        assert "Traceback" not in message
        assert "cannot be checked" not in message


@pytest.mark.skipif(
    importlib.util.find_spec("netcompress.__main__") is None, reason="there is no command yet"
)
def test_the_command_tells_them_all_and_exits_with_2(files: dict[str, Path]) -> None:
    done = _run(["-m", "netcompress", "validate", *(str(path) for path in files.values())])
    printed = done.stdout + done.stderr
    assert done.returncode == 2, printed[-2000:]
    assert "Traceback" not in printed
    for name, path in files.items():
        assert str(path) in printed.replace("\n", ""), name
    assert "\x1b" not in printed
    assert "\u202e" not in printed
