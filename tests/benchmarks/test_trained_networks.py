"""Two trained networks: shapes of their files, fidelity, and any method on them from end to end."""

import hashlib
import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import benchmarks.trained as trained
import benchmarks.trained_measure as trained_measure
from benchmarks.benchmark import Context
from benchmarks.dataset import Dataset, joined
from benchmarks.datasets import DATASETS, DataFiles, contents, digests, ensure, load, present
from benchmarks.declarations import MNIST, MNIST_CNN
from benchmarks.sources import DataFile, SourceFailed
from benchmarks.speech import (
    CHUNK_SAMPLES,
    CONTEXT_SAMPLES,
    fidelity,
    parse_wav,
    probabilities,
    windows,
)
from benchmarks.splits import BadData
from benchmarks.trained_networks import MNIST_CNN as DIGITS
from benchmarks.trained_networks import SPEECH_DETECTOR, MnistCnn, normalised
from benchmarks.trained_remarks import dense_remarks, left_dense
from methods.compressed import Compressed
from methods.discovery import load_method
from registry.errors import UserError

SHAPES = {
    "mnist-cnn": {
        "features.0.weight": (32, 1, 3, 3), "features.0.bias": (32,),
        "features.3.weight": (64, 32, 3, 3), "features.3.bias": (64,),
        "classifier.0.weight": (128, 3136), "classifier.0.bias": (128,),
        "classifier.2.weight": (10, 128), "classifier.2.bias": (10,),
    },
    "speech-detector": {
        "stft_conv.weight": (258, 1, 256),
        "conv1.weight": (128, 129, 3), "conv1.bias": (128,),
        "conv2.weight": (64, 128, 3), "conv2.bias": (64,),
        "conv3.weight": (64, 64, 3), "conv3.bias": (64,),
        "conv4.weight": (128, 64, 3), "conv4.bias": (128,),
        "lstm_cell.weight_ih": (512, 128), "lstm_cell.weight_hh": (512, 128),
        "lstm_cell.bias_ih": (512,), "lstm_cell.bias_hh": (512,),
        "final_conv.weight": (1, 128, 1), "final_conv.bias": (1,),
    },
}  # fmt: skip
"""Of the tensors in the packages' files, in their order."""


def tone(seconds, *, level=0.3, hertz=440.0):
    """A recording as bytes: 16 kHz, 16 bits, one channel."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    samples = (level * np.sin(2 * np.pi * hertz * time) * 32767).astype("<i2")
    return recording(samples.tobytes())


def recording(frames, channels=1, width=2, rate=16_000):
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(frames)
    return held.getvalue()


class TestNetworks:
    @pytest.mark.parametrize("one", [DIGITS, SPEECH_DETECTOR], ids=lambda one: one.name)
    def test_the_state_dict_is_that_of_the_file(self, one):
        network = one.fresh()
        held = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        assert list(held.items()) == list(SHAPES[one.name].items())
        assert sum(p.numel() for p in network.parameters()) == one.parameters
        assert {p.dtype for p in network.parameters()} == {torch.float32}

    def test_fresh_weights_come_from_the_seed_alone(self):
        state = torch.random.get_rng_state()
        first, second, other = DIGITS.fresh(3), DIGITS.fresh(3), DIGITS.fresh(4)
        assert torch.equal(state, torch.random.get_rng_state())
        assert torch.equal(first.features[0].weight, second.features[0].weight)
        assert not torch.equal(first.features[0].weight, other.features[0].weight)

    def test_digits_are_normalised_and_classified(self):
        images = np.array([[[0, 255]]], dtype=np.uint8)
        assert normalised(images).flatten().tolist() == pytest.approx(
            [-0.1307 / 0.3081, (1 - 0.1307) / 0.3081]
        )
        assert MnistCnn()(torch.zeros(3, 1, 28, 28)).shape == (3, 10)

    def test_the_detector_remembers_what_came_before(self):
        detector = SPEECH_DETECTOR.fresh()
        given_ = torch.randn(4, 576, generator=torch.Generator().manual_seed(0)) / 10
        with torch.inference_mode():
            whole, alone = detector(given_), torch.cat([detector(one[None]) for one in given_])
        assert whole.shape == (4,)
        assert torch.all((whole > 0) & (whole < 1))
        assert whole[0] == pytest.approx(float(alone[0]), abs=1e-6)
        assert (whole[1:] - alone[1:]).abs().max() > 1e-6

    def test_the_spectrum_is_a_magnitude(self):
        """The sign of the samples does not show: real and imaginary parts are squared."""
        detector = SPEECH_DETECTOR.fresh()
        given_ = torch.randn(2, 576, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert torch.allclose(detector(given_), detector(-given_), atol=1e-6)

    def test_a_file_is_read_into_the_module(self, tmp_path):
        source = DIGITS.fresh(5)
        torch.save(source.state_dict(), tmp_path / "mnist.pth")
        read = DIGITS.trained({"mnist.pth": tmp_path / "mnist.pth"})
        for name, tensor in read.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[name])
        assert not read.training

    def test_hostile_and_foreign_files_are_refused(self, tmp_path):
        path = tmp_path / "mnist.pth"
        marker = tmp_path / "ran"
        torch.save({"features.0.weight": Evil(marker)}, path)
        with pytest.raises(UserError, match=r"mnist\.pth"):
            DIGITS.trained({"mnist.pth": path})
        assert not marker.exists(), "the file was unpickled"
        torch.save(MnistCnn(), path)
        with pytest.raises(UserError, match="state dict"):
            DIGITS.trained({"mnist.pth": path})
        torch.save({"features.0.weight": torch.zeros(2, 2)}, path)
        with pytest.raises(UserError, match="is not the network mnist-cnn"):
            DIGITS.trained({"mnist.pth": path})
        path.write_bytes(b"PK\x03\x04" + bytes(50))
        with pytest.raises(UserError, match=r"mnist\.pth"):
            DIGITS.trained({"mnist.pth": path})


class Evil:
    """What makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


