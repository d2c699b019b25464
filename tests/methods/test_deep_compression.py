"""Deep Compression: the paper's worked step, what its stages must hold, and its bad input."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from benchmarks.accounting import LayerCount, paper_count
from methods.checks import WatchedTask
from methods.deep_compression import (
    PAPER_SETTINGS,
    DeepCompression,
    DeepCompressionConfig,
)
from methods.formats.codebook_dense import CodebookDense
from methods.formats.sparse_codebook import SparseCodebook
from methods.method import UnsuitableTask
from methods.prune_and_share import Codebook, prune, share, summed_gradient, train_codebooks
from methods.seeds import seeded
from methods.training import ClassificationTask
from methods.user_data import DatalessTask

SHORT = {"rounds": 2, "round_epochs": 1, "final_epochs": 1, "codebook_epochs": 1}


@pytest.fixture(scope="module")
def task():
    return WatchedTask()


@pytest.fixture(scope="module")
def compressed(task):
    return DeepCompression().compress(task, DeepCompressionConfig(**SHORT), seed=0)


def test_figure_3_centroids_learn_by_the_sum_of_their_members_gradients():
    # Fig. 3: codes by position, gradients summed per code, learning rate 1.
    codes = torch.tensor([3, 0, 2, 1, 1, 1, 0, 3, 0, 3, 1, 0, 3, 1, 2, 2])
    gradient = torch.tensor(
        [-0.03, -0.01, 0.03, 0.02, -0.01, 0.01, -0.02, 0.12,
         -0.01, 0.02, 0.04, 0.01, -0.07, -0.02, 0.01, -0.02]
    ).reshape(4, 4)  # fmt: skip
    codebook = Codebook(nn.Parameter(torch.tensor([2.0, 1.5, 0.0, -1.0])), codes, torch.arange(16))
    summed = summed_gradient(gradient, codebook)
    wanted = [float(gradient.flatten()[codes == code].sum()) for code in range(4)]
    assert summed.tolist() == pytest.approx(wanted)
    step = torch.tensor([0.04, 0.02, 0.04, -0.03])
    assert (codebook.centroids - step).tolist() == pytest.approx([1.96, 1.48, -0.04, -0.97])


def test_sums_and_not_means_and_only_over_survivors():
    codebook = Codebook(
        nn.Parameter(torch.zeros(2)), torch.tensor([0, 0, 1]), torch.tensor([0, 2, 5])
    )
    gradient = torch.tensor([[1.0, 100.0, 2.0], [100.0, 100.0, 4.0]])
    assert summed_gradient(gradient, codebook).tolist() == [3.0, 4.0]


def test_the_densities_and_bits_asked_for_are_those_of_the_file(task):
    config = DeepCompressionConfig(
        **SHORT,
        densities={"ip1": 0.25, "ip2": 0.5, "ip3": 0.75},
        weight_bits={"ip1": 2, "ip2": 3, "ip3": 4},
        index_bits=3,
    )
    formats = DeepCompression().compress(task, config, seed=0).formats
    for layer, density, clusters in (("ip1", 0.25, 4), ("ip2", 0.5, 8), ("ip3", 0.75, 16)):
        held = formats[f"{layer}.weight"]
        assert isinstance(held, SparseCodebook)
        assert len(held.positions) == round(density * held.weights)
        assert len(held.codebook) <= clusters
        assert held.index_bits == 3


def test_a_layer_that_keeps_every_weight_stores_no_positions_and_is_counted(task):
    config = DeepCompressionConfig(**SHORT, densities={"ip3": 1.0}, weight_bits={"ip3": 4})
    formats = DeepCompression().compress(task, config, seed=0).formats
    held = formats["ip3.weight"]
    assert isinstance(held, CodebookDense)
    counted = paper_count(formats)
    assert counted["kept.ip3"].value == 1.0
    assert counted["index_share.ip3"].value == 0.0
    # Equation 1: n b bits of codes and k values of 32 bits.
    bits = held.weights * 4 + 32 * len(held.codebook)
    assert counted["quantized_rate.ip3"].value == pytest.approx(bits / (32 * held.weights))


def test_the_linear_layers_alone_are_pruned_first_and_all_reach_their_densities():
    task = small_convolutional_task()
    densities = {"conv": 0.5, "ip": 0.25}
    config = DeepCompressionConfig(**SHORT, linear_rounds=2, linear_round_epochs=1)
    seen: list[dict[str, bool]] = []
    fit = task.fit

    def watched(network, epochs, **settings):
        trained = {n: p.requires_grad for n, p in network.named_parameters() if "weight" in n}
        seen.append(trained)
        fit(network, epochs, **settings)

    task.fit = watched
    network = copy.deepcopy(task.network)
    masks = prune(task, network, densities, config, 0)
    assert [one["conv.weight"] for one in seen] == [False, False, True, True]
    assert all(one["ip.weight"] for one in seen)
    for name, density in densities.items():
        mask = masks[f"{name}.weight"]
        assert int(mask.sum()) == round(density * mask.numel())
        assert (network.get_parameter(f"{name}.weight")[~mask] == 0).all()
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_without_data_nothing_is_pruned_unless_asked_and_the_file_says_so():
    network = nn.Sequential(OrderedDict(ip=nn.Linear(30, 20), out=nn.Linear(20, 3)))
    task = DatalessTask("mine", network, torch.device("cpu"))
    held = DeepCompression().compress(task, DeepCompressionConfig(), seed=0)
    assert isinstance(held.formats["ip.weight"], CodebookDense)
    assert "nothing was pruned" in held.metadata["remark"]
    asked = DeepCompressionConfig(densities={"ip": 0.5}, weight_bits=8)
    some = DeepCompression().compress(task, asked, seed=0)
    assert isinstance(some.formats["ip.weight"], SparseCodebook)
    assert isinstance(some.formats["out.weight"], CodebookDense)
    assert some.metadata["remark"] == "no training data: nothing was retrained"
    weights = network.out.weight.detach()
    spread = float(weights.max() - weights.min())
    assert torch.allclose(some.tensors()["out.weight"], network.out.weight, atol=spread / 255)


def test_recurrent_and_embedded_weights_are_compressed_by_their_own_names():
    network = nn.ModuleDict({"table": nn.Embedding(12, 6), "lstm": nn.LSTM(6, 5)})
    task = DatalessTask("mine", network, torch.device("cpu"))
    config = DeepCompressionConfig(densities={"lstm.weight_hh_l0": 0.5})
    held = DeepCompression().compress(task, config, seed=0)
    assert isinstance(held.formats["lstm.weight_hh_l0"], SparseCodebook)
    assert isinstance(held.formats["table.weight"], CodebookDense)
    assert torch.equal(held.tensors()["lstm.bias_hh_l0"], network["lstm"].bias_hh_l0)


def small_convolutional_task():
    def make(seed):
        torch.manual_seed(seed)
        layers = OrderedDict(conv=nn.Conv2d(1, 4, 3), flatten=nn.Flatten(), ip=nn.Linear(144, 4))
        return nn.Sequential(layers)

    inputs = torch.rand(40, 1, 8, 8, generator=seeded(1))
    rows = (inputs, torch.randint(0, 4, (40,), generator=seeded(2)))
    return ClassificationTask("small", make(0), make, rows, rows, batch_size=8)


def test_pruned_weights_stay_zero_through_momentum_and_weight_decay(task):
    network = task.fresh_network(0)
    masks = prune(
        task, network, {"ip1": 0.1, "ip2": 0.3, "ip3": 0.5}, DeepCompressionConfig(**SHORT), 0
    )
    for name, parameter in network.named_parameters():
        if name in masks:
            assert (parameter[~masks[name]] == 0).all()
            assert int(masks[name].sum()) < masks[name].numel()


def test_after_sharing_a_layer_holds_no_more_values_than_centroids(task):
    network = task.fresh_network(1)
    config = DeepCompressionConfig(**SHORT)
    masks = prune(task, network, {"ip1": 0.2, "ip2": 0.5, "ip3": 0.5}, config, 1)
    books = share(network, masks, {"ip1": 8, "ip2": 15, "ip3": 4}, config, 1)
    for name, clusters in (("ip1", 8), ("ip2", 15), ("ip3", 4)):
        values = dict(network.named_parameters())[f"{name}.weight"][masks[f"{name}.weight"]]
        assert len(values.unique()) <= clusters
        assert len(books[f"{name}.weight"].centroids) <= clusters


def test_weights_that_share_a_table_are_clustered_and_trained_together(task):
    class OneStep:
        """A gradient of 1 for every weight, and one step."""

        def fit(self, network, epochs, *, optimizer, before_step, after_step, parameters, **rest):
            stepper = optimizer(parameters)
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter)
            before_step()
            stepper.step()
            after_step()

    network = copy.deepcopy(task.network)
    masks = {name: torch.ones_like(one, dtype=torch.bool)
             for name, one in network.named_parameters() if name.endswith("weight")}  # fmt: skip
    config = DeepCompressionConfig(codebook_learning_rate=1e-3)
    together = {"ip1.weight": "ends", "ip3.weight": "ends"}
    clusters = {"ip1": 5, "ip2": 7, "ip3": 5}
    books = share(network, masks, clusters, config, 1, lambda name: together.get(name, name))
    table = books["ip1.weight"].centroids
    assert table is books["ip3.weight"].centroids
    assert table is not books["ip2.weight"].centroids
    both = torch.cat([network.ip1.weight.flatten(), network.ip3.weight.flatten()])
    assert set(both.tolist()) == set(table.tolist())
    members = torch.bincount(torch.cat([books[name].codes for name in together]))
    before = table.detach().clone()
    train_codebooks(OneStep(), network, masks, books, config, 1)
    assert torch.allclose(before - table.detach(), members * 1e-3, rtol=1e-4)
    assert set(network.ip3.weight.flatten().tolist()) <= set(table.tolist())


def test_centroids_that_are_trained_move_and_assignments_do_not(task):
    plain = {**SHORT, "codebook_epochs": 0}
    before = DeepCompression().compress(task, DeepCompressionConfig(**plain), seed=0)
    after = DeepCompression().compress(task, DeepCompressionConfig(**SHORT), seed=0)
    for name, held in before.formats.items():
        if isinstance(held, SparseCodebook):
            other = after.formats[name]
            assert np.array_equal(held.codes, other.codes)
            assert np.array_equal(held.positions, other.positions)
            assert not np.array_equal(held.codebook, other.codebook)


def test_it_still_classifies(task, compressed):
    # Four classes, so chance is an error of 0.75.
    assert task.validation_score(task.network) < 0.2
    assert task.validation_score(compressed.network) < 0.4


def test_the_papers_settings_are_those_of_table_2():
    settings = PAPER_SETTINGS["lenet-300-100"]
    assert settings.densities == {"ip1": 0.08, "ip2": 0.09, "ip3": 0.26}
    assert settings.weight_bits == {"ip1": 6, "ip2": 6, "ip3": 6}
    assert settings.index_bits == 5


def test_the_papers_count_gives_the_rates_of_table_2_from_its_own_cells():
    # Entries solved from the P+Q+H column (the same formula), then the P+Q column must follow.
    rows = [
        (235_200, 18_816, 21_304, 4.4, 3.7, 0.0232, 0.031),
        (30_000, 2_700, 3_119, 4.4, 4.3, 0.0304, 0.038),
        (1_000, 260, 269, 4.3, 3.2, 0.1270, 0.157),
    ]
    for weights, survivors, entries, code_bits, field_bits, coded, quantized in rows:
        layer = LayerCount(weights, survivors, entries, 64, 6, 5, code_bits, field_bits)
        assert layer.coded_bits / (32 * weights) == pytest.approx(coded, rel=2e-3)
        assert layer.quantized_bits / (32 * weights) == pytest.approx(quantized, abs=6e-4)


def test_the_papers_count_is_that_of_the_formats(compressed):
    counted = paper_count(compressed.formats)
    sparse = {n: f for n, f in compressed.formats.items() if isinstance(f, SparseCodebook)}
    bits = sum(held.paper_bits(huffman=True) for held in sparse.values())
    assert counted["paper_bytes"].value == pytest.approx(bits / 8, rel=1e-3)
    weights = sum(held.weights for held in sparse.values())
    assert counted["paper_ratio"].value == pytest.approx(32 * weights / bits, rel=1e-3)
    assert 0 < counted["entropy_coding_saving"].value < 1
    shares = counted["codebook_share"].value + counted["index_share"].value
    assert 0 < shares < 1


@pytest.mark.parametrize(
    "bad",
    [
        {"densities": {"ip1": 0.0}},
        {"densities": {"ip1": 1.5}},
        {"weight_bits": 9},
        {"weight_bits": 0},
        {"rounds": 0},
        {"learning_rate": -1.0},
        {"initialisation": "forgy"},
        {"density": 0.1},
        {"learning_rate": float("nan")},
    ],
)
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ValidationError):
        DeepCompressionConfig.model_validate(bad)


def test_a_layer_that_is_not_there_is_named(task):
    config = DeepCompressionConfig(**SHORT, densities={"fc1": 0.1})
    with pytest.raises(UnsuitableTask, match=r"fc1.*it has ip1, ip2, ip3"):
        DeepCompression().compress(task, config, seed=0)


def test_a_density_that_leaves_nothing_is_named(task):
    config = DeepCompressionConfig(**SHORT, densities={"ip3": 1e-6})
    with pytest.raises(UnsuitableTask, match=r"ip3\.weight"):
        DeepCompression().compress(task, config, seed=0)
