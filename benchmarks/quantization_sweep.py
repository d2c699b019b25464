"""Bits against error: the ablations of Deep Compression's Figs. 6 to 8, on LeNet-5.

Han, Mao, Dally, ICLR 2016, section 6. A reference network and its pruned self are quantized to 2
to 8 bits, all layers alike:

* pruning only, quantization only, and both (Fig. 6), with the size by the paper's count;
* with and without pruning, and of the convolutions or the fully connected layers alone (Fig. 7);
* the three initialisations of the centroids (Fig. 8), before and after the centroids are trained.

The paper says nothing of the training of its figures' centroids. Here it is short: the passes of
``codebook_epochs`` over the first ``RETRAINING_ROWS`` training images.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import nn

from benchmarks.accounting import LayerCount, count_layer, totals_of
from benchmarks.benchmark import Context, Measurement, Outcome, Scale
from benchmarks.datasets import digests
from benchmarks.measure import error_measurement, test_split
from benchmarks.mnist import RECIPES, TEST_ROWS, mnist_task
from benchmarks.reference import train_reference
from methods.cluster import Initialisation
from methods.deep_compression import DeepCompressionConfig, settings_for
from methods.formats.sparse_codebook import SparseCodebook
from methods.method import Method, UnsuitableTask, parse_config
from methods.prune import Masks
from methods.prune_and_share import Codebook, prune, share, train_codebooks, weights_by_layer
from methods.training import ClassificationTask, count_errors
from registry.vocabulary import Metric, load_vocabulary

NETWORK = "lenet-5"
BITS: Mapping[Scale, Sequence[int]] = {"full": tuple(range(2, 9)), "quick": (2, 8)}
RETRAINING_ROWS: Mapping[Scale, int] = {"full": 6_000, "quick": 1_000}
QUICK_TEST_ROWS = 1_000
HALF_POINT = 0.005
FLOAT_BITS = 32
INITIALISATIONS: tuple[Initialisation, ...] = get_args(Initialisation)

Test = Callable[[nn.Module], Measurement]


class LenetQuantizationSweep:
    """Test errors of LeNet-5 over bits a weight, before and after Deep Compression's pruning.

    The test images give the printed numbers and nothing else: no setting is chosen here.
    """

    name: ClassVar[str] = "lenet-quantization-sweep"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Quantize with every number of bits, with and without pruning.

        Raises:
            UnsuitableTask: the method is not Deep Compression, whose stages are taken apart.
        """
        config = None if method is None else parse_config(method, context.configuration)
        if not isinstance(config, DeepCompressionConfig):
            raise UnsuitableTask("this benchmark takes the stages of deep-compression apart")
        reference, pruned, remark = train_and_prune(config, context)
        recipe = RECIPES[NETWORK][context.scale]
        rows = RETRAINING_ROWS[context.scale]
        sweep = Sweep(
            reference,
            pruned,
            config,
            context.seed,
            task=mnist_task(context, recipe.model_copy(update={"rows": rows})),
            test=tester(context),
            progress=lambda share, what: context.progress(0.5 + 0.49 * share, what),
        )
        found = sweep.measure(BITS[context.scale])
        passes = "1 pass" if config.codebook_epochs == 1 else f"{config.codebook_epochs} passes"
        told = f"centroids trained by {passes} over the first {rows:,} training images"
        return Outcome(found, remarks=[remark, told])


@dataclass(frozen=True)
class Subject:
    """A network to be quantized."""

    network: nn.Module
    masks: Masks
    """Survivors by parameter name, for every weight that is quantized."""
    index_bits: int
    """Of a survivor's position; 0 where all weights survive and need none."""

    def counts(self, codebooks: Mapping[str, Codebook]) -> list[LayerCount]:
        """The paper's count of each layer."""
        if not self.index_bits:
            return [_dense_count(len(one.codes), len(one.centroids)) for one in codebooks.values()]
        return [
            count_layer(
                SparseCodebook.from_codes(
                    self.masks[name],
                    one.codes,
                    one.centroids.detach(),
                    index_bits=self.index_bits,
                )
            )
            for name, one in codebooks.items()
        ]


