"""No .npz file of a layer crashes its reader, is unpickled, or takes memory that it does not hold.

Every file here is refused with one message that names the file; the messages are asserted.
"""

import io
import random
import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import methods.eie.inputs
from methods.eie.inputs import LayerInput, parse_shape, read_layer
from registry.errors import UserError

WEIGHT = np.array([[0, 0.5, 0], [-0.25, 0, 1]], np.float32)
GOOD: dict[str, Any] = {"weight": WEIGHT, "activation": np.ones(3, np.float32)}
CODEBOOK = np.arange(16, dtype=np.float32)


class Loud:
    """Unpickling this would be seen."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return pytest.fail, ("it was unpickled",)


def npz(**changed: Any) -> bytes:
    """A good layer with arrays changed; None leaves one out."""
    held = {name: array for name, array in (GOOD | changed).items() if array is not None}
    stream = io.BytesIO()
    np.savez(stream, **held)
    return stream.getvalue()


def archive(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def declaring(shape: str, data: bytes = b"\0" * 24, descr: str = "'<f4'") -> bytes:
    """A member whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def with_weight(weight: bytes) -> bytes:
    return archive({"weight.npy": weight, "activation.npy": npy(GOOD["activation"])})


def twice() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in ("weight.npy", "weight", "activation.npy"):
            made.writestr(name, npy(WEIGHT))
    return stream.getvalue()


def encrypted() -> bytes:
    data = bytearray(npz())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = data.find(mark)
        data[at + (6 if mark.endswith(b"\x04") else 8)] |= 1
    return bytes(data)


def flipped(at: int) -> bytes:
    data = bytearray(npz())
    data[data.find(b"\x93NUMPY") + 128 + at] ^= 1
    return bytes(data)


