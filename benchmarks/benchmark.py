"""The protocol of a benchmark and the measurements that it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import JsonValue

from benchmarks.grey_picture import GreyPicture
from methods.discovery import (
    Found,
    found_in_file,
    is_file_target,
    unknown,
    with_entry_points,
)
from registry.errors import UserError
from registry.fields import Model
from registry.units import Unit
from registry.vocabulary import Metric

if TYPE_CHECKING:  # results are read without torch
    from methods.method import Method

GROUP = "netcompress.benchmarks"

Scale = Literal["quick", "full"]


class Measurement(Model):
    """One measured value with its own interval, in the unit of its metric."""

    value: float | int
    unit: Unit
    low: float | None = None
    """Of the 95 % interval within this job (binomial for error rates); None where exact."""
    high: float | None = None
    n: int | None = None
    """How many cases were evaluated, for rates."""


def without_interval(
    values: Mapping[str, float], metrics: Mapping[str, Metric]
) -> dict[str, Measurement]:
    """Measurements of ``metric`` or ``metric.layer``, each in its metric's unit."""
    return {
        key: Measurement(value=value, unit=metrics[key.partition(".")[0]].unit)
        for key, value in values.items()
    }


@dataclass(frozen=True)
class Context:
    """What a benchmark is told about the job that it runs in."""

    paper: str
    run: str
    scale: Scale
    seed: int
    data: str
    """The data set by name: the wanted one, or the fallback that the plan chose."""
    device: str
    folder: Path
    """A folder of the job's own, removed afterwards."""
    configuration: Mapping[str, JsonValue]
    """Of the method, scale already applied."""
    progress: Callable[[float, str], None] = lambda share, what: None
    """Told the share of the work done (0 to 1) and what goes on now."""


@dataclass
class Outcome:
    """What a benchmark found."""

    metrics: dict[str, Measurement]
    """By metric name, or ``metric.layer`` for metrics that are per layer or series."""
    size_bytes: dict[str, int] = field(default_factory=dict)
    """Bytes on disk by ``layer/part``; their sum is the file's size."""
    remarks: list[str] = field(default_factory=list)
    pictures: list[GreyPicture] = field(default_factory=list)
    """For the paper's page, at most ``MOST_PICTURES``."""
    network_file: Path | None = None
    """The compressed network, for ``run --keep``."""


@runtime_checkable
class Benchmark(Protocol):
    """One benchmark; built without arguments.

    A class that times something sets ``runs_alone = True``: no other job runs beside it then.
    """

    name: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    """Equal to the vocabulary's (a test says so)."""
    revision: ClassVar[int]
    """Raised when its numbers change."""

    def run(self, method: "Method | None", context: Context) -> Outcome:
        """Measure ``method``.

        Raises:
            registry.errors.UserError: data are missing, with what to do.
            methods.method.UnsuitableTask: the method cannot take this network: ``skipped``.
        """
        ...


