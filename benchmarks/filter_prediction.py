"""Filters of a trained first layer predicted from a few of their pixels, without retraining.

Denil et al., NIPS 2013, introduction and Fig. 1: a filter's other weights follow from a few of
them, by kernel ridge regression (section 3.2 of the paper's derivation, the authors'
``kernel_expander.py``). Each filter keeps random pixels of its own; what the file holds is the kept
weights and the rule that draws the pixels. The kernel is squared-exponential over places of pixels,
or the covariance of the training images. Beside them stand the same kept weights with the others
left at zero.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.grey_picture import GreyPicture
from benchmarks.measure import FileReport, error_measurement
from benchmarks.mnist import TEST_ROWS, mnist_task
from benchmarks.prediction_points import base_config
from benchmarks.reference import Recipe
from benchmarks.several_files import measure_folder_in_new_process
from methods.compressed import Compressed
from methods.formats.fixed_factor import FixedFactor
from methods.method import Method
from methods.prediction.dictionaries import Dictionary
from methods.prediction.settings import PredictingParametersConfig
from methods.training import ClassificationTask, cosine
from registry.vocabulary import Metric, load_vocabulary

NETWORK = "mlp-500-500"
LAYER = "ip1.weight"
SIDE = 28
PIXELS = SIDE * SIDE
START_WITHIN = 0.01
"""The first layer's weights start uniformly within this, a tenth of the network's own range: what
is looked at is what was learned, and not what is left of the start."""
SHARES: Mapping[Scale, Sequence[int]] = {"full": (5, 10, 25), "quick": (5, 25)}
"""Per cent of each filter's pixels."""
PICTURED = (5, 25)
PICTURED_FILTERS = 12
RECIPES: Mapping[Scale, Recipe] = {
    "full": Recipe(
        network=NETWORK, epochs=12, learning_rate=0.1, batch_size=100, weight_decay=1e-4
    ),
    "quick": Recipe(
        network=NETWORK,
        epochs=2,
        learning_rate=0.1,
        batch_size=100,
        weight_decay=1e-4,
        rows=12_000,
    ),
}
WHITE, ZERO, LEVELS = 255, 128, 127
"""Greys: of lines, of a weight of 0, and how far from it the largest weight lies."""
BLANK, KERNEL, COVARIANCE = "blank", "predicted", "predicted_covariance"
"""How the other pixels are filled; ``error_`` before them are the metrics."""


class _FilterPrediction:
    """Train a dense network, predict its filters from few pixels, write, read back, test."""

    metrics: ClassVar[Mapping[str, Metric]]

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Measure; of the method's configuration scale and ridges take part.

        Raises:
            UnsuitableTask: the method is none that predicts parameters.
        """
        config, recipe = base_config(method, context), RECIPES[context.scale]
        task = trained(context, recipe)
        filters = dict(task.network.named_parameters())[LAYER].detach().cpu().double().numpy()
        covariance = pixel_covariance(task, context.seed)
        shares, found = SHARES[context.scale], {}
        folder = context.folder / "networks"
        folder.mkdir()
        Compressed.from_module(task.network, {}).save(folder / "dense.netc")
        pictures: list[GreyPicture] = []
        for done, share in enumerate(shares):
            context.progress(0.6 + 0.3 * done / len(shares), f"{share} per cent of the pixels")
            drawn: dict[str, NDArray[np.floating]] = {}
            for how, held in predictions(filters, share / 100, covariance, config, context.seed):
                drawn[how] = held.decode().numpy()
                Compressed.from_module(task.network, {LAYER: held}).save(
                    folder / f"{how}-{share}.netc"
                )
                if how != BLANK:
                    key = f"weight_error{how.removeprefix(KERNEL)}.{share}-percent"
                    found[key] = Measurement(
                        value=relative_error(drawn[how], filters), unit="fraction"
                    )
            if share in PICTURED:
                pictures.append(picture_of(drawn[BLANK], drawn[KERNEL], filters, share))
        context.progress(0.92, "reading the files back in another process")
        reports = measure_folder_in_new_process(folder, context.data, "plain", context.device)
        rows = TEST_ROWS[context.data]
        if any(report.n != rows for report in reports.values()):
            raise RuntimeError(f"not every network was tested on {rows} rows")
        for share in shares:
            found |= point(reports, share, rows)
        validation = task.validation_score(task.network)
        remarks = [f"validation error of the dense network {validation:.4f}"]
        return Outcome(
            found, remarks=remarks, pictures=pictures, network_file=folder / f"{KERNEL}-25.netc"
        )


class MnistFilterPrediction(_FilterPrediction):
    """Filters of digits."""

    name: ClassVar[str] = "mnist-filter-prediction"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


class FashionFilterPrediction(_FilterPrediction):
    """Filters of pieces of clothing."""

    name: ClassVar[str] = "fashion-filter-prediction"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1


def trained(context: Context, recipe: Recipe) -> ClassificationTask:
    """The task with its network trained, its first layer from near zero."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        context.progress(0.6 * done / recipe.epochs, f"epoch {done} of {recipe.epochs}")

    task = mnist_task(context, recipe, advance)
    first = dict(task.network.named_parameters())[LAYER]
    with torch.no_grad():
        first.mul_(START_WITHIN / 0.1)
    task.fit(
        task.network,
        recipe.epochs,
        learning_rate=recipe.learning_rate,
        schedule=cosine,
        seed=context.seed,
    )
    return task


