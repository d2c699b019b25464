"""CIFAR-10's archive: read strictly, hostile ones refused; and the whitening of its images."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import torch

from benchmarks import whitened_images
from benchmarks.cifar_10 import (
    ADDRESS,
    ARCHIVE,
    CIFAR_10,
    RECORD_BYTES,
    RECORDS,
    TEST_FILE,
    TRAIN_FILES,
    cifar_split,
)
from benchmarks.datasets import DataMissing, load
from benchmarks.splits import BadData, ImageSplit
from benchmarks.whitened_images import Whitening, whitened_test, whitened_training
from registry.errors import UserError

FEW = 4


def member(seed: int, records: int = FEW) -> bytes:
    generator = np.random.default_rng(seed)
    table = generator.integers(0, 256, (records, RECORD_BYTES), dtype=np.uint8)
    table[:, 0] = generator.integers(0, 10, records)
    return table.tobytes()


def archive(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as made:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data) if kind == tarfile.REGTYPE else 0, kind
            info.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            made.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def whole() -> dict[str, bytes]:
    return {name: member(at) for at, name in enumerate((*TRAIN_FILES, TEST_FILE))}


def split_of(members: dict[str, bytes]) -> ImageSplit:
    return cifar_split({ARCHIVE: archive(members)}, FEW)


def test_images_and_labels_come_in_the_order_of_the_files():
    members = whole()
    backwards = dict(reversed(members.items())) | {"cifar-10-batches-bin/readme.html": b"hello"}
    split = split_of(backwards)
    assert split.train_images.shape == (5 * FEW, 3, 32, 32)
    assert split.test_images.shape == (FEW, 3, 32, 32)
    second = np.frombuffer(members[TRAIN_FILES[1]], np.uint8).reshape(FEW, -1)
    assert split.train_labels[FEW : 2 * FEW].tolist() == second[:, 0].tolist()
    # red, green and blue one after the other, each by rows
    assert split.train_images[FEW, 1, 0, 5] == second[0, 1 + 1024 + 5]
    assert split.train_images.flags.writeable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop(TEST_FILE), "test_batch.bin"),
        (lambda m: m.update({TEST_FILE: m[TEST_FILE][:-1]}), "instead of"),
        (lambda m: m.update({TEST_FILE: m[TEST_FILE] + b"x"}), "declares more"),
        (lambda m: m.update({TRAIN_FILES[2]: b"\x0a" + m[TRAIN_FILES[2]][1:]}), "label 10"),
        (lambda m: m.clear(), "data_batch_1"),
    ],
)
def test_an_archive_that_is_not_whole_is_refused(change, words):
    members = whole()
    change(members)
    with pytest.raises(BadData, match=words):
        split_of(members)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind):
    with pytest.raises(BadData, match="regular"):
        cifar_split({ARCHIVE: archive(whole(), kind)}, FEW)


@pytest.mark.parametrize(
    "data", [b"", b"no archive", gzip.compress(b"no tar"), archive(whole())[:-400]]
)
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(BadData, match=ARCHIVE):
        cifar_split({ARCHIVE: data}, FEW)


def test_an_archive_that_unpacks_to_far_more_is_refused():
    bomb = archive({"zeros": bytes(80 << 20)} | whole())
    assert len(bomb) < 1 << 20
    with pytest.raises(BadData, match="far more"):
        cifar_split({ARCHIVE: bomb}, FEW)


def test_the_declared_file_is_the_binary_one_and_comes_from_the_users_folder(tmp_path, monkeypatch):
    (file,) = CIFAR_10.files
    assert (file.name, file.size_bytes, RECORDS) == (ARCHIVE, 170_052_171, 10_000)
    assert len(CIFAR_10.sources) == 1
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NETCOMPRESS_DATA", str(tmp_path))
    (tmp_path / ARCHIVE).write_bytes(archive(whole()))
    with pytest.raises(DataMissing) as caught:
        load("cifar-10")
    message = str(caught.value)
    assert ARCHIVE in message
    assert "170,052,171 bytes" in message
    assert "NETCOMPRESS_DATA" in message
    assert ADDRESS in message
    assert isinstance(caught.value, UserError)


def test_images_of_two_shapes_are_refused():
    colour, grey = np.zeros((2, 3, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    labels = np.zeros(2, np.uint8)
    assert ImageSplit(colour, labels, colour, labels).train_images.shape == (2, 3, 4, 4)
    with pytest.raises(BadData, match="shape"):
        ImageSplit(colour, labels, grey, labels)
    with pytest.raises(BadData, match="labels"):
        ImageSplit(colour[0, 0], labels, colour[0, 0], labels)


def photographs(count: int, seed: int) -> np.ndarray:
    """Smooth colours with a little noise, (count, 3, 8, 8) uint8."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(40, 200, (count, 3, 2, 2)).repeat(4, 2).repeat(4, 3)
    return (coarse + generator.uniform(-30, 30, (count, 3, 8, 8))).clip(0, 255).astype(np.uint8)


def test_whitened_images_have_no_correlations_left_and_mean_nothing():
    images = photographs(3000, 0)
    rows = Whitening(images)(images).flatten(1)
    torch.testing.assert_close(rows.mean(0), torch.zeros(192), atol=1e-2, rtol=0)
    covariance = rows.T @ rows / len(rows)
    # all but the mean of each image, which its contrast normalisation takes away
    assert float((covariance - torch.eye(192)).abs().max()) < 0.2
    before = torch.from_numpy(images).float().flatten(1)
    assert abs(float(torch.corrcoef(before.T)[0, 1])) > 0.5


def test_whitening_takes_brightness_and_contrast_away():
    images = photographs(400, 1)
    whitening = Whitening(images)
    dim = (images // 2 + 20).astype(np.uint8)
    torch.testing.assert_close(whitening(dim), whitening(images), atol=0.35, rtol=0.05)
    flat = np.full((2, 3, 8, 8), 77, np.uint8)
    assert bool(torch.isfinite(whitening(flat)).all())


def test_only_images_that_are_trained_on_fit_the_whitening(monkeypatch):
    monkeypatch.setattr(whitened_images, "PART", 70)
    images, labels = photographs(260, 2), np.zeros(260, np.uint8)
    split = ImageSplit(images, labels, photographs(50, 3), labels[:50])
    (inputs, _), (chosen_by, _) = whitened_training(split, 200)
    assert inputs.shape == (200, 3, 8, 8)
    assert chosen_by.shape == (60, 3, 8, 8)
    moved = images.copy()
    moved[200:] = 255 - moved[200:]
    other = ImageSplit(moved, labels, photographs(50, 4), labels[:50])
    assert torch.equal(inputs, whitened_training(other, 200)[0][0])
    tested, _ = whitened_test(split, 200)
    torch.testing.assert_close(tested, Whitening(images[:200])(split.test_images))
