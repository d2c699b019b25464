"""Q-CNN: which layers are quantized and how, what the recipe must hold, and its bad input."""

import copy
from collections import OrderedDict

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from methods import layer_responses
from methods.checks import WatchedTask
from methods.compressed import Compressed
from methods.formats.dense import Dense
from methods.formats.product_quantized import ProductQuantized
from methods.layer_responses import run_once, sample
from methods.method import UnsuitableTask
from methods.networks import NETWORKS
from methods.quantized_cnn import QuantizedCnn, QuantizedCnnConfig, settings_for
from methods.seeds import seeded
from methods.training import ClassificationTask, cosine
from methods.user_data import DatalessTask
from methods.weights import find_weights

CPU = torch.device("cpu")


def small_convolutions(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 16, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, 3, groups=2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            ip1=nn.Linear(128, 96),
            relu3=nn.ReLU(),
            ip2=nn.Linear(96, 4),
        )
    )


def made_up(network, shape, classes=4, rows=384):
    """A task whose classes are blobs, and a network that has learned them a little."""
    generator = seeded(1)
    centres = torch.randn(classes, *shape, generator=generator)
    labels = torch.randint(classes, (rows,), generator=generator)
    images = centres[labels] + torch.randn(rows, *shape, generator=generator)
    half = rows // 2
    with torch.random.fork_rng():
        held = network(0)
    task = ClassificationTask(
        "made-up", held, network, (images[:half], labels[:half]), (images[half:], labels[half:]),
        batch_size=32,
    )  # fmt: skip
    task.fit(task.network, 4, learning_rate=0.05, schedule=cosine, seed=0)
    return task


@pytest.fixture(scope="module")
def task():
    return made_up(small_convolutions, (3, 8, 8))


