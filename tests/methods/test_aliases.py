"""Tied tensors in a file: a second name has one way to be written, and points at a tensor."""

import pytest
import torch

from methods.compressed import Compressed
from methods.container import read_document, write_document
from methods.document import Document, alias_entry
from methods.formats.format import FormatError


def document_with(alias, shape=(2,), dtype="float32"):
    first = Compressed.from_tensors({"a": torch.ones(2), "c": torch.ones(2)}, {}).document
    entry = alias_entry("b", first.tensors[0], 0)
    entry = type(entry)("b", shape, dtype, "alias", alias)
    return Document({}, (), (first.tensors[0], entry, first.tensors[1]))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (document_with({"of": b"\1"}), "no tensor that comes before"),
        (document_with({"of": b"\2"}), "no tensor that comes before"),
        (document_with({"of": b"\x80\0"}), "shortest form"),
        (document_with({"of": b""}), "cut short"),
        (document_with({"of": b"\0\0"}), "too many"),
        (document_with({}), "parts"),
        (document_with({"of": b"\0", "values": b""}), "parts"),
        (document_with({"of": b"\0"}, shape=(1, 2)), "not of the shape"),
        (document_with({"of": b"\0"}, dtype="float16"), "not of the shape and type"),
    ],
)
def test_an_alias_has_one_writing(document, message):
    fine = document_with({"of": b"\0"})
    assert read_document(write_document(fine)) == fine
    with pytest.raises(FormatError, match=message):
        write_document(document)


def test_an_alias_of_an_alias_is_refused():
    first = Compressed.from_tensors({"a": torch.ones(2)}, {}).document.tensors[0]
    chain = (first, alias_entry("b", first, 0), alias_entry("c", first, 1))
    with pytest.raises(FormatError, match="'c' names no tensor"):
        write_document(Document({}, (), chain))
