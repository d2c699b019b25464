"""Timed training steps at tiny widths: what is measured, and that a wrong gradient is not."""

import math
from pathlib import Path

import pytest
import torch

from benchmarks.benchmark import Context, find_benchmark
from benchmarks.hashed_points import NETWORK_NAMES
from benchmarks.hashed_step_speed import DEPTHS, Depth, HashedStepSpeed, Steps
from methods.kernels.choice import VARIABLE
from methods.method import UnsuitableTask
from methods.networks import NETWORKS

TINY = (
    Depth("3-layers", (20, 30, 4), {"quick": 7, "full": 7}),
    Depth("5-layers", (9, 8, 7, 6, 5), {"quick": 3, "full": 3}),
)


@pytest.fixture(params=["numba", "torch"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    path = str(request.param)
    if path == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv(VARIABLE, path)
    return path


def context(folder: Path, device: str = "cpu") -> Context:
    return Context("2015-hashed-nets", "speed", "quick", 0, "", device, folder, {})


def test_ratios_are_positive_and_complete(kernels: str, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    found = HashedStepSpeed(TINY).run(None, context(tmp_path))
    assert torch.get_num_threads() == before
    assert set(found.metrics) == {
        f"{key}.{depth.name}" for key in HashedStepSpeed.metrics for depth in TINY
    }
    for measured in found.metrics.values():
        assert measured.unit == "ratio"
        assert 0 < float(measured.value) < math.inf
    assert found.metrics["step_ratio.3-layers"].low is not None  # seven rounds have an interval
    assert f"layers by {kernels}" in found.remarks[0]


@pytest.mark.parametrize("network", ["hashed", "plain"])
@pytest.mark.parametrize("role", ["values", "bias_values"])
def test_gradients_that_differ_are_not_timed(kernels: str, network: str, role: str) -> None:
    steps = Steps(TINY[0].widths, 0)
    steps.check()
    for one in steps.networks.values():
        one.zero_grad()
    with torch.no_grad():
        steps.networks[network].get_parameter(f"ip2.{role}").mul_(3)
    with pytest.raises(RuntimeError, match="is off by"):
        steps.check()


def test_all_three_learn_the_batch(kernels: str) -> None:
    steps = Steps(TINY[0].widths, 0)
    for name, step in steps.functions.items():
        network = steps.networks[name]
        losses = []
        for _ in range(15):
            step()
            with torch.no_grad():
                outputs = network(steps.inputs)
            losses.append(float(torch.nn.functional.cross_entropy(outputs, steps.labels)))
        assert losses[-1] < losses[0] - 0.02, name


def test_its_networks_are_those_of_the_paper() -> None:
    assert find_benchmark("hashed-step-speed").constant("runs_alone") is True
    for depth in DEPTHS:
        layers = int(depth.name.partition("-")[0])
        network = NETWORKS[NETWORK_NAMES[layers]](0)
        linear = [one for one in network if isinstance(one, torch.nn.Linear)]
        widths = (linear[0].in_features, *(one.out_features for one in linear))
        assert widths == depth.widths
        assert set(depth.rounds) == {"quick", "full"}


def test_another_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableTask, match="--device cpu"):
        HashedStepSpeed(TINY).run(None, context(tmp_path, "cuda"))
