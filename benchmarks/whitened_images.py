"""Colour images as Lin et al., ICLR 2016, take CIFAR-10: of equal contrast, and whitened.

The first 45,000 training images are trained on, the other 5,000 are chosen by.
"""

import torch

from benchmarks.splits import Bytes, ImageSplit

TRAIN_ROWS = 45_000
CONTRAST, LEAST_NORM = 55.0, 1e-8
"""The norm that each image is given, and the least that it is divided by."""
RIDGE = 0.1
"""Added to each variance before whitening."""
PART = 5_000
"""Images at a time, which bounds the memory."""

Rows = tuple[torch.Tensor, torch.Tensor]
"""Inputs (n, 3, 32, 32) float32 and labels (n) int64."""


class Whitening:
    """Global contrast normalisation, and ZCA whitening fitted to the images trained on.

    Each image: its mean is subtracted and it is scaled to the norm 55. Then the mean image is
    subtracted and the product with (C + 0.1 I)^(-1/2) taken, C the covariance of pixels. That is
    how the ready-made files of pylearn2, which the authors used, are made as far as known; those
    are fitted to all 50,000 training images, these to the 45,000 that are trained on.
    """

    def __init__(self, trained_on: Bytes) -> None:
        rows = _contrast(trained_on)
        self._mean = rows.mean(dim=0)
        pixels = rows.shape[1]
        covariance = torch.zeros(pixels, pixels)
        for part in torch.split(rows, PART):
            centred = part - self._mean
            covariance += centred.T @ centred / len(rows)
        values, vectors = torch.linalg.eigh(covariance + RIDGE * torch.eye(pixels))
        self._product = (vectors * values.clamp(min=RIDGE / 2).rsqrt()) @ vectors.T

    def __call__(self, images: Bytes) -> torch.Tensor:
        """(n, 3, height, width) uint8 to float32 of the same shape."""
        made = torch.empty(images.shape)
        for start in range(0, len(images), PART):
            part = images[start : start + PART]
            made[start : start + PART] = ((_contrast(part) - self._mean) @ self._product).view(
                part.shape
            )
        return made


def whitened_training(split: ImageSplit, train_rows: int = TRAIN_ROWS) -> tuple[Rows, Rows]:
    """What is trained on, and what is chosen by."""
    images = Whitening(split.train_images[:train_rows])(split.train_images)
    labels = torch.from_numpy(split.train_labels).long()
    return (
        (images[:train_rows], labels[:train_rows]),
        (images[train_rows:], labels[train_rows:]),
    )


def whitened_test(split: ImageSplit, train_rows: int = TRAIN_ROWS) -> Rows:
    """The test images by the whitening of those trained on; only what measures may call this."""
    images = Whitening(split.train_images[:train_rows])(split.test_images)
    return images, torch.from_numpy(split.test_labels).long()


def _contrast(images: Bytes) -> torch.Tensor:
    """Images as rows of float32, each with mean 0 and norm 55."""
    rows = torch.from_numpy(images.reshape(len(images), -1)).float()
    rows -= rows.mean(dim=1, keepdim=True)
    norms = rows.square().sum(dim=1, keepdim=True).sqrt().clamp(min=LEAST_NORM)
    return rows * (CONTRAST / norms)
