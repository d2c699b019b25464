"""What a user gives the machine: a layer in a .npz file, or a shape such as 4096x9216.

A .npz is read member by member: the header of each array is held against the bytes that the
archive declares before any memory is taken, and nothing is unpickled.
"""

import difflib
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from methods.eie.coded import CodedLayer, check_activation, check_codebook, check_weights
from methods.regular_file import open_regular
from registry.errors import UserError

FloatArray = NDArray[np.float32]

MAX_BYTES = 2**29
"""Arrays of one file together: a layer of 134 million weights, zeros included, in float32; where
none is zero, some 10 GB are needed to run it."""
NEEDED, OPTIONAL = ("weight", "activation"), ("bias", "codebook")
FORM = (
    "np.savez(path, weight=w, activation=a) writes one, of float32 arrays: weight (outputs x "
    "inputs, 0 = pruned), activation (inputs), if wanted bias (outputs), codebook (16, first 0)"
)


@dataclass(frozen=True, eq=False)
class LayerInput:
    """A layer as the user holds it; float32 arrays, finite, that belong together."""

    weight: FloatArray
    activation: FloatArray
    bias: FloatArray | None = None
    codebook: FloatArray | None = None

    def coded(self) -> CodedLayer:
        """With the given table of shared values, or with one of 15 values clustered from it."""
        if self.codebook is None:
            return CodedLayer.from_pruned(self.weight, self.bias)
        return CodedLayer.from_weights(self.weight, self.codebook, self.bias)


def read_layer(path: Path) -> LayerInput:
    """A layer from a .npz file.

    Raises:
        UserError: it is missing, damaged or hostile, or its arrays are no layer.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            arrays = _arrays(archive)
        return _layer(arrays)
    except UserError as fault:
        raise UserError(f"{path}: {fault}") from fault
    except OSError as fault:
        raise UserError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except Exception as fault:  # zipfile, zlib and numpy raise whatever their parts raise
        first_line = (str(fault).splitlines() or [type(fault).__name__])[0][:200]
        raise UserError(
            f"{path}: is no .npz file, or a damaged one ({first_line}): {FORM}"
        ) from fault


def parse_shape(text: str) -> tuple[int, int]:
    """Outputs and inputs of ``4096x9216``.

    Raises:
        UserError: it is written otherwise, or the layer is empty.
    """
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text.strip())
    if match is None or not int(match[1]) or not int(match[2]):
        raise UserError(
            f"--shape {text}: write outputs x inputs, two whole numbers from 1 on, such as "
            "4096x9216"
        )
    return int(match[1]), int(match[2])


def _arrays(archive: zipfile.ZipFile) -> dict[str, FloatArray]:
    """Every array by name, once the names and the sizes that are declared have been checked."""
    members = {member.filename: member for member in archive.infolist()}
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    _check_names(names)
    declared = sum(member.file_size for member in members.values())
    if declared > MAX_BYTES:
        raise UserError(f"unpacks to {declared:,} bytes, more than the {MAX_BYTES:,} of one layer")
    arrays = {}
    for name, member in zip(names, members.values(), strict=True):
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{name} is packed in a way that NumPy does not write: {FORM}")
        with archive.open(member) as stream:
            arrays[name] = _array(name, stream, member.file_size)
    return arrays


def _check_names(names: Sequence[str]) -> None:
    known = (*NEEDED, *OPTIONAL)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UserError(f"holds {name[:60]!a}, no array that is known{hint}: {FORM}")
        if names.count(name) > 1:
            raise UserError(f"holds the array {name!r} twice: write it again")
    for name in NEEDED:
        if name not in names:
            raise UserError(
                f"has no array {name!r} (it holds {', '.join(names) or 'nothing'}): {FORM}"
            )


def _array(name: str, stream: IO[bytes], size: int) -> FloatArray:
    """One member of ``size`` bytes."""
    read_header = (
        np.lib.format.read_array_header_1_0
        if np.lib.format.read_magic(stream) == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read_header(stream)
    _check_type(name, dtype)
    held = size - stream.tell()
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise UserError(f"{name} declares the shape {shape} and holds {held} bytes: write it again")
    values = np.frombuffer(stream.read(), dtype)
    ordered = values.reshape(shape, order="F" if is_fortran else "C")
    return np.ascontiguousarray(ordered, dtype=np.float32).reshape(shape)


def _check_type(name: str, dtype: np.dtype[Any]) -> None:
    mend = f"save {name}.astype(np.float32)"
    if dtype.hasobject:
        raise UserError(
            f"{name} holds Python objects, which are never unpickled, since that could run any "
            f"code: {mend}"
        )
    if dtype.kind != "f" or dtype.itemsize != 4:
        raise UserError(f"{name} holds {dtype}, where float32 belongs: {mend}")


def _layer(arrays: Mapping[str, FloatArray]) -> LayerInput:
    weight, bias, codebook = arrays["weight"], arrays.get("bias"), arrays.get("codebook")
    _, inputs = check_weights(weight, bias)
    activation = check_activation(arrays["activation"], inputs)
    return LayerInput(
        weight, activation, bias, None if codebook is None else check_codebook(codebook)
    )
