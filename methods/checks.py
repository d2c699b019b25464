"""The conformance suite: what every method must hold, for outside authors too.

``check_method`` runs a method on a small classification task with made-up data that knows its own
test split and tells when anything touches it.
"""

import copy
import json
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from methods.compressed import Compressed
from methods.discovery import load_method
from methods.method import Method, MethodConfig, UnsuitableTask
from methods.networks import float32_bytes
from methods.seeds import seeded
from methods.training import ClassificationTask, cosine
from registry.errors import UserError

SIZES = (48, 64, 24, 4)
"""Inputs, two hidden layers and classes of the small network."""
ROWS = 384
EPOCHS = 6
FEW_EPOCHS = 1
"""Fields of a config whose name ends in ``epochs`` are cut to this, and ``rounds`` to two."""

READ_BACK = """
import json, sys, torch
from methods.compressed import load
inputs = torch.load(sys.argv[2], weights_only=True)
print(json.dumps(load(sys.argv[1]).network(inputs).tolist()))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    name: str
    holds: bool
    remark: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class WatchedTask(ClassificationTask):
    """A small task whose test rows lie beside the others and are watched."""

    def __init__(self, seed: int = 0) -> None:
        generator = seeded(seed)
        centres = torch.randn(SIZES[-1], SIZES[0], generator=generator)
        targets = torch.randint(SIZES[-1], (ROWS,), generator=generator)
        inputs = centres[targets] + torch.randn(ROWS, SIZES[0], generator=generator)
        third = ROWS // 3
        super().__init__(
            "conformance",
            small_network(seed),
            small_network,
            (inputs[:third], targets[:third]),
            (inputs[third : 2 * third], targets[third : 2 * third]),
            batch_size=32,
        )
        self._test = (inputs[2 * third :], targets[2 * third :])
        self.test_touched = False
        self.fit(self.network, EPOCHS, learning_rate=0.05, schedule=cosine, seed=seed)

    @property
    def test_split(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A method that comes here has broken the rule."""
        self.test_touched = True
        return self._test

    def __getattribute__(self, name: str) -> Any:
        if name == "_test" and sys._getframe(1).f_code.co_filename != __file__:
            object.__setattr__(self, "test_touched", True)
        return super().__getattribute__(name)


def small_network(seed: int) -> nn.Sequential:
    """An untrained 48-64-24-4 network."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                ip1=nn.Linear(SIZES[0], SIZES[1]),
                relu1=nn.ReLU(),
                ip2=nn.Linear(SIZES[1], SIZES[2]),
                relu2=nn.ReLU(),
                ip3=nn.Linear(SIZES[2], SIZES[3]),
            )
        )


def short_config(method: Method) -> MethodConfig:
    """The method's defaults with few epochs and rounds, so that the suite takes seconds."""
    short: dict[str, Any] = {}
    for name, field in method.Config.model_fields.items():
        if field.annotation is int or int in get_args(field.annotation):
            if name.endswith("epochs"):
                short[name] = FEW_EPOCHS
            elif name == "rounds":
                short[name] = 2
    return method.Config.model_validate(short)


def check_method(name_or_method: str | Method) -> list[Check]:
    """Run every check on a method.

    Args:
        name_or_method: a method's name, a file (``plugin.py`` or ``plugin.py:Class``), or one.

    Raises:
        UserError: there is no such method, or it cannot be loaded.
    """
    method = load_method(name_or_method) if isinstance(name_or_method, str) else name_or_method
    checks = [_declares_itself(method), _defaults_are_whole(method)]
    task = WatchedTask()
    try:
        config = short_config(method)
        first = method.compress(task, config, seed=0)
    except UnsuitableTask as error:
        return [*checks, Check("takes a small classifier", False, str(error))]
    except Exception as error:
        return [*checks, Check("runs", False, f"{type(error).__name__}: {error}")]
    checks.append(Check("runs", True, f"with {config!r}"[:200]))
    checks += [
        _leaves_the_reference(task),
        Check("touches no test data", not task.test_touched),
        _same_seed_same_file(method, config, first),
        _survives_the_file(first, task),
        _is_smaller(method, first, task),
        _answers_applies_to(method),
    ]
    return checks


