"""A fixed number of stored values, spread over a hidden layer that grows: HashedNets' Fig. 4.

Chen et al., ICML 2015. The stored values are those of a 784-50-10 network; at expansion factor f
the virtual network has 50 f hidden units and the compression 1/f. The figure's own depth and size
are not confirmed. All networks are trained for as long, each at a rate of its own, written, and
read back in another process that tests them; the dense 784-50-10 network, whose weights share
nothing, stands beside.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.hashed_points import CLASSES, INPUTS
from benchmarks.hashed_training import (
    epochs_of,
    hashed_config,
    scratch_task,
    tested_elsewhere,
    training_parts,
    with_values,
)
from benchmarks.measure import error_measurement
from methods.method import Method
from methods.networks import mlp
from registry.vocabulary import Metric, load_vocabulary

UNITS = 50
"""Hidden units of the dense network whose parameters are stored."""
SHOWN = "error_expansion_8"
"""The network whose file is kept and whose sizes are in the result."""
DENSE = "error_dense"
NETWORKS: Mapping[str, tuple[int, float]] = {
    "error_expansion_1": (1, 0.1),
    "error_expansion_2": (2, 0.2),
    "error_expansion_4": (4, 0.05),
    "error_expansion_8": (8, 0.05),
    "error_expansion_16": (16, 0.1),
    DENSE: (1, 0.1),
}
"""Metric -> expansion factor and learning rate, chosen as in ``benchmarks.hashed_settings``."""
EPOCHS: Mapping[Scale, int] = {"full": 10, "quick": 2}
ROWS: Mapping[Scale, int | None] = {"full": None, "quick": 6_000}
TEST_ROWS = 10_000


class HashedExpansion:
    """Test errors at each expansion factor, and of the dense network."""

    name: ClassVar[str] = "hashed-expansion"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Train, write, read back and test the network of every factor.

        Raises:
            UnsuitableTask: the method is not HashedNets.
        """
        method, config = hashed_config(method, context)
        epochs = epochs_of(config, EPOCHS[context.scale])
        parts = training_parts(context.data)
        # An epoch takes longer the wider the network: work is counted in hidden units.
        work, done = epochs * sum(factor for factor, _ in NETWORKS.values()), 0
        validation: dict[str, float] = {}
        for metric, (factor, rate) in NETWORKS.items():

            def advance(factor: int = factor) -> None:
                nonlocal done
                done += factor
                context.progress(0.95 * min(1.0, done / work), f"expansion factor {factor}")

            def fresh(seed: int, units: int = UNITS * factor) -> nn.Module:
                return mlp((INPUTS, units, CLASSES), seed)

            task = scratch_task(
                f"mlp-{UNITS * factor}",
                fresh,
                parts,
                context,
                rows=ROWS[context.scale],
                progress=advance,
            )
            layers = "narrow" if metric == DENSE else "hashed"
            own = with_values(
                config,
                {"layers": layers, "compression": 1 / factor, "train_epochs": epochs},
                otherwise={"learning_rate": rate},
            )
            compressed = method.compress(task, own, seed=context.seed)
            compressed.save(context.folder / f"{metric}.netc")
            validation[metric] = task.validation_score(compressed.network)
        reports = tested_elsewhere(context, "plain", set(validation), TEST_ROWS)
        told = ", ".join(f"{metric} {100 * error:.2f}" for metric, error in validation.items())
        file_bytes = Measurement(value=reports[SHOWN].file_bytes, unit="bytes")
        return Outcome(
            {
                **{name: error_measurement(reports[name].wrong, TEST_ROWS) for name in validation},
                "file_bytes": file_bytes,
            },
            dict(reports[SHOWN].size_bytes),
            [f"trained for {epochs} epochs; validation errors in per cent: {told}"],
            network_file=context.folder / f"{SHOWN}.netc",
        )