SMALL = {
    "conv_subspace": 4, "conv_codewords": 16, "fc_codewords": 8, "finetune_epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def quantized(task):
    return QuantizedCnn().quantize(task, QuantizedCnnConfig(**SMALL), seed=0)


def weights_of(network):
    return find_weights(network).handled


@pytest.mark.parametrize("name", ["mlp-1000", "mlp-3x1000"])
def test_the_papers_networks_take_its_settings(name):
    """The experiment on MNIST: 4/32, and the last layer stays dense."""
    weights = weights_of(NETWORKS[name](0))
    chosen = settings_for(weights, QuantizedCnnConfig())
    assert chosen == {weight.name: (4, 32) for weight in weights[:-1]}


def test_the_released_alexnet_is_what_the_defaults_give():
    shapes = {
        "conv1": nn.Conv2d(3, 96, 11), "conv2": nn.Conv2d(96, 256, 5, groups=2),
        "conv3": nn.Conv2d(256, 384, 3), "fc8": nn.Linear(4096, 1000),
    }  # fmt: skip
    meta = nn.Sequential(OrderedDict(shapes))
    # Its conv1 has one subspace that is filled up to 8; ours stores the three channels there are.
    assert settings_for(weights_of(meta), QuantizedCnnConfig()) == {
        "conv1.weight": (3, 128), "conv2.weight": (8, 128),
        "conv3.weight": (8, 128), "fc8.weight": (1, 16),
    }  # fmt: skip


def test_layers_are_chosen_by_kind_by_name_and_by_size():
    weights = weights_of(small_convolutions(0))
    config = QuantizedCnnConfig(conv_codewords=16, fc_codewords=8)
    both = {"conv1.weight": (3, 16), "conv2.weight": (8, 16), "ip1.weight": (4, 8)}
    assert settings_for(weights, config) == both  # ip2 of four outputs would grow

    def chosen(**changes):
        return list(settings_for(weights, config.model_copy(update=changes)))

    assert chosen(quantize="convolutions") == ["conv1.weight", "conv2.weight"]
    assert chosen(quantize="fully-connected") == ["ip1.weight"]
    assert chosen(layers={"conv1": None, "ip2": (2, 64)}) == [
        "conv2.weight", "ip1.weight", "ip2.weight",
    ]  # fmt: skip
    named = config.model_copy(update={"layers": {"ip2": (200, 64)}})
    assert settings_for(weights, named)["ip2.weight"] == (96, 4)  # what is there to cluster
    with pytest.raises(UnsuitableTask, match=r"has not: ip3 \(it has conv1, conv2, ip1, ip2\)"):
        chosen(layers={"ip3": (4, 4)})
    with pytest.raises(UnsuitableTask, match=r'no layer is.*Set conv_codewords.*"conv1": \['):
        chosen(layers=dict.fromkeys(["conv1", "conv2", "ip1"]))


def test_formats_and_file(task, quantized, tmp_path):
    made = quantized.compressed()
    kinds = {name: type(held) for name, held in made.formats.items() if "weight" in name}
    assert kinds == {
        "conv1.weight": ProductQuantized, "conv2.weight": ProductQuantized,
        "ip1.weight": ProductQuantized, "ip2.weight": Dense,
    }  # fmt: skip
    assert made.formats["conv2.weight"].codes.shape == (3, 3, 2, 32)
    assert made.metadata == {
        "method": "quantized-cnn", "remark": "codebooks would be no smaller than ip2.weight",
    }  # fmt: skip
    made.save(tmp_path / "small.netc")
    again = Compressed.load(tmp_path / "small.netc")
    images, _ = task.validation_rows
    with torch.no_grad():
        wanted = quantized.network.eval()(images)
        assert torch.allclose(again.network(images), wanted, atol=1e-4)


def test_each_layers_response_is_nearer_after_correction(task, quantized):
    assert list(quantized.layers) == ["conv1", "conv2", "ip1"]
    for report in quantized.layers.values():
        assert 0 < report.corrected < report.error < 1
    plain = QuantizedCnn().quantize(
        task, QuantizedCnnConfig(**SMALL, error_correction=False), seed=0
    )
    assert {report.error for report in plain.layers.values()} == {None}
    images, _ = next(iter(task.train_batches(0)))[:2]
    with torch.no_grad():
        wanted = task.network(images)
        gaps = [
            float((QuantizedCnn().quantize(
                task, QuantizedCnnConfig(**SMALL | {"finetune_epochs": 0}, error_correction=on),
                seed=0,
            ).network(images) - wanted).square().mean())
            for on in (False, True)
        ]  # fmt: skip
    assert gaps[1] < 0.5 * gaps[0]


def test_each_layer_is_fitted_on_what_the_quantized_layers_below_give(task, monkeypatch):
    import methods.quantized_cnn as module

    seen = []

    def spy(original, quantized, name, batches):
        state = {n: p.detach().clone() for n, p in quantized.named_parameters()}
        seen.append((name, state, {n: p.detach().clone() for n, p in original.named_parameters()}))
        return honest(original, quantized, name, batches)

    honest = module.response_moments
    monkeypatch.setattr(module, "response_moments", spy)
    done = QuantizedCnn().quantize(task, QuantizedCnnConfig(**SMALL), seed=0)
    assert [name for name, _, _ in seen] == ["conv1", "conv2", "ip1"]
    reference = dict(task.network.named_parameters())
    quantized = dict(done.network.named_parameters())
    for at, (name, below, original) in enumerate(seen):
        for earlier in ("conv1", "conv2", "ip1")[:at]:
            assert torch.equal(below[f"{earlier}.weight"], quantized[f"{earlier}.weight"])
        if name != "ip1":
            assert torch.equal(below[f"{name}.weight"], reference[f"{name}.weight"])
            assert all(torch.equal(original[n], reference[n]) for n in original)
    # The fully connected layers answer as the network that was trained on, whose convolutions are
    # the quantized ones.
    _, below, original = seen[-1]
    assert all(torch.equal(below[n], original[n]) for n in original)
    assert not torch.equal(original["ip1.weight"], reference["ip1.weight"])
    assert not torch.equal(original["ip2.bias"], reference["ip2.bias"])
    assert torch.equal(original["conv2.bias"], reference["conv2.bias"])


def test_only_what_has_convolutions_is_trained_on(task, monkeypatch):
    calls = []
    monkeypatch.setattr(ClassificationTask, "fit", lambda self, *a, **k: calls.append(a[1]))
    method = QuantizedCnn()
    for changes in ({"quantize": "convolutions"}, {"quantize": "fully-connected"},
                    {"finetune_epochs": 0}):  # fmt: skip
        method.quantize(task, QuantizedCnnConfig(**SMALL | changes), seed=0)
    assert calls == []
    method.quantize(task, QuantizedCnnConfig(**SMALL | {"finetune_epochs": 3}), seed=0)
    assert calls == [3]
    assert QuantizedCnnConfig(finetune_epochs=0).epochs == 0


def test_correction_takes_the_images_that_it_is_told_to(task, monkeypatch):
    batches = list(sample(task, 70, 3))
    first = torch.cat([inputs for inputs, _, _ in task.train_batches(3)])[:70]
    assert torch.equal(torch.cat(batches), first)
    assert sum(map(len, sample(task, 10**6, 3))) == 192
    monkeypatch.setattr(layer_responses, "INPUT_VALUES", 5 * 3 * 8 * 8)
    parts = list(sample(task, 70, 3))
    assert max(map(len, parts)) < 10
    assert len(parts) > 7
    assert torch.equal(torch.cat(parts), first)
    many = QuantizedCnn().quantize(task, QuantizedCnnConfig(**SMALL, conv_images=192), seed=0)
    few = QuantizedCnn().quantize(task, QuantizedCnnConfig(**SMALL, conv_images=2), seed=0)
    assert many.formats["conv1.weight"] != few.formats["conv1.weight"]


def test_without_data_it_is_the_plain_quantization(task):
    network = copy.deepcopy(task.network)
    dataless = QuantizedCnn().quantize(
        DatalessTask("mine", network, CPU), QuantizedCnnConfig(**SMALL), seed=0
    )
    plain = QuantizedCnn().quantize(
        task, QuantizedCnnConfig(**SMALL | {"finetune_epochs": 0}, error_correction=False), seed=0
    )
    assert dataless.formats == plain.formats
    assert "no training data" in dataless.compressed().metadata["remark"]


class Unusual(nn.Module):
    """A layer that runs twice, one that is tied, one that never runs, an embedding, a sequence."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(32, 64)
        self.twice = nn.Linear(64, 64)
        self.tied = nn.Linear(64, 64)
        self.other = nn.Linear(64, 64)
        self.other.weight = self.tied.weight
        self.never = nn.Linear(64, 64)
        self.along = nn.Conv1d(64, 64, 1)
        self.out = nn.Linear(64, 4)

    def forward(self, x):
        x = self.first(x.reshape(len(x), 5, 32)).relu()
        x = self.twice(self.twice(x).relu())
        x = self.other(self.tied(x).relu())
        return self.out(self.along(x.transpose(1, 2)).mean(2))


def unusual(seed):
    torch.manual_seed(seed)
    return Unusual()


def test_any_module_is_quantized_and_what_can_be_is_corrected():
    task = made_up(unusual, (160,))
    assert run_once(task.network, torch.zeros(1, 160)) == ["first", "tied", "other", "along", "out"]
    config = QuantizedCnnConfig(
        conv_codewords=16, fc_codewords=16, layers={"out": (2, 3)}, finetune_epochs=1
    )
    done = QuantizedCnn().quantize(task, config, seed=0)
    corrected = {name for name, report in done.layers.items() if report.corrected is not None}
    assert corrected == {"first", "along", "out"}
    assert set(done.layers) - corrected == {"twice", "tied", "never"}
    made = done.compressed()
    assert made.formats["other.weight"] is made.formats["tied.weight"]
    images, _ = task.validation_rows
    with torch.no_grad():
        assert torch.equal(made.network(images), done.network.eval()(images))


def test_responses_that_are_not_finite_are_said():
    task = WatchedTask()
    images = task._train[0]
    images[0, 0] = torch.inf
    with pytest.raises(UnsuitableTask, match="ip1 are not all finite"):
        QuantizedCnn().compress(task, QuantizedCnnConfig(fc_codewords=8), seed=0)


@pytest.mark.parametrize(
    "bad",
    [
        {"conv_codewords": 257}, {"fc_codewords": 0}, {"fc_subspace": 0}, {"sweeps": 0},
        {"ridge": -1}, {"layers": {"ip1": [4]}}, {"layers": {"ip1": [4, 300]}},
        {"quantize": "none"}, {"conv_images": 0}, {"finetune_learning_rate": 0},
    ],
)  # fmt: skip
def test_values_out_of_their_range_are_refused(bad):
    with pytest.raises(ValidationError):
        QuantizedCnnConfig.model_validate(bad)
