"""The data room: nothing wrong is kept, nothing is fetched twice, and errors say what to do."""

import gzip
import hashlib
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.dataset import Dataset
from benchmarks.datasets import (
    DATASETS,
    DataFiles,
    DataMissing,
    contents,
    data_folder,
    digests,
    each_once,
    ensure,
    find_dataset,
    load,
    present,
)
from benchmarks.packages import NpmPackage, PipWheel
from benchmarks.sources import DataFile, SourceFailed, UserFolder, WebAddress
from benchmarks.splits import (
    BadData,
    idx_split,
    parse_idx,
)
from registry.errors import UserError


def data_file(name, data):
    return DataFile(name, len(data), hashlib.sha256(data).hexdigest())


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


@dataclass
class Shelf:
    """A source out of a dictionary, that counts how often it is asked."""

    label: str
    holds: dict[str, bytes] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def obtain(self, files, scratch, progress):
        self.asked.append([file.name for file in files])
        assert not any(scratch.iterdir())
        for file in files:
            if file.name in self.holds:
                yield file, self.holds[file.name]
        raise SourceFailed("has no more")


IMAGES = np.arange(6 * 2 * 3).reshape(6, 2, 3)
FILES = {
    "train-images-idx3-ubyte": idx(IMAGES),
    "train-labels-idx1-ubyte": idx(np.array([0, 1, 2, 0, 1, 2])),
    "t10k-images-idx3-ubyte": idx(IMAGES[:2]),
    "t10k-labels-idx1-ubyte": idx(np.array([3, 4])),
}


def dataset(*sources, name="tiny", files=FILES, **changes):
    made = Dataset(
        name=name,
        title=name.title(),
        about="Made up.",
        licence="none",
        citation="none",
        files=tuple(data_file(key, data) for key, data in files.items()),
        sources=sources,
        read=idx_split,
    )
    return replace(made, **changes)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NETCOMPRESS_DATA", raising=False)
    return tmp_path / "cache"


def kept(folder):
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


class TestEnsure:
    def test_fetches_once(self, cache):
        shelf = Shelf("shelf", FILES)
        tiny = dataset(shelf)
        assert not present(tiny)
        first = ensure(tiny)
        second = ensure(tiny)
        assert len(shelf.asked) == 1
        assert first == second
        assert present(tiny)
        assert {name: path.read_bytes() for name, path in first.paths.items()} == FILES
        assert first.digests == digests(tiny)
        assert contents(tiny) == FILES
        assert kept(cache) == set(FILES)
        assert len(shelf.asked) == 1

    def test_asks_sources_in_order_and_only_for_what_is_missing(self):
        names = list(FILES)
        one = Shelf("one", {names[0]: FILES[names[0]]})
        two = Shelf("two", {name: FILES[name] for name in names[:3]})
        three, four = Shelf("three", FILES), Shelf("four", FILES)
        ensure(dataset(one, two, three, four))
        assert one.asked == [names]
        assert two.asked == [names[1:]]
        assert three.asked == [names[3:]]
        assert four.asked == []

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[:-1],
            lambda data: data + b"\0",
            lambda data: bytes([data[0] ^ 1]) + data[1:],
            lambda data: data[:-1] + bytes([data[-1] ^ 128]),
            lambda data: b"",
        ],
        ids=["truncated", "one byte more", "first bit", "last bit", "empty"],
    )
    def test_a_wrong_file_is_never_kept_and_the_next_source_is_asked(self, cache, damage):
        for name in FILES:
            bad = Shelf("bad", FILES | {name: damage(FILES[name])})
            with pytest.raises(DataMissing, match=f"{name} from there has "):
                ensure(dataset(bad, name=f"only-{name}"))
            good = Shelf("good", FILES)
            tiny = dataset(bad, good, name=f"both-{name}")
            ensure(tiny)
            assert good.asked[0][0] == name
            assert contents(tiny) == FILES
        assert kept(cache) == set(FILES), "a partial file was left"
        for path in cache.rglob("*/*/*ubyte"):
            assert path.read_bytes() == FILES[path.name], "a wrong file was kept"

    def test_a_changed_cached_file_is_refused_named_and_got_again(self):
        shelf = Shelf("shelf", FILES)
        tiny = dataset(shelf)
        name = "t10k-images-idx3-ubyte"
        path = ensure(tiny).paths[name]
        status = path.stat()
        path.write_bytes(FILES[name][:-1] + b"\xff")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert not present(tiny)
        with pytest.raises(DataMissing) as caught:
            ensure(dataset())
        assert f"{path} has SHA-256" in str(caught.value)
        said = []
        ensure(tiny, lambda share, what: said.append((share, what)))
        assert shelf.asked[1] == [name]
        assert any(name in what and "getting it again" in what for _, what in said)
        assert all(0 <= share <= 1 for share, _ in said)
        assert said[-1] == (1.0, f"{name} from shelf")
        assert path.read_bytes() == FILES[name]

    @pytest.mark.parametrize("size", [0, 5, 10_000])
    def test_a_cached_file_of_another_size_is_refused(self, size):
        tiny = dataset(Shelf("shelf", FILES))
        path = ensure(tiny).paths["train-images-idx3-ubyte"]
        path.write_bytes(b"x" * size)
        assert not present(tiny)
        ensure(tiny)
        assert present(tiny)

    def test_a_folder_in_the_place_of_a_file_is_an_error_not_a_traceback(self):
        tiny = dataset(Shelf("shelf", FILES))
        (data_folder(tiny) / "train-images-idx3-ubyte").mkdir(parents=True)
        with pytest.raises(UserError, match="cannot be written"):
            ensure(tiny)

    def test_a_cache_that_cannot_be_made(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "file" / "below"))
        with pytest.raises(UserError, match="NETCOMPRESS_CACHE"):
            ensure(dataset(Shelf("shelf", FILES)))

    def test_jobs_at_once_fetch_once(self):
        shelf = Shelf("shelf", FILES)
        tiny = dataset(shelf)
        failures = []

        def job():
            try:
                assert contents(tiny) == FILES
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=job) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(shelf.asked) == 1


