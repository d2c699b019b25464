"""What all tests run under: one thread each, no deadlines, nothing of the user's."""

import os

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
