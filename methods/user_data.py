"""A user's own training data: rows and whole-number labels, and the task made of them."""

import copy
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from methods.method import Batch, UnsuitableTask
from methods.regular_file import open_regular
from methods.seeds import seeded
from methods.training import ERROR, ClassificationTask
from registry.errors import UserError

Pair = tuple[torch.Tensor | ArrayLike, torch.Tensor | ArrayLike]

MAX_DATA_BYTES = 2**33
"""Arrays of a .npz together, unpacked."""
FEWEST_ROWS = 20
BATCH_SIZE = 64
NEEDS_DATA = "needs training data: give --data FILE.npz with arrays x and y"


class DatalessTask:
    """A network without data: enough for methods that only look at its weights."""

    score = ERROR
    can_train = False

    def __init__(self, name: str, network: nn.Module, device: torch.device) -> None:
        self.name = name
        self.network = network
        self.device = device

    def fresh_network(self, seed: int) -> nn.Module:
        """The same architecture, untrained: nothing can be trained here."""
        raise UnsuitableTask(NEEDS_DATA)

    def train_batches(self, seed: int) -> Iterator[Batch]:
        """There are none."""
        raise UnsuitableTask(NEEDS_DATA)

    def validation_score(self, network: nn.Module) -> NoReturn:
        """There is none."""
        raise UnsuitableTask(NEEDS_DATA)

    def fit(self, network: nn.Module, epochs: int, **settings: Any) -> None:
        """Nothing for no epochs.

        Raises:
            UnsuitableTask: any are asked for.
        """
        if epochs:
            raise UnsuitableTask(NEEDS_DATA)
        network.eval()


def classification_task(
    name: str,
    network: nn.Module,
    data: tuple[torch.Tensor, torch.Tensor],
    device: torch.device,
    progress: Callable[[], None] = lambda: None,
) -> ClassificationTask:
    """A task whose validation split is one row in ten, the same ones every time.

    Raises:
        UserError: the network does not take the rows, or gives no score for each label.
    """
    x, y = _typed(network, *data)
    try_out(network, x, y, device)
    order = torch.randperm(len(x), generator=seeded(0))
    held_out = len(x) // 10
    # Batch normalisation cannot train on a last batch of one row: that row is held out too.
    held_out += (len(x) - held_out) % BATCH_SIZE == 1
    split = order[:held_out], order[held_out:]
    (validation, train) = ((x[rows], y[rows]) for rows in split)
    return ClassificationTask(
        name,
        network,
        lambda seed: untrained(network, seed),
        train,
        validation,
        batch_size=BATCH_SIZE,
        device=device,
        progress=progress,
    )


def untrained(network: nn.Module, seed: int) -> nn.Module:
    """A copy with every parameter drawn anew as its layer draws it.

    Raises:
        UnsuitableTask: a module with parameters of its own does not say how.
    """
    fresh = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in fresh.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif any(True for _ in module.parameters(recurse=False)):
                raise UnsuitableTask(
                    f"{name or 'the network'} ({type(module).__name__}) has no reset_parameters(), "
                    "so it cannot be trained from scratch"
                )
    return fresh


def _typed(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in the network's own floating type; whole numbers stay so for an embedding."""
    if not x.is_floating_point() and any(isinstance(m, nn.Embedding) for m in network.modules()):
        return x.long(), y
    floats = (one.dtype for one in network.parameters() if one.is_floating_point())
    return x.to(next(floats, torch.float32)), y


def try_out(network: nn.Module, x: torch.Tensor, y: torch.Tensor, device: torch.device) -> None:
    """Run two rows.

    Raises:
        UserError: it does not run, or does not give a score for each label.
    """
    network.eval()
    try:
        with torch.inference_mode():
            given = network(x[:2].to(device))
    except UserError:
        raise
    except Exception as fault:
        first_line = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise UserError(
            f"the network does not take rows of x, {tuple(x.shape[1:])} of {x.dtype} each: "
            f"{first_line}"
        ) from fault
    labels = int(y.max()) + 1
    if not isinstance(given, torch.Tensor) or given.dim() != 2 or given.shape[1] < labels:
        shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise UserError(
            f"the network gives {shape} for two rows, where (2, {labels}) or more belong: "
            f"a score for each of the labels 0 to {labels - 1} in y"
        )


def read_data(data: str | Path | Pair) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows ``x`` (n, ...) and labels ``y`` (n) int64, from a .npz file or a pair of arrays.

    Raises:
        UserError: they cannot be read, do not belong together, or are no classification.
    """
    if isinstance(data, str | Path):
        where = str(data)
        x, y = _read_npz(Path(data))
    else:
        where = "data"
        try:
            x, y = (torch.as_tensor(one).detach().cpu() for one in data)
        except (TypeError, ValueError, RuntimeError) as fault:
            raise UserError(f"data: give a pair of arrays x and y ({fault})") from fault
    _check(where, x, y)
    return x, y.long()


def _check(where: str, x: torch.Tensor, y: torch.Tensor) -> None:
    shapes = f"x is {tuple(x.shape)} and y is {tuple(y.shape)}"
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise UserError(
            f"{where}: y holds {y.dtype}: only classification is supported, with whole-number "
            "labels; a regression target is not"
        )
    if y.dim() != 1 or x.dim() < 1 or len(x) != len(y):
        raise UserError(f"{where}: {shapes}: give n rows and n labels")
    if len(x) < FEWEST_ROWS:
        raise UserError(f"{where}: {len(x)} rows, fewer than {FEWEST_ROWS}")
    if int(y.min()) < 0:
        raise UserError(f"{where}: y holds the label {int(y.min())}: labels start at 0")
    if x.is_complex() or (x.is_floating_point() and not bool(torch.isfinite(x).all())):
        raise UserError(f"{where}: x holds values that are not finite real numbers")


def _read_npz(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
    except OSError as fault:
        raise UserError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as fault:
        raise UserError(f"{path}: is no .npz file, or a damaged one: {fault}") from fault
    missing = [name for name in ("x", "y") if f"{name}.npy" not in sizes]
    if missing:
        held = ", ".join(sorted(Path(name).stem for name in sizes)[:8]) or "nothing"
        raise UserError(
            f"{path}: has no array {missing[0]} (it holds {held}): "
            "np.savez(path, x=rows, y=labels) writes both"
        )
    if sum(sizes[f"{name}.npy"] for name in ("x", "y")) > MAX_DATA_BYTES:
        raise UserError(f"{path}: x and y unpack to more than {MAX_DATA_BYTES:,} bytes")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _both(arrays["x"], arrays["y"])
    except Exception as fault:  # numpy's reader raises whatever its parts raise
        raise UserError(f"{path}: x or y cannot be read: {_first_line(fault)}") from fault


def _both(x: ArrayLike, y: ArrayLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as tensors; unsigned types that torch hardly knows become int64."""
    return _tensor(np.asarray(x)), _tensor(np.asarray(y))


def _tensor(array: Any) -> torch.Tensor:
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"an array of {array.dtype} holds no numbers")
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))


def _first_line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]