class TestErrors:
    def test_the_error_lists_files_places_and_reasons(self, cache):
        tiny = dataset(UserFolder(), Shelf("the shelf"))
        with pytest.raises(UserError) as caught:
            ensure(tiny)
        text = str(caught.value)
        for file in tiny.files:
            assert f"{file.name}  {file.size_bytes:,} bytes  SHA-256 {file.sha256}" in text
        assert "NETCOMPRESS_DATA" in text
        assert str(cache / "data" / "tiny") in text
        assert "your folder (NETCOMPRESS_DATA): not set" in text
        assert "the shelf: has no more" in text

    def test_files_that_came_are_not_asked_for(self):
        names = list(FILES)
        with pytest.raises(DataMissing) as caught:
            ensure(dataset(Shelf("part", {name: FILES[name] for name in names[:3]})))
        wanted = str(caught.value).split("Put them")[0]
        assert names[3] in wanted
        assert names[0] not in wanted

    def test_an_unknown_name(self):
        with pytest.raises(UserError, match="did you mean 'mnist-5k'"):
            find_dataset("mnist5k")

    def test_a_scratch_folder_that_cannot_be_used_fails_the_source_only(self):
        class Full(Shelf):
            def obtain(self, files, scratch, progress):
                raise OSError(28, "No space left on device")
                yield

        tiny = dataset(Full("full"), Shelf("good", FILES))
        assert contents(tiny) == FILES


