"""Counts the multiplications of a real training step, by what is multiplied and by which part.

Every operation of PyTorch that runs within a ``MultiplicationCounter`` is looked at, in the forward
and the backward pass and in the update, with the numbers that it really gets. An operation that is
not known here is refused, so that none is passed over.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

Kind = Literal["real", "shift", "sign"]
"""What the products are by: a real number; a power of two with a sign, or 0; -1, 0 or 1."""
_MANTISSA = (1 << 23) - 1

_WITHOUT = frozenset(
    (
        *(
            "empty",
            "empty_like",
            "full_like",
            "ones_like",
            "scalar_tensor",
            "scatter_",
            "zeros_like",
        ),
        *("clone", "copy_", "detach", "_to_copy", "as_strided", "expand", "lift_fresh"),
        *(
            "t",
            "transpose",
            "permute",
            "unsqueeze",
            "view",
            "reshape",
            "_unsafe_view",
            "select",
            "squeeze",
        ),
        *("eq", "ge", "gt", "le", "lt", "logical_and", "masked_fill_", "where"),
        *("relu", "threshold_backward", "clamp", "clamp_", "clamp_min", "floor_"),
        *("abs", "neg", "copysign_", "bitwise_and_", "sum"),
    )
)
"""Operations that multiply nothing: copies, views, comparisons, selections, sums, signs."""
_ADDITIONS = frozenset(("add", "add_", "sub", "sub_", "rsub"))
_PRODUCTS = frozenset(("mul", "mul_", "div", "div_"))


def kind_of(value: object) -> Kind:
    """What a product by these numbers is."""
    numbers = torch.as_tensor(value, dtype=torch.float32)
    if bool(((numbers == 0) | (numbers.abs() == 1)).all()):
        return "sign"
    mantissas = numbers.contiguous().view(torch.int32) & _MANTISSA
    return "shift" if bool(((mantissas == 0) & numbers.isfinite()).all()) else "real"


class MultiplicationCounter(TorchDispatchMode):
    """Within it, operations are counted; what they give is untouched."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dense: Counter[tuple[str, Kind]] = Counter()
        """By pass (``forward``, ``errors``, ``gradients``) and kind: products within dense ones."""
        self.others: Counter[tuple[str, Kind]] = Counter()
        """By part of the step and kind."""
        self.part = ""
        self.is_backward = False
        self.rows = 0
        """Of the minibatch; tells errors from gradients of weights, which have other shapes."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        room, _, name = func._schema.name.partition("::")
        if room == "profiler":
            return func(*args, **kwargs)
        if name in _PRODUCTS:  # before it runs: it may work in place
            self._count_products(args[0], args[1], is_division=name.startswith("div"))
        result = func(*args, **kwargs)
        if name in ("mm", "addmm"):
            self._count_dense(*args[-2:])
        elif name in _ADDITIONS:
            self._count_scaled(kwargs.get("alpha", 1), args)
        elif name in ("pow", "mean", "rsqrt", "sqrt", "reciprocal"):
            self._count_function(name, args, result)
        elif name not in _WITHOUT and name not in _PRODUCTS:
            raise NotImplementedError(f"multiplications of {func} are not known")
        return result

    def _count_dense(self, one: torch.Tensor, other: torch.Tensor) -> None:
        kinds = {kind_of(one), kind_of(other)}
        kind: Kind = "sign" if "sign" in kinds else "shift" if "shift" in kinds else "real"
        where = "forward"
        if self.is_backward:
            where = "errors" if one.shape[0] == self.rows else "gradients"
        self.dense[where, kind] += one.shape[0] * one.shape[1] * other.shape[1]

    def _count_products(self, one: object, other: object, *, is_division: bool) -> None:
        """Elements, a repeated one once; by the simpler of both operands."""
        kinds = {kind_of(other)} if is_division else {kind_of(one), kind_of(other)}
        kind: Kind = "sign" if "sign" in kinds else "shift" if "shift" in kinds else "real"
        tensors = [each for each in (one, other) if isinstance(each, torch.Tensor)]
        self.others[self.part, kind] += distinct(*tensors)

    def _count_scaled(self, alpha: float, args: tuple[Any, ...]) -> None:
        if alpha not in (1, -1):
            self.others[self.part, kind_of(alpha)] += distinct(args[1])

    def _count_function(self, name: str, args: tuple[Any, ...], result: torch.Tensor) -> None:
        """A square is one product an element, a mean one by 1/n; roots are no multiplications."""
        if name == "mean":
            self.others[self.part, kind_of(args[0].numel() / result.numel())] += result.numel()
        elif name == "pow":
            times = int(args[1]) - 1
            if args[1] not in (1, 2, 3):
                raise NotImplementedError(f"multiplications of a power of {args[1]} are not known")
            self.others[self.part, "real"] += times * distinct(args[0])

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Within it, what is counted belongs to ``part``."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before

    def watch(self, network: nn.Module, part_of: Callable[[nn.Module], str | None]) -> None:
        """From now on, what a module does in both directions belongs to its part."""
        for module in network.modules():
            part = part_of(module)
            if part is None:
                continue

            def enter(*given: object, part: str = part) -> None:
                self.part = part

            def leave(
                module: nn.Module,
                given: object,
                output: torch.Tensor,
                enter: Callable[..., None] = enter,
            ) -> None:
                output.register_hook(enter)  # type: ignore[no-untyped-call]

            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)


def distinct(*tensors: torch.Tensor) -> int:
    """Elements of the tensors' product, a number that is repeated along a dimension once."""
    count = 1
    for at in range(1, max((one.dim() for one in tensors), default=0) + 1):
        sizes = [one.shape[-at] for one in tensors if one.dim() >= at and one.stride()[-at] != 0]
        count *= max(sizes, default=1)
    return count


class WrittenOutNormalisation(nn.Module):
    """Batch normalisation in training by single operations, (batch, units); no running means."""

    def __init__(self, normalisation: nn.BatchNorm1d) -> None:
        """With the parameters of ``normalisation``."""
        super().__init__()
        self.weight, self.bias = normalisation.weight, normalisation.bias
        self.eps = normalisation.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(dim=0)
        variance = (centred**2).mean(dim=0)
        return centred * (variance + self.eps).rsqrt() * self.weight + self.bias
