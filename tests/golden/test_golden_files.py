"""Golden files: read for ever, and nothing silently wrong in them (promises 3 and 4).

Files of each version that was released stay here as they are, each beside the digest of what it
decodes to. A new one comes in by its recipe in ``make_golden.py`` and
``python tests/golden/make_golden.py``, which writes what is missing and nothing else.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from methods.compressed import Compressed
from methods.container import read_document
from methods.formats.format import FormatError

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.netc"))


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_golden = _script()


def test_there_are_twelve_and_more():
    assert len(FILES) >= 12
    assert {path.stem for path in FILES} >= {f"version-1-{name}" for name in make_golden.RECIPES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_golden_file_is_read_for_ever(path):
    compressed = Compressed.load(path)
    wanted = path.with_suffix(".decoded").read_text().strip()
    assert make_golden.decoded_digest(compressed) == wanted
    assert compressed.to_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", make_golden.RECIPES)
def test_a_recipe_gives_its_file(name):
    assert make_golden.RECIPES[name]().to_bytes() == (HERE / f"version-1-{name}.netc").read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_truncation_and_every_bit_flip_is_refused(path, record_property):
    data = path.read_bytes()
    accepted = sum(reads(data[:size]) for size in range(len(data)))
    flips = 0
    changed = bytearray(data)
    for at in range(len(data)):
        for bit in range(8):
            changed[at] ^= 1 << bit
            accepted += reads(bytes(changed))
            changed[at] ^= 1 << bit
            flips += 1
    record_property("flips", flips)
    assert reads(bytes(changed))
    assert flips == 8 * len(data)
    assert accepted == 0


def reads(data: bytes) -> bool:
    try:
        read_document(data)
    except FormatError:
        return False
    return True
