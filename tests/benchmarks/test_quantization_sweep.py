"""The sweep over bits, whole, on a few made-up digits; and its parts by their laws."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import quantization_sweep
from benchmarks.benchmark import Context, Outcome
from benchmarks.mnist import RECIPES, TEST_ROWS
from benchmarks.quantization_sweep import (
    BITS,
    LenetQuantizationSweep,
    Subject,
    least_bits,
    quantized,
    ratio_measurement,
    weights_of,
    with_layers_of,
)
from benchmarks.splits import ImageSplit
from methods.cluster import kmeans
from methods.deep_compression import DeepCompression, DeepCompressionConfig
from methods.formats.sparse_codebook import SparseCodebook
from methods.method import UnsuitableTask
from methods.networks import lenet_5
from methods.prune import magnitude_mask
from registry.catalog import load_catalog

TRAIN, TEST = 240, 120
CONFIGURATION = {"rounds": 1, "final_epochs": 1, "codebook_epochs": 1, "learning_rate": 0.02}
SERIES_BITS = [f"{bits}-bits" for bits in range(2, 9)]


def made_up_digits(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bright square for each digit, at a place of its own, in noise."""
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    images = generator.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
        image[top : top + 8, left : left + 5] = 250
    return images, labels


@dataclass
class Swept:
    outcome: Outcome
    told: list[tuple[float, str]]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """One run at full scale on made-up digits."""
    generator = np.random.default_rng(7)
    digits = ImageSplit(*made_up_digits(TRAIN, generator), *made_up_digits(TEST, generator))
    folder = tmp_path_factory.mktemp("sweep")
    told: list[tuple[float, str]] = []
    context = Context(
        paper="2016-deep-compression",
        run="bits",
        scale="full",
        seed=3,
        data="mnist",
        device="cpu",
        folder=folder,
        configuration=CONFIGURATION,
        progress=lambda share, what: told.append((share, what)),
    )
    recipe = RECIPES["lenet-5"]["full"]
    short = recipe.model_copy(update={"epochs": 5, "learning_rate": 0.02, "batch_size": 16})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_CACHE", str(folder))
        patch.setattr("benchmarks.mnist.load", lambda name: digits)
        patch.setattr("benchmarks.measure.load", lambda name: digits)
        patch.setitem(TEST_ROWS, "mnist", TEST)
        patch.setitem(RECIPES["lenet-5"], "full", short)
        patch.setattr(quantization_sweep, "RETRAINING_ROWS", {"full": 16, "quick": 16})
        outcome = LenetQuantizationSweep().run(DeepCompression(), context)
    return Swept(outcome, told)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """LeNet-5, untrained: what is tested of it does not need training."""
    return lenet_5(1)


def unpruned(network: nn.Module) -> Subject:
    names = weights_of(network, nn.Conv2d) + weights_of(network, nn.Linear)
    parameters = dict(network.named_parameters())
    masks = {name: torch.ones_like(parameters[name], dtype=torch.bool) for name in names}
    return Subject(network, masks, 0)


def pruned(network: nn.Module) -> Subject:
    masks = {
        name: magnitude_mask(parameter, 0.1)
        for name, parameter in network.named_parameters()
        if name.endswith(".weight")
    }
    return Subject(network, masks, 5)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def test_every_metric_is_measured_in_its_unit_at_every_number_of_bits(swept: Swept) -> None:
    found, wanted = swept.outcome.metrics, set()
    for name, metric in LenetQuantizationSweep.metrics.items():
        keys = [f"{name}.{bits}" for bits in SERIES_BITS] if metric.per == "series" else [name]
        wanted |= set(keys)
        assert all(found[key].unit == metric.unit for key in keys)
        if metric.interval == "binomial":
            assert all(found[key].n == TEST for key in keys)
    assert set(found) == wanted


def test_every_claim_of_the_record_finds_its_measurement(swept: Swept) -> None:
    paper = load_catalog().get("2016-deep-compression")
    claims = [c for c in paper.claims if c.benchmark == LenetQuantizationSweep.name]
    assert len(claims) >= 21
    for claim in claims:
        suffix = f".{claim.layer}" if claim.layer else ""
        keys = [claim.measured_as]
        if claim.ordering is not None:
            keys = [claim.ordering.minuend + suffix, claim.ordering.subtrahend + suffix]
        assert all(key in swept.outcome.metrics for key in keys), claim.id


def test_eight_bits_hardly_change_the_networks(swept: Swept) -> None:
    found = swept.outcome.metrics
    reference = found["reference_error"].value
    assert reference < 0.2, "the made-up digits are not learnt, so this test tells nothing"
    assert found["error_quantized.8-bits"].value == pytest.approx(reference, abs=0.02)
    after_pruning = found["error_pruned"].value
    assert found["error_pruned_quantized.8-bits"].value == pytest.approx(after_pruning, abs=0.02)


def test_both_is_the_pruned_network_with_linear_initialisation(swept: Swept) -> None:
    found = swept.outcome.metrics
    for bits in SERIES_BITS:
        assert found[f"error_pruned_quantized.{bits}"] == found[f"error_linear.{bits}"]


