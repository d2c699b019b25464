"""compress, inspect and decompress through the real entry point."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import methods
from methods.compressed import load
from netcompress.__main__ import main
from netcompress.output import EpochLine

ROOT = Path(methods.__file__).resolve().parent.parent
MODULE = """
from torch import nn

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.gru = nn.Embedding(40, 16), nn.GRU(16, 16, batch_first=True)
        self.out = nn.Linear(16, 40, bias=False)
        self.out.weight = self.emb.weight

    def forward(self, x):
        print("noise")
        return self.out(self.gru(self.emb(x))[0][:, -1])
"""
METHOD = """
from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.method import MethodConfig
from methods.weights import find_weights

class HalfConfig(MethodConfig):
    epochs_asked: int = 0

    @property
    def epochs(self):
        return self.epochs_asked

class Half:
    name, paper, Config, starts_from = "half", "2016-half", HalfConfig, "trained"
    needs, compresses, revision = "nothing", True, 1

    def applies_to(self, module):
        return None

    def compress(self, task, config, *, seed):
        task.fit(task.network, config.epochs_asked, learning_rate=0.1, seed=seed)
        found = find_weights(task.network, self.applies_to)
        formats = {one.name: Dense(one.tensor, "float16") for one in found.handled}
        return Compressed.from_module(task.network, formats, {"method": self.name})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a network of each kind, a method and data."""
    where = tmp_path_factory.mktemp("own")
    (where / "own_tied_network.py").write_text(MODULE, "utf-8")
    (where / "half_method.py").write_text(METHOD, "utf-8")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(3, 20, 5), nn.BatchNorm1d(20), nn.Flatten(), nn.Linear(80, 9))
    save_file(network.state_dict(), where / "plain.safetensors")
    torch.save({"model_state": network.half().state_dict(), "epoch": 2}, where / "halves.pt")
    x = np.random.default_rng(0).integers(0, 40, (60, 5))
    np.savez(where / "d.npz", x=x, y=x[:, 0])
    return where


def in_process(folder, *arguments, code=0):
    """The command in a process of its own; returns it finished."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETCOMPRESS_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "netcompress", *arguments],
        capture_output=True, text=True, cwd=folder, check=False, timeout=200,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert done.returncode == code, done.stderr + done.stdout
    return done


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """The same within this process, which is quicker: returns standard output and error."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["netcompress", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert (left.value.code or 0) == code, said.err
        return said

    yield run
    sys.modules.pop("own_tied_network", None)


def check_report(report, path):
    """The keys of the contract, and sizes that add up to the file."""
    assert {"method", "reference_bytes", "file_bytes", "ratio", "layers"} <= set(report)
    for layer in report["layers"]:
        assert {"name", "shape", "format", "bytes", "bits_per_weight"} <= set(layer)
        assert layer["bytes"] == sum(layer["parts"].values())
    assert report["file_bytes"] == path.stat().st_size
    total = report["header_bytes"] + sum(layer["bytes"] for layer in report["layers"])
    assert total == report["file_bytes"]
    assert report["ratio"] == pytest.approx(report["reference_bytes"] / report["file_bytes"], 1e-3)


def test_safetensors_there_and_back(call, folder):
    done = in_process(
        folder, "compress", "plain.safetensors", "--method", "half_method.py", "-o", "a.netc",
        "--json",
    )  # fmt: skip
    report = json.loads(done.stdout)
    check_report(report, folder / "a.netc")
    original = load_file(folder / "plain.safetensors")
    parameters = [n for n in original if "running" not in n and "batches" not in n]
    assert report["reference_bytes"] == sum(original[name].numel() * 4 for name in parameters)
    assert report["dense"]["1.running_mean"].startswith("statistics")
    assert "left dense (a bias, small): 0.bias, 1.bias, 3.bias" in done.stderr
    call("decompress", "a.netc", "-o", "back.safetensors")
    back = load_file(folder / "back.safetensors")
    assert set(back) == set(original)
    for name, tensor in original.items():
        assert back[name].dtype == tensor.dtype
        wanted = tensor.half().float() if name in ("0.weight", "3.weight") else tensor
        assert torch.equal(back[name], wanted), name


def test_a_state_dict_within_a_pt_file_of_halves(folder):
    done = in_process(
        folder, "compress", "halves.pt", "--method", "half_method.py", "-o", "h.netc", "--json"
    )
    report = json.loads(done.stdout)
    check_report(report, folder / "h.netc")
    assert report["original_bytes"] < report["reference_bytes"]
    assert "'model_state' are taken; left out: epoch" in done.stderr
    assert load(folder / "h.netc").tensors()["3.weight"].dtype == torch.float16


def test_a_factory_with_data_and_ties(call, folder):
    done = in_process(
        folder, "compress", "own_tied_network:Tied", "--method", "half_method.py", "--data",
        "d.npz", "--set", "epochs_asked=2", "--seed", "3", "-o", "t.netc", "--json",
    )  # fmt: skip
    report = json.loads(done.stdout)
    check_report(report, folder / "t.netc")
    assert [layer["format"] for layer in report["layers"]].count("alias") == 1
    assert "noise" in done.stderr
    assert "epoch 2 of 2" in done.stderr
    call("decompress", "t.netc", "-o", "t.safetensors")
    with safe_open(folder / "t.safetensors", "pt") as file:
        assert json.loads(file.metadata()["netcompress.ties"]) == {"out.weight": "emb.weight"}
        assert torch.equal(file.get_tensor("out.weight"), file.get_tensor("emb.weight"))


def test_inspect_shows_what_compress_showed(call, folder):
    arguments = ("compress", "plain.safetensors", "--method", "half_method.py", "-o", "i.netc")
    shown = call(*arguments).out
    assert shown == call("inspect", "i.netc").out
    for text in (
        "3.weight",
        "9 x 80",
        "dense",
        "1,441",
        "16.01",
        "values 1,441",
        "header",
        "ratio",
    ):
        assert text in shown
    report = json.loads(call("inspect", "i.netc", "--json").out)
    check_report(report, folder / "i.netc")
    again = json.loads(call(*arguments, "--json", "--force").out)
    assert {key: again[key] for key in report} == report


def test_weights_fill_what_a_factory_makes(call, folder):
    call("compress", "own_tied_network:Tied", "--method", "half_method.py", "-o", "f.netc")
    call("decompress", "f.netc", "-o", "f.safetensors")
    call(
        "compress", "own_tied_network:Tied", "--weights", "f.safetensors", "--seed", "9",
        "--method", "half_method.py", "-o", "g.netc",
    )  # fmt: skip
    assert (folder / "f.netc").read_bytes() == (folder / "g.netc").read_bytes()


HALF = ("--method", "half_method.py")
PLAIN = ("compress", "plain.safetensors", *HALF)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*PLAIN, "-o", "there.netc"), "pass --force"),
        ((*PLAIN, "-o", "a.safetensors"), "a .netc file: name it so"),
        ((*PLAIN, "-o", "no/folder/a.netc"), "there is no folder"),
        ((*PLAIN, "-o", "x.netc", "--set", "epochs_askde=2"), "did you mean 'epochs_asked'?"),
        ((*PLAIN, "-o", "x.netc", "--set", "epochs_asked=many"), "epochs_asked: "),
        ((*PLAIN, "-o", "x.netc", "--set", "epochs_asked"), "write key=value"),
        ((*PLAIN, "-o", "x.netc", "--set", "epochs_asked=1"), "needs training data: give --data"),
        ((*PLAIN, "-o", "x.netc", "--data", "d.npz"), "a state dict alone cannot run"),
        ((*PLAIN, "-o", "x.netc", "--data", "none.npz"), "none.npz: cannot be read"),
        ((*PLAIN, "-o", "x.netc", "--weights", "halves.pt"), "leave out --weights"),
        (("compress", "none.pt", *HALF, "-o", "x.netc"), "none.pt: cannot be read"),
        (("compress", "there.netc", *HALF, "-o", "x.netc"), "names no network"),
        (("compress", "own_tied_network:Teid", *HALF, "-o", "x.netc"), "has no Teid"),
        (("compress", "plain.safetensors", "--method", "deep-compresion", "-o", "x.netc"),
         "did you mean 'deep-compression'?"),
        (("inspect", "none.netc"), "none.netc: cannot be read"),
        (("inspect", "plain.safetensors"), "plain.safetensors: this is no .netc file"),
        (("decompress", "plain.safetensors", "-o", "y.safetensors"), "this is no .netc file"),
        (("decompress", "there.netc", "-o", "plain.safetensors"), "pass --force"),
        (("decompress", "there.netc", "-o", "y.pt"), "a .safetensors file: name it so"),
        (("decompress", "short.netc", "-o", "y.safetensors"), "cut short"),
        (("decompress", "there.netc", "-o", "y.safetensors", "--max-bytes", "9"), "more than 9"),
    ],
)  # fmt: skip
def test_what_the_user_must_mend_is_one_message(arguments, message, call, folder):
    if not (folder / "short.netc").exists():
        call(*PLAIN, "-o", "there.netc")
        (folder / "short.netc").write_bytes((folder / "there.netc").read_bytes()[:-3])
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = call(*arguments, code=2)
    assert message in said.err
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_file_is_overwritten_when_asked(call, folder):
    (folder / "old.netc").write_bytes(b"old")
    call(*PLAIN, "-o", "old.netc", "--force")
    assert load(folder / "old.netc").metadata["method"] == "half"


def test_progress_in_a_file_is_every_tenth_epoch(capsys):
    line = EpochLine()
    for done in range(1, 31):
        line(done, 30)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"epoch {done} of 30" for done in range(3, 31, 3)]


def test_long_training_tells_the_time_left_and_what_to_do_once(capsys, monkeypatch):
    now = iter(range(0, 100_000, 40))  # seconds: one epoch takes 40
    monkeypatch.setattr("netcompress.output.time.monotonic", lambda: next(now))
    line = EpochLine("what to do")
    for done in range(1, 101):
        line(done, 100)
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == ["epoch 2 of 100, about 65 min left", "what to do", (
        "epoch 4 of 100, about 64 min left"
    )]  # fmt: skip
    assert said[-2:] == ["epoch 98 of 100, about 80 s left", "epoch 100 of 100"]
    assert said.count("what to do") == 1


def test_an_interrupt_says_that_nothing_is_written(call, folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("methods.compress.carry_out", interrupted)
    said = call(*PLAIN, "-o", "never.netc", code=130)
    assert said.err == "netcompress: interrupted, nothing is written to never.netc\n"
    assert not (folder / "never.netc").exists()


def test_the_errors_on_the_rows_held_out_are_told(call, folder):
    tied = ("compress", "own_tied_network:Tied", "--method", "half_method.py", "-o", "e.netc")
    assert "held out" not in call(*tied, "--force").err
    said = call(*tied, "--data", "d.npz", "--force").err
    assert re.search(r"held out: \d+\.\d% of your network, \d+\.\d% of the file's\n", said)


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [("grid=8x8", "grid: Input should be a list, such as"), ("shares=half", "a value for each")],
)
def test_what_is_no_json_is_told_in_the_words_of_json(setting, wanted, call, folder):
    wrong = ("--method", "predicting-parameters", "--set", setting)
    assert wanted in call("compress", "plain.safetensors", *wrong, "-o", "w.netc", code=2).err


def test_the_settings_of_a_method(call):
    settings = {
        one["setting"]: one for one in json.loads(call("methods", "quantized-cnn", "--json").out)
    }
    assert settings["conv_subspace"]["default"] == 8
    assert settings["conv_subspace"]["takes"] == "a whole number at least 1 and at most 1024"
    assert settings["quantize"]["takes"] == "all, convolutions, fully-connected"
    assert "a list of 2" in settings["layers"]["takes"]
    shown = call("methods", "2015-hashed-nets").out
    assert "train_epochs" in shown
    assert "1000" in shown
    assert call("methods", "float16").err == "no settings\n"
    assert "unknown method" in call("methods", "nonsense", code=2).err
