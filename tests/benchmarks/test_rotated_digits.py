"""Turned digits: the turning by its laws, and the parts that share no digit."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import rotated_digits
from benchmarks.rotated_digits import rotate, rotated_test, rotated_training
from benchmarks.splits import ImageSplit

TRAINED, CHOSEN, TESTED = 10, 4, 26


def images(seed: int, count: int = 3, side: int = 28) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 7), st.integers(1, 9))
def test_quarter_turns_move_pixels_and_change_none(seed: int, quarters: int, side: int) -> None:
    before = images(seed, side=side)
    turned = rotate(before, np.full(len(before), quarters * np.pi / 2))
    assert np.array_equal(turned, np.rot90(before, quarters, axes=(1, 2)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 2 * np.pi))
def test_no_pixel_is_brighter_than_the_image_and_each_is_turned_alone(
    seed: int, angle: float
) -> None:
    before = images(seed)
    turned = rotate(before, np.array([angle, 0.0, -angle]))
    assert (turned.max(axis=(1, 2)) <= before.max(axis=(1, 2))).all()
    assert np.array_equal(turned[1], before[1])
    assert np.array_equal(turned[:1], rotate(before[:1], np.array([angle])))


def test_a_smooth_image_comes_back_when_it_is_turned_back() -> None:
    place = np.arange(28) - 13.5
    hill = 200 * np.exp(-((place[:, None] - 3) ** 2 + (place[None, :] + 2) ** 2) / 18)
    before = hill[None].astype(np.uint8)
    for angle in (0.3, 1.0, 2.5):
        there = rotate(before, np.array([angle]))
        back = rotate(there, np.array([-angle]))
        assert np.abs(back.astype(int) - before).max() <= 8
        assert np.abs(there.astype(int) - before).max() > 20
        # The hill turns about the middle, anticlockwise as displayed.
        row, column = np.unravel_index(there[0].argmax(), (28, 28))
        x, y = -2 * np.cos(angle) + 3 * np.sin(angle), -2 * np.sin(angle) - 3 * np.cos(angle)
        assert abs(column - 13.5 - x) <= 1
        assert abs(13.5 - row - y) <= 1


def test_a_pixel_between_others_is_their_weighted_mean_and_the_outside_is_black() -> None:
    before = np.zeros((1, 3, 3), dtype=np.uint8)
    before[0, 1, 0] = 200
    turned = rotate(before, np.array([np.pi / 4]))[0]
    # The lower left corner comes from beyond the middle of the left edge, by sqrt(2) - 1; the
    # edges beside come from places that lie 1 - sqrt(1/2) off it both ways.
    assert turned[2, 0] == round(200 * (2 - np.sqrt(2)))
    assert turned[1, 0] == turned[2, 1] == round(200 * np.sqrt(0.5) * (1 - np.sqrt(0.5)))
    assert turned[0, 2] == turned[1, 1] == turned[2, 2] == 0


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> ImageSplit:
    """Digits whose every pixel says which digit it is, so that turning keeps the middle."""
    monkeypatch.setattr(rotated_digits, "TRAIN_ROWS", TRAINED)
    monkeypatch.setattr(rotated_digits, "VALIDATION_ROWS", CHOSEN)
    monkeypatch.setattr(rotated_digits, "TEST_ROWS", TESTED)
    numbers = np.arange(50, dtype=np.uint8)
    digits = np.broadcast_to(numbers[:, None, None], (50, 28, 28)).copy()
    labels = numbers % 10
    return ImageSplit(digits[:40], labels[:40], digits[40:], labels[40:])


def numbers_of(rows: tuple) -> list[int]:
    inputs, labels = rows
    middle = (inputs[:, 0, 14, 14] * 256).round().long()
    assert (middle % 10 == labels).all()
    return middle.tolist()


def test_no_digit_is_in_two_parts(small: ImageSplit) -> None:
    train, validation = map(numbers_of, rotated_training(small))
    test = numbers_of(rotated_test(small))
    assert (len(train), len(validation), len(test)) == (TRAINED, CHOSEN, TESTED)
    assert len({*train, *validation, *test}) == TRAINED + CHOSEN + TESTED
    assert set(range(40, 50)) <= set(test)
    assert not {37, 38, 39} & set(test)  # the last twelfth, which choices are made by upright


def test_test_digits_keep_their_angles_wherever_they_stand(small: ImageSplit) -> None:
    """The test file's digits are turned by the angles behind all of the training file's."""
    digits = ImageSplit(
        small.train_images, small.train_labels, images(5, count=10), small.test_labels
    )
    turned = rotated_test(digits)[0][-10:, 0]
    alone = rotate(digits.test_images, rotated_digits._angles(digits)[40:])
    assert np.array_equal((turned * 256).round().numpy().astype(np.uint8), alone)


def test_a_set_that_is_too_small_is_refused(small: ImageSplit) -> None:
    fewer = ImageSplit(
        small.train_images[:29], small.train_labels[:29], small.test_images, small.test_labels
    )
    with pytest.raises(ValueError, match="too few"):
        rotated_test(fewer)


def test_the_digits_are_the_same_for_ever(small: ImageSplit) -> None:
    """The angles are of the data, whatever else is random."""
    np.random.seed(1)
    first = rotated_training(small)[0][0]
    np.random.seed(2)
    assert (rotated_training(small)[0][0] == first).all()
    angles = rotated_digits._angles(small)
    assert len(angles) == 50
    assert ((angles >= 0) & (angles < 2 * np.pi)).all()
    digest = hashlib.sha256(np.round(angles, 9).tobytes()).hexdigest()
    assert digest[:16] == "9730c478fc160aa1"
