"""Points of the prediction curves: one network each, trained, written, read back and tested.

What several benchmarks of Denil et al., NIPS 2013, share: which dictionaries a legend's name stands
for, training with each setting, and the measurements of what was read from the files.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.benchmark import Context, Measurement
from benchmarks.measure import FileReport, error_measurement
from benchmarks.mnist import TEST_ROWS, mnist_task
from benchmarks.reference import Recipe
from benchmarks.several_files import measure_folder_in_new_process
from methods.method import Method, UnsuitableTask, parse_config
from methods.predicting_parameters import Counts, counts_of
from methods.prediction.settings import Choice, PredictingParametersConfig

DICTIONARIES: Mapping[str, tuple[Choice, Choice]] = {
    "nokernel": ("none", "none"),
    "low_rank": ("low-rank", "low-rank"),
    "rand_fix_u": ("random", "random"),
    "rand_con": ("random-connections", "random-connections"),
    "se_se": ("squared-exponential", "squared-exponential"),
    "se_emp": ("squared-exponential", "covariance"),
    "se_emp2": ("squared-exponential", "covariance-squared"),
    "se_ae": ("squared-exponential", "autoencoder"),
    "emp_emp": ("covariance", "covariance"),
}
"""Series -> dictionaries of the first layer and of the next, as the paper's legend names them."""
DENSE = "nokernel"
UNPREDICTED = ("low-rank", "rand-con")
"""What begins the keys of networks whose other weights do not follow from the learned ones."""


def series_of(name: str) -> str:
    """``se-emp`` for ``se_emp``: what begins the names of a line's points."""
    return name.replace("_", "-")


@dataclass(frozen=True)
class Setting:
    """One network: its dictionaries, and what else differs from the run's configuration."""

    series: str
    """Of ``DICTIONARIES``."""
    point: str
    """Such as ``5-percent``."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Mapping[str, Any] = field(default_factory=dict)
    """What differs where the run's configuration does not name it."""

    @property
    def key(self) -> str:
        """The name of its file, without the ending."""
        return f"{series_of(self.series)}-{self.point}"

    def config(self, base: PredictingParametersConfig) -> PredictingParametersConfig:
        """``base`` with this setting's own values."""
        first, others = DICTIONARIES[self.series]
        values = base.model_dump() | {"first": first, "others": others} | dict(self.changes)
        unnamed = {k: v for k, v in self.otherwise.items() if k not in base.model_fields_set}
        return PredictingParametersConfig.model_validate(values | unnamed)


def at_share(series: str, percent: str, **changes: Any) -> Setting:
    """The setting that learns so many per cent of the layers' weights, ``20/784`` as 2.6.

    At 100 per cent a fixed factor spans all inputs whatever it draws: one column can be the same
    networks as several, in a fraction of the time.
    """
    share = 20 / 784 if percent == "2.6" else float(percent) / 100
    columns = {"columns": 1, "convolution_columns": 1} if percent == "100" else {}
    return Setting(series, f"{percent}-percent", {"share": share, **columns, **changes})


@dataclass(frozen=True)
class Measured:
    """What the file of one setting shows, and what its network learned."""

    report: FileReport
    counts: Counts
    validation: float
    """Its error on the validation images, a fraction."""


def base_config(method: Method | None, context: Context) -> PredictingParametersConfig:
    """The run's configuration.

    Raises:
        UnsuitableTask: the method is another, whose settings these benchmarks do not know.
    """
    config = None if method is None else parse_config(method, context.configuration)
    if not isinstance(config, PredictingParametersConfig):
        raise UnsuitableTask("this benchmark varies the settings of predicting-parameters")
    return config


