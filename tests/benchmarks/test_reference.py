"""Reference networks: what their recipes fix, and dropout while they are trained."""

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.reference import Recipe, train_reference, with_dropout
from methods.networks import mlp
from methods.training import ClassificationTask

PLAIN = Recipe(network="mlp", epochs=2, learning_rate=0.1, batch_size=8)
DROPPING = PLAIN.model_copy(update={"input_dropout": 0.2, "dropout": 0.5})


@pytest.fixture
def task() -> ClassificationTask:
    return new_task()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path))


def new_task() -> ClassificationTask:
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    labels = (rows[:, 0] > 0).long()
    split = (rows, labels)
    return ClassificationTask(
        "mlp", mlp((6, 5, 2), 0), lambda seed: mlp((6, 5, 2), seed), split, split, batch_size=8
    )


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([one.detach().reshape(-1) for one in network.parameters()])


def test_a_recipe_without_dropout_has_the_fingerprint_that_it_had_before_there_was_any() -> None:
    recipe = Recipe(network="lenet-300-100", epochs=30, learning_rate=0.1, batch_size=128)
    wanted = "b0612e88cfa417f11e24d3f5bd26962aeda8b4e64d1d9ad0d7c8d7811831cafa"
    assert recipe.fingerprint({"a": "b"}, 3) == wanted
    dropping = recipe.model_copy(update={"dropout": 0.5})
    assert dropping.fingerprint({"a": "b"}, 3) != wanted


def test_dropout_stands_after_the_inputs_and_after_each_relu(task: ClassificationTask) -> None:
    dropping = with_dropout(task.network, DROPPING)
    kinds = [type(layer).__name__ for layer in dropping.children()]
    assert kinds == ["Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    shares = [one.p for one in dropping.children() if isinstance(one, nn.Dropout)]
    assert shares == [0.2, 0.5]
    ours, theirs = list(task.network.parameters()), list(dropping.parameters())
    assert all(one is other for one, other in zip(ours, theirs, strict=True))


def test_no_dropout_is_the_network_itself(task: ClassificationTask) -> None:
    assert with_dropout(task.network, PLAIN) is task.network


def test_dropout_changes_what_is_learned_and_nothing_stays_of_it(task: ClassificationTask) -> None:
    train_reference(task, DROPPING, {}, 0)
    assert not task.network.training
    assert [type(layer) for layer in task.network] == [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]
    other = new_task()
    train_reference(other, PLAIN, {}, 0)
    assert not torch.equal(weights(task.network), weights(other.network))


def test_what_dropout_leaves_out_is_fixed_by_the_seed_alone(
    task: ClassificationTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    train_reference(task, DROPPING, {}, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "other"))
    again, other = new_task(), new_task()
    train_reference(again, DROPPING, {}, 0)
    assert torch.equal(weights(task.network), weights(again.network))
    train_reference(other, DROPPING, {}, 1)
    assert not torch.equal(weights(task.network), weights(other.network))


def test_the_cache_gives_the_same_weights_without_training(
    task: ClassificationTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_reference(task, DROPPING, {}, 0)
    other = new_task()
    monkeypatch.setattr(other, "fit", lambda *args, **named: pytest.fail("trained again"))
    skipped: list[int] = []
    train_reference(other, DROPPING, {}, 0, skipped=skipped.append)
    assert skipped == [DROPPING.epochs]
    assert torch.equal(weights(task.network), weights(other.network))
