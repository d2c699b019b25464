"""CIFAR-10 in its binary version: what it is, and how its archive is read.

The archive holds six files of 10,000 records: a label from 0 to 9, then 32 x 32 values of red, of
green and of blue (Krizhevsky 2009, the data set's page). Five are to train on, one is the test.
"""

import io
from collections.abc import Mapping

import numpy as np

from benchmarks.archives import BadArchive, read_tar_members
from benchmarks.dataset import Dataset
from benchmarks.sources import DataFile, UserFolder
from benchmarks.splits import BadData, Bytes, ImageSplit

ARCHIVE = "cifar-10-binary.tar.gz"
ADDRESS = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"{FOLDER}/data_batch_{at}.bin" for at in range(1, 6))
TEST_FILE = f"{FOLDER}/test_batch.bin"
RECORDS = 10_000
"""In each file."""
CHANNELS, SIZE, CLASSES = 3, 32, 10
RECORD_BYTES = 1 + CHANNELS * SIZE * SIZE


def cifar_split(files: Mapping[str, bytes], records: int = RECORDS) -> ImageSplit:
    """The arrays of the archive; images are (n, 3, 32, 32) uint8.

    Raises:
        BadData: it is no such archive, a file in it is missing or of another size, or a label is
            none of the ten.
    """
    wanted = [(name, records * RECORD_BYTES) for name in (*TRAIN_FILES, TEST_FILE)]
    try:
        held = dict(read_tar_members(io.BytesIO(files[ARCHIVE]), wanted, gzipped=True))
    except BadArchive as error:
        raise BadData(f"{ARCHIVE}: {error}") from None
    parsed = [_records(name, held[name], records) for name, _ in wanted]
    images, labels = zip(*parsed, strict=True)
    return ImageSplit(
        np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1]
    )


def _records(name: str, data: bytes, records: int) -> tuple[Bytes, Bytes]:
    if len(data) != records * RECORD_BYTES:
        raise BadData(
            f"{name} has {len(data):,} bytes instead of {records:,} records of {RECORD_BYTES:,}"
        )
    table = np.frombuffer(data, np.uint8).reshape(records, RECORD_BYTES)
    labels = table[:, 0].copy()
    if labels.max(initial=0) >= CLASSES:
        raise BadData(f"{name} has the label {labels.max()}; they go from 0 to {CLASSES - 1}")
    return table[:, 1:].reshape(records, CHANNELS, SIZE, SIZE).copy(), labels


CIFAR_10 = Dataset(
    name="cifar-10",
    title="CIFAR-10",
    about=(
        "Colour photographs of ten kinds of things, 32 x 32: 50,000 to train on and 10,000 to test "
        "on, in the binary version; the one for Python, which is pickled, is not read. Get "
        f"{ADDRESS} and put it into your folder: it is never fetched for you, as the training that "
        "needs it takes hours on a GPU."
    ),
    licence="none stated, so it is not passed on: get it from the author",
    citation="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009",
    files=(
        DataFile(
            ARCHIVE,
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    sources=(UserFolder(f"your folder (NETCOMPRESS_DATA), with {ADDRESS} in it"),),
    read=cifar_split,
)