def _declares_itself(method: Method) -> Check:
    """Name, paper, Config and the rest are there and of their kinds."""
    wanted: dict[str, Callable[[Any], bool]] = {
        "name": lambda v: isinstance(v, str) and bool(v),
        "paper": lambda v: isinstance(v, str) and bool(v),
        "Config": lambda v: isinstance(v, type) and issubclass(v, MethodConfig),
        "starts_from": lambda v: v in ("trained", "scratch"),
        "needs": lambda v: v in ("nothing", "data", "training"),
        "compresses": lambda v: isinstance(v, bool),
        "revision": lambda v: isinstance(v, int) and v >= 1,
    }
    wrong = [name for name, holds in wanted.items() if not holds(getattr(method, name, None))]
    return Check(
        "declares itself", not wrong, f"wrong or missing: {', '.join(wrong)}" * bool(wrong)
    )


def _defaults_are_whole(method: Method) -> Check:
    """The Config can be made without arguments, and refuses unknown keys."""
    try:
        method.Config()
    except ValueError as error:
        return Check("defaults are whole", False, str(error).splitlines()[0])
    try:
        method.Config.model_validate({"no_such_hyper_parameter": 1})
    except ValueError:
        return Check("defaults are whole", True)
    return Check("defaults are whole", False, "the Config takes unknown keys")


def _leaves_the_reference(task: WatchedTask) -> Check:
    fresh = WatchedTask()
    same = all(
        torch.equal(a, b)
        for a, b in zip(
            task.network.state_dict().values(), fresh.network.state_dict().values(), strict=True
        )
    )
    return Check("leaves the reference network as it was", same)


def _same_seed_same_file(method: Method, config: MethodConfig, first: Compressed) -> Check:
    """The same seed gives the same bytes, whatever the global generator was at."""
    torch.manual_seed(12345)
    again = method.compress(WatchedTask(), config, seed=0)
    same = again.to_bytes() == first.to_bytes()
    return Check("the same seed gives the same file", same)


def _survives_the_file(compressed: Compressed, task: WatchedTask) -> Check:
    """Saved, loaded in a new process, it gives the same outputs."""
    inputs, _, _ = next(iter(task.train_batches(0)))
    name = "gives the same outputs when loaded in a new process"
    network = copy.deepcopy(compressed.network).eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path, rows = Path(folder) / "network.netc", Path(folder) / "inputs.pt"
        compressed.save(path)
        torch.save(inputs, rows)
        parts = sum(compressed.size_bytes().values())
        if parts != path.stat().st_size:
            return Check(name, False, f"parts sum to {parts}, the file has {path.stat().st_size}")
        root = str(Path(__file__).resolve().parent.parent)
        script = f"import sys; sys.path.insert(0, {root!r})\n{READ_BACK}"
        command = [sys.executable, "-P", "-c", script, str(path), str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return Check(name, False, done.stderr.strip().splitlines()[-1])
        loaded = torch.tensor(json.loads(done.stdout))
        difference = float((loaded - network(inputs)).abs().max())
    return Check(name, difference <= 1e-4, f"largest difference {difference:.1e}")


def _is_smaller(method: Method, compressed: Compressed, task: WatchedTask) -> Check:
    name = "is smaller than dense float32"
    if not method.compresses:
        return Check(name, True, "claims no size")
    size, dense = len(compressed.to_bytes()), float32_bytes(task.network)
    return Check(name, size < dense, f"{size:,} of {dense:,} bytes")


def _answers_applies_to(method: Method) -> Check:
    """None or a reason, for layers it knows and layers it cannot."""
    answers = [method.applies_to(module) for module in (nn.Linear(2, 2), nn.ReLU())]
    holds = all(answer is None or (isinstance(answer, str) and answer) for answer in answers)
    return Check("says which layers it takes", holds and answers[1] is not None)


def require(checks: list[Check]) -> None:
    """For tests of plugins: raise with everything that does not hold.

    Raises:
        UserError: some check does not hold.
    """
    bad = [f"{check.name}: {check.remark}" for check in checks if not check.holds]
    if bad:
        raise UserError("; ".join(bad))
