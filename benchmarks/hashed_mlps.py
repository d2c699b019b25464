"""HashedNets and its baselines of equal stored size, on MNIST, Fashion-MNIST and turned digits.

Chen et al., ICML 2015, Tables 1 and 2 and Figs. 2 and 3. For each depth the full network is
trained first; it is the rightmost point of the figures and the teacher of those that learn from
"dark knowledge". Then every network of the plan is trained from scratch, all for as long and each
at a rate of its own (``benchmarks.hashed_settings``), and written to a file; another process reads
the files back and tests what it reads. Nothing is chosen by the test images.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import load
from benchmarks.hashed_points import NETWORK_NAMES, Point
from benchmarks.hashed_settings import learning_rate_of
from benchmarks.hashed_training import (
    Parts,
    epochs_of,
    hashed_config,
    scratch_task,
    tested_elsewhere,
    training_parts,
    with_values,
)
from benchmarks.measure import FileReport, error_measurement
from benchmarks.rotated_digits import TEST_ROWS as ROTATED_TEST_ROWS
from benchmarks.rotated_digits import rotated_training
from benchmarks.several_files import Digits
from methods.hashed_nets import HashedNetsConfig
from methods.method import Method
from methods.networks import NETWORKS
from registry.vocabulary import Metric, load_vocabulary

FLOAT32_BYTES = 4

SERIES: Mapping[str, Mapping[str, Any]] = {
    "error_hashed": {"layers": "hashed"},
    "error_hashed_dk": {"layers": "hashed", "distil": True},
    "error_nn": {"layers": "narrow"},
    "error_dk": {"layers": "narrow", "distil": True},
    "error_rer": {"layers": "random-edges"},
    "error_lrd": {"layers": "low-rank"},
}
"""Metric -> what of the method's configuration makes it, in the order of training."""
FULL = "error_nn"
"""The series that has the full network: a dense one whose hidden layers are not narrowed."""
ALL = tuple(SERIES)
WITHOUT_HASHED_DK = tuple(one for one in SERIES if one != "error_hashed_dk")
LEAST = ("error_hashed", "error_nn", "error_dk")
"""Where the hours of one core for all jobs and seeds bear no more."""
BOTH_TABLES: Mapping[Point, tuple[str, ...]] = {
    Point(3, 8): ALL,
    Point(3, 64): ALL,
    Point(5, 8): LEAST,
    Point(5, 64): LEAST,
}
SHOWN = Point(3, 64)
"""The hashed network whose parts stand in the result, and whose file is kept."""

WORK = {3: 1, 5: 4}
"""About how much longer an epoch takes, by the paper's count of layers."""


@dataclass(frozen=True)
class Plan:
    """Which networks are trained, and for how long."""

    networks: Mapping[Point, tuple[str, ...]]
    """Metrics by point; the full network stands for itself."""
    epochs: Mapping[int, int]
    """By the paper's count of layers, for all networks of that depth alike."""
    rows: int | None = None
    """So many of the training images, the first; None for all."""

    def steps(self) -> Iterator[tuple[Point, str]]:
        """Every network in the order of training: of each depth the full one first."""
        for layers in self.epochs:
            yield Point(layers, 1), FULL
            for point, metrics in self.networks.items():
                if point.layers == layers:
                    yield from ((point, metric) for metric in metrics)


QUICK = Plan(
    {Point(3, 8): ("error_hashed",), Point(3, 64): ("error_hashed", "error_nn")}, {3: 2}, 6000
)


