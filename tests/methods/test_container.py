"""The container: one writing, and no broken rule."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.container import MAGIC, STRINGS, digest_of, read_document, write_document
from methods.document import DTYPES, Document, LayerEntry, TensorEntry, section_bytes
from methods.formats.dense import STORED
from methods.formats.format import FormatError
from methods.layer_kinds import LAYER_KINDS

GOLDEN = Path(__file__).parents[1] / "golden"


def sealed(body: bytes) -> bytes:
    """``body`` behind a prefix that agrees with it."""
    start = MAGIC + b"\x01" + (29 + len(body)).to_bytes(8, "little")
    whole = start + bytes(16) + body
    return start + digest_of(whole) + body


class Choices:
    """Choices made by drawn bytes, the first one where they end: far quicker than strategies."""

    def __init__(self, drawn: bytes) -> None:
        self.left = iter(drawn)

    def number(self, most: int) -> int:
        return next(self.left, 0) % (most + 1)

    def one_of(self, choices):
        return choices[self.number(len(choices) - 1)]

    def text(self) -> str:
        return "".join(self.one_of("abz.é_-09") for _ in range(1 + self.number(7)))

    def content(self) -> bytes:
        return self.one_of(
            [b"", b"shared", bytes(next(self.left, 0) for _ in range(self.number(12)))]
        )

    def tensor(self, name: str) -> TensorEntry:
        shape = tuple(self.number(1) * 128 + self.number(172) for _ in range(self.number(3)))
        kind = self.one_of(["dense", "sparse-codebook", "unheard-of"])
        names = [self.one_of(["values", "codes", "tables", "new"]) for _ in range(self.number(4))]
        parts = {name: self.content() for name in names}
        return TensorEntry(name, shape, self.one_of(DTYPES), kind, parts)

    def layer(self, name: str, place: int, tensors: int) -> LayerEntry:
        kinds = ["flatten", "relu", "max-pooling", "addition"] + ["convolution"] * bool(tensors)
        kind = self.one_of(kinds)
        sizes, roles, inputs = {}, {}, ()
        if kind == "max-pooling":
            sizes = {"kernel": 1 + self.number(8)}
        if kind == "convolution":
            given = [self.one_of(["groups", "stride"]) for _ in range(self.number(2))]
            sizes = {size: 2 + self.number(2) for size in given}
            roles = {"weight": self.number(tensors - 1)}
        if kind == "addition":
            inputs = tuple(self.number(place) - 1 for _ in range(2 + self.number(1)))
        return LayerEntry(kind, name, sizes, inputs, roles)


def document_of(drawn: bytes) -> Document:
    choices = Choices(drawn)
    names = dict.fromkeys(choices.text() for _ in range(choices.number(5)))
    tensors = tuple(choices.tensor(name) for name in names)
    names = dict.fromkeys(choices.text() for _ in range(choices.number(5)))
    layers = tuple(choices.layer(name, place, len(tensors)) for place, name in enumerate(names))
    metadata = {choices.text(): choices.text() for _ in range(choices.number(3))}
    return Document(metadata, layers, tensors)


documents = st.binary(min_size=240, max_size=240).map(document_of)


@settings.get_profile("laws")
@given(documents)
def test_documents_come_back_and_have_one_writing(document):
    data = write_document(document)
    assert read_document(data) == document
    assert write_document(read_document(data)) == data
    shared = sum(sum(parts.values()) for parts in section_bytes(document).values())
    distinct = {content for one in document.tensors for content in one.parts.values()}
    assert shared == sum(map(len, distinct))
    assert data.endswith(b"".join(dict.fromkeys(in_order(document))))


def in_order(document):
    return (one.parts[part] for one in document.tensors for part in sorted(one.parts))


def test_equal_parts_are_stored_once():
    content = bytes(range(200)) * 5
    entries = [
        TensorEntry(name, (1,), "float32", "dense", {"values": content}) for name in ("a", "b")
    ]
    one = write_document(Document({}, (), tuple(entries[:1])))
    two = write_document(Document({}, (), tuple(entries)))
    assert len(two) - len(one) < 16
    assert section_bytes(Document({}, (), tuple(entries))) == {
        "a": {"values": 1000},
        "b": {"values": 0},
    }


def test_tables_of_names_agree():
    assert tuple(STORED) == DTYPES
    assert len(set(STRINGS)) == len(STRINGS)
    spelt_out = set(LAYER_KINDS) - set(STRINGS)  # those that came in later
    assert {"linear", "convolution", "relu", "flatten"}.isdisjoint(spelt_out)
    # The order is part of version 1: old files name these by number.
    listed = hashlib.sha256("\n".join(STRINGS).encode()).hexdigest()
    assert listed == (GOLDEN / "version-1.strings").read_text().strip()


def tensor(name="t", shape=(1,), dtype="float32", kind="dense", parts=None):
    return TensorEntry(name, shape, dtype, kind, parts or {})


BROKEN = {
    "name empty": Document({}, (), (tensor(""),)),
    "name twice": Document({}, (), (tensor(), tensor())),
    "name too long": Document({}, (), (tensor("n" * 201),)),
    "control": Document({}, (), (tensor("a\x1b[31m"),)),
    "right to left": Document({"a\u202eb": "c"}, (), ()),
    "not NFC": Document({"a": "e\u0301"}, (), ()),
    "surrogate": Document({"a": "\ud800"}, (), ()),
    "newline": Document({"a": "b\nc"}, (), ()),
    "metadata too long": Document({"a": "b" * 4097}, (), ()),
    "too much metadata": Document({f"a{n}": "b" for n in range(65)}, (), ()),
    "type": Document({}, (), (tensor(dtype="object"),)),
    "too many weights": Document({}, (), (tensor(shape=(2**16, 2**16)),)),
    "hidden overflow": Document({}, (), (tensor(shape=(2**40, 0)),)),
    "rank": Document({}, (), (tensor(shape=(1,) * 9),)),
    "parts": Document({}, (), (tensor(parts={f"p{n}": b"" for n in range(17)}),)),
    "kind of layer": Document({}, (LayerEntry("os.system", "a"),), ()),
    "layer twice": Document({}, (LayerEntry("relu", "a"), LayerEntry("relu", "a")), ()),
    "size": Document({}, (LayerEntry("relu", "a", {"kernel": 1}),), ()),
    "size missing": Document({}, (LayerEntry("max-pooling", "a"),), ()),
    "size zero": Document({}, (LayerEntry("max-pooling", "a", {"kernel": 0}),), ()),
    "default": Document({}, (LayerEntry("max-pooling", "a", {"kernel": 2, "ceil": 0}),), ()),
    "no weight": Document({}, (LayerEntry("linear", "a"),), ()),
    "no such tensor": Document({}, (LayerEntry("linear", "a", {}, (), {"weight": 0}),), ()),
    "unknown role": Document({}, (LayerEntry("relu", "a", {}, (), {"x": 0}),), (tensor(),)),
    "input ahead": Document({}, (LayerEntry("addition", "a", {}, (0, 0)),), ()),
    "input implied": Document({}, (LayerEntry("relu", "a", {}, (-1,)),), ()),
    "one input": Document({}, (LayerEntry("addition", "a"),), ()),
    "two inputs": Document({}, (LayerEntry("relu", "a", {}, (-1, -1)),), ()),
    "too many objects": Document({}, tuple(LayerEntry("relu", f"a{n}") for n in range(3000)), ()),
}


@pytest.mark.parametrize("case", BROKEN)
def test_documents_that_break_a_rule_are_not_written(case):
    with pytest.raises(FormatError) as caught:
        write_document(BROKEN[case])
    assert str(caught.value).isprintable()


def test_more_weights_are_read_where_the_caller_says_so():
    document = Document({}, (), (tensor(shape=(2**16, 2**16)),))
    data = write_document(document, max_weights=2**33)
    with pytest.raises(FormatError, match="weights"):
        read_document(data)
    assert read_document(data, max_weights=2**33) == document


HOSTILE = [
    (b"", "a count is cut short"),
    (b"\x00\x00", "a count is cut short"),
    (b"\x00\x00\x00\x00", "do not fill"),
    (b"\x80\x00\x00\x00", "shortest form"),
    (b"\x00\xff\xff\xff\xff\x0f\x00", "4294967295 entries"),
    (b"\x41" + bytes(80), "65 entries"),
    # keys out of order, and one twice
    (b"\x02\x00\x01b\x01x\x00\x01a\x01x\x00\x00", "one allowed way"),
    (b"\x02\x00\x01a\x01x\x02\x01x\x00\x00", "one allowed way"),
    # a string spelt out that has a number, that is no UTF-8, not there, or of 4 GB
    (b"\x01\x00\x06weight\x01x\x00\x00", "one allowed way"),
    (b"\x01\x00\x01\xff\x01x\x00\x00", "no UTF-8"),
    (b"\x01\xff\x01\x01x\x00\x00", "string 255 is not there"),
    (b"\x01\x00\xff\xff\xff\xff\x0fa\x01x\x00\x00", "more than 200"),
    # a name whose suffix was not split off
    (b"\x00\x01\x00\x08t.weight\x01\x1b\x07\x00\x00\x00", "one allowed way"),
    # a section longer than the file, one stored twice, one that is not there
    (b"\x00\x01\x00\x01t\x01\x1b\x07\x00\x01\x1f\x00\x7f\x00", "length is 127, more than 2"),
    (b"\x00\x01\x00\x01t\x01\x1b\x07\x00\x02\x23\x00\x01\x1f\x00\x01\x00zz", "one allowed way"),
    (b"\x00\x01\x00\x01t\x01\x1b\x07\x00\x01\x1f\x05\x00", "section 5 is not there"),
]


@pytest.mark.parametrize(("body", "reason"), HOSTILE)
def test_hostile_headers_with_a_true_digest_are_refused(body, reason):
    assert read_document(sealed(b"\0\0\0")) == Document({}, (), ())
    with pytest.raises(FormatError, match=reason):
        read_document(sealed(body))


def test_versions_and_other_files_are_told_apart():
    data = write_document(Document({}, (), ()))
    with pytest.raises(FormatError, match="version 2"):
        read_document(data[:4] + b"\x02" + data[5:])
    with pytest.raises(FormatError, match=r"no \.netc file"):
        read_document(b"PK\x03\x04" + bytes(100))
    with pytest.raises(FormatError, match="cut short or grown"):
        read_document(data + b"\0")
    with pytest.raises(FormatError, match="digest"):
        read_document(data[:-1] + b"\1")
