"""EIE: what is done to a network before the machine runs it.

Han, Liu, Mao, Pu, Pedram, Horowitz, Dally: "EIE: Efficient Inference Engine on Compressed Deep
Neural Network", ISCA 2016, arXiv 1602.01528v2. The machine multiplies matrices that Deep
Compression made, cut to its 8-bit entries (section III):

1. Fully connected and recurrent layers are pruned and retrained as in Deep Compression; the paper
   takes its networks from there, so the densities are that paper's too.
2. k-means over the non-zero weights of a layer gives 15 shared values, with a start spaced linearly
   over their range; slot 0 of the table of 16 is the value 0. Each weight takes the nearest of all
   16, so what is nearer to 0 than to its centroid vanishes (the authors' script
   ``layer_dump2.py``). Both matrices of a recurrent layer are one, as the machine holds them.
3. The centroids are trained on as in Deep Compression, the assignment fixed.

The file holds codes into that table and places as steps with 4-bit fields. The machine's own form,
dealt out to any number of processing elements, is made from it by ``methods.eie.encode``.

Left out: biases stay floats here; the machine codes them with the table of their layer.
"""

import copy
import re
from typing import ClassVar, Literal

import torch
from torch import nn

from methods.compressed import Compressed
from methods.deep_compression import DeepCompressionConfig, settings_for
from methods.eie.coded import SHARED_VALUES
from methods.formats.format import Format
from methods.formats.sparse_codebook import SparseCodebook
from methods.method import Task, UnsuitableTask
from methods.prune import Masks, apply_masks
from methods.prune_and_share import (
    Codebook,
    StagesConfig,
    prune,
    share,
    train_codebooks,
    weights_by_layer,
    without_training,
)
from methods.weights import holds_weights

INDEX_BITS = 4
"""Of the count of zeros in an entry (section III)."""
_GATES = re.compile(r"weight_(ih|hh)(?=(_l\d+)?(_reverse)?$)")
_MULTIPLIED = (nn.Linear, nn.RNNBase, nn.RNNCellBase)


class EieConfig(StagesConfig):
    """Hyper-parameters; an entry's 4 bits of code and 4 bits of position are the machine's."""


class Eie:
    """The plugin."""

    name: ClassVar[str] = "eie"
    paper: ClassVar[str] = "2016-eie"
    Config: ClassVar[type[EieConfig]] = EieConfig
    starts_from: ClassVar[Literal["trained", "scratch"]] = "trained"
    needs: ClassVar[Literal["nothing", "data", "training"]] = "training"
    compresses: ClassVar[bool] = True
    revision: ClassVar[int] = 2

    def applies_to(self, module: nn.Module) -> str | None:
        """The layers that multiply a matrix with a vector."""
        if isinstance(module, _MULTIPLIED):
            return None
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            return "EIE multiplies a matrix with a vector, a convolution is none"
        if isinstance(module, nn.Embedding):
            return "EIE multiplies a matrix with a vector, an embedding is looked up"
        return holds_weights(module)

    def compress(self, task: Task, config: EieConfig, *, seed: int) -> Compressed:
        """Prune and share the layers of a copy of ``task.network`` that the machine can run.

        Without training data nothing can be retrained. Then only layers whose densities the
        configuration names are pruned, at once, and the centroids stay those of k-means.

        Raises:
            UnsuitableTask: a layer that the configuration names is not there or is none for the
                machine, or the network has no such layer.
        """
        network = copy.deepcopy(task.network)
        densities = densities_of(task.name, network, config)
        metadata = {"method": self.name}
        if not task.can_train:
            densities, config, metadata["remark"] = without_training(densities, config)
        masks = prune(task, network, densities, config, seed)
        leave_out_zeros(network, masks)
        codebooks = share_beside_zero(network, masks, config, seed)
        if config.codebook_epochs:
            train_codebooks(task, network, masks, codebooks, config, seed)
        formats = {name: _format(masks[name], codebooks[name], config) for name in codebooks}
        return Compressed.from_module(network, formats, metadata=metadata)


def densities_of(task: str, network: nn.Module, config: EieConfig) -> dict[str, float]:
    """As Deep Compression has them for this network, of the layers that the machine can run.

    Raises:
        UnsuitableTask: the configuration names a layer that is not there, or stays dense.
    """
    layers = weights_by_layer(network, Eie().applies_to)
    as_there = DeepCompressionConfig(densities=config.densities)
    densities, _, _ = settings_for(task, weights_by_layer(network), as_there)
    others = sorted(set(config.densities or {}) - set(layers))
    if others:
        raise UnsuitableTask(
            f"the configuration names layers that stay dense: {', '.join(others)} "
            f"(EIE takes {', '.join(layers)})"
        )
    return {name: densities[name] for name in layers}


def leave_out_zeros(network: nn.Module, masks: Masks) -> None:
    """Weights that are 0 already are no survivors; of a layer of zeros alone they stay."""
    parameters = dict(network.named_parameters())
    for name, mask in masks.items():
        nonzero = mask & (parameters[name].detach() != 0)
        masks[name] = nonzero if bool(nonzero.any()) else mask


def machine_layer(name: str) -> str:
    """The layer that a weight is part of: the machine has one matrix for all gates of a cell."""
    return _GATES.sub("weight", name)


def share_beside_zero(
    network: nn.Module, masks: Masks, config: StagesConfig, seed: int
) -> dict[str, Codebook]:
    """15 values a layer by k-means over the survivors, in place; the sixteenth is 0.

    Survivors that are nearer to 0 than to their centroid, or as near, vanish from ``masks``.
    """
    parameters = dict(network.named_parameters())
    before = {name: parameters[name].detach().clone() for name in masks}
    clusters = {name.removesuffix(".weight"): SHARED_VALUES for name in masks}
    codebooks = share(network, masks, clusters, config, seed, machine_layer)
    for name, codebook in codebooks.items():
        values = before[name].flatten()[codebook.positions].double()
        shared = codebook.centroids.detach()[codebook.codes].double()
        kept = (values - shared).abs() < values.abs()
        codebook.positions, codebook.codes = codebook.positions[kept], codebook.codes[kept]
        mask = torch.zeros_like(masks[name]).flatten()
        mask[codebook.positions] = True
        masks[name] = mask.reshape(masks[name].shape)
    apply_masks(network, masks)
    return codebooks


def _format(mask: torch.Tensor, codebook: Codebook, config: EieConfig) -> Format:
    """Codes 1 to 15 into the table, whose slot 0 no survivor takes."""
    centroids = codebook.centroids.detach()
    return SparseCodebook.from_codes(
        mask=mask,
        codes=codebook.codes + 1,
        codebook=torch.cat([centroids.new_zeros(1), centroids]),
        index_bits=INDEX_BITS,
        codebook_dtype=config.codebook_dtype,
    )
