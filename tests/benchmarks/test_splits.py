"""Rows of numbers as images, and their split: bad rows are told, and the split never moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.declarations import MNIST_5K
from benchmarks.splits import BadData, ImageSplit, parse_rows, stratified_split


class TestRows:
    def test_rows(self):
        images, labels = parse_rows(b"1,2,3,255,7\n0,0,0,0,9\n", 2, 2)
        assert images.tolist() == [[[1, 2], [3, 255]], [[0, 0], [0, 0]]]
        assert labels.tolist() == [7, 9]

    @pytest.mark.parametrize(
        "data",
        [b"1,2,3,4\n", b"1,2,3,256,0\n", b"1,2,3,-1,0\n", b"1,2,3,x,0\n", b"1,2,3,4,5\n1,2\n"],
    )
    def test_bad_rows(self, data):
        with pytest.raises(BadData):
            parse_rows(data, 2, 2)

    @given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
    def test_the_split_is_a_fixed_stratified_partition(self, labels):
        labels = np.array(labels, dtype=np.uint8)
        images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1)
        split = stratified_split(images, labels)
        rows = [*split.train_images.ravel(), *split.test_images.ravel()]
        assert sorted(rows) == list(range(len(labels)))
        assert labels[rows].tolist() == [*split.train_labels, *split.test_labels]
        for label in range(10):
            there = np.count_nonzero(labels == label)
            assert np.count_nonzero(split.test_labels == label) == there // 5
        again = stratified_split(images, labels)
        np.testing.assert_array_equal(again.test_images, split.test_images)

    def test_any_stretch_of_a_file_sorted_by_class_holds_all_classes(self):
        labels = np.repeat(np.arange(10, dtype=np.uint8), 50)
        split = stratified_split(np.zeros((500, 1, 1), np.uint8), labels)
        assert len(split.train_labels) == 400
        for start in range(390):
            assert len(set(split.train_labels[start : start + 10])) == 10
        assert sorted(split.test_labels[:10]) == list(range(10))

    def test_mnist_5k_is_read_and_split(self):
        rows = b"".join(b"0," * 784 + b"%d\n" % label for label in range(10) for _ in range(5))
        split = MNIST_5K.read({"mnist_5k.csv": rows})
        assert isinstance(split, ImageSplit)
        assert split.train_images.shape == (40, 28, 28)
        assert split.test_labels.tolist() == list(range(10))
