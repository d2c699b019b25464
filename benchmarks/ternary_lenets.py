"""Ternary weights in LeNet-300-100 and LeNet-5 on MNIST, beside float32, one scale, and no zeros.

Zhu et al., ICLR 2017, has no experiment on MNIST; these are its method on networks without batch
normalisation. A float32 network is trained. From there on every network trains for as many more
epochs: float32, ternary by the paper's threshold, with one scale a layer (ternary weight networks)
and without zeros (binary weight networks); and ternary with each share of zeros of the sweep
(section 3, the paper's figure on ResNet-20). Nothing is chosen by the test images.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import digests
from benchmarks.measure import FileReport
from benchmarks.mnist import mnist_task
from benchmarks.reference import Recipe, train_reference
from benchmarks.ternary_files import (
    Progress,
    TernaryFiles,
    error_of,
    increase,
    ternary_method,
    trajectories,
)
from methods.method import Method
from methods.ternary_weights import Snapshot
from methods.training import ClassificationTask
from registry.vocabulary import Metric, load_vocabulary

FLOAT32, START = "float32", "start"
TERNARY = "ternary"
NAMED_SHARES: Mapping[int, str] = {0: "00", 40: "40", 80: "80"}
"""Per cent of zeros that claims are about -> how their metric ends."""


@dataclass(frozen=True)
class Plan:
    """One network, and what is trained of it."""

    recipe: Recipe
    """Of the float32 network that all start from."""
    float32_rate: float
    """Of the float32 network's further epochs, falling along a cosine."""
    rates: Mapping[str, float]
    """Of the others, by what their weights become."""
    ternary: Mapping[str, Any]
    """Which layers are ternary in everything but ``others``; over the run's configuration."""
    others: Mapping[str, Mapping[str, Any]]
    """Metric -> what differs from ``ternary``."""
    shares: tuple[int, ...]
    """Of zeros, per cent."""
    layers: tuple[str, ...]
    """Of ``ternary``, whose densities and scales are told."""
    epochs: int
    """Further ones, of every network, where the run names none."""

    def work(self, epochs: int) -> int:
        """Epochs of all networks, so many further ones of each."""
        return self.recipe.epochs + (2 + len(self.others) + len(self.shares)) * epochs


COMPARED: Mapping[str, Mapping[str, Any]] = {
    "single_scale_error": {"weights": "shared"},
    "binary_error": {"weights": "binary"},
}
HIGH_THRESHOLD: Mapping[str, Mapping[str, Any]] = {"error_high_threshold": {"threshold": 0.2}}
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "error_two_layers": {"full_precision": "last"},
    **HIGH_THRESHOLD,
    "error_start_one": {"initial_scale": "one"},
    "error_dead_zone": {"dead_zone_gradient": 0.0},
}
LENET_300_100 = Plan(
    Recipe(network="lenet-300-100", epochs=10, learning_rate=0.1, batch_size=128),
    0.1,
    dict.fromkeys(("trained", "shared", "binary"), 0.003),
    {"full_precision": "none"},
    {**COMPARED, **ABLATIONS},
    (0, 20, 40, 60, 80, 90),
    ("ip1", "ip2", "ip3"),
    10,
)
LENET_5 = Plan(
    Recipe(network="lenet-5", epochs=4, learning_rate=0.05, batch_size=128, warm_up=0.05),
    0.05,
    {"trained": 0.001, "shared": 0.003, "binary": 0.001},
    {"full_precision": "first-and-last"},
    {**COMPARED, **HIGH_THRESHOLD},
    (0, 40, 80),
    ("conv2", "ip1"),
    4,
)


def _short(plan: Plan, rows: int, shares: tuple[int, ...] = ()) -> Plan:
    """Of the quick scale: few images and epochs, and no more than is needed to see it work."""
    recipe = plan.recipe.model_copy(update={"epochs": 2, "rows": rows})
    others = {"single_scale_error": COMPARED["single_scale_error"]}
    return Plan(recipe, plan.float32_rate, plan.rates, plan.ternary, others, shares, plan.layers, 2)


