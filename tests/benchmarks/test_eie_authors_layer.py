"""The authors' own layer: made-up files of its layout always, the real ones where they are."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.datasets import DATASETS, DataMissing, contents, present
from benchmarks.eie_authors_files import PES
from benchmarks.eie_authors_layer import DEPTHS, WIDTHS, AuthorsLayer, EieAuthorsLayer
from benchmarks.sources import SourceFailed, UserFolder
from benchmarks.worker import REASON_CHARACTERS
from methods.eie.coded import CodedLayer
from methods.eie.encode import EncodedLayer, encode
from registry.errors import UserError

NAME = "eie-alexnet-fc8"
OWN_FOLDER = os.environ.get("NETCOMPRESS_DATA")  # the tests below run without it
TABLE = np.array([0, *range(-7, 0), *range(1, 9)], np.float32)


def made_up(outputs: int, inputs: int, seed: int = 0, density: float = 0.4) -> CodedLayer:
    generator = np.random.default_rng(seed)
    codes = generator.integers(1, 16, (outputs, inputs + 1), np.uint8)
    codes[generator.random(codes.shape) >= density] = 0
    return CodedLayer.from_codes(codes[:, :-1], TABLE, codes[:, -1])


def as_files(encoded: EncodedLayer, activation: np.ndarray) -> dict[str, bytes]:
    """In the authors' layout: 32-bit words, pointers up to the bias behind whole groups."""
    files = {
        "act.dat": activation.astype("<f4").tobytes(),
        "arithm.dat": encoded.codebook.astype("<f4").tobytes(),
    }
    bias = -(-encoded.inputs // encoded.pes) * encoded.pes
    for pe in range(encoded.pes):
        own = encoded.pointers[pe]
        between = np.full(bias - encoded.inputs, own[-2])
        pointers = np.concatenate([own[:-1], between, own[-1:]])
        files[f"ptr{pe}.dat"] = pointers.astype("<u4").tobytes()
        held = slice(*encoded.stream_starts[pe : pe + 2])
        pairs = np.stack([encoded.codes[held], encoded.runs[held]], axis=1)
        files[f"spm{pe}.dat"] = pairs.astype("<u4").tobytes()
    return files


OUTPUTS, INPUTS, SMALL_PES = 50, 6, 4
LAYER = encode(made_up(OUTPUTS, INPUTS, density=0.3), SMALL_PES)
ACTIVATION = np.array([0, 1, 0, 2, -1, 0.5], np.float32)
FILES = as_files(LAYER, ACTIVATION)


def read(files: Mapping[str, bytes]) -> AuthorsLayer:
    return AuthorsLayer.read(files, OUTPUTS, INPUTS, SMALL_PES)


@given(
    outputs=st.integers(1, 60),
    inputs=st.integers(1, 12),
    pes=st.integers(1, 9),
    seed=st.integers(0, 999),
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
@settings(max_examples=40)
def test_what_is_written_in_their_layout_is_read(outputs, inputs, pes, seed, density):
    coded = made_up(outputs, inputs, seed, density)
    encoded = encode(coded, pes)
    activation = np.random.default_rng(seed).standard_normal(inputs).astype(np.float32)
    files = as_files(encoded, activation)
    found = AuthorsLayer.read(files, outputs, inputs, pes)
    assert found.encoded.decoded.is_same(coded)
    assert np.array_equal(found.encoded.entries, encoded.entries)
    assert np.array_equal(found.encoded.pointers, encoded.pointers)
    assert np.array_equal(found.activation, activation)


def test_outputs_are_those_of_the_dense_product():
    found = read(FILES)
    coded = found.encoded.decoded
    wanted = coded.weight() @ np.maximum(ACTIVATION, 0) + coded.bias()
    assert np.allclose(found.outputs(), wanted, atol=1e-5)
    largest = found.largest(3)
    assert [value for _, value in largest] == pytest.approx(sorted(wanted)[:-4:-1], abs=1e-5)
    for row, value in largest:
        assert wanted[row] == pytest.approx(value, abs=1e-5)


def words(name: str, *changes: tuple[int, int]) -> dict[str, bytes]:
    """The files with some 32-bit words of one changed."""
    changed = np.frombuffer(FILES[name], "<u4").copy()
    for place, value in changes:
        changed[place] = value
    return {**FILES, name: changed.tobytes()}


LAST = len(FILES["ptr2.dat"]) // 4 - 1
ENTRIES = len(FILES["spm2.dat"]) // 8
NAN = int(np.array(np.nan, "<f4").view("<u4"))
BROKEN = {
    "no such file": ({k: v for k, v in FILES.items() if k != "ptr3.dat"}, r"ptr3\.dat is not the"),
    "no entries": ({k: v for k, v in FILES.items() if k != "spm0.dat"}, r"spm0\.dat is not there"),
    "cut activation": ({**FILES, "act.dat": FILES["act.dat"][:-1]}, r"act\.dat has 23 bytes"),
    "longer table": ({**FILES, "arithm.dat": FILES["arithm.dat"] * 2}, r"arithm\.dat has 128"),
    "cut pointers": ({**FILES, "ptr1.dat": FILES["ptr1.dat"][:-4]}, r"ptr1\.dat has 36 bytes"),
    "half an entry": ({**FILES, "spm2.dat": FILES["spm2.dat"][:-4]}, r"spm2\.dat has"),
    "an entry less": ({**FILES, "spm2.dat": FILES["spm2.dat"][:-8]}, r"ptr2\.dat: pointers from"),
    "pointers that fall": (words("ptr2.dat", (2, 40)), r"ptr2\.dat: pointer 3 is below"),
    "a first pointer": (words("ptr2.dat", (0, 1)), r"ptr2\.dat: pointers from 1 to"),
    "pointers beyond": (words("ptr2.dat", (LAST, 2**32 - 1)), r"ptr2\.dat: pointers from 0 to 429"),
    "before the bias": (words("ptr2.dat", (LAST - 1, ENTRIES)), r"ptr2\.dat: there are entries"),
    "a code of 5 bits": (words("spm1.dat", (2, 16)), r"spm1\.dat: entry 1 has code 16"),
    "a huge run": (words("spm1.dat", (1, 2**31)), r"spm1\.dat: entry 0 has code .* beyond 4"),
    "a run too long": (words("spm2.dat", (2 * ENTRIES - 1, 15)), r"an entry lies in row \d+ of 50"),
    "a code 0": (words("spm1.dat", (0, 0), (1, 3)), "code 0 is no padding"),
    "a table without 0": (words("arithm.dat", (0, 0x3F800000)), "slot 0 is 1"),
    "no number": (words("arithm.dat", (3, NAN)), "NaN"),
    "no activation": (words("act.dat", (3, NAN)), "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(case):
    files, why = BROKEN[case]
    with pytest.raises(UserError, match=why):
        read(files)


@given(name=st.sampled_from(sorted(FILES)), place=st.integers(0, 10_000), byte=st.integers(1, 255))
@settings(max_examples=100)
def test_a_changed_byte_is_refused_or_read(name, place, byte):
    changed = bytearray(FILES[name])
    changed[place % len(changed)] ^= byte
    try:
        found = read({**FILES, name: bytes(changed)})
    except UserError:
        return
    assert found.run().stored_entries == LAYER.stored_entries


def test_every_metric_is_measured_in_its_unit():
    benchmark = EieAuthorsLayer(depths=(2, 8), widths=(64,))
    outcome = benchmark.measure(read(FILES))
    assert {key.partition(".")[0] for key in outcome.metrics} == set(benchmark.metrics)
    for key, measured in outcome.metrics.items():
        assert measured.unit == benchmark.metrics[key.partition(".")[0]].unit
    values = {key: measured.value for key, measured in outcome.metrics.items()}
    run = read(FILES).run()
    assert values["cycles_by_depth.8-depth"] == run.cycles
    assert values["actual_seconds"] == pytest.approx(run.cycles / 800e6)
    assert values["theoretical_seconds"] == pytest.approx(run.entries / SMALL_PES / 800e6)
    assert values["spmat_reads_by_width.64-bits"] == run.spmat_reads
    assert values["activation_density"] == 0.5
    assert values["weight_density"] == pytest.approx(float((LAYER.decoded.weight() != 0).mean()))


class Unreachable:
    label = "the authors"

    def obtain(self, files, scratch, progress):
        raise SourceFailed("cannot be reached")
        yield


def test_without_the_files_the_message_says_what_to_do_and_stays_short(tmp_path, monkeypatch):
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path))
    declared = DATASETS[NAME]
    assert len(declared.files) == 2 + 2 * PES
    with pytest.raises(DataMissing) as caught:
        contents(replace(declared, sources=(UserFolder(), Unreachable())))
    message = str(caught.value)
    assert "and 118 more" in message
    assert "RalphMao/EIE-simulator" in message
    assert "NETCOMPRESS_DATA" in message
    assert "cannot be reached" in message
    assert len(message) < REASON_CHARACTERS


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> AuthorsLayer:
    if present(NAME):
        return AuthorsLayer.read(contents(NAME))
    if OWN_FOLDER is None:
        pytest.skip("the authors' files are neither in the cache nor in NETCOMPRESS_DATA")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCOMPRESS_DATA", str(Path(OWN_FOLDER).absolute()))
        patch.setenv("NETCOMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            return AuthorsLayer.read(contents(replace(DATASETS[NAME], sources=(UserFolder(),))))
        except DataMissing:
            pytest.skip("the authors' files are not in NETCOMPRESS_DATA")


def test_the_real_layer_is_what_it_is_known_to_be(real: AuthorsLayer):
    coded, encoded = real.encoded.decoded, real.encoded
    assert (coded.outputs, coded.inputs, encoded.pes) == (1000, 4096, 64)
    assert encoded.stored_entries == coded.nonzeros == 1_051_991
    assert encoded.column_entries[-1] == 959
    streams = np.diff(encoded.stream_starts)
    assert (streams.min(), streams.max()) == (14_800, 18_078)
    active = real.activation > 0
    assert int(active.sum()) == 1759
    groups = active.reshape(-1, 64).sum(axis=1)
    assert (groups.min(), groups.max()) == (17, 36)
    assert encode(coded, 64).entries.tobytes() == encoded.entries.tobytes()
    assert np.array_equal(encode(coded, 64).pointers, encoded.pointers)


def test_every_number_of_the_real_layer(real: AuthorsLayer):
    outcome = EieAuthorsLayer().measure(real)
    values = {key: measured.value for key, measured in outcome.metrics.items()}
    series: dict[str, dict[int, float]] = {}
    for key, value in values.items():
        metric, _, point = key.partition(".")
        if point:
            series.setdefault(metric, {})[int(point.partition("-")[0])] = value
    cycles = {1: 14579, 2: 10194, 3: 8827, 4: 8386, 5: 8160, 8: 7926, 9: 7896}
    cycles |= dict.fromkeys((16, 32, 64, 128, 256), 7794)
    assert series["cycles_by_depth"] == cycles
    assert set(cycles) == set(DEPTHS)
    assert series["spmat_reads_by_width"] == {
        16: 258_386, 32: 158_921, 64: 100_900, 128: 60_396, 256: 32_551, 512: 16_468
    }  # fmt: skip
    assert set(series["spmat_reads_by_width"]) == set(WIDTHS)
    for depth, balance in {1: 0.486, 2: 0.695, 4: 0.845, 8: 0.8945, 16: 0.910}.items():
        assert series["load_balance_by_depth"][depth] == pytest.approx(balance, abs=5e-4)
    assert values["entries"] == 453_748
    assert values["stored_entries"] == 1_051_991
    assert values["padding_entries"] == 0
    assert values["broadcasts"] == 1760
    assert values["pointer_reads"] == 112_640
    assert values["theoretical_seconds"] == pytest.approx(8.862e-6, abs=5e-10)
    assert values["actual_seconds"] == pytest.approx(9.9075e-6)
    assert values["weight_density"] == pytest.approx(0.2566, abs=5e-5)
    assert values["activation_density"] == pytest.approx(0.4294, abs=5e-5)
    assert [row for row, _ in real.largest()] == [708, 494, 562, 698, 663]
    assert real.largest()[0][1] == pytest.approx(14.534, abs=5e-4)
    assert values["largest_output"] == 708
    assert "708 (14.534)" in outcome.remarks[0]
