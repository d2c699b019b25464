"""Where and with what a result is made: commit, versions, processor, digest of the sources."""

import hashlib
import os
import platform
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.result import Provenance

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds our packages: a checkout, or a site-packages folder."""

PACKAGES = ("torch", "numpy", "pydantic", "numba", "netcompress")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
"""Where Linux tells the sizes, such as ``32768K``."""
GENERATED = ("benchmarks/results", "README.md", "SURVEY.md", "CLAIMS.md")
"""What our own commands write: it does not make a checkout count as dirty."""


def now_utc() -> str:
    """Such as ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def provenance(
    started: str,
    seconds: float,
    *,
    threads: int = 1,
    device: str = "cpu",
    extra: Iterable[Path] = (),
) -> Provenance:
    """Of a result made by this interpreter.

    Args:
        started: as ``now_utc`` gives it.
        extra: source files outside our packages that took part.
    """
    commit, dirty = checkout_state()
    return Provenance(
        commit=commit,
        dirty=dirty,
        packages=package_versions(),
        python=platform.python_version(),
        cpu=cpu_model(),
        threads=threads,
        device=device,
        started=started,
        seconds=round(max(0.0, seconds), 3),
        source_digest=source_digest(tuple(extra)),
    )


def installed() -> bool:
    """Whether our packages lie where Python finds them anyway."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    return ROOT in {Path(place).resolve() for place in places if place}


def child_environment() -> dict[str, str]:
    """The environment of a job: our packages found from any folder, one thread everywhere."""
    environment = dict(os.environ)
    if not installed():
        others = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{others}" if others else str(ROOT)
    for name in ("NETCOMPRESS_PAPERS", "NETCOMPRESS_CACHE", "NETCOMPRESS_DATA"):
        if environment.get(name):  # a job works in a folder of its own
            environment[name] = str(Path(environment[name]).expanduser().absolute())
    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        environment[f"{name}_NUM_THREADS"] = "1"
    environment["PYTHONHASHSEED"] = "0"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


@cache
def checkout_state() -> tuple[str | None, bool | None]:
    """The commit and whether anything but generated files differs; (None, None) outside one."""
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != ROOT:
        return None, None  # a virtual environment inside somebody's repository is none of ours
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=normal", "-z")
    if commit is None or changes is None:
        return None, None
    return commit.strip(), any(not _is_generated(path) for path in _changed_paths(changes))


def _changed_paths(porcelain: str) -> list[str]:
    """Paths of ``git status --porcelain -z``: a renamed file's old name follows on its own."""
    paths: list[str] = []
    fields = iter(porcelain.split("\0"))
    for entry in fields:
        if len(entry) > 3:
            paths.append(entry[3:])
            if entry[0] in "RC":
                paths.append(next(fields, ""))
    return paths


def _is_generated(path: str) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in GENERATED)


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.decode("utf-8", "replace") if ended.returncode == 0 else None


@cache
def package_versions() -> dict[str, str]:
    """Of the packages that numbers depend on; those that are absent are left out."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name == "netcompress":
                found[name] = "source"
    return found


@cache
def largest_cache_bytes() -> int:
    """Of the processor's caches; 0 where it is not known."""
    sizes = [path.read_text().strip() for path in CACHES.glob("index*/size")]
    return max((1024 * int(size[:-1]) for size in sizes if size.endswith("K")), default=0)


@cache
def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


@cache
def source_digest(extra: tuple[Path, ...] = ()) -> str:
    """SHA-256 over names and contents of all sources of methods and benchmarks, and ``extra``."""
    files = [
        (path.relative_to(ROOT).as_posix(), path)
        for package in ("methods", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
    ]
    files += [(path.name, path) for path in extra]
    whole = hashlib.sha256()
    for name, path in sorted(files):
        content = path.read_bytes()
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()


def without_places(text: str) -> str:
    """``text`` without folders of this machine: a published log tells none."""
    for place, name in ((ROOT, "."), (Path(sys.prefix), "<python>"), (Path.home(), "~")):
        if len(place.parts) > 1:
            text = text.replace(str(place), name)
    return text
