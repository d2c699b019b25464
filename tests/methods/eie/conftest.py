"""The literal machine, which several files compare with."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def literal():
    """The module ``literal_machine`` beside this file."""
    name = "eie_literal_machine"
    spec = importlib.util.spec_from_file_location(
        name, Path(__file__).with_name("literal_machine.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["torch", "numba"])
def kernels(request, monkeypatch):
    """Runs a test on both paths."""
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("NETCOMPRESS_KERNELS", request.param)
    return request.param
