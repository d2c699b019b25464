"""MNIST digits turned by random angles, after the set ROT of Larochelle et al., ICML 2007.

Like ROT: 10,000 digits to train on, 2,000 to choose by, 50,000 to test on, each turned about the
middle of its image by an angle drawn uniformly from the whole circle. ROT's own files are not at
hand: these are other digits and other angles. No digit is in two of the three parts. MNIST's
10,000 test digits are all tested on; the other 40,000 come from its training file, which has
enough that are neither trained on nor chosen by. The last digits of that file, upright, choose
what MNIST's own benchmarks and these share: they are tested on nowhere.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import images_to_tensor
from benchmarks.splits import Bytes, ImageSplit

TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = 10_000, 2_000, 50_000
UPRIGHT_SHARE = 12
"""One in twelve of the training file, its last digits, is what benchmarks on MNIST choose by."""
ANGLE_SEED = 2007
"""Of the data: all jobs see the same digits at the same angles."""
PART = 2_000
"""Images turned at a time, which bounds the memory."""

Rows = tuple[torch.Tensor, torch.Tensor]


def rotated_training(digits: ImageSplit) -> tuple[Rows, Rows]:
    """The training and the validation part: inputs (n, 1, 28, 28) float32 and labels (n) int64."""
    used = TRAIN_ROWS + VALIDATION_ROWS
    turned = images_to_tensor(rotate(digits.train_images[:used], _angles(digits)[:used]))
    labels = torch.from_numpy(digits.train_labels[:used]).long()
    return (turned[:TRAIN_ROWS], labels[:TRAIN_ROWS]), (turned[TRAIN_ROWS:], labels[TRAIN_ROWS:])


def rotated_test(digits: ImageSplit) -> Rows:
    """The test part, in the same form; only what measures may call this.

    Raises:
        ValueError: the set is too small to keep the parts apart.
    """
    from_training = TEST_ROWS - len(digits.test_labels)
    last = len(digits.train_labels) - len(digits.train_labels) // UPRIGHT_SHARE
    first = last - from_training
    if first < TRAIN_ROWS + VALIDATION_ROWS:
        raise ValueError(f"{len(digits.train_labels)} training digits are too few")
    images = np.concatenate([digits.train_images[first:last], digits.test_images])
    labels = np.concatenate([digits.train_labels[first:last], digits.test_labels])
    angles = _angles(digits)
    behind = angles[len(digits.train_labels) :]
    turned = rotate(images, np.concatenate([angles[first:last], behind]))
    return images_to_tensor(turned), torch.from_numpy(labels).long()


def _angles(digits: ImageSplit) -> NDArray[np.float64]:
    """Radians, one a digit: those of the training file, then those of the test file."""
    rows = len(digits.train_labels) + len(digits.test_labels)
    # The bits of this stream and the step from them to a number of [0, 1) are fixed for ever.
    stream = np.random.RandomState(ANGLE_SEED)
    return stream.random_sample(rows) * (2 * np.pi)


def rotate(images: Bytes, angles: NDArray[np.float64]) -> Bytes:
    """Each image turned about its middle, anticlockwise as displayed, by bilinear interpolation.

    What comes from outside the image is black.

    Args:
        images: (n, height, width) uint8.
        angles: (n) radians.
    """
    parts = range(0, len(images), PART)
    turned = [_rotate(images[at : at + PART], angles[at : at + PART]) for at in parts]
    return np.concatenate(turned) if turned else images.copy()


def _rotate(images: Bytes, angles: NDArray[np.float64]) -> Bytes:
    count, height, width = images.shape
    down = (np.arange(height) - (height - 1) / 2)[:, None]
    right = (np.arange(width) - (width - 1) / 2)[None, :]
    cosine, sine = (f(angles)[:, None, None] for f in (np.cos, np.sin))
    # Where each pixel of the turned image comes from.
    row = cosine * down + sine * right + (height - 1) / 2
    column = cosine * right - sine * down + (width - 1) / 2
    # A black frame of one pixel, so that all four neighbours of every place near it exist.
    framed: NDArray[Any] = np.pad(images, ((0, 0), (1, 1), (1, 1))).astype(np.float64)
    row = np.clip(row + 1, 0, height + 1)
    column = np.clip(column + 1, 0, width + 1)
    top, left = (
        np.minimum(at.astype(np.int64), most) for at, most in ((row, height), (column, width))
    )
    below, beside = row - top, column - left
    start = (np.arange(count)[:, None, None] * (height + 2) + top) * (width + 2) + left
    flat = framed.reshape(-1)
    upper = flat[start] * (1 - beside) + flat[start + 1] * beside
    start += width + 2
    lower = flat[start] * (1 - beside) + flat[start + 1] * beside
    turned: Bytes = np.rint(upper * (1 - below) + lower * below).astype(np.uint8)
    return turned
