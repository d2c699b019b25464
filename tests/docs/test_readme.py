"""What the README says holds: its commands run, its links lead somewhere, CI runs its tests."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SETUP = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
COMMANDS = re.findall(r"^\$ netcompress (.*)$", README, re.MULTILINE)


def test_there_are_two_setup_commands_and_ci_runs_the_second():
    assert len(SETUP) == 2
    assert "netcompress run --scale quick" in SETUP[0]
    assert "pytest" in SETUP[1]
    assert SETUP[1] in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETCOMPRESS_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "netcompress", *shlex.split(command)],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120,
        env={**environment, "PYTHONPATH": str(ROOT), "NETCOMPRESS_PAPERS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


def test_local_links_and_folders_are_there():
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    folders = re.findall(r"^\| `([a-z_/]+)` \|", README, re.MULTILINE)
    assert linked
    assert folders
    for path in [*linked, *folders]:
        assert (ROOT / path).exists(), path


def test_the_tables_are_up_to_date():
    """SURVEY.md, CLAIMS.md, BASELINES.md and README's block say what records and results say."""
    from benchmarks.board import read_published_board
    from benchmarks.report import (
        BLOCK_BEGIN,
        BLOCK_END,
        baselines_document,
        claims_document,
        readme_block,
        survey_document,
    )

    board = read_published_board()
    assert (ROOT / "SURVEY.md").read_text("utf-8") == survey_document(
        board.catalog, board.standings
    )
    assert (ROOT / "CLAIMS.md").read_text("utf-8") == claims_document(
        board.catalog, board.standings
    )
    assert (ROOT / "BASELINES.md").read_text("utf-8") == baselines_document(board)
    block = README.split(BLOCK_BEGIN)[1].split(BLOCK_END)[0].lstrip("\n")
    assert block == readme_block(board.catalog, board.standings)
