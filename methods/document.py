"""What a .netc file holds, and the rules that hold for it however it is written."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from methods.bits import Reader, write_varint
from methods.formats.format import FormatError, weight_count
from methods.layer_kinds import LayerKind

MAX_DECODED_BYTES = 2**31
"""All tensors of a file together, made dense; a caller who trusts the file may raise it."""
MAX_METADATA = 64
MAX_VALUE_BYTES = 4096
MAX_NAME_BYTES = 200
MAX_PARTS = 16
MAX_INPUTS = 64
ALIAS = "alias"
"""The kind of an entry that is another name of an earlier tensor."""
# As in methods.formats.dense, which needs torch.
DTYPES = (
    *("float32", "float16", "bfloat16", "float64"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
ITEM_BYTES = dict(zip(DTYPES, (4, 2, 2, 8, 8, 4, 2, 1, 1, 1), strict=True))


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: what it was, and the parts that hold it now."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """Of the original tensor, such as ``float32``."""
    kind: str
    """Of its format; whether a reader knows that kind shows when it unpacks the parts."""
    parts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One layer of the network, in the order of computation."""

    kind: str
    name: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Only those that differ from the kind's defaults."""
    inputs: tuple[int, ...] = ()
    """Earlier layers by place, -1 for the network's input; empty means the layer before."""
    tensors: Mapping[str, int] = field(default_factory=dict)
    """Role -> place in the document's tensors."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds."""

    metadata: Mapping[str, str]
    layers: tuple[LayerEntry, ...]
    tensors: tuple[TensorEntry, ...]


def section_bytes(document: Document) -> dict[str, dict[str, int]]:
    """Bytes by tensor and part; a section that several share counts where it comes first."""
    seen: set[bytes] = set()
    sizes: dict[str, dict[str, int]] = {}
    for tensor in document.tensors:
        sizes[tensor.name] = {}
        for part, content in sorted(tensor.parts.items()):
            sizes[tensor.name][part] = 0 if content in seen else len(content)
            seen.add(content)
    return sizes


def check_decoded_bytes(document: Document, limit: int) -> None:
    """Refuse tensors that need more than ``limit`` bytes together once they are dense.

    A weight counts as its type's bytes, and four at least: decoding goes through float32. A
    dimension of 0 counts as 1, so that it hides no other one.

    Raises:
        FormatError: says how many bytes, and how to allow them.
    """
    total = sum(
        math.prod(max(size, 1) for size in tensor.shape) * max(4, ITEM_BYTES[tensor.dtype])
        for tensor in document.tensors
        if tensor.kind != ALIAS
    )
    if total > limit:
        raise FormatError(
            f"its tensors take {total} bytes when decoded, more than {limit}: where you trust the "
            f"file, load it with max_decoded_bytes={total}"
        )


def check_text(text: str, what: str, max_bytes: int) -> None:
    """Refuse what is empty, too long, not normalised (NFC), or has characters that do not show.

    Raises:
        FormatError: says which.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as fault:
        raise FormatError(f"{what} is no Unicode text") from fault
    if not 0 < size <= max_bytes:
        raise FormatError(f"{what} has {size} bytes, not 1 to {max_bytes}")
    if text.isascii() and text.isprintable():
        return
    hidden = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    if any(unicodedata.category(character) in hidden for character in text):
        raise FormatError(f"{what} holds a control character")
    if not unicodedata.is_normalized("NFC", text):
        raise FormatError(f"{what} is not in Unicode's normal form C")


def check_document(
    document: Document, layer_kinds: Mapping[str, LayerKind], max_weights: int
) -> None:
    """Hold a document against the rules that do not depend on its writing.

    Raises:
        FormatError: names the layer, tensor or entry.
    """
    if len(document.metadata) > MAX_METADATA:
        raise FormatError(f"{len(document.metadata)} metadata entries, more than {MAX_METADATA}")
    for key, value in document.metadata.items():
        check_text(key, "a metadata key", MAX_NAME_BYTES)
        check_text(value, f"metadata {key!r}", MAX_VALUE_BYTES)
    for entries in (document.tensors, document.layers):
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            raise FormatError("two layers or two tensors have the same name")
    for place, tensor in enumerate(document.tensors):
        _check_tensor(tensor, max_weights)
        if tensor.kind == ALIAS:
            _check_alias(tensor, document.tensors, place)
    for place, layer in enumerate(document.layers):
        _check_layer(layer, place, len(document.tensors), layer_kinds)


def _check_tensor(tensor: TensorEntry, max_weights: int) -> None:
    check_text(tensor.name, "a tensor's name", MAX_NAME_BYTES)
    check_text(tensor.kind, f"the kind of {tensor.name!r}", MAX_NAME_BYTES)
    if tensor.dtype not in DTYPES:
        raise FormatError(f"tensor {tensor.name!r} has the unknown type {tensor.dtype!r}")
    weight_count(tensor.shape, max_weights)
    if len(tensor.parts) > MAX_PARTS:
        raise FormatError(f"tensor {tensor.name!r} has more than {MAX_PARTS} parts")
    for part in tensor.parts:
        check_text(part, f"a part of {tensor.name!r}", MAX_NAME_BYTES)


def alias_entry(name: str, of: TensorEntry, place: int) -> TensorEntry:
    """The entry for ``name`` as another name of ``of``, which stands at ``place``."""
    return TensorEntry(name, of.shape, of.dtype, ALIAS, {"of": write_varint(place)})


def alias_place(tensor: TensorEntry) -> int:
    """The place of the tensor that this alias names.

    Raises:
        FormatError: its parts are not those of an alias.
    """
    if set(tensor.parts) != {"of"}:
        raise FormatError(f"tensor {tensor.name!r} is an alias with parts {sorted(tensor.parts)}")
    reader = Reader(tensor.parts["of"])
    place = reader.varint("the place of an alias")
    reader.finish("the place of an alias")
    return place


def _check_alias(tensor: TensorEntry, tensors: Sequence[TensorEntry], own_place: int) -> None:
    place = alias_place(tensor)
    if place >= own_place or tensors[place].kind == ALIAS:
        raise FormatError(f"tensor {tensor.name!r} names no tensor that comes before it")
    twin = tensors[place]
    if (tensor.shape, tensor.dtype) != (twin.shape, twin.dtype):
        raise FormatError(f"tensor {tensor.name!r} is not of the shape and type of {twin.name!r}")


def _check_layer(
    layer: LayerEntry, place: int, tensors: int, layer_kinds: Mapping[str, LayerKind]
) -> None:
    check_text(layer.name, "a layer's name", MAX_NAME_BYTES)
    if layer.kind not in layer_kinds:
        raise FormatError(f"layer {layer.name!r} is of the unknown kind {layer.kind!r}")
    if len(layer.inputs) > MAX_INPUTS or not all(-1 <= one < place for one in layer.inputs):
        raise FormatError(f"layer {layer.name!r} takes an input that does not come before it")
    if layer.inputs == (place - 1,):
        raise FormatError(f"layer {layer.name!r} names the layer before, which goes without saying")
    if not all(0 <= one < tensors for one in layer.tensors.values()):
        raise FormatError(f"layer {layer.name!r} asks for a tensor that is not there")
    try:
        layer_kinds[layer.kind].check(layer.sizes, layer.tensors, layer.inputs)
    except ValueError as fault:
        raise FormatError(f"layer {layer.name!r} ({layer.kind}) {fault}") from fault
