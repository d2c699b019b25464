"""Files of named tensors: .safetensors read and written, .pt and .pth state dicts read.

Files are read as data: nothing is unpickled beyond what torch allows under ``weights_only=True``,
and every declared size is held against the bytes that are there.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from methods.atomic import write_atomically
from methods.compressed import Compressed
from methods.document import MAX_NAME_BYTES, check_text
from methods.weights import check_tensor, memory_key
from registry.errors import UserError

State = dict[str, torch.Tensor]

SAFETENSORS, PICKLED = (".safetensors",), (".pt", ".pth")
TIES_KEY = "netcompress.ties"
"""Metadata of the .safetensors files that we write: JSON, tied name -> earlier name."""
STATE_KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights"),
    *("params", "module"),
)
"""Where training scripts keep the state dict in a file that holds more, the likeliest first."""
FREE_BYTES = 2**24
"""Tensors of a .pt file may take this, and eight times the file: views repeat what is stored."""


def read_state(path: Path) -> tuple[State, tuple[str, ...]]:
    """The tensors of a .safetensors, .pt or .pth file by name, and remarks.

    Tied names have the same memory.

    Raises:
        UserError: it is missing, damaged, hostile, or holds no tensors.
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as fault:
        raise UserError(f"{path}: cannot be read: {getattr(fault, 'strerror', fault)}") from fault
    if not path.is_file():
        raise UserError(f"{path}: is no file")
    suffix = path.suffix.lower()
    if suffix not in (*SAFETENSORS, *PICKLED):
        raise UserError(f"{path}: give a .safetensors file, or a .pt or .pth state dict")
    state, remarks = _read_safetensors(path) if suffix in SAFETENSORS else _read_pickled(path, size)
    if not state:
        raise UserError(f"{path}: holds no tensors")
    try:
        for name, tensor in state.items():
            check_text(name, "the name of a tensor", MAX_NAME_BYTES)
            check_tensor(name, tensor)
    except UserError as fault:
        raise UserError(f"{path}: {fault}") from fault
    return state, remarks


def _read_safetensors(path: Path) -> tuple[State, tuple[str, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, MemoryError) as fault:
        raise UserError(
            f"{path}: is no .safetensors file, or a damaged one ({_first_line(fault)}): "
            "save or fetch it again"
        ) from fault
    ties = _ties_of(metadata.get(TIES_KEY, ""), state)
    remarks: tuple[str, ...] = ()
    if ties is None:
        remarks = (f"{path.name}: the ties that it names do not hold, so none is kept",)
    for name, first in (ties or {}).items():
        state[name] = state[first]
    return state, remarks


def _ties_of(text: str, state: State) -> dict[str, str] | None:
    """What our own files say of ties; None where that is not so."""
    if not text:
        return {}
    try:
        ties = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(ties, dict):
        return None
    for name, first in ties.items():
        if not isinstance(first, str) or not {name, first} <= set(state) or first in ties:
            return None
        one, other = state[name], state[first]
        if one.dtype != other.dtype or one.shape != other.shape:
            return None
        if not torch.equal(_octets(one), _octets(other)):
            return None
    return ties


def _octets(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _read_pickled(path: Path, size: int) -> tuple[State, tuple[str, ...]]:
    _check_archive(path, size)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # whatever a hostile file brings about in torch's reader
        raise UserError(f"{path}: {_why_not_loaded(fault)}") from fault
    found, remarks = _state_within(path, held)
    state = {name: tensor.detach() for name, tensor in found.items()}
    distinct = {memory_key(tensor): tensor for tensor in state.values()}
    total = sum(one.numel() * one.element_size() for one in distinct.values())
    if total > 8 * size + FREE_BYTES:
        raise UserError(f"{path}: declares tensors of {total} bytes, and has {size} itself")
    return state, remarks


def _check_archive(path: Path, size: int) -> None:
    """Refuse archives that unpack to more than they are: torch writes members as they are."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as fault:
        raise UserError(f"{path}: is a damaged archive ({_first_line(fault)})") from fault
    packed = any(one.compress_type != zipfile.ZIP_STORED for one in members)
    if packed or sum(one.file_size for one in members) > size:
        raise UserError(
            f"{path}: is an archive that unpacks to more than it holds, which torch.save writes "
            "none of: save the state dict again"
        )


def _why_not_loaded(fault: Exception) -> str:
    text = str(fault)
    if "TorchScript" in text:
        return (
            "is a TorchScript archive: save the state dict of the network instead, "
            "torch.save(model.state_dict(), path)"
        )
    if "Unsupported global" in text or "Weights only load failed" in text:
        found = re.search(r"GLOBAL ([\w.]+)", text)
        what = f" ({found[1]})" if found else ""
        return (
            f"holds more than tensors{what}, such as a whole pickled module, or is damaged. It is "
            "not unpickled, since that could run any code: save the state dict alone, "
            "torch.save(model.state_dict(), path)"
        )
    return f"is no file of torch.save, or a damaged one ({_first_line(fault)})"


def _state_within(path: Path, held: object) -> tuple[State, tuple[str, ...]]:
    """The state dict in what was loaded, and what was left out."""
    if not isinstance(held, Mapping):
        raise UserError(
            f"{path}: holds a {type(held).__name__}, not a state dict: "
            "torch.save(model.state_dict(), path) writes one"
        )
    if held and _is_state(held):
        return dict(held), ()
    nested = [key for key, inner in held.items() if isinstance(key, str) and _is_state(inner)]
    known = [key for key in STATE_KEYS if key in nested] or nested
    if known and (len(nested) == 1 or known[0] in STATE_KEYS):
        others = [str(key) for key in held if key != known[0]]
        left = f"; left out: {', '.join(others[:8])}" if others else ""
        return dict(held[known[0]]), (
            f"{path.name}: the tensors under {known[0]!r} are taken{left}",
        )
    if nested:
        raise UserError(
            f"{path}: holds several state dicts ({', '.join(nested[:8])}): save one alone"
        )
    own = {key: one for key, one in held.items() if isinstance(one, torch.Tensor)}
    if own and all(isinstance(key, str) for key in own):
        others = [str(key) for key in held if key not in own]
        return own, (f"{path.name}: left out, since they are no tensors: {', '.join(others[:8])}",)
    raise UserError(
        f"{path}: holds no state dict (a dictionary of names and tensors): "
        "torch.save(model.state_dict(), path) writes one"
    )


def _is_state(held: object) -> bool:
    return (
        isinstance(held, Mapping)
        and bool(held)
        and all(isinstance(key, str) for key in held)
        and all(isinstance(one, torch.Tensor) for one in held.values())
    )


def write_safetensors(compressed: Compressed, path: Path) -> int:
    """Every tensor, dense, in its own type; returns the file's bytes.

    Such a file cannot share memory: tied tensors are written as copies, and the ties are recorded
    in its metadata under ``TIES_KEY``.

    Raises:
        UserError: it cannot be written.
    """
    tensors = {
        name: tensor.contiguous().clone() if name in compressed.ties else tensor.contiguous()
        for name, tensor in compressed.tensors().items()
    }
    ties = {TIES_KEY: json.dumps(dict(compressed.ties), ensure_ascii=False)}
    data = save(tensors, ties if compressed.ties else None)
    try:
        write_atomically(path, data)
    except OSError as fault:
        raise UserError(f"{path}: cannot be written: {fault.strerror or fault}") from fault
    return len(data)


def _first_line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]