def train_and_prune(
    config: DeepCompressionConfig, context: Context
) -> tuple[Subject, Subject, str]:
    """The reference network, its pruned self, and their validation errors in words."""
    recipe = RECIPES[NETWORK][context.scale]
    epochs = recipe.epochs + config.epochs - config.codebook_epochs
    done = 0

    def advance(by: int = 1) -> None:
        nonlocal done
        done += by
        context.progress(0.5 * min(1.0, done / epochs), f"epoch {done} of {epochs}")

    task = mnist_task(context, recipe, advance)
    train_reference(task, recipe, digests(context.data), context.seed, skipped=advance)
    network = copy.deepcopy(task.network)
    densities, _, index_bits = settings_for(task.name, weights_by_layer(network), config)
    masks = prune(task, network, densities, config, context.seed)
    kept = {name: torch.ones_like(mask) for name, mask in masks.items()}
    before, after = task.validation_score(task.network), task.validation_score(network)
    remark = f"validation error {before:.4f} before pruning, {after:.4f} after"
    return Subject(task.network, kept, 0), Subject(network, masks, index_bits), remark


def tester(context: Context) -> Test:
    """Gives the error of a network on the test split; at quick scale on its first images."""
    inputs, targets = test_split(context.data)
    if len(targets) != TEST_ROWS[context.data]:
        raise RuntimeError(f"{len(targets)} test images of {TEST_ROWS[context.data]}")
    rows = len(targets) if context.scale == "full" else min(len(targets), QUICK_TEST_ROWS)
    inputs, targets = inputs[:rows].to(context.device), targets[:rows].to(context.device)

    def test(network: nn.Module) -> Measurement:
        # Faster for convolutions, and what training leaves a network in.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return error_measurement(count_errors(network, inputs, targets), rows)

    return test


class Sweep:
    """Quantizes the two networks in every way and gathers the measurements."""

    def __init__(
        self,
        reference: Subject,
        pruned: Subject,
        config: DeepCompressionConfig,
        seed: int,
        *,
        task: ClassificationTask,
        test: Test,
        progress: Callable[[float, str], None] = lambda share, what: None,
    ) -> None:
        """``task`` holds the images that centroids are trained on."""
        self._reference = reference
        self._pruned = pruned
        self._config = config
        self._seed = seed
        self._task = task
        self._test = test
        self._progress = progress
        self._found: dict[str, Measurement] = {}

    def measure(self, bits: Sequence[int]) -> dict[str, Measurement]:
        """Every metric of the benchmark, series at each of ``bits``."""
        found = self._found = {
            "reference_error": self._test(self._reference.network),
            "error_pruned": self._test(self._pruned.network),
        }
        for done, width in enumerate(bits):
            self._progress(done / len(bits), f"{width} bits, quantization only")
            self._quantize_only(width)
            for step, how in enumerate(INITIALISATIONS, start=1):
                share_done = (done + step / (1 + len(INITIALISATIONS))) / len(bits)
                self._progress(share_done, f"{width} bits, pruned, {how} initialisation")
                self._quantize_pruned(width, how)
        for metric, series, base in (
            ("unpruned", "error_quantized", "reference_error"),
            ("pruned", "error_pruned_quantized", "error_pruned"),
            ("convolution", "error_convolution_quantized", "reference_error"),
            ("linear", "error_linear_quantized", "reference_error"),
        ):
            errors = {width: found[f"{series}.{width}-bits"].value for width in bits}
            fewest = least_bits(errors, found[base].value)
            found[f"least_bits_{metric}"] = Measurement(value=fewest, unit="bits")
        return found

    def _quantize_only(self, bits: int) -> None:
        """All layers, the convolutions, and the fully connected ones of the reference network."""
        subject = self._reference
        network, codebooks = quantized(subject, bits, "linear", self._config, self._seed)
        self._keep("error_quantized", bits, self._test(network))
        self._keep("ratio_quantized", bits, ratio_measurement(subject.counts(codebooks)))
        for kind, word in ((nn.Conv2d, "convolution"), (nn.Linear, "linear")):
            mixed = with_layers_of(subject.network, network, weights_of(network, kind))
            self._keep(f"error_{word}_quantized", bits, self._test(mixed))
        self._retrain(subject, network, codebooks)
        self._keep("error_quantized_retrained", bits, self._test(network))

    def _quantize_pruned(self, bits: int, how: Initialisation) -> None:
        """The pruned network; with linear initialisation it is also the case "both" of Fig. 6."""
        subject = self._pruned
        network, codebooks = quantized(subject, bits, how, self._config, self._seed)
        error = self._test(network)
        self._keep(f"error_{how}", bits, error)
        if how == "linear":
            counts = subject.counts(codebooks)
            self._keep("error_pruned_quantized", bits, error)
            self._keep("ratio_both", bits, ratio_measurement(counts))
            self._found["ratio_pruned"] = ratio_measurement([_pruned_count(c) for c in counts])
        self._retrain(subject, network, codebooks)
        self._keep(f"error_{how}_retrained", bits, self._test(network))

    def _retrain(
        self, subject: Subject, network: nn.Module, codebooks: Mapping[str, Codebook]
    ) -> None:
        train_codebooks(self._task, network, subject.masks, codebooks, self._config, self._seed)

    def _keep(self, metric: str, bits: int, measurement: Measurement) -> None:
        self._found[f"{metric}.{bits}-bits"] = measurement


