"""HashedNets' networks and baselines: trained, written, read back and tested on made-up digits."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import hashed_expansion, hashed_mlps, hashed_training, several_files
from benchmarks.benchmark import Context, Outcome
from benchmarks.hashed_expansion import NETWORKS, HashedExpansion
from benchmarks.hashed_mlps import (
    ALL,
    SERIES,
    HashedMlps,
    HashedMlpsFashion,
    HashedMlpsRotated,
    Plan,
)
from benchmarks.hashed_points import Point
from benchmarks.hashed_settings import LEARNING_RATES, learning_rate_of
from benchmarks.several_files import REPORTS, measure_folder_in_new_process, report_on_folder
from benchmarks.splits import ImageSplit
from methods.compressed import Compressed
from methods.deep_compression import DeepCompression
from methods.hashed_nets import HashedNets, HashedNetsConfig
from methods.method import UnsuitableTask
from methods.networks import mlp
from registry.catalog import load_catalog
from registry.record import Claim
from registry.vocabulary import load_vocabulary

TRAIN, TEST = 480, 100
CONFIGURATION = {"schedule": "cosine", "learning_rate": 0.05, "dropout": 0.0}
CLASSES = (HashedMlps, HashedMlpsFashion, HashedMlpsRotated)


def made_up_digits(seed: int = 7) -> ImageSplit:
    """A bright square for each digit, at a place of its own, in noise."""
    generator = np.random.default_rng(seed)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.integers(0, 10, count, dtype=np.uint8)
        images = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
            image[top : top + 8, left : left + 5] = 250
        return images, labels

    return ImageSplit(*rows(TRAIN), *rows(TEST))


@dataclass
class Run:
    outcome: Outcome
    told: list[tuple[float, str]]
    folder: Path
    tested: list[tuple[str, str]]


def run_on_made_up_digits(benchmark: type, folder: Path, patch: pytest.MonkeyPatch) -> Run:
    """A run whose other process is this one, since it would read real digits."""
    told: list[tuple[float, str]] = []
    tested: list[tuple[str, str]] = []
    context = Context(
        paper="2015-hashed-nets",
        run="r",
        scale="full",
        seed=3,
        data="mnist",
        device="cpu",
        folder=folder,
        configuration=CONFIGURATION,
        progress=lambda share, what: told.append((share, what)),
    )
    digits = made_up_digits()

    def here(where: Path, data: str, kind: str, device: str) -> dict:
        assert where == folder
        tested.append((data, kind))
        return report_on_folder(where, data, kind, device)  # type: ignore[arg-type]

    patch.setattr(hashed_training, "load", lambda name: digits)
    patch.setattr(hashed_training, "measure_folder_in_new_process", here)
    patch.setattr("benchmarks.measure.load", lambda name: digits)
    patch.setattr(hashed_training, "BATCH_ROWS", 16)
    return Run(benchmark().run(HashedNets(), context), told, folder, tested)


SMALL = Plan(
    {Point(3, 64): ALL, Point(3, 8): ("error_hashed",), Point(5, 64): ("error_nn", "error_dk")},
    {3: 3, 5: 2},
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HashedMlps, "plans", {"full": SMALL})
        patch.setattr(HashedMlps, "test_rows", TEST)
        return run_on_made_up_digits(HashedMlps, tmp_path_factory.mktemp("mlps"), patch)


@pytest.fixture(scope="module")
def expanded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashed_expansion, "EPOCHS", {"full": 2})
        patch.setattr(hashed_expansion, "TEST_ROWS", TEST)
        return run_on_made_up_digits(HashedExpansion, tmp_path_factory.mktemp("expansion"), patch)


def test_every_network_of_the_plan_is_measured_in_its_metrics_unit(ran: Run) -> None:
    wanted = {"error_nn.3-layers-1", "error_nn.5-layers-1"}
    for point, metrics in SMALL.networks.items():
        wanted |= {f"{metric}.{point.name}" for metric in metrics}
    errors = {key: one for key, one in ran.outcome.metrics.items() if key.startswith("error_")}
    assert set(errors) == wanted
    assert all(one.n == TEST and one.low is not None for one in errors.values())
    for key, one in ran.outcome.metrics.items():
        assert HashedMlps.metrics[key.partition(".")[0]].unit == one.unit


def test_the_networks_learn_and_few_values_learn_less(ran: Run) -> None:
    found = {key: one.value for key, one in ran.outcome.metrics.items()}
    assert found["error_nn.3-layers-1"] < 0.1
    assert found["error_hashed.3-layers-1-8"] < 0.1
    # A rank of one in the last layer: two of ten classes or so are told apart.
    assert found["error_lrd.3-layers-1-64"] > 0.2


def test_each_file_stores_as_many_values_as_the_hashed_network_or_fewer(ran: Run) -> None:
    point = Point(3, 64)
    for metric in ALL:
        path = ran.folder / f"{metric.removeprefix('error_')}-{point.name}.netc"
        parts = Compressed.load(path).size_bytes()
        # Positions of edges are no values, nor are seeds and the byte that names a type.
        values = sum(size // 4 for name, size in parts.items() if name.endswith("/values"))
        assert 0.9 * point.stored < values <= point.stored, metric
    assert ran.outcome.metrics["file_bytes.3-layers-1-64"].value < 4 * point.stored + 300
    ratio = ran.outcome.metrics["file_ratio.3-layers-1-64"].value
    assert 0.97 * 64 < ratio < 64


def test_the_file_that_is_kept_has_the_sizes_that_are_shown(ran: Run) -> None:
    kept = ran.outcome.network_file
    assert kept is not None
    assert sum(ran.outcome.size_bytes.values()) == kept.stat().st_size
    assert kept.stat().st_size == ran.outcome.metrics["file_bytes.3-layers-1-64"].value


def test_what_learns_from_outputs_learns_from_the_full_network_as_it_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Watched(HashedNets):
        def compress(self, task, config, *, seed):  # type: ignore[no-untyped-def]
            if config.distil:
                seen.append({n: p.clone() for n, p in task.network.state_dict().items()})
            return super().compress(task, config, seed=seed)

    digits = made_up_digits()
    monkeypatch.setattr(hashed_training, "load", lambda name: digits)
    parts = hashed_training.training_parts("mnist")
    plan = Plan({Point(3, 64): ("error_hashed", "error_dk")}, {3: 1})
    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, CONFIGURATION)
    config = HashedNetsConfig(**CONFIGURATION)
    trainer = hashed_mlps.Trainer(Watched(), config, plan, parts, context)
    for step in plan.steps():
        trainer.train(step, tmp_path / f"{step[1]}-{step[0].times}.netc")
    full = Compressed.load(tmp_path / "error_nn-1.netc").tensors()
    assert len(seen) == 1
    assert set(full) == set(seen[0])
    assert all((full[name] == one).all() for name, one in seen[0].items())


def test_test_images_are_read_once_by_the_process_that_tests(ran: Run) -> None:
    assert ran.tested == [("mnist", "plain")]
    parts = hashed_training.training_parts
    assert "test" not in parts.__code__.co_names


def test_progress_rises_to_the_end(ran: Run, expanded: Run) -> None:
    for one in (ran, expanded):
        shares = [share for share, _ in one.told]
        assert shares == sorted(shares)
        assert 0 < shares[0] < 0.2
        assert shares[-2:] == pytest.approx([0.95, 0.96])


def test_remarks_tell_epochs_and_validation_errors(ran: Run) -> None:
    told = " ".join(ran.outcome.remarks)
    assert "3 epochs of mlp-1000, 2 epochs of mlp-3x1000" in told
    assert "lrd-3-layers-1-64" in told


def test_expansion_measures_every_metric(expanded: Run) -> None:
    found = expanded.outcome.metrics
    assert set(found) == set(HashedExpansion.metrics)
    assert found["file_bytes"].value == sum(expanded.outcome.size_bytes.values())


def test_every_expansion_stores_what_the_dense_network_does_or_less(expanded: Run) -> None:
    dense = sum(p.numel() for p in mlp((784, 50, 10), 0).parameters())
    assert dense == 39_760
    hashed = {name: factor for name, (factor, _) in NETWORKS.items() if name != "error_dense"}
    assert list(hashed.values()) == [1, 2, 4, 8, 16]
    for name, factor in hashed.items():
        held = Compressed.load(expanded.folder / f"{name}.netc")
        assert held.formats["ip1.weight"].shape == (50 * factor, 784)
        sizes = held.size_bytes()
        values = sum(size for name, size in sizes.items() if name.endswith("/values")) // 4
        assert dense - 9 <= values <= dense
    plain = Compressed.load(expanded.folder / "error_dense.netc")
    assert sum(one.decode().numel() for one in plain.formats.values()) == dense


@pytest.mark.parametrize("benchmark", [HashedMlps, HashedExpansion])
@pytest.mark.parametrize("method", [None, DeepCompression()])
def test_they_take_no_other_method(benchmark: type, method: object, tmp_path: Path) -> None:
    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, {})
    with pytest.raises(UnsuitableTask, match="hashed-nets"):
        benchmark().run(method, context)


def test_a_named_number_of_epochs_goes_before_the_benchmarks() -> None:
    assert hashed_training.epochs_of(HashedNetsConfig(), 7) == 7
    assert hashed_training.epochs_of(HashedNetsConfig(train_epochs=2), 7) == 2
    with pytest.raises(ValueError, match="compression"):
        hashed_training.with_values(HashedNetsConfig(), {"compression": 2.0}, {})


@pytest.mark.parametrize("scale", ["quick", "full"])
@pytest.mark.parametrize("benchmark", CLASSES)
def test_every_network_has_a_rate_of_its_own(benchmark: type, scale: str) -> None:
    for point, metric in benchmark.plans[scale].steps():
        assert 0 < learning_rate_of(point, SERIES[metric]["layers"]) < 2


@pytest.mark.parametrize("named", [{}, {"learning_rate": 0.03, "train_epochs": 2}])
def test_each_is_trained_at_its_rate_but_where_the_run_names_one(
    named: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):
        """With the configuration that the method is given."""

    class Watched(HashedNets):
        def compress(self, task, config, *, seed):  # type: ignore[no-untyped-def]
            raise Asked(config)

    monkeypatch.setattr(hashed_training, "load", lambda name: made_up_digits())
    parts = hashed_training.training_parts("mnist")
    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, named)
    config, plan = HashedNetsConfig(**named), Plan({}, {3: 4})
    for metric, layers in (("error_lrd", "low-rank"), ("error_hashed_dk", "hashed")):
        trainer = hashed_mlps.Trainer(Watched(), config, plan, parts, context)
        with pytest.raises(Asked) as asked:
            trainer.train((Point(3, 64), metric), tmp_path / "a.netc")
        (given,) = asked.value.args
        assert (given.layers, given.compression) == (layers, 1 / 64)
        rate = LEARNING_RATES[3][layers][64]
        assert given.learning_rate == named.get("learning_rate", rate)
        assert given.train_epochs == named.get("train_epochs", 4)


def measured_by(plan: Plan) -> set[str]:
    steps = {f"{metric}.{point.name}" for point, metric in plan.steps()}
    files = {one.replace("error_hashed.", "file_bytes.") for one in steps}
    return steps | files


def keys_of(claim: Claim) -> list[str]:
    if claim.ordering is None:
        return [claim.measured_as]
    suffix = f".{claim.layer}" if claim.layer else ""
    return [claim.ordering.minuend + suffix, claim.ordering.subtrahend + suffix]


@pytest.mark.parametrize("benchmark", CLASSES)
def test_every_claim_of_the_record_is_measured_at_full_scale(benchmark: type) -> None:
    claims = [
        claim
        for claim in load_catalog().get("2015-hashed-nets").claims
        if claim.benchmark == benchmark.name
    ]
    plan = benchmark.plans["full"]
    assert len(claims) >= 4
    for claim in claims:
        assert set(keys_of(claim)) <= measured_by(plan), claim.id


@pytest.mark.parametrize("benchmark", CLASSES)
def test_every_metric_of_the_vocabulary_is_measured(benchmark: type) -> None:
    measured = {key.partition(".")[0] for key in measured_by(benchmark.plans["full"])}
    named = set(load_vocabulary().benchmarks[benchmark.name].metrics)
    assert measured | {"file_ratio"} == named


def test_both_tables_are_measured_whole_on_mnist() -> None:
    networks = HashedMlps.plans["full"].networks
    for point in (Point(3, 8), Point(3, 64), Point(5, 8), Point(5, 64)):
        assert set(networks[point]) == set(ALL)


def test_a_folder_is_read_in_another_process(tmp_path: Path) -> None:
    """The process has nothing but the files; the data set has a thousand test images."""
    for name, units in (("a", 4), ("b", 7)):
        Compressed.from_module(mlp((784, units, 10), units), {}).save(tmp_path / f"{name}.netc")
    reports = measure_folder_in_new_process(tmp_path, "mnist-5k", "plain", "cpu")
    assert REPORTS.dump_python(reports) == REPORTS.dump_python(
        report_on_folder(tmp_path, "mnist-5k", "plain", "cpu")
    )
    assert {name: one.n for name, one in reports.items()} == {"a": 1000, "b": 1000}
    assert reports["a"].file_bytes == (tmp_path / "a.netc").stat().st_size


def test_a_damaged_file_is_told_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.netc"
    Compressed.from_module(mlp((784, 4, 10), 0), {}).save(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RuntimeError, match=r"broken\.netc"):
        measure_folder_in_new_process(tmp_path, "mnist-5k", "plain", "cpu")


def test_a_network_that_was_not_read_back_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context("p", "r", "full", 0, "mnist", "cpu", tmp_path, {})
    Compressed.from_module(mlp((784, 4, 10), 0), {}).save(tmp_path / "a.netc")
    digits = made_up_digits()
    monkeypatch.setattr("benchmarks.measure.load", lambda name: digits)
    monkeypatch.setattr(hashed_training, "measure_folder_in_new_process", report_on_folder)
    for names, rows in (({"a", "b"}, TEST), ({"a"}, TEST + 1)):
        with pytest.raises(RuntimeError, match=r"read back|rows"):
            hashed_training.tested_elsewhere(context, "plain", names, rows)
    assert set(hashed_training.tested_elsewhere(context, "plain", {"a"}, TEST)) == {"a"}


def test_turned_digits_are_tested_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = made_up_digits()
    seen = []

    def turned(arrays: ImageSplit):  # type: ignore[no-untyped-def]
        seen.append(arrays)
        return several_files.test_split("mnist")

    monkeypatch.setattr("benchmarks.measure.load", lambda name: digits)
    monkeypatch.setattr(several_files, "load", lambda name: digits)
    monkeypatch.setattr(several_files, "rotated_test", turned)
    Compressed.from_module(mlp((784, 4, 10), 0), {}).save(tmp_path / "a.netc")
    report_on_folder(tmp_path, "mnist", "plain", "cpu")
    assert not seen
    report_on_folder(tmp_path, "mnist", "rotated", "cpu")
    assert seen == [digits]
    assert HashedMlpsRotated.digits == "rotated"
    assert replace(SMALL, rows=3).rows == 3