BUILT_IN: Mapping[str, str] = {
    "mnist-lenet-300-100": "benchmarks.mnist:MnistLenet300100",
    "mnist-lenet-5": "benchmarks.mnist:MnistLenet5",
    "lenet-quantization-sweep": "benchmarks.quantization_sweep:LenetQuantizationSweep",
    "imagenet-sizes": "benchmarks.imagenet_sizes:ImagenetSizes",
    "hashed-mlps": "benchmarks.hashed_mlps:HashedMlps",
    "hashed-mlps-fashion": "benchmarks.hashed_mlps:HashedMlpsFashion",
    "hashed-mlps-rotated": "benchmarks.hashed_mlps:HashedMlpsRotated",
    "hashed-expansion": "benchmarks.hashed_expansion:HashedExpansion",
    "hashed-sizes": "benchmarks.hashed_sizes:HashedSizes",
    "hashed-step-speed": "benchmarks.hashed_step_speed:HashedStepSpeed",
    "pruned-layer-speed": "benchmarks.pruned_layer_speed:PrunedLayerSpeed",
    "lookup-layer-speed": "benchmarks.lookup_layer_speed:LookupLayerSpeed",
    "eie-arithmetic": "benchmarks.eie_arithmetic:EieArithmetic",
    "eie-machine": "benchmarks.eie_machine:EieMachine",
    "eie-lenet-300-100": "benchmarks.eie_networks:EieLenet300100",
    "eie-spoken-vowels": "benchmarks.eie_networks:EieSpokenVowels",
    "eie-authors-layer": "benchmarks.eie_authors_layer:EieAuthorsLayer",
    "mnist-product-quantization": "benchmarks.product_quantization:MnistProductQuantization",
    "fashion-mnist-convnet-product-quantization": (
        "benchmarks.convnet_quantization:FashionMnistConvnetQuantization"
    ),
    "mnist-convnet-product-quantization": (
        "benchmarks.convnet_quantization:MnistConvnetQuantization"
    ),
    "mnist-cnn-product-quantization": "benchmarks.convnet_quantization:MnistCnnQuantization",
    "product-quantization-sizes": "benchmarks.product_quantization_sizes:ProductQuantizationSizes",
    "mnist-mlp-prediction": "benchmarks.mnist_prediction:MnistMlpPrediction",
    "fashion-mlp-prediction": "benchmarks.mnist_prediction:FashionMlpPrediction",
    "mnist-prediction-recipe": "benchmarks.mnist_prediction:MnistPredictionRecipe",
    "mnist-convnet-prediction": "benchmarks.convnet_prediction:MnistConvnetPrediction",
    "fashion-convnet-prediction": "benchmarks.convnet_prediction:FashionConvnetPrediction",
    "mnist-filter-prediction": "benchmarks.filter_prediction:MnistFilterPrediction",
    "fashion-filter-prediction": "benchmarks.filter_prediction:FashionFilterPrediction",
    "prediction-sizes": "benchmarks.prediction_sizes:PredictionSizes",
    "mnist-ternary-lenet-300-100": "benchmarks.ternary_lenets:TernaryLenet300100",
    "mnist-ternary-lenet-5": "benchmarks.ternary_lenets:TernaryLenet5",
    "fashion-mnist-resnets": "benchmarks.ternary_resnets:FashionMnistResnets",
    "mnist-resnets": "benchmarks.ternary_resnets:MnistResnets",
    "ternary-sizes": "benchmarks.ternary_sizes:TernarySizes",
    "mnist-mlp-binary-connect": "benchmarks.binary_connect:MnistMlpBinaryConnect",
    "mnist-narrow-binary-connect": "benchmarks.binary_connect:MnistNarrowBinaryConnect",
    "fashion-mnist-convnet-binary-connect": (
        "benchmarks.binary_connect:FashionConvnetBinaryConnect"
    ),
    "cifar-10-convnet-binary-connect": "benchmarks.binary_connect:Cifar10ConvnetBinaryConnect",
    "multiplication-counts": "benchmarks.multiplication_counts:MultiplicationCounts",
    "trained-mnist-cnn": "benchmarks.trained:TrainedMnistCnn",
    "trained-mnist-cnn-with-data": "benchmarks.trained:TrainedMnistCnnWithData",
    "trained-speech-detector": "benchmarks.trained:TrainedSpeechDetector",
}
"""Benchmark name -> ``module:Class``."""

BENCHMARK_ATTRIBUTES = ("name", "metrics", "revision", "run")


def discover_benchmarks() -> dict[str, Found]:
    """Every built benchmark by name, ours and those of the entry point group, not imported."""
    built_in = [
        Found(name, "built in", target, None, BENCHMARK_ATTRIBUTES)
        for name, target in BUILT_IN.items()
    ]
    return with_entry_points(built_in, GROUP, BENCHMARK_ATTRIBUTES)


def find_benchmark(name_or_file: str) -> Found:
    """The benchmark of that name, or in that file (``file.py`` or ``file.py:Class``).

    Raises:
        UserError: there is none; with what was probably meant.
    """
    if is_file_target(name_or_file):
        return found_in_file(name_or_file, BENCHMARK_ATTRIBUTES)
    found = discover_benchmarks()
    if name_or_file not in found:
        raise UserError(unknown("benchmark", name_or_file, found))
    return found[name_or_file]


def load_benchmarks() -> dict[str, type[Benchmark]]:
    """Every built benchmark by name, imported.

    Raises:
        UserError: one cannot be loaded; says why.
    """
    return {name: found.load() for name, found in discover_benchmarks().items()}