def quantized(
    subject: Subject,
    bits: int,
    how: Initialisation,
    config: DeepCompressionConfig,
    seed: int,
) -> tuple[nn.Module, dict[str, Codebook]]:
    """A copy of the network in which the survivors of a layer share ``2^bits`` values at most."""
    network = copy.deepcopy(subject.network)
    clusters = {name.removesuffix(".weight"): 2**bits for name in subject.masks}
    chosen = config.model_copy(update={"initialisation": how})
    return network, share(network, subject.masks, clusters, chosen, seed)


def weights_of(network: nn.Module, kind: type[nn.Module]) -> list[str]:
    """Names of the weights of all layers of a kind."""
    return [f"{n}.weight" for n, module in network.named_modules() if isinstance(module, kind)]


def with_layers_of(base: nn.Module, other: nn.Module, names: Collection[str]) -> nn.Module:
    """A copy of ``base`` with the named parameters of ``other``."""
    mixed = copy.deepcopy(base)
    theirs = dict(other.named_parameters())
    with torch.no_grad():
        for name, parameter in mixed.named_parameters():
            if name in names:
                parameter.copy_(theirs[name])
    return mixed


def least_bits(errors: Mapping[int, float], unquantized: float) -> int:
    """The fewest bits from which on the error stays within half a point of the unquantized one.

    32, which is not quantized, where even the most bits that were tried do not.

    Args:
        errors: by bits, fractions.
    """
    fewest = FLOAT_BITS
    for bits in sorted(errors, reverse=True):
        # Errors are shares of whole images: the last digits of a float must not decide.
        if errors[bits] - unquantized > HALF_POINT + 1e-9:
            break
        fewest = bits
    return fewest


def ratio_measurement(counts: Iterable[LayerCount]) -> Measurement:
    """Compression by the paper's count before Huffman coding."""
    return Measurement(value=totals_of(counts)["quantized_ratio"][0], unit="ratio")


def _dense_count(weights: int, centroids: int) -> LayerCount:
    """A layer that is quantized and not pruned (eq. 1): a code for each weight, no positions."""
    bits = max(1, (centroids - 1).bit_length())
    return LayerCount(weights, weights, weights, centroids, bits, 0, float(bits), 0.0)


def _pruned_count(layer: LayerCount) -> LayerCount:
    """The same layer pruned only: 32-bit values in place of codes, no codebook."""
    return LayerCount(
        weights=layer.weights,
        survivors=layer.survivors,
        entries=layer.entries,
        centroids=0,
        weight_bits=FLOAT_BITS,
        index_bits=layer.index_bits,
        coded_weight_bits=float(FLOAT_BITS),
        coded_index_bits=layer.coded_index_bits,
    )
