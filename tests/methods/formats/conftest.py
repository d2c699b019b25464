"""The laws that hold for every format."""

import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from methods.formats.format import Format, FormatError


def _close(
    found: torch.Tensor, wanted: torch.Tensor, magnitudes: torch.Tensor, tolerance: float
) -> None:
    """``magnitudes``: each output's sum of absolute values, which bounds what rounding may do."""
    assert found.shape == wanted.shape
    assert found.dtype == torch.float32
    assert bool(((found - wanted).abs() <= tolerance * magnitudes + 1e-30).all())


def _come_back(held: Format) -> Format:
    again = type(held).unpack(held.shape, held.pack())
    assert again == held
    dense, second = held.decode(), again.decode()
    assert dense.dtype == second.dtype == torch.float32
    assert tuple(dense.shape) == tuple(second.shape) == held.shape
    assert dense.numpy().tobytes() == second.numpy().tobytes()
    return again


def _hold(held: Format, seed: int = 0) -> None:
    again, parts = _come_back(held), held.pack()
    assert again.pack() == parts
    assert held.size_bytes() == {part: len(content) for part, content in parts.items()}
    dense = held.decode()
    generator = torch.Generator().manual_seed(seed)
    if len(held.shape) == 2:
        for batch in (0, 1, 3):
            x = torch.randn(batch, held.shape[1], generator=generator)
            _close(held.multiply(x), x @ dense.T, x.abs() @ dense.abs().T, held.tolerance)


def _hold_convolution(
    held: Format, groups: int, seed: int = 0, **geometry: tuple[int, int]
) -> None:
    channels = held.shape[1] * groups
    x = torch.randn(2, channels, 8, 7, generator=torch.Generator().manual_seed(seed))
    dense = held.decode()
    wanted = functional.conv2d(x, dense, None, groups=groups, **geometry)
    magnitudes = functional.conv2d(x.abs(), dense.abs(), None, groups=groups, **geometry)
    _close(held.multiply(x, groups=groups, **geometry), wanted, magnitudes, held.tolerance)


def _refuse_cut_parts(held: Format) -> None:
    kind, shape, parts = type(held), held.shape, held.pack()
    for part, content in parts.items():
        with pytest.raises(FormatError):
            kind.unpack(shape, {k: v for k, v in parts.items() if k != part})
        for size in range(len(content)):
            with pytest.raises(FormatError):
                kind.unpack(shape, parts | {part: content[:size]})
        with pytest.raises(FormatError):
            kind.unpack(shape, parts | {part: content + b"\0"})


def _refuse_cheaply(held: Iterable[Format], shapes: Iterable[tuple[int, ...]]) -> None:
    tracemalloc.start()
    try:
        for shape in shapes:
            for one in held:
                with pytest.raises(FormatError):
                    type(one).unpack(shape, one.pack())
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused < 1 << 20


def _change(data: Any, held: Format) -> Format | None:
    """What is read where up to three bytes of one part are changed; None where it is refused."""
    parts = dict(held.pack())
    part = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[part])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = type(held).unpack(held.shape, parts | {part: bytes(content)})
    except FormatError:
        return None
    assert tuple(found.decode().shape) == held.shape
    assert type(held).unpack(held.shape, found.pack()) == found
    return found


@pytest.fixture(scope="session")
def cut_parts_are_refused() -> Callable[[Format], None]:
    """A part that is missing, cut anywhere, or longer by a byte."""
    return _refuse_cut_parts


@pytest.fixture(scope="session")
def refused_cheaply() -> Callable[..., None]:
    """Shapes that the bytes do not fill are refused, within a megabyte for all of them."""
    return _refuse_cheaply


@pytest.fixture(scope="session")
def changed() -> Callable[..., Format | None]:
    """Changed bytes are another tensor, which comes back, or a FormatError: then None."""
    return _change


@pytest.fixture(scope="session")
def round_trip() -> Callable[[Format], Format]:
    """What is packed is unpacked to the bit."""
    return _come_back


@pytest.fixture(scope="session")
def laws() -> Callable[..., None]:
    """Round trip to the bit, sizes, and the product against the dense one."""
    return _hold


@pytest.fixture(scope="session")
def convolution_law() -> Callable[..., None]:
    """The convolution against torch's own on the decoded weights."""
    return _hold_convolution
