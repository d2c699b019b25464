"""The paths of the kernels of low-precision weights, chosen as a user's processor would."""

from collections.abc import Callable

import pytest

from methods.kernels import choice, lookup, low_precision


def _choose(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``avx512`` stands for a processor without the dot products of VNNI."""
    if path != "torch":
        pytest.importorskip("numba")
    monkeypatch.setenv(choice.VARIABLE, "torch" if path == "torch" else "numba")
    monkeypatch.setenv(lookup.VARIABLE, "1" if path.startswith("avx512") else "0")
    if path.startswith("avx512"):
        with_words, with_dot = low_precision.parts_of_avx512()
        if not with_words or (path == "avx512-vnni" and not with_dot):
            pytest.skip("not on this processor")
        parts = (True, path == "avx512-vnni")
        monkeypatch.setattr(low_precision, "parts_of_avx512", lambda: parts)
    assert low_precision.path_here() == path


@pytest.fixture(scope="session")
def choose() -> Callable[[str, pytest.MonkeyPatch], None]:
    """Makes a path the one that weights given from now on take; skips where it cannot run."""
    return _choose
