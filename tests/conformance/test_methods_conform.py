"""Every built-in method passes the suite that outside authors run; and the suite can fail."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from methods.checks import WatchedTask, check_method, require, short_config
from methods.compressed import Compressed
from methods.discovery import discover, load_method
from methods.formats.dense import Dense
from methods.method import MethodConfig
from registry.errors import UserError

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "methods.json"
BUILT_IN = sorted(name for name, found in discover().items() if found.origin == "built in")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_method_conforms(name):
    require(check_method(name))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_change_of_numbers_comes_with_a_new_revision(name):
    """A tiny run with a fixed seed: the same revision must give the same numbers.

    To renew after raising ``revision``: run this test with the environment variable
    NETCOMPRESS_RENEW_GOLDEN set, and commit the file.
    """
    method = load_method(name)
    task = WatchedTask()
    made = method.compress(task, short_config(method), seed=0)
    numbers = {"bytes": len(made.to_bytes())}
    for parameter, held in made.formats.items():
        dense = held.decode()
        numbers[f"{parameter} sum of magnitudes"] = float(dense.abs().sum())
        numbers[f"{parameter} survivors"] = int((dense != 0).sum())
    if os.environ.get("NETCOMPRESS_RENEW_GOLDEN"):
        golden = json.loads(GOLDEN.read_text("utf-8"))
        golden[name] = {"revision": method.revision, "numbers": numbers}
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", "utf-8")
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert golden[name]["revision"] == method.revision, "renew the golden numbers (see docstring)"
    # Summation order differs between processors: bytes may move by a few, sums by little.
    assert numbers.pop("bytes") == pytest.approx(golden[name]["numbers"].pop("bytes"), rel=0.02)
    assert numbers == pytest.approx(golden[name]["numbers"], rel=2e-2), "raise the revision"


@pytest.mark.parametrize("name", BUILT_IN)
def test_constants_that_are_read_from_the_source_are_those_of_the_class(name):
    found = discover()[name]
    for constant in ("name", "paper", "starts_from", "needs", "compresses", "revision"):
        assert found.constant(constant) == getattr(found.load(), constant)
    assert found.constant("no_such_constant") is None


class Plain:
    """Honest and does nothing but round to float16."""

    name = "plain"
    paper = "2000-plain"
    Config = MethodConfig
    starts_from = "trained"
    needs = "nothing"
    compresses = True
    revision = 1

    def applies_to(self, module: nn.Module) -> str | None:
        return None if isinstance(module, nn.Linear) else "no linear layer"

    def compress(self, task, config, *, seed):
        state = dict(task.network.named_parameters())
        formats = {name: Dense(value.detach(), "float16") for name, value in state.items()}
        return Compressed.from_sequential(task.network, formats)


class Peeks(Plain):
    def compress(self, task, config, *, seed):
        task.validation_score(task.network)
        _ = task._test
        return super().compress(task, config, seed=seed)


class Spoils(Plain):
    def compress(self, task, config, *, seed):
        with torch.no_grad():
            task.network.ip1.weight.zero_()
        return super().compress(task, config, seed=seed)


class Forgets(Plain):
    """Draws from the global generator."""

    def compress(self, task, config, *, seed):
        state = dict(task.network.named_parameters())
        noise = {name: torch.randn_like(value) for name, value in state.items()}
        formats = {n: Dense((v + noise[n]).detach(), "float16") for n, v in state.items()}
        return Compressed.from_sequential(task.network, formats)


class Grows(Plain):
    def compress(self, task, config, *, seed):
        return Compressed.from_sequential(task.network, {})


class Breaks(Plain):
    def compress(self, task, config, *, seed):
        raise RuntimeError("out of luck")


def test_an_honest_method_passes():
    require(check_method(Plain()))


@pytest.mark.parametrize(
    ("cheat", "check"),
    [
        (Peeks, "touches no test data"),
        (Spoils, "leaves the reference network as it was"),
        (Forgets, "the same seed gives the same file"),
        (Grows, "is smaller than dense float32"),
        (Breaks, "runs: RuntimeError: out of luck"),
    ],
)
def test_a_method_that_cheats_is_caught(cheat, check):
    with pytest.raises(UserError, match=check):
        require(check_method(cheat()))
