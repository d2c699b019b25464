"""Recordings of speech, what a speech detector says of them, and how alike two detectors are."""

import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.splits import BadData
from benchmarks.trained_networks import (
    CHUNK_SAMPLES,
    CONTEXT_SAMPLES,
    SAMPLE_RATE,
    WINDOW_SAMPLES,
)

DECISION = 0.5
"""At this probability and above a chunk counts as speech."""


def parse_wav(data: bytes) -> torch.Tensor:
    """Samples from -1 to 1, (n) float32, of 16 kHz, 16 bits and one channel.

    Raises:
        BadData: no such recording.
    """
    try:
        with wave.open(io.BytesIO(data)) as recording:
            form = (
                recording.getnchannels(), recording.getsampwidth(), recording.getframerate()
            )  # fmt: skip
            frames = recording.readframes(recording.getnframes())
    except (wave.Error, EOFError) as fault:
        raise BadData(f"no recording: {fault}") from None
    if form != (1, 2, SAMPLE_RATE):
        raise BadData(f"channels, bytes a sample and rate are {form}, not (1, 2, {SAMPLE_RATE})")
    return torch.from_numpy(np.frombuffer(frames, dtype="<i2").astype(np.float32)) / 32768


def clips(files: Mapping[str, bytes]) -> list[torch.Tensor]:
    """The recordings among ``files``, in the order of their names."""
    return [parse_wav(files[name]) for name in sorted(files) if name.endswith(".wav")]


def windows(samples: torch.Tensor) -> torch.Tensor:
    """(n, 576): each chunk behind the end of the one before; the last is filled up with zeros."""
    missing = -len(samples) % CHUNK_SAMPLES
    padded = functional.pad(samples, (CONTEXT_SAMPLES, missing))
    return padded.unfold(0, WINDOW_SAMPLES, CHUNK_SAMPLES)


def probabilities(network: nn.Module, recordings: Sequence[torch.Tensor]) -> torch.Tensor:
    """(chunks) of all recordings one after another; the state starts anew with each."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(windows(one)) for one in recordings])


@dataclass(frozen=True)
class Fidelity:
    """How far one detector's probabilities are from another's."""

    largest_difference: float
    mean_difference: float
    agreement: float
    """Share of chunks with the same decision."""
    chunks: int


def fidelity(reference: torch.Tensor, other: torch.Tensor) -> Fidelity:
    """Of two detectors on the same chunks, each (chunks).

    Raises:
        ValueError: not the same chunks, or none.
    """
    if reference.shape != other.shape or reference.numel() == 0:
        raise ValueError(f"probabilities of shapes {reference.shape} and {other.shape}")
    apart = (reference.double() - other.double()).abs()
    same = (reference >= DECISION) == (other >= DECISION)
    return Fidelity(
        largest_difference=float(apart.max()),
        mean_difference=float(apart.mean()),
        agreement=float(same.double().mean()),
        chunks=apart.numel(),
    )
