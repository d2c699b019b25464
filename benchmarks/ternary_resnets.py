"""Ternary weights in residual networks of one, two and three blocks a stage.

Zhu et al., ICLR 2017, section 5.1: on CIFAR-10 ternary weights cost ResNet-20 0.64 points and gain
0.04 to 0.36 in ResNet-32 to 56, so that depth helps them. Here are smaller networks of the same
kind on grey images, and part of the training images. From a float32 network of each depth the
ternary and the float32 one train on for as many epochs, each at a rate chosen for the shallowest on
Fashion-MNIST's validation images; in the shallowest one scale a layer and no zeros stand beside
them. The first layer stays
float32, as in the authors' code. Nothing is chosen by the test images.
"""

from collections.abc import Mapping
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
from registry.vocabulary import Metric, load_vocabulary

NETWORKS: Mapping[int, str] = {1: "resnet-8", 2: "resnet-14", 3: "resnet-20"}
"""By blocks a stage."""
FLOAT32, TERNARY = "float32", "ternary"
TERNARY_LAYERS: Mapping[str, Any] = {"full_precision": "first"}
COMPARED: Mapping[str, Mapping[str, Any]] = {
    "single_scale_error": {"weights": "shared"},
    "binary_error": {"weights": "binary"},
}
"""Metric -> what differs; in the shallowest network alone, for the time that it takes."""

RATES = dict.fromkeys(("trained", "shared", "binary"), 0.003)
"""Of Adam; what was tried stands in the record, at the run."""


@dataclass(frozen=True)
class Plan:
    """Which depths, and for how long."""

    blocks: tuple[int, ...]
    """A stage, rising; the last is the deepest."""
    epochs: int
    """Of the float32 networks that all start from."""
    more_epochs: int
    """Of every network after that, where the run names none."""
    rows: int
    """So many of the training images, the first."""
    compared: tuple[str, ...] = tuple(COMPARED)

    def recipe(self, blocks: int) -> Recipe:
        """The rate, momentum and decay of the authors' code."""
        return Recipe(
            network=NETWORKS[blocks],
            epochs=self.epochs,
            learning_rate=0.1,
            batch_size=128,
            weight_decay=2e-4,
            rows=self.rows,
        )

    def work(self, more_epochs: int) -> int:
        """Epochs of all networks, each times its blocks."""
        each = self.epochs + 2 * more_epochs
        return sum(self.blocks) * each + len(self.compared) * self.blocks[0] * more_epochs


class _TernaryResnets:
    """Trains the networks of a plan, writes them, and tests what is read back."""

    plans: ClassVar[Mapping[Scale, Plan]]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure the method at every depth.

        Raises:
            UnsuitableTask: the method is another.
        """
        plan = self.plans[context.scale]
        ours, config = ternary_method(method, context)
        if "train_epochs" not in config.model_fields_set:
            config = config.model_copy(update={"train_epochs": plan.more_epochs})
        files = TernaryFiles(ours, config, RATES, context)
        progress = Progress(plan.work(config.train_epochs), context)
        told = [_train(plan, blocks, files, progress) for blocks in plan.blocks][-1]
        deepest = _name(TERNARY, plan.blocks[-1])
        reports = files.tested()
        remark = (
            f"{plan.epochs} epochs in float32, then {config.train_epochs} of every network, on "
            f"the first {plan.rows:,} images"
        )
        return Outcome(
            _gather(plan, files, reports, told),
            dict(reports[deepest].size_bytes),
            [remark, *files.remarks(), f"sizes by part are those of {deepest}"],
            network_file=context.folder / f"{deepest}.netc",
        )


def _train(plan: Plan, blocks: int, files: TernaryFiles, progress: Progress) -> list[Snapshot]:
    """All networks of one depth; densities and scales of the ternary one."""
    context, recipe = files.context, plan.recipe(blocks)
    progress.weight, progress.what = blocks, f"{recipe.network} in float32"
    task = mnist_task(context, recipe, progress)
    train_reference(task, recipe, digests(context.data), context.seed, skipped=progress.skip)
    epochs = files.config.train_epochs
    files.float32(task, _name(FLOAT32, blocks), epochs, recipe.learning_rate)
    progress.what = f"{recipe.network}, ternary"
    told = files.ternary(task, _name(TERNARY, blocks), TERNARY_LAYERS)
    if blocks == plan.blocks[0]:
        for metric in plan.compared:
            progress.what = f"{recipe.network}, {metric.removesuffix('_error').replace('_', ' ')}"
            files.ternary(task, metric, {**TERNARY_LAYERS, **COMPARED[metric]})
    return told


def _name(kind: str, blocks: int) -> str:
    return f"{kind}-{NETWORKS[blocks]}"


def _gather(
    plan: Plan,
    files: TernaryFiles,
    reports: Mapping[str, FileReport],
    told: list[Snapshot],
) -> dict[str, Measurement]:
    found: dict[str, Measurement] = {}
    for blocks in plan.blocks:
        float32, ternary = (reports[_name(kind, blocks)] for kind in (FLOAT32, TERNARY))
        of_depth = {
            "reference_error": error_of(float32),
            "error": error_of(ternary),
            "error_increase": increase(ternary, float32),
        }
        point = f"{blocks}-blocks"
        found |= {f"{metric}.{point}": value for metric, value in of_depth.items()}
        for end, word in ((plan.blocks[0], "shallow"), (plan.blocks[-1], "deep")):
            if blocks == end:
                found |= {f"{word}_{metric}": value for metric, value in of_depth.items()}
    found |= {metric: error_of(reports[metric]) for metric in plan.compared}
    lines = {f"stage{stage}-0.conv2.weight": f"stage-{stage}" for stage in (1, 2, 3)}
    deepest = _name(TERNARY, plan.blocks[-1])
    return found | files.coded_sizes(deepest) | trajectories(told, lines)


QUICK = Plan((1,), 1, 1, 1_000, ())
"""One depth: testing takes most of the time, and more with each."""


class FashionMnistResnets(_TernaryResnets):
    """On Fashion-MNIST."""

    name: ClassVar[str] = "fashion-mnist-resnets"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan((1, 2, 3), 6, 6, 6_000),
        "quick": QUICK,
    }


class MnistResnets(_TernaryResnets):
    """On MNIST."""

    name: ClassVar[str] = "mnist-resnets"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1
    plans: ClassVar[Mapping[Scale, Plan]] = {
        "full": Plan((1, 2, 3), 4, 4, 4_000),
        "quick": QUICK,
    }
