"""The .netc container: layers, tensors and sections as one canonical string of bytes.

The page ``reference/netc-format`` of the site defines the file. Nothing behind the fixed prefix
is looked at before the digest over every other byte agrees, and a document has exactly one
writing: what is read must come out the same when written again.
"""

import hashlib
from collections.abc import Mapping

from methods.bits import Reader, write_varint
from methods.document import (
    DTYPES,
    MAX_INPUTS,
    MAX_METADATA,
    MAX_NAME_BYTES,
    MAX_PARTS,
    MAX_VALUE_BYTES,
    Document,
    LayerEntry,
    TensorEntry,
    check_document,
)
from methods.formats.format import MAX_DIMENSIONS, MAX_WEIGHTS, FormatError
from methods.layer_kinds import LAYER_KINDS, MAX_SIZE, LayerKind

MAGIC = b"\x8eNTC"
VERSION = 1
PREFIX_BYTES = 29
_DIGEST = slice(13, PREFIX_BYTES)

STRINGS = (
    *("", "weight", "bias", *DTYPES),
    *("dense", "sparse-codebook", "values", "codebook", "codes", "positions", "tables"),
    *("scales", "signs", "left", "right"),
    *("flatten", "linear", "relu", "convolution", "max-pooling", "average-pooling"),
    *("addition", "concatenation", "kernel", "kernel_width", "stride", "stride_width"),
    *("padding", "padding_width", "dilation", "dilation_width", "groups", "ceil", "dimension"),
    *("running_mean", "running_var", "num_batches_tracked"),
    *("codebook-dense", "low-rank", "separable", "hashed", "ternary", "binary"),
    *("power-of-two", "uniform", "product-quantized"),
    *("normalisation", "maxout", "embedding", "rnn", "gru", "lstm"),
)
"""Strings that version 1 writes as a number; their order is part of the version."""
_STATIC = {text: place for place, text in enumerate(STRINGS)}
_STRING, _SECTION = "a string", "a section"


def write_document(
    document: Document,
    *,
    layer_kinds: Mapping[str, LayerKind] = LAYER_KINDS,
    max_weights: int = MAX_WEIGHTS,
) -> bytes:
    """The one string of bytes for ``document``.

    Raises:
        FormatError: the document breaks a rule or a limit of the format.
    """
    check_document(document, layer_kinds, max_weights)
    header, sections = _encode(document)
    total = PREFIX_BYTES + len(header) + sum(map(len, sections))
    if (items := _items(document)) > _budget(total):
        raise FormatError(
            f"{items} layers, tensors, dimensions and parts, more than the {_budget(total)} that a "
            f"file of {total} bytes may have: the network has too many small layers for one file"
        )
    start = MAGIC + bytes([VERSION]) + total.to_bytes(8, "little")
    digest = hashlib.sha256(start + header)
    for section in sections:
        digest.update(section)
    return b"".join([start, digest.digest()[:16], header, *sections])


def read_document(
    data: bytes,
    *,
    layer_kinds: Mapping[str, LayerKind] = LAYER_KINDS,
    max_weights: int = MAX_WEIGHTS,
) -> Document:
    """The document that ``data`` holds.

    Raises:
        FormatError: the only thing that ever comes out for bytes that are no such file.
    """
    check_prefix(data)
    document = _Decoder(data).document()
    check_document(document, layer_kinds, max_weights)
    header, sections = _encode(document)
    end = PREFIX_BYTES + len(header)
    if data[PREFIX_BYTES:end] != header or end + sum(map(len, sections)) != len(data):
        raise FormatError("the header is not written in the one allowed way")
    return document


def check_prefix(data: bytes) -> None:
    """Hold magic, version, length and digest against the bytes.

    Raises:
        FormatError: says which does not agree.
    """
    if len(data) < PREFIX_BYTES or data[:4] != MAGIC:
        raise FormatError("this is no .netc file, or only its beginning")
    if data[4] != VERSION:
        raise FormatError(f"version {data[4]} of the format; this reader knows {VERSION}")
    total = int.from_bytes(data[5:13], "little")
    if total != len(data):
        raise FormatError(f"{len(data)} bytes where the file says {total}: cut short or grown")
    if data[_DIGEST] != digest_of(data):
        raise FormatError("the digest does not agree: bytes have changed since it was written")


