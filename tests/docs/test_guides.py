"""The guides' commands are run, each guide in a folder of its own, through the real entry point."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "site" / "pages" / "guides").glob("*.md"))
LONG = {"simulate-eie", "your-own-network"}
"""They train networks in several commands, so they are run with the promises."""
FENCE = re.compile(r"(?ms)^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$")
SHELL = """set -eu
netcompress() { "$PYTHON" -P -m netcompress "$@"; }
"""
COMMAND = re.compile(r"(?m)^\$ (.+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its words, its title and its text."""

    words: frozenset[str]
    title: str | None
    text: str


def blocks(guide: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(guide.read_text(encoding="utf-8")):
        info = match["info"].strip(" {}")
        title = re.search(r'title="([\w.-]+)"', info)
        words = frozenset(word.lstrip(".") for word in info.split() if "=" not in word)
        found.append(Block(words, title[1] if title else None, match["text"]))
    return found


@pytest.mark.parametrize(
    "guide",
    [
        pytest.param(guide, id=guide.stem, marks=[pytest.mark.trust] * (guide.stem in LONG))
        for guide in GUIDES
    ],
)
def test_the_commands_of_a_guide_run(guide: Path, tmp_path: Path) -> None:
    script = [SHELL]
    for block in blocks(guide):
        if block.title is not None:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif "console" in block.words:
            commands = COMMAND.findall(block.text)
            assert commands, f"a console block without a command: {block.text!r}"
            needs = block.words & {"needs-data", "needs-hours", "needs-minutes"}
            if not needs:
                script += commands
    assert len(script) > 3
    ran = run("\n".join(script), tmp_path)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.mark.trust
def test_the_paper_of_the_guide_is_measured(tmp_path: Path, small_data: Path) -> None:
    guide = ROOT / "site" / "pages" / "guides" / "add-a-paper.md"
    # No npm and no way out: the small data set is used, which is enough to see it run.
    shutil.copytree(small_data, tmp_path / "cache")
    away = f"export PATH={tmp_path} https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9"
    script = [SHELL, away, f"export NETCOMPRESS_CACHE={tmp_path / 'cache'}"]
    for block in blocks(guide):
        if block.title is not None:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif "console" in block.words:
            script += [c for c in COMMAND.findall(block.text) if "check-method" not in c]
    ran = run("\n".join(script), tmp_path)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert len(list((tmp_path / "netcompress-results").rglob("*.json"))) == 1


def test_the_claim_that_the_guide_shows_is_one(tmp_path: Path) -> None:
    guide = ROOT / "site" / "pages" / "guides" / "add-a-paper.md"
    (bib,) = [block for block in blocks(guide) if block.title == "my-paper.bib"]
    (claim,) = [block for block in blocks(guide) if "yaml" in block.words]
    (tmp_path / "my-paper.bib").write_text(bib.text, encoding="utf-8")
    made = "export NETCOMPRESS_PAPERS=papers\nnetcompress new 2018-my-paper --bibtex my-paper.bib"
    assert run(f"{SHELL}{made}", tmp_path).returncode == 0
    record = tmp_path / "papers" / "2018-my-paper.yaml"
    text = record.read_text(encoding="utf-8")
    start = text.index("  - id: lenet-300-100-file-ratio")
    record.write_text(text[:start] + claim.text, encoding="utf-8")
    checked = run(f"{SHELL}netcompress validate papers/2018-my-paper.yaml", tmp_path)
    assert checked.returncode == 0, checked.stderr


def run(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETCOMPRESS_P")}
    environment |= {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["NETCOMPRESS_KERNELS"] = "torch"  # nothing to compile
    environment["NETCOMPRESS_RESULTS"] = str(folder / "netcompress-results")
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
