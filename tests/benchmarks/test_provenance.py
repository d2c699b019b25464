"""What a result says of its machine is read once."""

from pathlib import Path

import pytest

from benchmarks import provenance


@pytest.mark.parametrize("function", [provenance.cpu_model, provenance.largest_cache_bytes])
def test_the_processor_is_asked_once(function, monkeypatch, tmp_path):
    """Files are gone at the second call, and the answer is the same."""
    function.cache_clear()
    first = function()
    monkeypatch.setattr(provenance, "CACHES", tmp_path)

    def gone(*arguments, **named):
        raise OSError("not read again")

    monkeypatch.setattr(Path, "read_text", gone)
    monkeypatch.setattr(provenance.platform, "processor", lambda: "another")
    assert function() == first


def test_the_largest_cache_is_in_bytes(monkeypatch, tmp_path):
    for index, size in enumerate(["32K", "2048K", "32768K", "odd"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    monkeypatch.setattr(provenance, "CACHES", tmp_path)
    provenance.largest_cache_bytes.cache_clear()
    try:
        assert provenance.largest_cache_bytes() == 32768 * 1024
    finally:
        provenance.largest_cache_bytes.cache_clear()
