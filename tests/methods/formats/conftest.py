"""The laws that hold for every format."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from methods.formats.format import Format


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
