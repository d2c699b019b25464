"""The cache folder is where the system wants it, and its lock lets one job in at a time."""

from pathlib import Path

import pytest

from benchmarks.cache import cache_folder, locked
from registry.errors import UserError


def test_the_folder_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("NETCOMPRESS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "netcompress"


def test_a_relative_xdg_folder_is_ignored(monkeypatch):
    monkeypatch.delenv("NETCOMPRESS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == Path.home() / ".cache" / "netcompress"


def test_other_systems(monkeypatch, tmp_path):
    monkeypatch.delenv("NETCOMPRESS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "netcompress"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_folder() == tmp_path / "netcompress"


def test_a_lock_that_is_held_too_long(tmp_path):
    waits = []
    with (
        locked(tmp_path / "a"),
        pytest.raises(UserError, match="another process"),
        locked(tmp_path / "a", seconds=0.1, on_wait=lambda: waits.append(1)),
    ):
        pass
    assert waits == [1]
    with locked(tmp_path / "a", seconds=0):
        pass
