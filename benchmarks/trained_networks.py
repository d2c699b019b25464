"""Two trained networks that packages carry: our own modules, and how their files are read.

The names and shapes of each module's state dict are those of its file. What the layers do was
read in the packages' sources (``ccexam/models.py``, ``silero_vad/tinygrad_model.py``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from methods.state_files import read_state
from registry.errors import UserError

MNIST_MEAN, MNIST_DEVIATION = 0.1307, 0.3081
"""Of pixels from 0 to 1; the network was trained on pixels less the one over the other."""

SAMPLE_RATE = 16_000
CHUNK_SAMPLES = 512
"""New samples for each probability: 32 ms."""
CONTEXT_SAMPLES = 64
"""Of the chunk before, which each window begins with; zeros before the first."""
WINDOW_SAMPLES = CONTEXT_SAMPLES + CHUNK_SAMPLES


class MnistCnn(nn.Module):
    """Digits: two convolutions, two fully connected layers, 421,642 parameters.

    Takes (n, 1, 28, 28) pixels, normalised; gives (n, 10) logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.classifier(self.features(images).flatten(start_dim=1))
        return logits


class SpeechDetector(nn.Module):
    """Speech or not: a spectrum, four convolutions, an LSTM cell, 309,633 parameters.

    Takes (n, 576) consecutive windows of one recording at 16 kHz, samples from -1 to 1; gives (n)
    probabilities. The state is zero before the first window.
    """

    def __init__(self) -> None:
        super().__init__()
        # The real parts of 129 frequencies, then their imaginary parts: 256 samples, every 128.
        self.stft_conv = nn.Conv1d(1, 258, kernel_size=256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, kernel_size=3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, kernel_size=3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, kernel_size=3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, kernel_size=1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Probabilities, one a window."""
        padded = functional.pad(windows, (0, CONTEXT_SAMPLES), mode="reflect")
        real, imaginary = self.stft_conv(padded.unsqueeze(1)).chunk(2, dim=1)
        held = (real.square() + imaginary.square()).sqrt()
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            held = functional.relu(convolution(held))
        state: tuple[torch.Tensor, torch.Tensor] | None = None
        hidden = []
        for features in held.squeeze(2):  # (128) a window
            state = self.lstm_cell(features.unsqueeze(0), state)
            hidden.append(state[0])
        summed = self.final_conv(functional.relu(torch.cat(hidden)).unsqueeze(2))
        return torch.sigmoid(summed).flatten()


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that a package carries."""

    name: str
    file: str
    """In its data set, which checks its digest before anything reads it."""
    make: Callable[[], nn.Module]
    parameters: int

    def fresh(self, seed: int = 0) -> nn.Module:
        """The module with random weights; the global random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make().eval()

    def trained(self, paths: Mapping[str, Path]) -> nn.Module:
        """The module with the weights of its file, ready for use.

        Args:
            paths: of the data set's files by name.

        Raises:
            UserError: the file holds other names or shapes, or more than plain tensors.
        """
        path = paths[self.file]
        network = self.fresh()
        state, _ = read_state(path)
        try:
            network.load_state_dict(state)
        except RuntimeError as fault:
            raise UserError(f"{path}: is not the network {self.name}: {fault}") from fault
        return network


MNIST_CNN = TrainedNetwork("mnist-cnn", "mnist.pth", MnistCnn, 421_642)
SPEECH_DETECTOR = TrainedNetwork(
    "speech-detector", "silero_vad_16k.safetensors", SpeechDetector, 309_633
)


def normalised(images: Any) -> torch.Tensor:
    """(n, 28, 28) uint8 arrays to (n, 1, 28, 28) float32 as the digit network takes them."""
    pixels = torch.from_numpy(images).float().unsqueeze(1) / 255
    return (pixels - MNIST_MEAN) / MNIST_DEVIATION
