"""Files of images and labels, read strictly into the arrays of a train and a test split."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

IDX_UNSIGNED_BYTE = 0x08
FIFTH = 5


class BadData(ValueError):
    """A file whose bytes do not say what they should."""


@dataclass(frozen=True)
class ImageSplit:
    """Images and their labels, train and test.

    Images are ``(n, height, width)`` uint8, or ``(n, channels, height, width)`` where they have
    colours; labels are ``(n,)`` uint8 from 0. All arrays are writable and share nothing.
    """

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes

    def __post_init__(self) -> None:
        for images, labels in (
            (self.train_images, self.train_labels),
            (self.test_images, self.test_labels),
        ):
            if images.ndim not in (3, 4) or labels.ndim != 1 or len(images) != len(labels):
                raise BadData(
                    f"images of shape {images.shape} do not go with labels of shape {labels.shape}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise BadData(
                f"images to train on have the shape {self.train_images.shape[1:]} and those of the "
                f"test {self.test_images.shape[1:]}"
            )


def parse_idx(data: bytes, dimensions: int) -> Bytes:
    """An IDX file of unsigned bytes: two zeros, type, number of dimensions, sizes, values.

    Source: the format as described on the home page of MNIST (LeCun, Cortes, Burges).

    Raises:
        BadData: another type or number of dimensions, or sizes that do not fit the length.
    """
    header_bytes = 4 + 4 * dimensions
    if len(data) < header_bytes:
        raise BadData(f"an IDX header needs {header_bytes} bytes, here are {len(data)}")
    magic = bytes((0, 0, IDX_UNSIGNED_BYTE, dimensions))
    if data[:4] != magic:
        raise BadData(f"starts with {data[:4].hex()}, not with {magic.hex()}")
    # The product is made of Python integers, which cannot overflow.
    shape = tuple(
        int.from_bytes(data[start : start + 4], "big") for start in range(4, header_bytes, 4)
    )
    if math.prod(shape) != len(data) - header_bytes:
        raise BadData(f"declares {shape} values but holds {len(data) - header_bytes:,} bytes")
    return np.frombuffer(data, dtype=np.uint8, offset=header_bytes).reshape(shape).copy()


def idx_split(files: Mapping[str, bytes]) -> ImageSplit:
    """The four files of MNIST and of the sets that took over its form."""
    return ImageSplit(
        parse_idx(files["train-images-idx3-ubyte"], 3),
        parse_idx(files["train-labels-idx1-ubyte"], 1),
        parse_idx(files["t10k-images-idx3-ubyte"], 3),
        parse_idx(files["t10k-labels-idx1-ubyte"], 1),
    )


def parse_rows(data: bytes, height: int, width: int) -> tuple[Bytes, Bytes]:
    """Images and labels out of lines of ``height * width`` pixels and the label, by commas.

    Raises:
        BadData: not such a table of whole numbers from 0 to 255.
    """
    try:
        table = np.loadtxt(io.BytesIO(data), dtype=np.uint8, delimiter=",", ndmin=2, comments=None)
    except (ValueError, OverflowError) as error:
        raise BadData(f"not a table of whole numbers from 0 to 255: {error}") from None
    if table.shape[1] != height * width + 1:
        raise BadData(f"has {table.shape[1]} columns instead of {height * width + 1}")
    return table[:, :-1].reshape(-1, height, width).copy(), table[:, -1].copy()


def stratified_split(images: Bytes, labels: Bytes) -> ImageSplit:
    """A fixed split by position: of each class every fifth image is for the test.

    Both parts go round the classes (first image of each class, second of each, ...), so that
    any stretch of them holds all classes, even where the file is sorted by class.
    """
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.count_nonzero(labels == label))
    order = np.lexsort((labels, rank))
    test = rank[order] % FIFTH == FIFTH - 1
    train_rows, test_rows = order[~test], order[test]
    return ImageSplit(images[train_rows], labels[train_rows], images[test_rows], labels[test_rows])
