"""A compressed network: its tensors in their formats, saved to a file and loaded from one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import nn

from methods.atomic import write_atomically
from methods.container import read_document, write_document
from methods.document import Document, LayerEntry, TensorEntry, section_bytes
from methods.formats import FORMATS
from methods.formats.dense import DTYPE_NAMES, STORED, Dense
from methods.formats.format import MAX_WEIGHTS, Format, FormatError
from methods.layers import Network, describe
from registry.errors import UserError


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

    @classmethod
    def from_sequential(
        cls,
        reference: nn.Module,
        formats: Mapping[str, Format],
        metadata: Mapping[str, str] | None = None,
    ) -> Self:
        """The layers of ``reference``, a plain ``nn.Sequential``.

        Parameters without a format are stored as float32.

        Raises:
            UserError: a format for no parameter or of another shape, or a layer of a kind that
                files cannot name.
        """
        described = describe(reference)
        state = {name: tensor.detach() for name, tensor in reference.named_parameters()}
        held = _fill(state, formats, "float32")
        places = {name: place for place, name in enumerate(held)}
        layers = tuple(
            LayerEntry(
                one.kind,
                one.name,
                one.sizes,
                (),
                {role: places[name] for role, name in one.tensors.items()},
            )
            for one in described
        )
        return cls(held, layers, dict(metadata or {}), _dtypes(state))

    @classmethod
    def from_tensors(
        cls,
        state: Mapping[str, torch.Tensor],
        formats: Mapping[str, Format],
        metadata: Mapping[str, str] | None = None,
    ) -> Self:
        """The tensors of a state dict, without layers; those not given keep their own type.

        Raises:
            UserError: a format for no tensor, or of another shape.
        """
        return cls(_fill(state, formats, None), (), dict(metadata or {}), _dtypes(state))

    @cached_property
    def network(self) -> Network:
        """The network, runnable; it multiplies by the formats themselves.

        Raises:
            UserError: the file holds tensors only.
        """
        if not self.layers:
            raise UserError("the file holds tensors without layers: load it with into=module")
        return Network(self.layers, list(self.formats.values()))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor, dense, in the type of the original."""
        return {name: self._decoded(name, held) for name, held in self.formats.items()}

    def _decoded(self, name: str, held: Format) -> torch.Tensor:
        dtype = STORED[self.dtypes.get(name, "float32")]
        if isinstance(held, Dense):  # decode() goes through float32, too narrow for int64
            return held.values.to(dtype, copy=True)
        return held.decode().to(dtype)

    def fill(self, module: nn.Module) -> None:
        """Copy the tensors into ``module``.

        Raises:
            UserError: names or shapes do not agree with its state dict.
        """
        try:
            module.load_state_dict(self.tensors())
        except RuntimeError as fault:
            raise UserError(f"the file does not fit the module: {fault}") from fault

    @cached_property
    def document(self) -> Document:
        """What the file will hold; formats pack once."""
        entries = tuple(
            TensorEntry(name, held.shape, self.dtypes.get(name, "float32"), held.kind, held.pack())
            for name, held in self.formats.items()
        )
        return Document(self.metadata, self.layers, entries)

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
    def from_bytes(cls, data: bytes, *, max_weights: int = MAX_WEIGHTS) -> Self:
        """What ``to_bytes`` wrote.

        Raises:
            FormatError: these are no such bytes.
        """
        document = read_document(data, max_weights=max_weights)
        formats = {entry.name: _unpack(entry) for entry in document.tensors}
        dtypes = {entry.name: entry.dtype for entry in document.tensors}
        held = cls(formats, document.layers, document.metadata, dtypes)
        if held.layers:
            _ = held.network  # tensors that do not fit their layers show here, not at the first run
        return held

    @classmethod
    def load(
        cls, path: Path | str, into: nn.Module | None = None, *, max_weights: int = MAX_WEIGHTS
    ) -> Self:
        """Read a file, and fill ``into`` with its tensors where that is given.

        Raises:
            FormatError: the file is damaged or none of ours; names the file.
            UserError: it cannot be read, or does not fit ``into``.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as fault:
            raise UserError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
        try:
            held = cls.from_bytes(data, max_weights=max_weights)
        except FormatError as fault:
            raise FormatError(f"{path}: {fault}") from fault
        if into is not None:
            held.fill(into)
        return held


def load(path: Path | str, into: nn.Module | None = None) -> Compressed:
    """Read a .netc file; ``.network`` runs it, or ``into`` is filled with its tensors."""
    return Compressed.load(path, into)


def _unpack(entry: TensorEntry) -> Format:
    if entry.kind not in FORMATS:
        raise FormatError(f"tensor {entry.name!r} is of the unknown kind {entry.kind!r}")
    try:
        return FORMATS[entry.kind].unpack(entry.shape, entry.parts)
    except FormatError as fault:
        raise FormatError(f"tensor {entry.name!r} ({entry.kind}): {fault}") from fault


def _dtypes(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    unknown = sorted(name for name, one in state.items() if one.dtype not in DTYPE_NAMES)
    if unknown:
        raise UserError(f"{unknown[0]} is of type {state[unknown[0]].dtype}, which has no format")
    return {name: DTYPE_NAMES[tensor.dtype] for name, tensor in state.items()}


def _fill(
    state: Mapping[str, torch.Tensor], formats: Mapping[str, Format], storage: str | None
) -> dict[str, Format]:
    """A format for each tensor of ``state``, in its order."""
    unknown: Sequence[str] = sorted(set(formats) - set(state))
    if unknown:
        raise UserError(f"a format for {unknown[0]!r}, which the network does not have")
    dtypes = _dtypes(state)
    held = {
        name: formats[name] if name in formats else Dense(tensor, storage or dtypes[name])
        for name, tensor in state.items()
    }
    for name, tensor in state.items():
        if held[name].shape != tuple(tensor.shape):
            raise UserError(
                f"the format for {name!r} has shape {held[name].shape}, not {tuple(tensor.shape)}"
            )
    return held
