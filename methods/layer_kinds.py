"""The kinds of layer that a file may name, with their sizes and tensors. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_SIZE = 2**31 - 1
MAX_CHANNELS = 2**16
"""Of zeros that a layer may add: they take memory without any bytes in the file."""


@dataclass(frozen=True)
class Size:
    """One number of a layer."""

    name: str
    default: int | str | None = None
    """A number, the name of an earlier size that it then equals, or None: it must be given."""
    minimum: int = 0
    maximum: int = MAX_SIZE


@dataclass(frozen=True)
class LayerKind:
    """What an entry of this kind must and may hold."""

    sizes: tuple[Size, ...] = ()
    roles: tuple[str, ...] = ()
    optional_roles: tuple[str, ...] = ()
    inputs: tuple[int, int] = (1, 1)
    """The fewest and the most inputs."""

    def complete(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """All sizes, the defaults filled in.

        Raises:
            ValueError: one is unknown, missing or out of range.
        """
        unknown = set(sizes) - {size.name for size in self.sizes}
        if unknown:
            raise ValueError(f"has no size {sorted(unknown)[0]!r}")
        complete: dict[str, int] = {}
        for size in self.sizes:
            value = sizes.get(size.name, size.default)
            if isinstance(value, str):
                value = complete[value]
            if value is None or not size.minimum <= value <= size.maximum:
                raise ValueError(f"has size {size.name!r} {value}")
            complete[size.name] = value
        return complete

    def without_defaults(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes that must be written: those that differ from their default."""
        complete = self.complete(sizes)
        return {
            size.name: complete[size.name]
            for size in self.sizes
            if complete[size.name]
            != (complete[size.default] if isinstance(size.default, str) else size.default)
        }

    def check(
        self, sizes: Mapping[str, int], roles: Mapping[str, int], inputs: Sequence[int]
    ) -> None:
        """Hold an entry against this kind.

        Raises:
            ValueError: says what is wrong; also where a default is written out.
        """
        if dict(sizes) != self.without_defaults(sizes):
            raise ValueError("has a size written out that equals its default")
        missing = set(self.roles) - set(roles)
        unknown = set(roles) - set(self.roles) - set(self.optional_roles)
        if missing or unknown:
            raise ValueError(f"has tensors {sorted(roles)} where {list(self.roles)} belong")
        fewest, most = self.inputs
        if not fewest <= max(len(inputs), 1) <= most:
            raise ValueError(f"has {len(inputs)} inputs where {fewest} to {most} belong")


def _pair(name: str, default: int | str | None, minimum: int = 0) -> tuple[Size, Size]:
    """A size along the height, and one along the width that equals it unless given."""
    return Size(name, default, minimum), Size(f"{name}_width", name, minimum)


_POOL = (*_pair("kernel", None, 1), *_pair("stride", "kernel", 1), *_pair("padding", 0))
_ROUNDING = Size("ceil", 0, 0, 1)
_SOFTMAX = (Size("dimension", 1, 0, 7), Size("last", 0, 0, 1))
EPSILON = 0x3727C5AC
"""1e-5 as the bits of a float32, which is how a normalisation's size says it."""

LAYER_KINDS: dict[str, LayerKind] = {
    "flatten": LayerKind(),
    "relu": LayerKind(),
    "linear": LayerKind(roles=("weight",), optional_roles=("bias",)),
    "convolution": LayerKind(
        sizes=(
            *_pair("stride", 1, 1),
            *_pair("padding", 0),
            *_pair("dilation", 1, 1),
            Size("groups", 1, 1),
        ),
        roles=("weight",),
        optional_roles=("bias",),
    ),
    "max-pooling": LayerKind(sizes=(*_POOL, _ROUNDING)),
    "average-pooling": LayerKind(sizes=(*_POOL, _ROUNDING)),
    "addition": LayerKind(inputs=(2, 64)),
    "channel-padding": LayerKind(
        sizes=(Size("before", 0, 0, MAX_CHANNELS), Size("after", 0, 0, MAX_CHANNELS))
    ),
    "concatenation": LayerKind(sizes=(Size("dimension", 1, 1, 7),), inputs=(2, 64)),
    "convolution-1d": LayerKind(
        sizes=(
            *(Size("stride", 1, 1), Size("padding", 0)),
            *(Size("dilation", 1, 1), Size("groups", 1, 1)),
        ),
        roles=("weight",),
        optional_roles=("bias",),
    ),
    "embedding": LayerKind(roles=("weight",)),
    "normalisation": LayerKind(
        sizes=(Size("epsilon", EPSILON, 1, 0x7F7FFFFF),),
        roles=("running_mean", "running_var"),
        optional_roles=("weight", "bias", "num_batches_tracked"),
    ),
    "tanh": LayerKind(),
    "sigmoid": LayerKind(),
    "gelu": LayerKind(),
    "silu": LayerKind(),
    "softmax": LayerKind(sizes=_SOFTMAX),
    "log-softmax": LayerKind(sizes=_SOFTMAX),
}
"""A kind comes in by its line here and its module in ``methods/layers.py``."""