def digest_of(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256 over every byte but the digest's own."""
    digest = hashlib.sha256(data[: _DIGEST.start])
    digest.update(memoryview(data)[_DIGEST.stop :])
    return digest.digest()[:16]


def _budget(total_bytes: int) -> int:
    """Objects that a file of this size may ask for: it bounds the memory of reading."""
    return 4096 + total_bytes // 28


def _items(document: Document) -> int:
    tensors = sum(2 + len(one.shape) + len(one.parts) for one in document.tensors)
    layers = sum(2 + len(one.sizes) + len(one.inputs) + len(one.tensors) for one in document.layers)
    return tensors + layers + 2 * len(document.metadata)


class _Encoder:
    """Writes a header; strings and sections are numbered in the order of first use."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.strings: dict[str, int] = {}
        self.sections: dict[bytes, int] = {}

    def number(self, value: int) -> None:
        if 0 <= value < 0x80:  # nearly always
            self.out.append(value)
        else:
            self.out += write_varint(value)

    def raw(self, text: str) -> None:
        content = text.encode()
        self.number(len(content))
        self.out += content

    def string(self, text: str) -> None:
        if text in _STATIC:
            self.number(2 * _STATIC[text] + 1)
        elif text in self.strings:
            self.number(2 * self.strings[text] + 2)
        else:
            self.strings[text] = len(self.strings)
            self.number(0)
            self.raw(text)

    def name(self, text: str) -> None:
        """A stem and, behind the last dot, a suffix: ``ip1`` + ``weight``."""
        stem, dot, suffix = text.rpartition(".")
        if not (dot and stem and suffix):
            stem, suffix = text, ""
        self.string(stem)
        self.string(suffix)

    def section(self, content: bytes) -> None:
        if content in self.sections:
            self.number(self.sections[content] + 1)
        else:
            self.sections[content] = len(self.sections)
            self.number(0)
            self.number(len(content))

    def tensor(self, tensor: TensorEntry) -> None:
        self.name(tensor.name)
        self.string(tensor.kind)
        self.string(tensor.dtype)
        self.number(len(tensor.shape))
        for size in tensor.shape:
            self.number(size)
        self.number(len(tensor.parts))
        for part, content in sorted(tensor.parts.items()):
            self.string(part)
            self.section(content)

    def layer(self, layer: LayerEntry) -> None:
        self.string(layer.kind)
        self.string(layer.name)
        self.number(len(layer.sizes))
        for size, value in sorted(layer.sizes.items()):
            self.string(size)
            self.number(value)
        self.number(len(layer.inputs))
        for place in layer.inputs:
            self.number(place + 1)
        self.number(len(layer.tensors))
        for role, place in sorted(layer.tensors.items()):
            self.string(role)
            self.number(place)


def _encode(document: Document) -> tuple[bytes, list[bytes]]:
    """Header and sections."""
    encoder = _Encoder()
    encoder.number(len(document.metadata))
    for key, value in sorted(document.metadata.items()):
        encoder.string(key)
        encoder.raw(value)
    encoder.number(len(document.tensors))
    for tensor in document.tensors:
        encoder.tensor(tensor)
    encoder.number(len(document.layers))
    for layer in document.layers:
        encoder.layer(layer)
    return bytes(encoder.out), list(encoder.sections)


class _Decoder:
    """Reads a header, then cuts the sections that it announced."""

    def __init__(self, data: bytes) -> None:
        self.reader = Reader(data, PREFIX_BYTES)
        self.budget = _budget(len(data))
        self.strings: list[str] = []
        self.lengths: list[int] = []
        self.announced = 0

    def spend(self, count: int, maximum: int, each: int = 1) -> int:
        """Refuse a count of objects that the file's size does not warrant."""
        self.budget -= count * each
        if count > maximum or self.budget < 0:
            raise FormatError(f"{count} entries, more than a file of this size may have")
        return count

    def count(self, maximum: int, each: int = 1) -> int:
        return self.spend(self.reader.varint("a count"), maximum, each)

    def raw(self, what: str, maximum: int) -> str:
        content = self.reader.take(self.reader.varint(what, maximum), what)
        try:
            return content.decode()
        except UnicodeDecodeError as fault:
            raise FormatError(f"{what} is no UTF-8 text") from fault

    def string(self) -> str:
        number = self.reader.varint(_STRING, 1 << 32)
        if number == 0:
            self.strings.append(self.raw(_STRING, MAX_NAME_BYTES))
            return self.strings[-1]
        known = STRINGS if number % 2 else self.strings
        place = (number - 1) // 2
        if place >= len(known):
            raise FormatError(f"string {number} is not there")
        return known[place]

    def name(self) -> str:
        stem, suffix = self.string(), self.string()
        return f"{stem}.{suffix}" if suffix else stem

    def section(self) -> int:
        """The number of a section; its bytes are cut when the header ends."""
        number = self.reader.varint(_SECTION, 1 << 32)
        if number == 0:
            length = self.reader.varint("a section's length", self.reader.remaining)
            self.announced += length
            if self.announced > self.reader.remaining:
                raise FormatError("the sections need more bytes than there are")
            self.lengths.append(length)
            return len(self.lengths) - 1
        if number > len(self.lengths):
            raise FormatError(f"section {number} is not there")
        return number - 1

    def tensor(self) -> tuple[str, tuple[int, ...], str, str, dict[str, int]]:
        name, kind, dtype = self.name(), self.string(), self.string()
        rank = self.count(MAX_DIMENSIONS)
        shape = tuple(self.reader.varint("a dimension", 1 << 48) for _ in range(rank))
        parts = {self.string(): self.section() for _ in range(self.count(MAX_PARTS))}
        return name, shape, dtype, kind, parts

    def layer(self) -> LayerEntry:
        kind, name = self.string(), self.string()
        sizes = {
            self.string(): self.reader.varint("a size", MAX_SIZE)
            for _ in range(self.count(MAX_PARTS))
        }
        inputs = self.count(MAX_INPUTS)
        places = tuple(self.reader.varint("an input", 1 << 32) - 1 for _ in range(inputs))
        tensors = {
            self.string(): self.reader.varint("a tensor's place", 1 << 32)
            for _ in range(self.count(MAX_PARTS))
        }
        return LayerEntry(kind, name, sizes, places, tensors)

    def document(self) -> Document:
        many = 1 << 32
        metadata = {
            self.string(): self.raw("a metadata value", MAX_VALUE_BYTES)
            for _ in range(self.count(MAX_METADATA, 2))
        }
        rows = [self.tensor() for _ in range(self.count(many, 2))]
        layers = tuple(self.layer() for _ in range(self.count(many, 2)))
        if self.announced != self.reader.remaining:
            raise FormatError("the sections do not fill the rest of the file")
        sections = [self.reader.take(length, _SECTION) for length in self.lengths]
        tensors = tuple(
            TensorEntry(
                name, shape, dtype, kind, {part: sections[at] for part, at in parts.items()}
            )
            for name, shape, dtype, kind, parts in rows
        )
        return Document(metadata, layers, tensors)