class _TernaryLenet:
    """Trains the networks of a plan, writes them, and tests what is read back."""

    plans: ClassVar[Mapping[Scale, Plan]]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the method and what it is held against.

        Raises:
            UnsuitableTask: the method is another.
        """
        plan = self.plans[context.scale]
        ours, config = ternary_method(method, context)
        if "train_epochs" not in config.model_fields_set:
            config = config.model_copy(update={"train_epochs": plan.epochs})
        files = TernaryFiles(ours, config, plan.rates, context)
        progress = Progress(plan.work(config.train_epochs), context)
        task = mnist_task(context, plan.recipe, progress)
        progress.what = "float32"
        train_reference(
            task, plan.recipe, digests(context.data), context.seed, skipped=progress.skip
        )
        files.float32(task, START, 0, plan.float32_rate)
        files.float32(task, FLOAT32, config.train_epochs, plan.float32_rate)
        told = _train(plan, files, task, progress)
        reports = files.tested()
        network = plan.recipe.network
        return Outcome(
            _gather(plan, files, reports, told),
            dict(reports[TERNARY].size_bytes),
            [
                f"{network}: {plan.recipe.epochs} epochs in float32, then {config.train_epochs} "
                f"of every network{_rows(plan)}",
                *files.remarks(),
            ],
            network_file=context.folder / f"{TERNARY}.netc",
        )


def _train(
    plan: Plan, files: TernaryFiles, task: ClassificationTask, progress: Progress
) -> list[Snapshot]:
    """All networks but the float32 ones; densities and scales of the ternary one."""
    told: list[Snapshot] = []
    for name, changes in _settings(plan):
        progress.what = name.replace("_", " ")
        found = files.ternary(task, name, changes)
        if name == TERNARY:
            told = found
    return told


def _settings(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    yield TERNARY, dict(plan.ternary)
    for metric, changes in plan.others.items():
        yield metric, {**plan.ternary, **changes}
    for share in plan.shares:
        yield _zeros(share), {**plan.ternary, "zeros": share / 100}


def _zeros(share: int) -> str:
    return f"zeros-{share:02d}"


def _gather(
    plan: Plan,
    files: TernaryFiles,
    reports: Mapping[str, FileReport],
    told: list[Snapshot],
) -> dict[str, Measurement]:
    found = {
        "start_error": error_of(reports[START]),
        "reference_error": error_of(reports[FLOAT32]),
        "error": error_of(reports[TERNARY]),
        "error_increase": increase(reports[TERNARY], reports[FLOAT32]),
        **{metric: error_of(reports[metric]) for metric in plan.others},
    }
    for share in plan.shares:
        error = error_of(reports[_zeros(share)])
        point = f"{share}-percent-zeros"
        found[f"error_over_zeros.{point}"] = error
        found[f"float32_over_zeros.{point}"] = found["reference_error"]
        if share in NAMED_SHARES:
            found[f"error_zeros_{NAMED_SHARES[share]}"] = error
    lines = {f"{layer}.weight": layer for layer in plan.layers}
    return found | files.coded_sizes(TERNARY) | trajectories(told, lines)


def _rows(plan: Plan) -> str:
    return "" if plan.recipe.rows is None else f", on the first {plan.recipe.rows:,} images"


class TernaryLenet300100(_TernaryLenet):
    """All three layers ternary; two of them, and other choices of the method, beside that."""

    name: ClassVar[str] = "mnist-ternary-lenet-300-100"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": LENET_300_100,
        "quick": _short(LENET_300_100, 6_000, (0, 40, 80)),
    }


class TernaryLenet5(_TernaryLenet):
    """The first and the last layer float32, the two between them ternary."""

    name: ClassVar[str] = "mnist-ternary-lenet-5"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {"full": LENET_5, "quick": _short(LENET_5, 3_000)}