def test_sizes_of_both_ways_together_are_smallest(swept: Swept) -> None:
    found = swept.outcome.metrics
    pruned_only = found["ratio_pruned"].value
    # 430,500 weights, 35,680 survivors of 37 bits, and padding.
    assert 6 < pruned_only < 32 / 37 * 430_500 / 35_680
    for bits in range(2, 9):
        both, alone = (found[f"ratio_{way}.{bits}-bits"].value for way in ("both", "quantized"))
        assert both > max(alone, pruned_only)
        assert alone == pytest.approx(32 / bits, rel=0.02)


def test_progress_rises_and_what_was_cut_is_told(swept: Swept) -> None:
    shares = [share for share, _ in swept.told]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] < 1
    assert any("16 training images" in remark for remark in swept.outcome.remarks)


@pytest.mark.parametrize("method", [None, "another"])
def test_it_takes_no_other_method(method: str | None, tmp_path: Path) -> None:
    class Another(DeepCompression):
        class Config(DeepCompression.Config.__base__):  # type: ignore[misc,name-defined]
            pass

    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, {})
    with pytest.raises(UnsuitableTask, match="deep-compression"):
        LenetQuantizationSweep().run(Another() if method else None, context)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["linear", "density", "random"])
def test_a_quantized_network_is_what_its_codebooks_decode_to(network: nn.Module, how: str) -> None:
    subject = pruned(network)
    changed, codebooks = quantized(subject, 3, how, DeepCompressionConfig(), seed=5)  # type: ignore[arg-type]
    for name, parameter in changed.named_parameters():
        if name in codebooks:
            book = codebooks[name]
            held = SparseCodebook.from_codes(
                subject.masks[name], book.codes, book.centroids.detach()
            )
            # What pruning cut is no part of the quantized weights.
            assert torch.equal(parameter * subject.masks[name], held.decode()), name
            assert len(held.codebook) <= 8
    assert set(codebooks) == set(subject.masks)


def test_quantizing_leaves_the_network_as_it_was(network: nn.Module) -> None:
    before = weights(network)
    quantized(unpruned(network), 2, "linear", DeepCompressionConfig(), seed=0)
    assert all(torch.equal(now, before[name]) for name, now in weights(network).items())


def test_random_initialisation_depends_on_the_seed_and_on_nothing_else(
    network: nn.Module,
) -> None:
    config = DeepCompressionConfig()

    def drawn(seed: int) -> torch.Tensor:
        return weights(quantized(pruned(network), 5, "random", config, seed)[0])["conv2.weight"]

    torch.manual_seed(1)
    first = drawn(0)
    torch.manual_seed(2)
    assert torch.equal(first, drawn(0))
    assert not torch.equal(first, drawn(1))
    again = quantized(pruned(network), 2, "linear", config, 0)[0]
    other = quantized(pruned(network), 2, "linear", config, 1)[0]
    assert torch.equal(weights(again)["conv2.weight"], weights(other)["conv2.weight"])


def test_only_the_named_layers_are_taken_over(network: nn.Module) -> None:
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    mixed = weights(with_layers_of(network, other, weights_of(network, nn.Conv2d)))
    assert weights_of(network, nn.Conv2d) == ["conv1.weight", "conv2.weight"]
    for name, tensor in mixed.items():
        theirs = name in ("conv1.weight", "conv2.weight")
        assert torch.equal(tensor, weights(other if theirs else network)[name]), name


def test_the_size_of_an_unpruned_network_is_eq_1(network: nn.Module) -> None:
    subject = unpruned(network)
    _, codebooks = quantized(subject, 4, "linear", DeepCompressionConfig(), seed=0)
    counted = ratio_measurement(subject.counts(codebooks)).value
    values = sum(len(book.centroids) for book in codebooks.values())
    assert values == sum(
        len(kmeans(weights(network)[name].numpy(), 16)[0]) for name in subject.masks
    )
    assert counted == pytest.approx(32 * 430_500 / (4 * 430_500 + 32 * values))


@pytest.mark.parametrize(
    ("errors", "fewest"),
    [
        ({2: 0.5, 3: 0.0149, 4: 0.012, 8: 0.010}, 3),
        ({2: 0.5, 3: 0.015, 4: 0.01, 8: 0.01}, 3),  # half a point, to the image
        ({2: 0.5, 3: 0.0151, 4: 0.01, 8: 0.01}, 4),
        ({2: 0.01, 3: 0.5, 4: 0.01, 8: 0.01}, 4),  # 2 bits by chance: all above must hold
        ({2: 0.009, 3: 0.01, 4: 0.01, 8: 0.01}, 2),
        ({8: 0.01, 2: 0.5, 4: 0.01, 3: 0.5}, 4),  # whatever their order
        ({2: 0.01, 3: 0.01, 4: 0.01, 8: 0.02}, 32),
    ],
)
def test_least_bits(errors: dict[int, float], fewest: int) -> None:
    assert least_bits(errors, 0.01) == fewest


def test_least_bits_never_rise_where_an_error_falls() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        errors = dict(zip(range(2, 9), generator.uniform(0, 0.012, 7), strict=True))
        lower = errors | {int(generator.integers(2, 9)): 0.0}
        assert least_bits(lower, 0.002) <= least_bits(errors, 0.002)


def test_full_scale_has_every_number_of_bits() -> None:
    assert list(BITS["full"]) == list(range(2, 9))
    assert set(BITS["quick"]) < set(BITS["full"])