class TestRecordings:
    def test_samples_are_read(self):
        frames = np.array([0, 16384, -32768, 32767], dtype="<i2").tobytes()
        assert parse_wav(recording(frames)).tolist() == [0.0, 0.5, -1.0, 32767 / 32768]

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"RIFF", b"no recording at all", recording(bytes(8), channels=2),
            recording(bytes(8), width=1), recording(bytes(8), rate=8_000),
        ],
    )  # fmt: skip
    def test_anything_else_is_refused(self, data):
        with pytest.raises(BadData):
            parse_wav(data)

    @given(st.integers(1, 5 * CHUNK_SAMPLES))
    def test_windows_hold_every_sample_once_behind_their_context(self, count):
        samples = torch.arange(1, count + 1, dtype=torch.float32)
        cut = windows(samples)
        assert cut.shape == (-(-count // CHUNK_SAMPLES), CONTEXT_SAMPLES + CHUNK_SAMPLES)
        told = cut[:, CONTEXT_SAMPLES:].flatten()
        assert torch.equal(told[:count], samples)
        assert not told[count:].any()
        assert not cut[0, :CONTEXT_SAMPLES].any()
        assert torch.equal(cut[1:, :CONTEXT_SAMPLES], cut[:-1, -CONTEXT_SAMPLES:])

    def test_each_recording_begins_anew(self):
        detector = SPEECH_DETECTOR.fresh()
        clip = parse_wav(tone(0.1))
        twice = probabilities(detector, [clip, clip])
        assert torch.equal(twice[:4], twice[4:])


class TestFidelity:
    def test_a_made_up_pair(self):
        found = fidelity(torch.tensor([0.1, 0.5, 0.9, 0.4]), torch.tensor([0.1, 0.45, 1.0, 0.3]))
        assert found.largest_difference == pytest.approx(0.1)
        assert found.mean_difference == pytest.approx(0.0625)
        assert found.agreement == 0.75
        assert found.chunks == 4

    def test_one_and_the_same(self):
        same = torch.rand(20)
        found = fidelity(same, same)
        assert (found.largest_difference, found.mean_difference, found.agreement) == (0, 0, 1)

    @pytest.mark.parametrize("lengths", [(3, 4), (0, 0)])
    def test_other_chunks_cannot_be_compared(self, lengths):
        with pytest.raises(ValueError, match="probabilities of shapes"):
            fidelity(*(torch.zeros(length) for length in lengths))


class Shelf:
    """A source out of a dictionary."""

    def __init__(self, label, holds):
        self.label = label
        self.holds = holds
        self.asked = []

    def obtain(self, files, scratch, progress):
        self.asked += [file.name for file in files]
        for file in files:
            if file.name not in self.holds:
                raise SourceFailed(f"has no {file.name}")
            yield file, self.holds[file.name]


def made_dataset(name, shelf):
    return Dataset(
        name=name,
        title=name.title(),
        about="Made up.",
        licence=f"licence of {name}",
        citation=f"author of {name}",
        files=tuple(
            DataFile(key, len(data), hashlib.sha256(data).hexdigest())
            for key, data in shelf.holds.items()
        ),
        sources=(shelf,),
    )


class TestJoinedData:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("NETCOMPRESS_DATA", raising=False)

    def test_each_part_is_fetched_by_its_own_sources_into_its_own_folder(self, tmp_path):
        first, second = Shelf("one", {"net": b"weights"}), Shelf("two", {"clip": b"speech"})
        parts = made_dataset("net", first), made_dataset("clips", second)
        whole = joined("both", "Both", "Made up.", *parts)
        assert not present(whole)
        found = ensure(whole)
        assert found.paths == {
            "net": tmp_path / "cache/data/net/net",
            "clip": tmp_path / "cache/data/clips/clip",
        }
        assert contents(whole) == {"net": b"weights", "clip": b"speech"}
        assert present(whole)
        assert (first.asked, second.asked) == (["net"], ["clip"])
        assert digests(whole) == digests(parts[0]) | digests(parts[1]) == dict(found.digests)
        found.paths["clip"].write_bytes(b"noise!")
        assert not present(whole)
        assert contents(whole)["clip"] == b"speech"

    def test_it_says_whose_the_parts_are(self):
        parts = (made_dataset(name, Shelf(name, {name: b"x"})) for name in ("net", "clips"))
        whole = joined("both", "Both", "Made up.", *parts)
        assert whole.licence == "Net: licence of net; Clips: licence of clips"
        assert whole.citation == "author of net; author of clips"
        assert [source.label for source in whole.sources] == ["net", "clips"]

    def test_two_files_of_one_name_cannot_be_told_apart(self):
        with pytest.raises(ValueError, match="same name"):
            joined("twice", "Twice", "Made up.", MNIST_CNN, MNIST, MNIST_CNN)

    def test_what_holds_no_images_cannot_be_loaded_as_images(self):
        with pytest.raises(UserError, match="holds no images"):
            load("speech-clips")

    def test_the_benchmarks_data_are_the_networks_with_what_tests_them(self):
        digit = DATASETS["mnist-cnn-and-mnist"]
        assert set(digests(digit)) == set(digests("mnist-cnn")) | set(digests("mnist"))
        speech = DATASETS["speech-detector-and-clips"]
        assert sum(name.endswith(".wav") for name in digests(speech)) == 10
        assert set(digests("speech-detector")) < set(digests(speech))


@pytest.fixture
def made_up_speech(tmp_path, monkeypatch):
    """A random detector and 2 s of sound in place of the data set; measured in this process."""
    detector = SPEECH_DETECTOR.fresh(7)
    path = tmp_path / SPEECH_DETECTOR.file
    save_file(detector.state_dict(), path)
    files = {SPEECH_DETECTOR.file: path.read_bytes(), "a.wav": tone(1.2), "b.wav": tone(0.8)}
    found = DataFiles("speech-detector-and-clips", tmp_path, {SPEECH_DETECTOR.file: path}, {})
    for module in (trained, trained_measure):
        monkeypatch.setattr(module, "ensure", lambda name: found)
        monkeypatch.setattr(module, "contents", lambda name: files)
    monkeypatch.setattr(trained, "measure_in_new_process", trained_measure.report_on)
    return detector


def context(tmp_path, data, **configuration):
    return Context(
        paper="baselines",
        run="x",
        scale="full",
        seed=0,
        data=data,
        device="cpu",
        folder=tmp_path,
        configuration=configuration,
    )


class TestBenchmarks:
    def test_a_method_on_the_detector_from_end_to_end(self, made_up_speech, tmp_path):
        there = context(tmp_path, "speech-detector-and-clips", bits=4)
        before = {name: one.clone() for name, one in made_up_speech.state_dict().items()}
        found = trained.TrainedSpeechDetector().run(load_method("uniform"), there)
        values = {name: one.value for name, one in found.metrics.items()}
        assert set(values) == set(trained.TrainedSpeechDetector.metrics)
        assert found.network_file is not None
        size = found.network_file.stat().st_size
        assert values["reference_bytes"] == 4 * 309_633
        assert values["file_bytes"] == size == sum(found.size_bytes.values())
        assert values["file_ratio"] == pytest.approx(4 * 309_633 / size)
        assert 6 < values["file_ratio"] < 8
        assert 0 < values["mean_difference"] <= values["largest_difference"] < 0.5
        assert 0 <= values["agreement"] <= 1
        assert found.metrics["agreement"].n == -(-19_200 // 512) + -(-12_800 // 512)
        read = SPEECH_DETECTOR.fresh(1)
        Compressed.load(found.network_file, into=read)
        state = read.state_dict()
        assert {name: one.shape for name, one in state.items()} == {
            name: one.shape for name, one in before.items()
        }
        assert torch.equal(state["conv1.bias"], before["conv1.bias"])
        assert not torch.equal(state["lstm_cell.weight_hh"], before["lstm_cell.weight_hh"])
        assert left_dense(found.remarks) == {}

    def test_what_stays_dense_is_named_with_the_reason(self, made_up_speech, tmp_path):
        whole = load_method("uniform")

        class LinearOnly(type(whole)):
            def applies_to(self, module):
                return None if isinstance(module, nn.Linear) else f"{type(module).__name__}, no"

            def compress(self, task, config, *, seed):
                return Compressed.from_module(task.network, {})

        there = context(tmp_path, "speech-detector-and-clips")
        found = trained.TrainedSpeechDetector().run(LinearOnly(), there)
        left = left_dense(found.remarks)
        assert set(left) == {
            *(f"{name}.weight" for name in ("stft_conv", "conv1", "conv2", "conv3", "conv4")),
            *("lstm_cell.weight_ih", "lstm_cell.weight_hh", "final_conv.weight"),
        }
        assert left["conv1.weight"] == "Conv1d, no"
        assert found.metrics["largest_difference"].value == 0
        assert found.metrics["agreement"].value == 1
        assert left_dense(dense_remarks(left)) == left

    def test_digits_are_tested_on_the_test_images_and_trained_on_the_others(
        self, tmp_path, monkeypatch
    ):
        network = DIGITS.fresh(2)
        torch.save(network.state_dict(), tmp_path / DIGITS.file)
        paths = {DIGITS.file: tmp_path / DIGITS.file}
        files = {name: made_idx(name) for name in digests("mnist")}
        monkeypatch.setattr(
            trained_measure, "ensure", lambda name: DataFiles("", tmp_path, paths, {})
        )
        for module in (trained, trained_measure):
            monkeypatch.setattr(module, "contents", lambda name: files)
        monkeypatch.setattr(trained, "VALIDATION_ROWS", 4)
        benchmark = trained.TrainedMnistCnnWithData()
        there = context(tmp_path, "mnist-cnn-and-mnist")
        task = benchmark.task(network, there, lambda: None)
        seen = torch.cat([inputs for inputs, _, _ in task.train_batches(0)])
        assert len(seen) == ROWS["train"] - 4
        levels = ((seen * 0.3081 + 0.1307) * 255).round()
        assert int(levels.max()) < ROWS["train"] - 4, "a held out or a test image was trained on"
        path = tmp_path / "network.netc"
        Compressed.from_module(network, {}).save(path)
        report = trained_measure.report_on(path, DIGITS.name, "mnist-cnn-and-mnist", "cpu")
        assert report.metrics["error"].n == ROWS["t10k"]
        assert report.metrics["error"] == report.metrics["reference_error"]
        assert report.metrics["error_increase"].value == 0
        assert set(report.left_dense) == {n for n in SHAPES["mnist-cnn"] if n.endswith("weight")}

    def test_another_process_says_why_it_cannot_read_the_file(self, tmp_path):
        path = tmp_path / "network.netc"
        path.write_bytes(b"not ours")
        with pytest.raises(RuntimeError, match="reading the file back failed"):
            trained_measure.measure_in_new_process(
                path, "speech-detector", "speech-detector-and-clips", "cpu"
            )

    @pytest.mark.trust
    @pytest.mark.skipif(
        not present("speech-detector-and-clips"), reason="the detector is not in the cache"
    )
    def test_the_real_detector_hears_speech_and_silence(self):
        files = contents("speech-detector-and-clips")
        detector = SPEECH_DETECTOR.trained(ensure("speech-detector-and-clips").paths)
        for name, data in files.items():
            if name.endswith(".wav"):
                told = probabilities(detector, [parse_wav(data)])
                assert told.max() > 0.99
                assert (told >= 0.5).float().mean() > 0.4
        assert probabilities(detector, [torch.zeros(48_000)]).max() < 0.1


ROWS = {"train": 20, "t10k": 6}


def made_idx(name):
    """Images of one grey level each, the number of their row; the test's are far above."""
    part = name.partition("-")[0]
    rows = ROWS[part]
    base = 0 if part == "train" else 200
    if "labels" in name:
        return bytes((0, 0, 8, 1)) + rows.to_bytes(4, "big") + bytes(i % 10 for i in range(rows))
    sizes = b"".join(n.to_bytes(4, "big") for n in (rows, 28, 28))
    return bytes((0, 0, 8, 3)) + sizes + b"".join(bytes([base + i]) * 784 for i in range(rows))
