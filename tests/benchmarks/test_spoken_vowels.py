"""Japanese Vowels: the reader takes what is whole and refuses all else in words."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reference import Recipe
from benchmarks.splits import BadData
from benchmarks.spoken_vowels import (
    TEST_CASES,
    TEST_FILE,
    TRAIN_CASES,
    TRAIN_FILE,
    VowelSplits,
    parse_ts,
    split_vowels,
    vowel_task,
)
from methods.networks import LastStep, lengths_of, lstm_100

CASES = (0, 1, 1, 0, 0, 0, 0, 0, 0)
HEADER = b"#A remark\n@problemName JapaneseVowels\n@dimensions 12\n@data\n"


def utterance(speaker: int, length: int, level: float = 0.0) -> bytes:
    channels = [
        ",".join(f"{level + channel + step / 100:.6f}" for step in range(length))
        for channel in range(12)
    ]
    return ":".join([*channels, str(speaker)]).encode()


def whole_file(cases: tuple[int, ...]) -> bytes:
    lines = [
        utterance(speaker, 7 + (speaker * 5 + case) % 23, case / 10)
        for speaker, count in enumerate(cases, 1)
        for case in range(count)
    ]
    return HEADER + b"\n".join(lines) + b"\n"


@pytest.fixture(scope="module")
def made_up() -> VowelSplits:
    return split_vowels({TRAIN_FILE: whole_file(TRAIN_CASES), TEST_FILE: whole_file(TEST_CASES)})


def test_a_whole_file_is_read() -> None:
    read = parse_ts(HEADER + utterance(2, 7) + b"\n" + utterance(3, 29) + b"\r\n", CASES)
    assert [one.shape for one in read.sequences] == [(7, 12), (29, 12)]
    assert read.sequences[0].dtype == np.float32
    np.testing.assert_allclose(read.sequences[0][3], np.arange(12) + 0.03, atol=1e-6)
    assert read.speakers.tolist() == [1, 2]


def test_the_last_six_of_each_speaker_are_held_out(made_up: VowelSplits) -> None:
    parts = (made_up.train, made_up.validation, made_up.test)
    assert [len(part.speakers) for part in parts] == [216, 54, 370]
    assert np.bincount(made_up.validation.speakers).tolist() == [6] * 9
    assert np.bincount(made_up.test.speakers).tolist() == list(TEST_CASES)
    # The level of an utterance tells its place: 0.0, 0.1, ... 2.9 for each speaker.
    levels = [round(float(one[0, 0]), 1) for one in made_up.validation.sequences[:6]]
    assert levels == [2.4, 2.5, 2.6, 2.7, 2.8, 2.9]


def test_what_is_filled_up_does_not_count(made_up: VowelSplits) -> None:
    inputs, speakers = made_up.validation.padded()
    assert inputs.shape == (54, 29, 13)
    lengths = [len(one) for one in made_up.validation.sequences]
    assert lengths_of(inputs).tolist() == lengths
    network = lstm_100(0)
    given = network(inputs)
    filled = inputs.clone()
    for row, length in zip(filled, lengths, strict=True):
        row[length:, :12] = 7.0
    assert torch.equal(network(filled), given)
    alone = torch.from_numpy(made_up.validation.sequences[3])
    lstm = network.lstm
    assert isinstance(lstm, LastStep)
    steps, _ = torch.nn.LSTM.forward(lstm, alone.unsqueeze(0))
    assert torch.allclose(network.output(steps[0, -1]), given[3], atol=1e-6)
    assert speakers.tolist() == made_up.validation.speakers.tolist()


def test_the_one_training_loop_learns_speakers(made_up: VowelSplits) -> None:
    recipe = Recipe(network="lstm-100", epochs=2, learning_rate=0.1, batch_size=16)
    task = vowel_task(made_up, recipe, 0, "cpu")
    before = [parameter.detach().clone() for parameter in task.network.parameters()]
    task.fit(task.network, 1, learning_rate=0.1, seed=0)
    assert not any(
        torch.equal(one, other)
        for one, other in zip(before, task.network.parameters(), strict=True)
    )
    assert 0 <= task.validation_score(task.network) <= 1


def one_wrong(change: Callable[[bytes], bytes]) -> bytes:
    return HEADER + utterance(1, 8) + b"\n" + change(utterance(2, 9)) + b"\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no line @data"),
        (HEADER, "0 utterances, not 2"),
        (HEADER + utterance(1, 8) + b"\n", "1 utterances, not 2"),
        (HEADER + utterance(1, 8) + b"\n" + utterance(2, 9)[:-40], "cut short"),
        (utterance(1, 8) + b"\n" + HEADER, "something else than remarks"),
        (HEADER + utterance(2, 8) + b"\n" + utterance(2, 9) + b"\n", "nine speakers"),
        (one_wrong(lambda line: line[:-2]), "line 6: has 11 channels"),
        (one_wrong(lambda line: line + b":1"), "line 6: has 13 channels"),
        (one_wrong(lambda line: line[:-1] + b"0"), "line 6: .*speaker from 1 to 9"),
        (one_wrong(lambda line: line[:-1] + b"10"), "line 6: .*speaker from 1 to 9"),
        (one_wrong(lambda line: line.replace(b"0.010000", b"nan")), "line 6: .*'nan'"),
        (one_wrong(lambda line: line.replace(b"0.010000", b"-inf")), "line 6: .*'-inf'"),
        (one_wrong(lambda line: line.replace(b"0.010000", b"1e9")), "line 6: .*'1e9'"),
        (one_wrong(lambda line: line.replace(b"0.010000", b"1_0")), "line 6: .*'1_0'"),
        (one_wrong(lambda line: line.replace(b"0.010000", b"")), "line 6: could not|line 6: holds"),
        (one_wrong(lambda line: line.replace(b"0.010000", b"\xff")), "line 6"),
        (one_wrong(lambda line: line.replace(b"0.010000,", b"")), "lengths .8, 9."),
        (one_wrong(lambda line: utterance(2, 6)), "6 times, not 7 to 29"),
        (one_wrong(lambda line: utterance(2, 30)), "30 times, not 7 to 29"),
        (one_wrong(lambda line: b"1" * 10_000), "longer than"),
        (one_wrong(lambda line: b""), "line 6: has 0 channels"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(data: bytes, words: str) -> None:
    with pytest.raises(BadData, match=words):
        parse_ts(data, (1, 1, 0, 0, 0, 0, 0, 0, 0))


def test_a_wrong_file_is_named() -> None:
    files = {TRAIN_FILE: whole_file(TRAIN_CASES), TEST_FILE: whole_file(TRAIN_CASES)}
    with pytest.raises(BadData, match=rf"{TEST_FILE} has 270 utterances, not 370"):
        split_vowels(files)


SMALL = HEADER + utterance(1, 7) + b"\n" + utterance(2, 8) + b"\n"


@given(st.binary(max_size=200), st.integers(0, len(SMALL)), st.integers(0, 40))
@settings(max_examples=200)
def test_damage_raises_nothing_but_bad_data(junk: bytes, at: int, gone: int) -> None:
    damaged = SMALL[:at] + junk + SMALL[at + gone :]
    try:
        read = parse_ts(damaged, (1, 1, 0, 0, 0, 0, 0, 0, 0))
    except BadData:
        return
    assert [one.shape[1] for one in read.sequences] == [12, 12]
    assert all(np.isfinite(one).all() and 7 <= len(one) <= 29 for one in read.sequences)