class _HashedMlps:
    """Trains the networks of a plan, writes them, and tests what is read back."""

    name: ClassVar[str]
    digits: ClassVar[Digits] = "plain"
    test_rows: ClassVar[int] = 10_000
    plans: ClassVar[Mapping[Scale, Plan]]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure every network of the plan.

        Raises:
            UnsuitableTask: the method is not HashedNets, whose baselines are needed besides it.
        """
        method, config = hashed_config(method, context)
        plan = self.plans[context.scale]
        trainer = Trainer(method, config, plan, self.parts(context), context)
        validation = {
            step: trainer.train(step, context.folder / f"{_file_name(*step)}.netc")
            for step in plan.steps()
        }
        names = {_file_name(*step) for step in validation}
        reports = tested_elsewhere(context, self.digits, names, self.test_rows)
        shown = _file_name(SHOWN, "error_hashed")
        return Outcome(
            gather(validation, reports),
            dict(reports[shown].size_bytes),
            [_told(plan, config), _validation(validation), f"sizes by part are those of {shown}"],
            network_file=context.folder / f"{shown}.netc",
        )

    def parts(self, context: Context) -> Parts:
        """What is trained on, and what choices are made by; never the test images."""
        return training_parts(context.data)


class HashedMlps(_HashedMlps):
    """On MNIST: the tables' two compressions at both depths, and the figures' between them."""

    name: ClassVar[str] = "hashed-mlps"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(
            {
                Point(3, 8): ALL,
                Point(3, 16): WITHOUT_HASHED_DK,
                Point(3, 32): WITHOUT_HASHED_DK,
                Point(3, 64): ALL,
                Point(5, 8): ALL,
                Point(5, 64): ALL,
            },
            {3: 10, 5: 5},
        ),
        "quick": QUICK,
    }


class HashedMlpsFashion(_HashedMlps):
    """On Fashion-MNIST, which the paper does not have."""

    name: ClassVar[str] = "hashed-mlps-fashion"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(BOTH_TABLES, {3: 8, 5: 5}),
        "quick": QUICK,
    }


class HashedMlpsRotated(_HashedMlps):
    """On MNIST digits turned by random angles, in place of the files of ROT."""

    name: ClassVar[str] = "hashed-mlps-rotated"
    digits: ClassVar[Digits] = "rotated"
    test_rows: ClassVar[int] = ROTATED_TEST_ROWS
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan(BOTH_TABLES, {3: 15, 5: 15}),
        "quick": QUICK,
    }

    def parts(self, context: Context) -> Parts:
        """10,000 turned digits, and 2,000 others."""
        return rotated_training(load(context.data))


class Trainer:
    """Trains the networks of a plan one after another, with the full ones as teachers."""

    def __init__(
        self,
        method: Method,
        config: HashedNetsConfig,
        plan: Plan,
        parts: Parts,
        context: Context,
    ) -> None:
        self._method = method
        self._config = config
        self._plan = plan
        self._parts = parts
        self._context = context
        self._full: dict[int, nn.Module] = {}
        """By the paper's count of layers."""
        self._work = sum(self._epochs(point) * WORK[point.layers] for point, _ in plan.steps())
        self._done = 0

    def train(self, step: tuple[Point, str], path: Path) -> float:
        """Train the network of a point and a metric, and write it to ``path``.

        Returns:
            Its error on the validation images, a fraction.
        """
        point, metric = step

        def advance() -> None:
            self._done += WORK[point.layers]
            what = f"{metric.removeprefix('error_')} at {point.name}"
            self._context.progress(0.95 * min(1.0, self._done / self._work), what)

        task = scratch_task(
            point.network,
            NETWORKS[point.network],
            self._parts,
            self._context,
            rows=self._plan.rows,
            teacher=self._full.get(point.layers),
            progress=advance,
        )
        series = SERIES[metric]
        config = with_values(
            self._config,
            {**series, "compression": point.compression},
            otherwise={
                "learning_rate": learning_rate_of(point, series["layers"]),
                "train_epochs": self._plan.epochs[point.layers],
            },
        )
        compressed = self._method.compress(task, config, seed=self._context.seed)
        compressed.save(path)
        if point.times == 1:
            compressed.fill(self._full.setdefault(point.layers, task.network))
        return task.validation_score(compressed.network)

    def _epochs(self, point: Point) -> int:
        return epochs_of(self._config, self._plan.epochs[point.layers])


def gather(
    validation: Mapping[tuple[Point, str], float], reports: Mapping[str, FileReport]
) -> dict[str, Measurement]:
    """Every measurement: errors of all networks, and the sizes of the hashed files."""
    found: dict[str, Measurement] = {}
    for point, metric in validation:
        report = reports[_file_name(point, metric)]
        found[f"{metric}.{point.name}"] = error_measurement(report.wrong, report.n)
        if metric == "error_hashed":
            size = report.file_bytes
            full = FLOAT32_BYTES * Point(point.layers, 1).stored
            found[f"file_bytes.{point.name}"] = Measurement(value=size, unit="bytes")
            found[f"file_ratio.{point.name}"] = Measurement(value=full / size, unit="ratio")
    return found


def _file_name(point: Point, metric: str) -> str:
    return f"{metric.removeprefix('error_')}-{point.name}"


def _told(plan: Plan, config: HashedNetsConfig) -> str:
    lengths = ", ".join(
        f"{epochs_of(config, epochs)} epochs of {NETWORK_NAMES[layers]}"
        for layers, epochs in plan.epochs.items()
    )
    rows = "" if plan.rows is None else f", on the first {plan.rows:,} training images"
    return f"trained for {lengths}{rows}"


def _validation(errors: Mapping[tuple[Point, str], float]) -> str:
    told = ", ".join(f"{_file_name(*step)} {100 * error:.2f}" for step, error in errors.items())
    return f"validation errors in per cent: {told}"
