"""Any network by any method: the verb of the library and of the command line."""

import copy
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from methods.compressed import Compressed
from methods.discovery import load_method
from methods.document import MAX_NAME_BYTES, check_text
from methods.formats.dense import DTYPE_NAMES, STORED, Dense
from methods.method import Method, MethodConfig, Task, UnsuitableTask, parse_config
from methods.user_data import DatalessTask, Pair, classification_task, read_data
from methods.user_network import UserNetwork, read_network
from methods.weights import find_ties, find_weights, tensor_state, tie_parameters
from registry.errors import UserError

Progress = Callable[[int, int | None], None]
"""Told after each epoch how many are done, and of how many (None where that is not known)."""


@dataclass(frozen=True)
class Request:
    """What to compress, and how."""

    network: nn.Module | str | Path
    """A module, a file, or ``package.module:factory``."""
    method: str
    """A method's name, a paper's id, or ``file.py:Class``."""
    settings: Mapping[str, Any]
    """Over the method's defaults."""
    weights: Path | None = None
    """For what a factory makes."""
    data: str | Path | Pair | None = None
    device: str = "cpu"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """A compressed network, and what is to be said about it."""

    compressed: Compressed
    method: str
    dense: Mapping[str, str]
    """Name -> why it was not handled."""
    remarks: tuple[str, ...]
    task: Task

    def errors(self) -> tuple[float, float] | None:
        """Shares of the rows held out that the network, and what was made of it, get wrong.

        None without data, or where what was made does not run here.
        """
        if not self.task.can_train:
            return None
        try:
            made = self.compressed.network.to(self.task.device)
            return (
                self.task.validation_score(self.task.network),
                self.task.validation_score(made),
            )
        except Exception:  # of a forward pass that is not ours: the file is whole without it
            return None


def compress(
    network: nn.Module | str | Path,
    method: str,
    data: str | Path | Pair | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    seed: int = 0,
    **config: Any,
) -> Compressed:
    """Compress a network; it stays as it was. ``.network`` of what comes back runs.

    Args:
        network: a module, a .safetensors, .pt or .pth file, or ``package.module:factory``.
        method: a method's name such as ``deep-compression``, a paper's id such as
            ``2016-deep-compression``, or ``file.py:Class``.
        data: for methods that train: a .npz file with arrays ``x`` (n, ...) and ``y`` (n)
            whole-number labels, or a pair of such arrays or tensors.
        weights: a file whose tensors fill what a factory makes.
        device: ``cpu`` or ``cuda``.
        seed: of everything random.
        config: hyper-parameters of the method; the paper's values are the defaults.

    Raises:
        UserError: says what to mend.
    """
    own = None if weights is None else Path(weights)
    return carry_out(Request(network, method, config, own, data, device, seed)).compressed


def carry_out(request: Request, progress: Progress = lambda done, total: None) -> Outcome:
    """Compress what is asked for.

    Raises:
        UserError: says what to mend.
    """
    device = _device(request.device)
    method = load_method(request.method)
    config = checked_config(method, request.settings)
    user = _network(request)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(request.seed)  # of layers that draw, such as dropout
        task = _task(user, request, device, _counted(progress, config.epochs))
        dense = find_weights(task.network, method.applies_to).dense
        try:
            compressed = method.compress(task, config, seed=request.seed)
        except UnsuitableTask as fault:
            raise UserError(f"{method.name} on {user.name}: {fault}") from fault
        except UserError:
            raise
        except Exception as fault:  # of a forward pass or a plugin that is not ours
            raise UserError(f"{method.name} failed on {user.name}: {_said(fault)}") from fault
    # A method may handle more than weights, such as biases: what it did is what counts.
    left = {name: why for name, why in dense.items() if _is_dense(compressed, name)}
    return Outcome(compressed, method.name, left, user.remarks, task)


def _is_dense(compressed: Compressed, name: str) -> bool:
    return isinstance(compressed.formats.get(name), Dense)


def _device(name: str) -> torch.device:
    if name not in ("cpu", "cuda"):
        raise UserError(f"unknown device {name!r}: cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no CUDA device here: leave out --device cuda")
    return torch.device(name)


def checked_config(method: Method, settings: Mapping[str, Any]) -> MethodConfig:
    """``settings`` over the defaults.

    Raises:
        UserError: every unknown key and every value out of its range, each with its key.
    """
    known = list(method.Config.model_fields)
    try:
        return parse_config(method, settings)
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False):
            key = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                hint = hint if known else "it has no settings"
                faults.append(f"unknown setting {key!r} ({hint})")
            else:
                said = _WRITTEN.get(fault["type"], fault["msg"])
                faults.append(f"{key}: {said}, not {fault['input']!r}"[:300])
        raise UserError(f"{method.name}: {'; '.join(faults)}") from error


_WRITTEN = {
    "tuple_type": "Input should be a list, such as '[4, 32]' in JSON",
    "list_type": "Input should be a list, such as '[4, 32]' in JSON",
    "dict_type": """Input should be a value for each name, such as '{"fc1": ...}' in JSON""",
}
"""What is wanted where pydantic's words are about Python; by its type of fault."""


def parse_settings(given: Sequence[str]) -> dict[str, Any]:
    """``key=value`` texts as settings: a value is JSON, or else text.

    Raises:
        UserError: one has no key, or comes twice.
    """
    settings: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UserError(f"--set {text!r}: write key=value, such as --set bits=4")
        if key in settings:
            raise UserError(f"--set {key} is given twice")
        try:
            settings[key] = json.loads(value)
        except (ValueError, RecursionError):
            settings[key] = value
    return settings


def _network(request: Request) -> UserNetwork:
    """A copy of the network, in evaluation mode."""
    given = request.network
    if not isinstance(given, nn.Module):
        user = read_network(given, request.weights, seed=request.seed)
        state = _storable(user.network)
        tie_parameters(user.network, find_ties(state))
        return user
    if request.weights is not None:
        raise UserError("weights are for a factory: load them into the network first")
    ties = find_ties(_storable(given))
    try:
        network = copy.deepcopy(given).eval()
        tie_parameters(network, ties)
        return UserNetwork("network", network)
    except Exception as fault:
        raise UserError(f"{type(given).__name__} cannot be copied: {_said(fault)}") from fault


def _said(fault: Exception) -> str:
    text = f"{type(fault).__name__}: {fault}"
    if "deepcopy" in text and "weight_norm" in text:  # torch's own words name no way out
        return (
            "it holds a tensor that is computed from others. Where that is the older weight_norm, "
            "torch.nn.utils.remove_weight_norm(layer) gives the layer a weight of its own, which "
            "can be compressed"
        )
    return text


def _storable(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors; what no file can hold shows here, before any long work."""
    state = tensor_state(network)
    for name, tensor in state.items():
        check_text(name, f"the name of tensor {name[:60]!r}", MAX_NAME_BYTES)
        if tensor.dtype not in DTYPE_NAMES:
            raise UserError(
                f"{name} holds {tensor.dtype}, which no file of ours can: convert it to one of "
                f"{', '.join(STORED)}"
            )
    return state


def _task(
    user: UserNetwork, request: Request, device: torch.device, progress: Callable[[], None]
) -> Task:
    network = user.network.to(device)
    if request.data is None:
        return DatalessTask(user.name, network, device)
    return classification_task(user.name, network, read_data(request.data), device, progress)


def _counted(progress: Progress, total: int | None) -> Callable[[], None]:
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return one_more
