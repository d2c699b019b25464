"""A compressed network: its tensors in their formats, saved to a file and loaded from one."""

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import nn

from methods.atomic import write_atomically
from methods.container import read_document, write_document
from methods.describe import LayerDescription, describe, is_plain
from methods.document import (
    ALIAS,
    MAX_DECODED_BYTES,
    Document,
    LayerEntry,
    TensorEntry,
    alias_entry,
    alias_place,
    check_decoded_bytes,
    section_bytes,
)
from methods.formats import FORMATS
from methods.formats.dense import DTYPE_NAMES, STORED, Dense
from methods.formats.format import Format, FormatError
from methods.layers import Network
from methods.regular_file import open_regular
from methods.weights import check_tensor, find_ties, parameter_count, tensor_state
from registry.errors import UserError

PARAMETERS = "parameters"
"""Metadata: the numbers in all parameters, written where a file holds other tensors too."""


@dataclass(frozen=True, eq=False)
class Compressed:
    """Formats by name, and the layers that use them where the file holds a network."""

    formats: Mapping[str, Format]
    """By the name of the parameter, such as ``ip1.weight``, in the order of the file."""
    layers: tuple[LayerEntry, ...] = ()
    """Empty for a user's own module: then the file holds tensors only."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    """Of the original tensors, where that is not float32."""
    ties: Mapping[str, str] = field(default_factory=dict)
    """Name -> the earlier name of the same tensor; ``formats`` has the same object under both."""
    module: nn.Module | None = field(default=None, repr=False)
    """The user's own module that the tensors come from; no file holds it."""

    @classmethod
    def from_module(
        cls,
        network: nn.Module,
        formats: Mapping[str, Format],
        metadata: Mapping[str, str] | None = None,
    ) -> Self:
        """Any network: with its layers where files can name them all, else its tensors alone.

        Everything in its state dict is stored, to the bit where ``formats`` has nothing for it,
        and comes back in its own type. Tied tensors take one format, under any of their names.

        Raises:
            UserError: a format for no tensor or of another shape, or a tensor that has no format.
        """
        described = describe(network) if is_plain(network) else []
        return cls._from_network(network, described, formats, metadata)

    @classmethod
    def from_sequential(
        cls,
        reference: nn.Module,
        formats: Mapping[str, Format],
        metadata: Mapping[str, str] | None = None,
    ) -> Self:
        """As ``from_module``, for a plain ``nn.Sequential`` only.

        Raises:
            UserError: also where a layer is of a kind that files cannot name.
        """
        return cls._from_network(reference, describe(reference), formats, metadata)

    @classmethod
    def _from_network(
        cls,
        network: nn.Module,
        described: Sequence[LayerDescription],
        formats: Mapping[str, Format],
        metadata: Mapping[str, str] | None,
    ) -> Self:
        state = tensor_state(network)
        parameters = parameter_count(network)
        whole = cls.from_tensors(state, formats, metadata)
        if sum(state[name].numel() for name in state if name not in whole.ties) != parameters:
            whole = replace(whole, metadata={**whole.metadata, PARAMETERS: str(parameters)})
        places = {name: place for place, name in enumerate(state)}
        layers = tuple(
            LayerEntry(
                one.kind,
                one.name,
                one.sizes,
                one.inputs,
                {role: places[name] for role, name in one.tensors.items()},
            )
            for one in described
        )
        return replace(whole, layers=layers, module=network)

    @classmethod
    def from_tensors(
        cls,
        state: Mapping[str, torch.Tensor],
        formats: Mapping[str, Format],
        metadata: Mapping[str, str] | None = None,
    ) -> Self:
        """The tensors of a state dict, without layers; those not given are kept to the bit.

        Names of the same memory are tied.

        Raises:
            UserError: a format for no tensor or of another shape, or a tensor that has no format.
        """
        ties = find_ties(state)
        held = _fill(state, _by_first_name(formats, ties), ties)
        return cls(held, (), dict(metadata or {}), _dtypes(state), ties)

    @cached_property
    def network(self) -> nn.Module:
        """The network, runnable: of the formats themselves, or a copy of the user's own module.

        Raises:
            UserError: it was read from a file that holds tensors only.
        """
        if self.layers:
            return Network(self.layers, list(self.formats.values()))
        if self.module is None:
            raise UserError("the file holds tensors without layers: load it with into=module")
        network = copy.deepcopy(self.module).eval()
        self.fill(network)
        return network

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor, dense, in the type of the original; tied names have the same object."""
        first = {
            name: self._decoded(name, held)
            for name, held in self.formats.items()
            if name not in self.ties
        }
        return {name: first[self.ties.get(name, name)] for name in self.formats}

    def _decoded(self, name: str, held: Format) -> torch.Tensor:
        dtype = STORED[self.dtypes.get(name, "float32")]
        if isinstance(held, Dense):  # decode() goes through float32, too narrow for int64
            return held.values.to(dtype, copy=True)
        return held.decode().to(dtype)

    def fill(self, module: nn.Module) -> None:
        """Copy the tensors into ``module``, which keeps its own types and ties.

        A name that the module ties to another one may be missing here.

        Raises:
            UserError: names or shapes do not agree with its state dict; it is as it was.
        """
        state = tensor_state(module)
        tensors = self.tensors()
        for name, first in find_ties(state).items():
            for known, other in ((name, first), (first, name)):
                if known in tensors and other not in tensors:
                    tensors[other] = tensors[known]
            twins = tensors.get(name), tensors.get(first)
            if twins[0] is not twins[1] and not _are_equal(*twins):
                raise UserError(
                    f"the file does not fit the module: {first} and {name} are one tensor there "
                    "and two different ones in the file"
                )
        if unlike := _differences(state, tensors):
            raise UserError(f"the file does not fit the module: {unlike}")
        try:
            module.load_state_dict(tensors)
        except RuntimeError as fault:  # its own hooks may refuse
            raise UserError(f"the file does not fit the module: {fault}") from fault

    @cached_property
    def document(self) -> Document:
        """What the file will hold; formats pack once."""
        places = {name: place for place, name in enumerate(self.formats)}
        entries: list[TensorEntry] = []
        for name, held in self.formats.items():
            if name in self.ties:
                place = places[self.ties[name]]
                entries.append(alias_entry(name, entries[place], place))
            else:
                dtype = self.dtypes.get(name, "float32")
                entries.append(TensorEntry(name, held.shape, dtype, held.kind, held.pack()))
        return Document(self.metadata, self.layers, tuple(entries))

    def to_bytes(self) -> bytes:
        """The whole file."""
        return write_document(self.document)

    def size_bytes(self) -> dict[str, int]:
        """Bytes by tensor and part (``ip1.weight/codes``) and ``header``; they sum to the file.

        A part that several tensors share counts where it comes first. The header is all the rest:
        prefix, metadata, layers and the names and shapes of tensors.
        """
        sizes = {
            f"{name}/{part}": size
            for name, parts in section_bytes(self.document).items()
            for part, size in parts.items()
        }
        return {"header": len(self.to_bytes()) - sum(sizes.values()), **sizes}

    def save(self, path: Path | str) -> int:
        """Write the file, whole or not at all; returns its bytes.

        Raises:
            UserError: the file cannot be written.
        """
        data = self.to_bytes()
        try:
            write_atomically(Path(path), data)
        except OSError as fault:
            raise UserError(f"{path}: cannot be written: {fault.strerror or fault}") from fault
        return len(data)

    @classmethod
    def from_bytes(cls, data: bytes, *, max_decoded_bytes: int = MAX_DECODED_BYTES) -> Self:
        """What ``to_bytes`` wrote.

        Args:
            max_decoded_bytes: all tensors together, dense; raise it for a large file you trust.

        Raises:
            FormatError: these are no such bytes, or they declare more than that.
        """
        # One bound, whose message says how to raise it: a weight decodes to four bytes at least.
        document = read_document(data, max_weights=sys.maxsize)
        check_decoded_bytes(document, max_decoded_bytes)
        names = [entry.name for entry in document.tensors]
        ties = {
            entry.name: names[alias_place(entry)]
            for entry in document.tensors
            if entry.kind == ALIAS
        }
        formats: dict[str, Format] = {}
        for entry in document.tensors:
            tied = ties.get(entry.name)
            formats[entry.name] = _unpack(entry) if tied is None else formats[tied]
        dtypes = {entry.name: entry.dtype for entry in document.tensors}
        held = cls(formats, document.layers, document.metadata, dtypes, ties)
        if held.layers:
            _ = held.network  # tensors that do not fit their layers show here, not at the first run
        return held

    @classmethod
    def load(
        cls,
        path: Path | str,
        into: nn.Module | None = None,
        *,
        max_decoded_bytes: int = MAX_DECODED_BYTES,
    ) -> Self:
        """Read a file, and fill ``into`` with its tensors where that is given.

        Args:
            max_decoded_bytes: all tensors together, dense; raise it for a large file you trust.

        Raises:
            FormatError: the file is damaged, none of ours or too large; names the file.
            UserError: it cannot be read, or does not fit ``into``.
        """
        try:
            with open_regular(Path(path)) as file:
                data = file.read()
        except OSError as fault:
            raise UserError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
        try:
            held = cls.from_bytes(data, max_decoded_bytes=max_decoded_bytes)
        except FormatError as fault:
            raise FormatError(f"{path}: {fault}") from fault
        if into is not None:
            held.fill(into)
        return held


def load(
    path: Path | str,
    into: nn.Module | None = None,
    *,
    max_decoded_bytes: int = MAX_DECODED_BYTES,
) -> Compressed:
    """Read a .netc file; ``.network`` runs it, or ``into`` is filled with its tensors."""
    return Compressed.load(path, into, max_decoded_bytes=max_decoded_bytes)


def _unpack(entry: TensorEntry) -> Format:
    if entry.kind not in FORMATS:
        raise FormatError(f"tensor {entry.name!r} is of the unknown kind {entry.kind!r}")
    try:
        return FORMATS[entry.kind].unpack(entry.shape, entry.parts)
    except FormatError as fault:
        raise FormatError(f"tensor {entry.name!r} ({entry.kind}): {fault}") from fault


def _by_first_name(formats: Mapping[str, Format], ties: Mapping[str, str]) -> dict[str, Format]:
    """A format given under any name of a tied tensor, under its first."""
    first: dict[str, Format] = {}
    for name, held in formats.items():
        known = first.setdefault(ties.get(name, name), held)
        if known is not held and known != held:
            raise UserError(f"two different formats for {name!r}, which is tied to {ties[name]!r}")
    return first


def _are_equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    """To the bit, so that what is no number is equal to itself."""
    if one is None or other is None or one.dtype != other.dtype:
        return False
    name = DTYPE_NAMES[one.dtype]
    return Dense(one, name) == Dense(other, name)


def _differences(
    wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], listed: int = 3
) -> str:
    """What does not agree in names and shapes, in words; empty where all does."""
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    other = [
        f"{name} is {tuple(given[name].shape)} in the file and {tuple(one.shape)} there"
        for name, one in wanted.items()
        if name in given and given[name].shape != one.shape
    ]
    found = (("it lacks", missing), ("only the file has", unknown), ("shapes differ:", other))
    return "; ".join(
        f"{what} {', '.join(names[:listed])}"
        + f" and {len(names) - listed} more" * (len(names) > listed)
        for what, names in found
        if names
    )


def _dtypes(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    unknown = sorted(name for name, one in state.items() if one.dtype not in DTYPE_NAMES)
    if unknown:
        raise UserError(f"{unknown[0]} is of type {state[unknown[0]].dtype}, which has no format")
    return {name: DTYPE_NAMES[tensor.dtype] for name, tensor in state.items()}


def _fill(
    state: Mapping[str, torch.Tensor], formats: Mapping[str, Format], ties: Mapping[str, str]
) -> dict[str, Format]:
    """A format for each tensor of ``state``, in its order; the same one for tied names."""
    for name, tensor in state.items():
        check_tensor(name, tensor)
    unknown: Sequence[str] = sorted(set(formats) - set(state))
    if unknown:
        raise UserError(f"a format for {unknown[0]!r}, which the network does not have")
    dtypes = _dtypes(state)
    held: dict[str, Format] = {}
    for name, tensor in state.items():
        if name in ties:
            held[name] = held[ties[name]]
        else:
            held[name] = formats[name] if name in formats else Dense(tensor, dtypes[name])
    for name, tensor in state.items():
        if held[name].shape != tuple(tensor.shape):
            raise UserError(
                f"the format for {name!r} has shape {held[name].shape}, not {tuple(tensor.shape)}"
            )
    return held
