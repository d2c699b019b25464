"""The store: whole files or none, and whatever else lies there is reported, never fatal."""

import errno
import json
import os
from pathlib import Path

import pytest

from benchmarks.benchmark import Measurement
from benchmarks.result import Result
from benchmarks.store import (
    RUNNING,
    Store,
    as_json,
    default_folder,
    merged,
    published_store,
    read_result,
)
from benchmarks.worker import make_result
from registry.errors import UserError


@pytest.fixture
def make(fake_job):
    def make(seed: int = 0, started: str = "2026-01-31T12:00:00Z", value: float = 0.5) -> Result:
        job = fake_job("Good", seed)
        result = make_result(job, "done", None, started, 1.0)
        score = Measurement(value=value, unit="ratio", low=0.25, high=0.75, n=10)
        return result.model_copy(update={"metrics": {"score": score}})

    return make


def test_what_is_written_is_read(make, tmp_path):
    store = Store(tmp_path / "new" / "store")
    results = [make(seed) for seed in range(3)]
    paths = {store.write(result) for result in results}
    read = store.read_all()
    assert {one.path for one in read.results} == paths
    assert {one.result.fingerprint: one.result for one in read.results} == {
        result.fingerprint: result for result in results
    }
    assert read.faults == ()
    assert {one.origin for one in read.results} == {"yours"}


def test_a_file_is_sorted_indented_and_ends_with_a_newline(make):
    data = as_json(make())
    content = json.loads(data)
    assert data.decode() == json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    assert content["version"] == 1


def test_an_absent_store_is_empty(tmp_path):
    read = Store(tmp_path / "absent").read_all()
    assert (read.results, read.faults) == ((), ())
    assert Store(tmp_path / "absent").sweep() == 0


def hostile(path: Path, data: bytes, kind: str) -> str:
    """Put a file of ``kind`` at ``path``; what its fault must say."""
    content = json.loads(data)
    if kind == "half":
        path.write_bytes(data[: len(data) // 2])
        return "no whole JSON"
    if kind == "empty":
        path.write_bytes(b"")
        return "is empty"
    if kind == "huge":
        path.write_bytes(data + b" " * (4 * 2**20))
        return "larger than"
    if kind == "version":
        path.write_text(json.dumps({**content, "version": 2}))
        return "version 2 of the result format"
    if kind == "foreign":
        path.write_text('{"name": "something else"}')
        return "is no result: identity: Field required"
    if kind == "edited":
        path.write_text(json.dumps({**content, "configuration": {"epochs": 99}}))
        return "changed by hand"
    if kind == "nan":
        path.write_bytes(data.replace(b'"value": 0.5', b'"value": NaN'))
        return "is no result: metrics"
    if kind == "unknown key":
        path.write_text(json.dumps({**content, "extra": 1}))
        return "extra"
    if kind == "deep":
        path.write_bytes(b"[" * 100_000)
        return "no whole JSON"
    if kind == "not text":
        path.write_bytes(b"\xff\xfe\x00\x01")
        return "no whole JSON"
    if kind == "a pipe":
        os.mkfifo(path)
        return "regular file"
    if kind == "a link":
        path.symlink_to(path.parent / "elsewhere")
        return "cannot be read"
    path.mkdir()
    return "Is a directory"


KINDS = (
    "half", "empty", "huge", "version", "foreign", "edited", "nan", "unknown key", "deep",
    "not text", "a pipe", "a link", "a folder",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_is_a_fault_and_its_neighbour_is_read(kind, make, tmp_path):
    store = Store(tmp_path)
    bad, good = store.write(make(0)), store.write(make(1))
    data = bad.read_bytes()
    bad.unlink()
    message = hostile(bad, data, kind)
    read = store.read_all()
    assert [one.path for one in read.results] == [good]
    assert [fault.file for fault in read.faults] == [str(bad)]
    assert message in read.faults[0].message


def test_a_result_in_the_wrong_place_is_a_fault(make, tmp_path):
    store = Store(tmp_path)
    path = store.write(make())
    other = path.with_name("0" * 64 + ".json")
    other.write_bytes(path.read_bytes())
    (tmp_path / "notes.txt").write_text("mine")
    read = store.read_all()
    assert [one.path for one in read.results] == [path]
    assert sorted(Path(fault.file).name for fault in read.faults) == [other.name, "notes.txt"]
    assert any("wrong place" in fault.message for fault in read.faults)


def test_sweep_takes_what_was_left_and_nothing_else(make, tmp_path):
    store = Store(tmp_path)
    path = store.write(make())
    (path.parent / f".{path.name}.a1b2c3.tmp").write_bytes(b"half")
    (path.parent / ".hidden").write_bytes(b"the user's")
    (tmp_path / RUNNING / "job").mkdir(parents=True)
    (tmp_path / RUNNING / "job" / "job.json").write_text("{}")
    with store.in_use():
        assert Store(tmp_path).sweep() == 0, "another run is going on"
        assert (tmp_path / RUNNING / "job" / "job.json").exists()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {path.name, ".hidden"}
    assert not (tmp_path / RUNNING).exists()


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "mkdir"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_failing_write_is_one_message_and_leaves_the_store_whole(
    call, code, make, tmp_path, monkeypatch
):
    store = Store(tmp_path)
    path = store.write(make(0, value=0.5))

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    owner = os if call == "fsync" else Path
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, fail)
        with pytest.raises(UserError, match="cannot be written") as caught:
            store.write(make(0, value=0.75))
    assert str(path) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert read_result(path).metrics["score"].value == 0.5
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_merged_says_whose_a_result_is(make, tmp_path):
    mine, theirs = Store(tmp_path / "mine"), Store(tmp_path / "theirs", "published")
    mine.write(make(0))
    theirs.write(make(1))
    both = merged(theirs, mine)
    assert [(one.origin, one.result.identity.seed) for one in both.results] == [
        ("published", 1),
        ("yours", 0),
    ]
    assert len(merged(theirs, Store(theirs.folder)).results) == 1
    assert set(both.by_fingerprint()) == {one.result.fingerprint for one in both.results}


def test_where_results_go(monkeypatch, tmp_path):
    monkeypatch.delenv("NETCOMPRESS_RESULTS", raising=False)
    assert default_folder() == Path("netcompress-results")
    monkeypatch.setenv("NETCOMPRESS_RESULTS", str(tmp_path))
    assert default_folder() == tmp_path
    assert published_store().read_all().faults == ()
