"""A user's own network: a file of tensors, or a factory in a module of the user's own."""

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from methods.state_files import PICKLED, SAFETENSORS, State, read_state
from methods.state_tree import from_state_dict
from methods.weights import find_ties, tensor_state
from registry.errors import UserError

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
WRAPPERS = ("module.", "_orig_mod.")
MAX_LINES, MAX_LINE = 6, 400
"""Of torch's message on names that do not fit: it lists them all."""
WAYS = "a .safetensors file, a .pt or .pth state dict, or package.module:factory"


@dataclass(frozen=True, eq=False)
class UserNetwork:
    """A network and what was found while reading it."""

    name: str
    network: nn.Module
    remarks: tuple[str, ...] = ()
    """What the user should know, such as entries that were left out."""


def read_network(source: str | Path, weights: Path | None = None, *, seed: int = 0) -> UserNetwork:
    """The network that ``source`` names.

    Args:
        source: a file, or ``package.module:factory``, which is called without arguments; the
            working folder is importable.
        weights: a file whose tensors fill what the factory makes.
        seed: of the global generator while the factory runs.

    Raises:
        UserError: it cannot be read: says what, where, and how to mend it.
    """
    text = str(source)
    suffix = Path(text).suffix.lower()
    if suffix in (*SAFETENSORS, *PICKLED):
        if weights is not None:
            raise UserError(f"{text} is a file of weights itself: leave out --weights {weights}")
        state, remarks = read_state(Path(text))
        return UserNetwork(Path(text).stem, from_state_dict(state), remarks)
    if _FACTORY.fullmatch(text) is None:
        hint = ": `netcompress decompress` gives its tensors back" if suffix == ".netc" else ""
        raise UserError(f"{text!r} names no network{hint}; give {WAYS}")
    network = _made(text, seed)
    said: tuple[str, ...] = ()
    if weights is not None:
        state, said = read_state(weights)
        said += _filled(network, state, weights)
    tensor_state(network)  # what cannot be stored is refused here
    return UserNetwork(text.partition(":")[2].replace(".", "-"), network.eval(), said)


def _made(target: str, seed: int) -> nn.Module:
    """What the user's factory makes."""
    module_name, _, factory_name = target.partition(":")
    with _own_folder(), contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            found: object = importlib.import_module(module_name)
            where = getattr(found, "__file__", None) or module_name
        except (Exception, SystemExit) as fault:
            raise UserError(
                f"{target}: {module_name} cannot be imported ({_said(fault)}); it is looked for "
                f"in {Path.cwd()} and among the installed packages"
            ) from fault
        for part in factory_name.split("."):
            if not hasattr(found, part):
                raise UserError(f"{target}: {where} has no {factory_name}")
            found = getattr(found, part)
        if not isinstance(found, nn.Module) and callable(found):
            torch.manual_seed(seed)  # again: the import may have drawn, and only the first time
            try:
                found = found()
            except (Exception, SystemExit) as fault:
                raise UserError(
                    f"{target}: calling it without arguments failed ({_said(fault)})"
                ) from fault
    if not isinstance(found, nn.Module):
        raise UserError(f"{target}: gives a {type(found).__name__}, not a torch.nn.Module")
    return found


@contextlib.contextmanager
def _own_folder() -> Iterator[None]:
    """The working folder comes first while the user's module is imported, last afterwards."""
    folder = os.getcwd()  # noqa: PTH109  (the entry is a string)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def _filled(network: nn.Module, state: State, path: Path) -> tuple[str, ...]:
    """Load the weights into the network; remarks."""
    wanted = tensor_state(network)
    state, remarks = _without_prefix(state, set(wanted), path)
    for name, first in find_ties(wanted).items():  # a file may hold one name of a tied tensor
        for known, other in ((name, first), (first, name)):
            if known in state and other not in state:
                state[other] = state[known]
    other_types = sorted(
        name for name in set(wanted) & set(state) if wanted[name].dtype != state[name].dtype
    )
    try:
        network.load_state_dict(state)
    except RuntimeError as fault:
        said = "\n".join(line[:MAX_LINE] for line in str(fault).splitlines()[:MAX_LINES])
        raise UserError(f"{path}: does not fit the network: {said}") from fault
    if not other_types:
        return remarks
    name = other_types[0]
    return (
        *remarks,
        f"{path.name}: {len(other_types)} tensors change their type to the network's, such as "
        f"{name} from {state[name].dtype} to {wanted[name].dtype}",
    )


def _without_prefix(state: State, wanted: set[str], path: Path) -> tuple[State, tuple[str, ...]]:
    """Without what DataParallel or torch.compile put before every name, where that fits."""
    for prefix in WRAPPERS:
        if all(name.startswith(prefix) for name in state) and not wanted & set(state):
            bare = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            return bare, (f"{path.name}: names are taken without the leading {prefix!r}",)
    return state, ()


def _said(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {_first_line(fault)}"


def _first_line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]