class TestUserFolder:
    def folder(self, tmp_path, monkeypatch):
        folder = tmp_path / "mine"
        (folder / "a" / "b").mkdir(parents=True)
        monkeypatch.setenv("NETCOMPRESS_DATA", str(folder))
        return folder

    def test_files_are_known_by_digest_whatever_their_names(self, tmp_path, monkeypatch):
        folder = self.folder(tmp_path, monkeypatch)
        one, two, three, four = FILES.values()
        (folder / "a" / "holiday.jpg").write_bytes(one)
        (folder / "a" / "b" / "labels").write_bytes(two)
        (folder / "test.gz").write_bytes(gzip.compress(three))
        (folder / "no-suffix").write_bytes(gzip.compress(four))
        # The right size and name, other bytes: passed over.
        (folder / "train-images-idx3-ubyte").write_bytes(one[:-1] + b"\xfe")
        (folder / "empty").write_bytes(b"")
        (folder / "short").write_bytes(b"\x1f\x8b")
        assert contents(dataset(UserFolder())) == FILES

    def test_nothing_that_fits(self, tmp_path, monkeypatch):
        folder = self.folder(tmp_path, monkeypatch)
        data = FILES["train-images-idx3-ubyte"]
        (folder / "train-images-idx3-ubyte").write_bytes(data[:-1])
        lying = gzip.compress(b"\0" * 1_000_000)[:-4] + len(data).to_bytes(4, "little")
        (folder / "bomb.gz").write_bytes(lying)
        with pytest.raises(DataMissing, match=f"nothing under {folder}"):
            ensure(dataset(UserFolder()))

    def test_pipes_and_loops_do_not_hang_it(self, tmp_path, monkeypatch):
        folder = self.folder(tmp_path, monkeypatch)
        os.mkfifo(folder / "pipe")
        (folder / "a" / "loop").symlink_to(folder)
        (folder / "dangling").symlink_to(folder / "nowhere")
        for number, data in enumerate(FILES.values()):
            (folder / "a" / "b" / f"{number}").write_bytes(data)
        assert contents(dataset(UserFolder())) == FILES

    def test_the_walk_is_bounded(self, tmp_path, monkeypatch):
        folder = self.folder(tmp_path, monkeypatch)
        monkeypatch.setattr("benchmarks.sources.FOLDER_ENTRIES", 20)
        for number in range(40):
            (folder / f"a{number:02}").write_bytes(b"x")
        for number, data in enumerate(FILES.values()):
            (folder / f"z{number}").write_bytes(data)
        with pytest.raises(DataMissing):
            ensure(dataset(UserFolder()))

    def test_a_folder_that_is_not_there(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NETCOMPRESS_DATA", str(tmp_path / "none"))
        with pytest.raises(DataMissing, match="is no folder"):
            ensure(dataset(UserFolder()))


class TestIdx:
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
    def test_what_is_written_is_read(self, shape, seed):
        array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        read = parse_idx(idx(array), len(shape))
        assert read.dtype == np.uint8
        assert read.flags.writeable
        np.testing.assert_array_equal(read, array)

    @given(st.binary(max_size=64), st.integers(1, 3))
    def test_any_bytes_are_an_array_or_bad_data(self, data, dimensions):
        for candidate in (data, bytes((0, 0, 8, dimensions)) + data):
            try:
                array = parse_idx(candidate, dimensions)
            except BadData:
                continue
            assert array.size == len(candidate) - 4 - 4 * dimensions

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0\0\x08",
            b"\0\0\x08\x03" + b"\0" * 8,
            b"\0\0\x08\x01" + (5).to_bytes(4, "big") + b"\0" * 13,  # one dimension, not three
            b"\0\0\x0d\x03" + b"\0" * 12,  # floats
            b"\x01\0\x08\x03" + b"\0" * 12,
            b"\0\0\x08\x03" + b"\xff" * 12 + b"\0" * 100,
            # 2^22 * 2^21 * 2^21 wraps to 0 in 64 bits.
            b"\0\0\x08\x03" + b"".join((2**n).to_bytes(4, "big") for n in (22, 21, 21)),
            b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + b"\0" * 7,
            b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + b"\0" * 9,
        ],
    )
    def test_lying_headers(self, data):
        with pytest.raises(BadData):
            parse_idx(data, 3)

    def test_load_says_which_data_set_holds_nonsense(self):
        files = FILES | {"t10k-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\0\x09\x01"}
        with pytest.raises(UserError, match="data set tiny: declares"):
            load(dataset(Shelf("a", files), files=files))

    def test_images_without_as_many_labels(self):
        files = FILES | {"t10k-labels-idx1-ubyte": idx(np.array([1, 2, 3]))}
        with pytest.raises(UserError, match="do not go with"):
            load(dataset(Shelf("a", files), files=files))

    def test_load(self):
        split = load(dataset(Shelf("a", FILES)))
        np.testing.assert_array_equal(split.train_images, IMAGES)
        assert split.train_labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert split.test_images.shape == (2, 2, 3)
        assert split.test_labels.tolist() == [3, 4]


class TestDeclarations:
    @pytest.mark.parametrize("name", DATASETS)
    def test_each_is_whole(self, name):
        made = DATASETS[name]
        assert made.name == name
        assert made.title
        assert made.licence
        assert made.citation
        assert made.size_bytes == sum(file.size_bytes for file in made.files) > 0
        for file in made.files:
            assert len(bytes.fromhex(file.sha256)) == 32
        for part in made.parts or (made,):
            names = {file.name for file in part.files}
            assert isinstance(part.sources[0], UserFolder)
            for source in part.sources[1:]:
                held = source.files if isinstance(source, WebAddress) else source.members
                assert set(held) == names
                if not isinstance(source, WebAddress):
                    assert len(bytes.fromhex(source.sha256)) == 32

    def test_mnist_has_its_published_form(self):
        sizes = [file.size_bytes for file in DATASETS["mnist"].files]
        assert sizes == [16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000]
        assert [file.size_bytes for file in DATASETS["fashion-mnist"].files] == sizes

    def test_mnist_5k_is_never_called_mnist(self):
        other, full = DATASETS["mnist-5k"], DATASETS["mnist"]
        assert other.name != full.name
        assert other.title != full.title
        assert set(digests("mnist-5k")) & set(digests("mnist")) == set()
        assert other.caution is not None
        assert "not MNIST test error" in other.caution
        assert full.caution is None
        assert not any(isinstance(source, PipWheel) for source in full.sources)

    def test_the_order_of_sources(self):
        kinds = [type(source) for source in DATASETS["mnist"].sources]
        assert kinds == [UserFolder, NpmPackage, WebAddress, WebAddress]

    def test_digests_do_not_touch_the_disk(self, cache):
        assert len(digests("mnist")) == 4
        assert not cache.exists()


def test_what_was_told_is_not_told_again():
    said = []
    tell = each_once(said.append)
    for share, what in enumerate(["from here", "from there", "from here"]):
        tell(share, what)
    assert said == ["from here", "from there"]


def test_many_files_are_told_by_their_folders():
    few = {"a": Path("one/a"), "b": Path("two/b")}
    assert DataFiles("x", Path("one"), few, {}).where() == [str(path) for path in few.values()]
    many = {f"{n}": Path("two" if n % 3 else "one", f"{n}") for n in range(30)}
    assert DataFiles("x", Path("one"), many, {}).where() == ["10 files in one", "20 files in two"]