def measure_points(
    method: Method | None, context: Context, recipe: Recipe, settings: Iterable[Setting]
) -> tuple[dict[str, Measured], list[str]]:
    """Train each setting's network, write it, and test in another process what it reads back.

    Args:
        recipe: the network, the batch and the rows; the run's configuration says the rest.

    Returns:
        By ``Setting.key``; and remarks.

    Raises:
        UnsuitableTask: see ``base_config``.
    """
    base, wanted = base_config(method, context), list(settings)
    assert method is not None, "base_config has refused that"
    folder = context.folder / "networks"
    folder.mkdir()
    counts: dict[str, Counts] = {}
    validation: dict[str, float] = {}
    for done, setting in enumerate(wanted):
        advance = _advance(context, setting, done, len(wanted), base.train_epochs)
        task = mnist_task(context, recipe, advance)
        made = method.compress(task, setting.config(base), seed=context.seed)
        made.save(folder / f"{setting.key}.netc")
        counts[setting.key] = counts_of(made)
        dense = task.fresh_network(context.seed)
        made.fill(dense)  # the same weights multiplied out, which is quicker for convolutions
        validation[setting.key] = task.validation_score(dense)
    context.progress(0.95, "reading the files back in another process")
    reports = measure_folder_in_new_process(folder, context.data, "plain", context.device)
    rows = TEST_ROWS[context.data]
    if set(reports) != set(counts) or any(report.n != rows for report in reports.values()):
        raise RuntimeError(f"not every network was tested on {rows} rows")
    told = ", ".join(f"{key} {error:.4f}" for key, error in validation.items())
    return (
        {key: Measured(reports[key], counts[key], validation[key]) for key in counts},
        [f"validation errors: {told}"],
    )


def _advance(
    context: Context, setting: Setting, before: int, settings: int, epochs: int
) -> Callable[[], None]:
    """Told each epoch of training of one setting, which so many came before."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        reached = before * epochs + min(done, epochs)
        context.progress(0.95 * reached / (settings * epochs), f"{setting.key}, epoch {done}")

    context.progress(0.95 * (before * epochs) / (settings * epochs), setting.key)
    return advance


def error_of(measured: Measured) -> Measurement:
    """The test error of what was read back."""
    return error_measurement(measured.report.wrong, measured.report.n)


def curve_metrics(
    settings: Iterable[Setting], measured: Mapping[str, Measured]
) -> dict[str, Measurement]:
    """Errors, bytes and weights of each setting; the dense network's error beside each share."""
    found: dict[str, Measurement] = {}
    dense = next((one for key, one in measured.items() if key.startswith(DENSE)), None)
    for setting in settings:
        one = measured[setting.key]
        if setting.series != DENSE:
            found[f"error_{setting.series}.{setting.point}"] = error_of(one)
        if dense is not None:
            found[f"error_{DENSE}.{setting.point}"] = error_of(dense)
        size = one.report.file_bytes
        found[f"file_bytes.{setting.key}"] = Measurement(value=size, unit="bytes")
        for metric, count in (("learned", one.counts.learned), ("stored", one.counts.stored)):
            found[f"{metric}_weights.{setting.key}"] = Measurement(value=count, unit="count")
    return found


def predicted_share(measured: Mapping[str, Measured]) -> dict[str, Measurement]:
    """The greatest share of predicted weights with no more validation errors than the dense
    network, and what that network adds to the dense one's test error.

    Chosen by the validation images, since the best of many on the test images would be found
    there by chance. With two learned factors, or without most connections, nothing is predicted.
    """
    dense = next(one for key, one in measured.items() if key.startswith(DENSE))
    good = [
        one
        for key, one in measured.items()
        if not key.startswith(UNPREDICTED) and one.validation <= dense.validation
    ]
    chosen = min(good, key=lambda one: one.counts.learned)
    added = (chosen.report.wrong - dense.report.wrong) / dense.report.n
    share = 1 - chosen.counts.learned / chosen.counts.weights
    return {
        "predicted_share": Measurement(value=share, unit="fraction"),
        "predicted_share_increase": Measurement(value=added, unit="fraction", n=dense.report.n),
    }
