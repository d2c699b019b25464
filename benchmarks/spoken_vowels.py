"""Japanese Vowels: utterances of nine speakers, read strictly, and the task of telling them apart.

Kudo, Toyama, Shimbo: Multidimensional Curve Classification Using Passing-Through Regions, 1999.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.datasets import contents
from benchmarks.reference import Recipe
from benchmarks.splits import BadData
from methods.networks import lstm_100, with_lengths
from methods.training import ClassificationTask
from registry.errors import UserError

DATA = "japanese-vowels"
TRAIN_FILE, TEST_FILE = "JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"
CHANNELS, SPEAKERS = 12, 9
SHORTEST, LONGEST = 7, 29
TRAIN_CASES = (30,) * SPEAKERS
TEST_CASES = (31, 35, 88, 44, 29, 24, 40, 50, 29)
"""Utterances of each speaker."""
HELD_OUT = 6
"""The last training utterances of each speaker: choices are made on them."""
MAX_LINE = 8_192
"""Characters; the longest line of the files has 3,293."""
LARGEST = 1_000.0
"""No coefficient of the files is beyond 3."""

Utterance = NDArray[np.float32]
"""(time, 12) float32."""


@dataclass(frozen=True)
class Utterances:
    """Utterances and their speakers, from 0."""

    sequences: tuple[Utterance, ...]
    speakers: NDArray[np.int64]

    def padded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (n, 29, 13) as ``methods.networks.with_lengths`` makes them, and speakers (n)."""
        rows = torch.zeros(len(self.sequences), LONGEST, CHANNELS)
        for row, sequence in zip(rows, self.sequences, strict=True):
            row[: len(sequence)] = torch.from_numpy(sequence)
        lengths = torch.tensor([len(sequence) for sequence in self.sequences])
        return with_lengths(rows, lengths), torch.from_numpy(self.speakers)


@dataclass(frozen=True)
class VowelSplits:
    """What is trained on, what choices are made on, and what is measured on."""

    train: Utterances
    validation: Utterances
    test: Utterances


def parse_ts(data: bytes, cases: tuple[int, ...]) -> Utterances:
    """A ``.ts`` file: remarks (#) and headers (@), ``@data``, then a line an utterance.

    A line holds 12 channels parted by ``:``, each of as many numbers parted by ``,``, and the
    speaker from 1 to 9 at its end.

    Args:
        cases: utterances of each speaker that the file must hold.

    Raises:
        BadData: with the line that is wrong.
    """
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise BadData("does not end with a line's end: it was cut short")
    start = next((at for at, line in enumerate(lines) if line.strip() == b"@data"), None)
    if start is None:
        raise BadData("has no line @data before its utterances")
    if any(line[:1] not in (b"@", b"#") for line in lines[:start]):
        raise BadData("has something else than remarks (#) and headers (@) before @data")
    expected = sum(cases)
    if len(lines) - start - 1 != expected:
        raise BadData(f"has {len(lines) - start - 1:,} utterances, not {expected}")
    sequences, speakers = [], []
    for number, line in enumerate(lines[start + 1 :], start + 2):
        try:
            sequence, speaker = _utterance(line)
        except ValueError as fault:
            raise BadData(f"line {number}: {fault}") from None
        sequences.append(sequence)
        speakers.append(speaker)
    counts = tuple(speakers.count(speaker) for speaker in range(SPEAKERS))
    if counts != cases:
        raise BadData(f"has {counts} utterances of the nine speakers, not {cases}")
    return Utterances(tuple(sequences), np.array(speakers, np.int64))


def _utterance(line: bytes) -> tuple[Utterance, int]:
    if len(line) > MAX_LINE:
        raise ValueError(f"is longer than {MAX_LINE} bytes")
    *channels, speaker = line.strip().split(b":")
    if len(channels) != CHANNELS:
        raise ValueError(f"has {len(channels)} channels, not {CHANNELS}")
    if len(speaker) != 1 or not b"1" <= speaker <= b"9":
        raise ValueError("does not end with a speaker from 1 to 9")
    values = [[_number(value) for value in channel.split(b",")] for channel in channels]
    lengths = {len(channel) for channel in values}
    if len(lengths) != 1:
        raise ValueError(f"has channels of the lengths {sorted(lengths)}")
    if not SHORTEST <= lengths.pop() <= LONGEST:
        raise ValueError(f"has {len(values[0])} times, not {SHORTEST} to {LONGEST}")
    return np.array(values, np.float32).T.copy(), int(speaker) - 1


def _number(text: bytes) -> float:
    value = float(text) if b"_" not in text else math.nan
    if not abs(value) < LARGEST:
        raise ValueError(f"holds {text[:20].decode('ascii', 'replace')!r} where a number belongs")
    return value


def split_vowels(files: Mapping[str, bytes]) -> VowelSplits:
    """The two files, with the last utterances of each speaker held out of the training file.

    Raises:
        BadData: a file is none of Japanese Vowels; names it.
    """
    held: dict[str, Utterances] = {}
    for name, cases in ((TRAIN_FILE, TRAIN_CASES), (TEST_FILE, TEST_CASES)):
        try:
            held[name] = parse_ts(files[name], cases)
        except BadData as fault:
            raise BadData(f"{name} {fault}") from None
    whole = held[TRAIN_FILE]
    last = np.zeros(len(whole.speakers), bool)
    for speaker in range(SPEAKERS):
        last[np.flatnonzero(whole.speakers == speaker)[-HELD_OUT:]] = True
    return VowelSplits(_chosen(whole, ~last), _chosen(whole, last), held[TEST_FILE])


def _chosen(utterances: Utterances, chosen: NDArray[np.bool_]) -> Utterances:
    rows = np.flatnonzero(chosen)
    return Utterances(tuple(utterances.sequences[row] for row in rows), utterances.speakers[rows])


def load_vowels() -> VowelSplits:
    """From the cache; fetched first where missing.

    Raises:
        UserError: the data cannot be had, or are none of Japanese Vowels.
    """
    try:
        return split_vowels(contents(DATA))
    except BadData as fault:
        raise UserError(f"data set {DATA}: {fault}") from None


def vowel_task(
    splits: VowelSplits,
    recipe: Recipe,
    seed: int,
    device: str,
    advance: Callable[[], None] = lambda: None,
) -> ClassificationTask:
    """The untrained LSTM with the training utterances; the test's are not in it."""
    return ClassificationTask(
        recipe.network,
        lstm_100(seed).to(device),
        lstm_100,
        splits.train.padded(),
        splits.validation.padded(),
        batch_size=recipe.batch_size,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        device=torch.device(device),
        progress=advance,
    )