def pixel_covariance(task: ClassificationTask, seed: int) -> NDArray[np.float64]:
    """Of the training images: (pixels, pixels)."""
    batches = [inputs.flatten(1).cpu().double() for inputs, _, _ in task.train_batches(seed)]
    return np.cov(torch.cat(batches).numpy(), rowvar=False)


def predictions(
    filters: NDArray[np.float64],
    share: float,
    covariance: NDArray[np.float64],
    config: PredictingParametersConfig,
    seed: int,
) -> Iterator[tuple[str, FixedFactor]]:
    """The layer from a share of each filter's pixels, in three ways, all from the same pixels.

    Args:
        filters: (filters, pixels). Each is a column of its own: it draws its own pixels.
        covariance: of pixels, (pixels, pixels).
    """
    count, pixels = filters.shape
    ridge = config.ridge
    if config.covariance_ridge is not None:
        ridge = config.covariance_ridge * float(np.diagonal(covariance).mean())
    size = {"atoms": int(pixels * share + 1e-9), "columns": count, "seed": seed}
    rules = {
        BLANK: Dictionary("positions", **size),
        KERNEL: Dictionary(
            "squared-exponential",
            **size,
            scale=config.scale,
            ridge=config.ridge,
            grid=(1, SIDE, SIDE),
        ),
        COVARIANCE: Dictionary("covariance", **size, ridge=ridge),
    }
    for how, rule in rules.items():
        drawn = rule.draws(pixels)
        kept = np.stack([one[alpha] for one, alpha in zip(filters, drawn, strict=True)])
        stored = rule.select(covariance) if how == COVARIANCE else None
        yield how, FixedFactor(filters.shape, kept.T, rule, stored)


def relative_error(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """The Frobenius norm of the difference over that of the true weights."""
    return float(np.linalg.norm(predicted - true) / np.linalg.norm(true))


def point(reports: Mapping[str, FileReport], share: int, rows: int) -> dict[str, Measurement]:
    """The errors and bytes at one share."""
    name = f"{share}-percent"
    dense = reports["dense"]
    found = {f"error_dense.{name}": error_measurement(dense.wrong, rows)}
    for how in (BLANK, KERNEL, COVARIANCE):
        report = reports[f"{how}-{share}"]
        found[f"error_{how}.{name}"] = error_measurement(report.wrong, rows)
    size = reports[f"{KERNEL}-{share}"].file_bytes
    found[f"file_bytes.{name}"] = Measurement(value=size, unit="bytes")
    return found


def picture_of(
    blank: NDArray[np.floating],
    predicted: NDArray[np.floating],
    true: NDArray[np.floating],
    share: int,
) -> GreyPicture:
    """The filters of the largest norm: kept pixels, predicted filters, true filters.

    Args:
        blank, predicted, true: (filters, pixels).
    """
    chosen = np.argsort(-np.linalg.norm(true, axis=1), kind="stable")[:PICTURED_FILTERS]
    rows = [one[chosen].reshape(-1, SIDE, SIDE) for one in (blank, predicted, true)]
    drawn = tiles(rows)
    title = f"Filters from {share} per cent of their pixels"
    words = (
        f"the kept pixels above, the filters predicted from them in the middle, the true filters "
        f"beneath; the {len(chosen)} filters of the largest norm. Grey is 0, brighter is above it."
    )
    return GreyPicture.of(drawn.tobytes(), drawn.shape[1], title, words)


def tiles(rows: Sequence[NDArray[np.floating]]) -> NDArray[np.uint8]:
    """Weights as grey tiles, a row of tiles an array, with white lines around them.

    Args:
        rows: each (tiles, height, width), all of one shape. The tiles that stand beneath each
            other share one scale: the largest magnitude among them is black or white, 0 is grey.

    Returns:
        (rows x (height + 1) + 1, tiles x (width + 1) + 1) uint8.
    """
    stacked = np.stack([np.asarray(row, np.float64) for row in rows])
    largest = np.abs(stacked).max(axis=(0, 2, 3), keepdims=True)
    scaled = ZERO + np.rint(LEVELS * stacked / np.where(largest > 0, largest, 1))
    count, across, height, width = stacked.shape
    drawn = np.full((count, across, height + 1, width + 1), WHITE, np.uint8)
    drawn[:, :, :height, :width] = scaled.astype(np.uint8)
    whole = drawn.transpose(0, 2, 1, 3).reshape(count * (height + 1), across * (width + 1))
    return np.pad(whole, ((1, 0), (1, 0)), constant_values=WHITE)
