"""Networks on the simulated EIE machine, whole, on made-up data."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import eie_networks
from benchmarks.benchmark import Context, Outcome
from benchmarks.eie_networks import EieLenet300100, EieSpokenVowels
from benchmarks.mnist import TEST_ROWS
from benchmarks.splits import ImageSplit
from benchmarks.spoken_vowels import Utterances, VowelSplits

TRAIN, TEST = 240, 60
CONFIGURATION = {"rounds": 1, "final_epochs": 1, "codebook_epochs": 1, "learning_rate": 0.02}


def made_up_digits(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    images = generator.integers(0, 30, (rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 6 + 2 * label] = 250
    return images, labels


def made_up_voices(cases: int, generator: np.random.Generator) -> Utterances:
    """A speaker of three is heard in one channel of three."""
    speakers = np.arange(cases) % 3
    sequences = []
    for speaker in speakers:
        sequence = generator.normal(0, 0.1, (7 + int(generator.integers(5)), 12))
        sequence[:, speaker] += 1.5
        sequences.append(sequence.astype(np.float32))
    return Utterances(tuple(sequences), speakers.astype(np.int64))


def context(folder: Path, data: str) -> Context:
    return Context("2016-eie", "networks", "full", 1, data, "cpu", folder, CONFIGURATION)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Both benchmarks at full scale on made-up data."""
    folder, generator = tmp_path_factory.mktemp("eie"), np.random.default_rng(7)
    digits = ImageSplit(*made_up_digits(TRAIN, generator), *made_up_digits(TEST, generator))
    voices = VowelSplits(*(made_up_voices(cases, generator) for cases in (60, 12, TEST)))
    short = {"epochs": 6, "batch_size": 8, "learning_rate": 0.05}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_CACHE", str(folder))
        patch.setattr("benchmarks.mnist.load", lambda name: digits)
        patch.setattr("benchmarks.measure.load", lambda name: digits)
        patch.setattr(eie_networks, "load_vowels", lambda: voices)
        patch.setattr(eie_networks, "TEST_CASES", (TEST,))
        patch.setitem(TEST_ROWS, "mnist", TEST)
        patch.setattr(eie_networks, "SIMULATED_ROWS", {"full": 3})
        for name in ("LENET_RECIPES", "LSTM_RECIPES"):
            recipe = getattr(eie_networks, name)["full"].model_copy(update=short)
            patch.setattr(eie_networks, name, {"full": recipe})
        return {
            "lenet": EieLenet300100().run(None, context(folder, "mnist")),
            "vowels": EieSpokenVowels().run(None, context(folder, "japanese-vowels")),
        }


@pytest.mark.parametrize(
    ("name", "benchmark", "layers"),
    [
        ("lenet", EieLenet300100, ("ip1", "ip2", "ip3")),
        ("vowels", EieSpokenVowels, ("lstm", "output")),
    ],
)
def test_every_metric_is_measured_in_its_unit(
    outcomes: dict[str, Outcome], name: str, benchmark: type, layers: tuple[str, ...]
) -> None:
    found, wanted = outcomes[name].metrics, set()
    for metric, about in benchmark.metrics.items():
        keys = [f"{metric}.{layer}" for layer in layers] if about.per == "layer" else [metric]
        wanted |= set(keys)
        assert all(found[key].unit == about.unit for key in keys)
        if about.interval == "binomial":
            assert all(found[key].n == TEST for key in keys)
    assert set(found) == wanted


@pytest.mark.parametrize("name", ["lenet", "vowels"])
def test_errors_are_of_the_whole_test_split_and_losses_their_differences(
    outcomes: dict[str, Outcome], name: str
) -> None:
    found = {key: one.value for key, one in outcomes[name].metrics.items()}
    assert found["reference_error"] < 0.2, "the made-up data are not learnt: this tells nothing"
    assert abs(found["loss_16_bits"]) <= 0.05
    assert found["reclustering_loss"] == pytest.approx(
        found["machine_error"] - found["compressed_error"]
    )
    assert found["loss_8_bits"] == pytest.approx(
        found["machine_error_8_bits"] - found["machine_error"]
    )


def test_counters_hang_together(outcomes: dict[str, Outcome]) -> None:
    for name, layers in (("lenet", ("ip1", "ip2", "ip3")), ("vowels", ("lstm", "output"))):
        found = {key: one.value for key, one in outcomes[name].metrics.items()}
        for layer in layers:
            assert found[f"theoretical_cycles.{layer}"] < found[f"cycles.{layer}"]
            assert 0 < found[f"load_balance.{layer}"] <= 1
            assert 0 < found[f"activation_density.{layer}"] <= 1
            # 586.5 mW at 800 MHz: 64 PEs and the tree of 21 nodes.
            joules = found[f"cycles.{layer}"] / 800e6 * 0.5865
            assert found[f"energy.{layer}"] == pytest.approx(joules, rel=1e-3)
    assert found["products.output"] == 3
    assert 21 <= found["products.lstm"] <= 33
    lenet = outcomes["lenet"].metrics
    assert lenet["weight_density.ip1"].value <= 0.08 + 1e-5
    assert lenet["weight_density.ip3"].value <= 0.26 + 1e-5


def test_what_was_chosen_and_clustered_is_told(outcomes: dict[str, Outcome]) -> None:
    told = "\n".join(outcomes["vowels"].remarks)
    assert re.search(r"validation errors by density: 10%: 0\.\d+, 15%: 0\.\d+, 20%: 0\.\d+", told)
    assert "non-zero instead of positive" in told
    assert re.search(r"lstm: \d+ weight values clustered to 15", told)
    assert re.search(r"16 bits: lstm has -?\d+ fraction bits in activations", told)
    assert sum(outcomes["vowels"].size_bytes.values()) > 1_000


def test_the_same_seed_gives_the_same_network_from_the_cache(
    outcomes: dict[str, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An LSTM's reference is kept and filled as any other."""
    from benchmarks.reference import Recipe, train_reference
    from benchmarks.spoken_vowels import vowel_task

    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path))
    generator = np.random.default_rng(0)
    splits = VowelSplits(*(made_up_voices(cases, generator) for cases in (9, 3, 3)))
    recipe = Recipe(network="lstm-100", epochs=1, learning_rate=0.05, batch_size=9)
    skipped: list[int] = []
    trained = []
    for _ in range(2):
        task = vowel_task(splits, recipe, 0, "cpu")
        train_reference(task, recipe, {}, 0, skipped=skipped.append)
        trained.append(task.network.state_dict())
    assert skipped == [1]
    assert all(torch.equal(one, trained[1][name]) for name, one in trained[0].items())
