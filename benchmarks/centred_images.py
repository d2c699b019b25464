"""Images less the mean image of those that are trained on, as Lin et al., ICLR 2016, take MNIST.

Pixels are divided by 255. The first 50,000 training images are trained on and the other 10,000 are
chosen by. The authors' files subtract from each set its own mean, so from the test images theirs;
here the mean is that of the images trained on, for all. A margin of zeros, which is the mean,
makes images of 28x28 as large as the 32x32 of CIFAR-10.
"""

import torch
from torch.nn import functional

from benchmarks.splits import Bytes, ImageSplit

TRAIN_ROWS = 50_000
MARGIN = 2
"""Of 32x32 around 28x28."""

Rows = tuple[torch.Tensor, torch.Tensor]
"""Inputs (n, 1, height, width) float32 and labels (n) int64."""


def centred_training(
    digits: ImageSplit, margin: int = 0, train_rows: int = TRAIN_ROWS
) -> tuple[Rows, Rows]:
    """What is trained on, and what is chosen by."""
    images = _centred(digits.train_images, digits, margin, train_rows)
    labels = torch.from_numpy(digits.train_labels).long()
    return (
        (images[:train_rows], labels[:train_rows]),
        (images[train_rows:], labels[train_rows:]),
    )


def centred_test(digits: ImageSplit, margin: int = 0, train_rows: int = TRAIN_ROWS) -> Rows:
    """The test images, less the mean of those trained on; only what measures may call this."""
    images = _centred(digits.test_images, digits, margin, train_rows)
    return images, torch.from_numpy(digits.test_labels).long()


def _centred(images: Bytes, digits: ImageSplit, margin: int, train_rows: int) -> torch.Tensor:
    mean = _scaled(digits.train_images[:train_rows]).mean(dim=0)
    return functional.pad(_scaled(images) - mean, (margin,) * 4)


def _scaled(images: Bytes) -> torch.Tensor:
    return torch.from_numpy(images).float().unsqueeze(1) / 255