HOSTILE: list[tuple[str, Callable[[], bytes], str]] = [
    ("empty", lambda: b"", "is no .npz file"),
    ("text", lambda: b"weight = 1\n" * 50, "is no .npz file"),
    ("npy", lambda: npy(WEIGHT), "is no .npz file"),
    ("no members", lambda: archive({}), "has no array 'weight' (it holds nothing)"),
    ("cut short", lambda: npz()[:-40], "is no .npz file"),
    ("cut in the middle", lambda: npz()[: len(npz()) // 2], "is no .npz file"),
    ("a bit flipped", lambda: flipped(2), "Bad CRC-32"),
    ("encrypted", encrypted, "encrypted"),
    ("bzip2", lambda: archive({"weight.npy": npy(WEIGHT), "activation.npy": b""},
                              zipfile.ZIP_BZIP2), "packed in a way that NumPy does not write"),
    ("twice", twice, "the array 'weight' twice"),
    ("objects", lambda: npz(weight=np.array([[Loud()]], object)), "never unpickled"),
    ("objects in a record", lambda: with_weight(declaring("(2, 3)", descr="[('a', '|O')]")),
     "never unpickled"),
    ("a pickle", lambda: with_weight(b"\x80\x04cos\nsystem\n."), "is no .npz file"),
    ("an empty member", lambda: with_weight(b""), "is no .npz file"),
    ("header of no dictionary", lambda: with_weight(npy(WEIGHT).replace(b"{'descr", b"['descr")),
     "is no .npz file"),
    ("terabytes declared", lambda: with_weight(declaring("(1000000, 1000000)")),
     "declares the shape (1000000, 1000000) and holds 24 bytes"),
    ("a product that wraps", lambda: with_weight(declaring("(4294967296, 4294967296)")),
     "declares the shape"),
    ("less than none", lambda: with_weight(declaring("(-2, -3)")), "declares the shape (-2, -3)"),
    ("more held", lambda: with_weight(declaring("(2, 2)")), "declares the shape (2, 2)"),
    ("unknown", lambda: npz(wieght=WEIGHT), "did you mean 'weight'?"),
    ("another", lambda: npz(x=WEIGHT), "holds 'x', no array that is known"),
    ("a path", lambda: archive({"../weight.npy": npy(WEIGHT)}), "no array that is known"),
    ("control characters", lambda: archive({"\x1b[31mred.npy": b""}), "'\\x1b[31mred'"),
    ("no weight", lambda: npz(weight=None), "has no array 'weight' (it holds activation)"),
    ("no activation", lambda: npz(activation=None), "has no array 'activation'"),
    ("float64", lambda: npz(weight=WEIGHT.astype(np.float64)),
     "weight holds float64, where float32 belongs: save weight.astype(np.float32)"),
    ("float16", lambda: npz(activation=np.ones(3, np.float16)), "activation holds float16"),
    ("integers", lambda: npz(activation=np.ones(3, np.int32)), "activation holds int32"),
    ("complex", lambda: npz(weight=WEIGHT.astype(np.complex64)), "weight holds complex64"),
    ("text in it", lambda: npz(weight=np.array([["a"]])), "where float32 belongs"),
    ("three dimensions", lambda: npz(weight=WEIGHT[None]), "weight: shape (1, 2, 3)"),
    ("one dimension", lambda: npz(weight=WEIGHT[0]), "weight: shape (3,)"),
    ("no dimension", lambda: npz(weight=np.float32(1)), "weight: shape ()"),
    ("no outputs", lambda: npz(weight=WEIGHT[:0]), "weight: shape (0, 3)"),
    ("no inputs", lambda: npz(weight=WEIGHT[:, :0]), "weight: shape (2, 0)"),
    ("NaN", lambda: npz(weight=np.array([[0, np.nan, 1]], np.float32)), "weight: NaN or infinity "
     "at [0, 1]"),
    ("infinite", lambda: npz(activation=np.array([0, 1, -np.inf], np.float32)), "activation: NaN"),
    ("activation of a batch", lambda: npz(activation=np.ones((3, 1), np.float32)),
     "activation: shape (3, 1)"),
    ("activation too short", lambda: npz(activation=np.ones(2, np.float32)),
     "activation: 2 values for a layer of 3 inputs"),
    ("bias too long", lambda: npz(bias=np.ones(3, np.float32)), "bias: 3 values for 2 outputs"),
    ("bias of NaN", lambda: npz(bias=np.full(2, np.nan, np.float32)), "bias: NaN"),
    ("codebook of 15", lambda: npz(codebook=CODEBOOK[:15]), "codebook: 15 values, where 16"),
    ("codebook of 17", lambda: npz(codebook=np.arange(17, dtype=np.float32)), "codebook: 17"),
    ("codebook in two", lambda: npz(codebook=CODEBOOK.reshape(4, 4)), "codebook: shape (4, 4)"),
    ("codebook without 0", lambda: npz(codebook=CODEBOOK + 1), "codebook: slot 0 is 1"),
    ("codebook of NaN", lambda: npz(codebook=np.full(16, np.nan, np.float32)), "codebook: NaN"),
]  # fmt: skip


def refused(data: bytes, folder: Path) -> str:
    path = folder / "layer.npz"
    path.write_bytes(data)
    with pytest.raises(UserError) as fault:
        read_layer(path)
    message = str(fault.value)
    assert message.startswith(f"{path}: ")
    assert message.count(str(path)) == 1
    assert "\n" not in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize(("made", "message"), [case[1:] for case in HOSTILE],
                         ids=[case[0] for case in HOSTILE])  # fmt: skip
def test_what_is_no_layer_is_one_message(made, message, tmp_path):
    assert message in refused(made(), tmp_path)


def test_a_file_that_is_none(tmp_path):
    for path, message in [
        (tmp_path / "none.npz", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ]:
        with pytest.raises(UserError, match=message):
            read_layer(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    inner = zipfile.ZipInfo("weight.npy")
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        inner.compress_type = zipfile.ZIP_DEFLATED
        made.writestr(inner, bytes(2**22))
        made.writestr("activation.npy", b"")
    data = path.read_bytes()
    lying = data.replace(struct.pack("<I", 2**22), struct.pack("<I", 2**31))
    assert lying != data
    tracemalloc.start()
    assert "unpacks to 2,147,483,648 bytes" in refused(lying, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_memory_is_bounded_by_what_the_file_holds(tmp_path):
    for shape in ("(1000000, 1000000)", "(268435456,)", "(4294967296, 4294967296)"):
        data = with_weight(declaring(shape))
        tracemalloc.start()
        refused(data, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_the_bound_is_what_decides(tmp_path, monkeypatch):
    path = tmp_path / "layer.npz"
    path.write_bytes(npz())
    assert read_layer(path).weight.shape == (2, 3)
    monkeypatch.setattr(methods.eie.inputs, "MAX_BYTES", 256)
    assert "of one layer" in refused(npz(), tmp_path)


@pytest.mark.parametrize(
    "files", [400, pytest.param(20_000, marks=pytest.mark.trust)], ids=["some", "many"]
)
def test_nothing_but_one_message_comes_of_changed_files(files, tmp_path):
    chance = random.Random(5)
    good = npz(bias=np.ones(2, np.float32), codebook=CODEBOOK)
    path, accepted = tmp_path / "changed.npz", 0
    for _ in range(files):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data[at : at + 1] = bytes([chance.randrange(256)] * chance.randrange(3))
        path.write_bytes(data)
        try:
            held = read_layer(path)
        except UserError:
            continue
        accepted += 1
        assert np.array_equal(held.weight, WEIGHT)  # a changed value would not pass the CRC
    assert accepted < files / 2
    print(f"{accepted} of {files} accepted")


floats = arrays_of.arrays(
    np.float32,
    arrays_of.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-9, 9, width=32),
)


@settings(max_examples=40)
@given(floats, st.booleans(), st.sampled_from([np.savez, np.savez_compressed]))
def test_what_is_a_layer_comes_as_it_was_saved(weight, is_turned, save):
    stream = io.BytesIO()
    turned = np.asfortranarray(weight) if is_turned else weight
    save(stream, weight=turned, activation=weight[0].astype(">f4"), bias=weight[:, 0])
    held = reading(stream.getvalue())
    assert np.array_equal(held.weight, weight)
    assert np.array_equal(held.activation, weight[0])
    assert held.bias is not None
    assert np.array_equal(held.bias, weight[:, 0])
    assert held.codebook is None
    assert {a.dtype for a in (held.weight, held.activation, held.bias)} == {np.dtype("=f4")}


def reading(data: bytes) -> LayerInput:
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        file.write(data)
        file.flush()
        return read_layer(Path(file.name))


def test_a_layer_is_coded_with_its_table_or_clustered():
    given_table = reading(npz(codebook=CODEBOOK)).coded()
    assert given_table.weight().tolist() == [[0, 0, 0], [0, 0, 1]]
    assert reading(npz(bias=np.ones(2, np.float32))).coded().bias().tolist() == [1, 1]
    assert np.array_equal(reading(npz()).coded().weight(), WEIGHT)


def test_shapes_are_outputs_by_inputs():
    assert parse_shape("4096x9216") == (4096, 9216)
    for text in ("", "4096", "4096x", "x9", "0x9", "9x0", "-1x9", "1.5x2", "9*9", "9x9x9",
                 "1e3x2", "9999999999x1", "\u0661x2"):  # fmt: skip
        with pytest.raises(UserError, match="write outputs x inputs"):
            parse_shape(text)
