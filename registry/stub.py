"""The texts that a new paper starts from: a plugin that runs, and a test."""

import os
from pathlib import Path

_PLUGIN = '''"""{paper}: say here which paper, which sections and equations, and what is left out.

A stand-in to replace: it stores every tensor as 16-bit floating point, which halves the file.
"""

from typing import Any, ClassVar, Literal

from torch import nn

from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.formats.format import Format
from methods.method import MethodConfig, Task


class {cls}Config(MethodConfig):
    """Hyper-parameters; the paper's values are the defaults."""

    storage: Literal["float16", "bfloat16"] = "float16"


class {cls}:
    """The plugin."""

    name: ClassVar[str] = "{method}"
    paper: ClassVar[str] = "{paper}"
    Config: ClassVar[type[MethodConfig]] = {cls}Config
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "nothing"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 1

    def applies_to(self, module: nn.Module) -> str | None:
        """Linear and convolutional layers."""
        if isinstance(module, nn.Linear | nn.Conv2d):
            return None
        return f"{{type(module).__name__}} is not a linear or convolutional layer"

    def compress(self, task: Task, config: Any, *, seed: int) -> Compressed:
        """Round every tensor of ``task.network``."""
        network, metadata = task.network, {{"method": self.name}}
        formats: dict[str, Format] = {{
            name: Dense(parameter, config.storage) for name, parameter in network.named_parameters()
        }}
        if isinstance(network, nn.Sequential):
            return Compressed.from_sequential(network, formats, metadata)
        return Compressed.from_tensors(network.state_dict(), formats, metadata)
'''

_TEST = '''"""{paper}: its record holds, and its plugin compresses a network."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from methods.discovery import load_method
from registry.catalog import check_files

HERE = Path(__file__).resolve().parent
RECORD = HERE / "{record}"
PLUGIN = HERE / "{plugin}"


def test_the_record_holds() -> None:
    assert check_files([RECORD]) == []


def test_the_plugin_belongs_to_the_record() -> None:
    assert load_method(str(PLUGIN)).paper == "{paper}"


def test_the_plugin_compresses_a_small_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    method = load_method(str(PLUGIN))
    task = SimpleNamespace(name="small", network=network, device=torch.device("cpu"))
    compressed = method.compress(task, method.Config(), seed=0)
    inputs = torch.randn(4, 8)
    with torch.no_grad():
        assert compressed.network(inputs) == pytest.approx(network(inputs), abs=0.1)
'''


def plugin_text(paper_id: str, method: str, cls: str) -> str:
    """A plugin that runs: see methods.method for what is asked of it."""
    return _PLUGIN.format(paper=paper_id, method=method, cls=cls)


def test_text(paper_id: str, record: Path, plugin: Path, test: Path) -> str:
    """A test of both, which finds them relative to itself."""
    here = test.parent.absolute()
    return _TEST.format(
        paper=paper_id,
        record=Path(os.path.relpath(record.absolute(), here)).as_posix(),
        plugin=Path(os.path.relpath(plugin.absolute(), here)).as_posix(),
    )
