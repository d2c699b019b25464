"""Real data sets: what they are, where they come from, and their files in the cache.

A file is kept, and read, only when its size and SHA-256 are the ones listed here. Files lie
uncompressed in ``<cache>/data/<name>/``; a good one is never fetched again.
"""

import difflib
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.archives import BadArchive, read_bounded
from benchmarks.cache import cache_folder, locked, make_folder
from benchmarks.dataset import Dataset
from benchmarks.declarations import DATASETS
from benchmarks.sources import DataFile, Progress, Source, SourceFailed
from benchmarks.splits import BadData, ImageSplit
from methods.atomic import write_atomically
from registry.errors import UserError

LISTED_FILES = 12
"""At most so many are named one by one, as they arrive or where they could not be had."""


class DataMissing(UserError):
    """A data set that no source could give; lists the files wanted and what was tried."""


@dataclass(frozen=True)
class DataFiles:
    """A data set whose files all lie in the cache and are what they should be."""

    name: str
    folder: Path
    """Where they lie; a data set made of parts has its files in the folders of its parts."""
    paths: Mapping[str, Path]
    digests: Mapping[str, str]
    """SHA-256 by file name."""

    def where(self) -> list[str]:
        """Each path; of many files, how many lie in which folder."""
        paths = list(self.paths.values())
        if len(paths) <= LISTED_FILES:
            return [str(path) for path in paths]
        counts = Counter(path.parent for path in paths)
        return [f"{count} files in {folder}" for folder, count in counts.items()]


def each_once(say: Callable[[str], None]) -> Progress:
    """Tells each step to ``say`` when it comes first."""
    told: set[str] = set()

    def tell(share: float, what: str) -> None:
        if what not in told:
            told.add(what)
            say(what)

    return tell


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        UserError: there is none; with the nearest name.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UserError(f"unknown data set {name!r}{hint}; there are {', '.join(DATASETS)}")


def digests(name: str | Dataset) -> dict[str, str]:
    """SHA-256 by file name, as listed; the disk is not looked at."""
    return {file.name: file.sha256 for file in _resolve(name).files}


def present(name: str | Dataset) -> bool:
    """Whether every file lies in the cache and is right; nothing is fetched."""
    dataset = _resolve(name)
    if dataset.parts:
        return all(present(part) for part in dataset.parts)
    return all(_read_cached(dataset, file)[1] is None for file in dataset.files)


def data_folder(name: str | Dataset) -> Path:
    """Where the files of a data set lie in the cache."""
    return cache_folder() / "data" / _resolve(name).name


def ensure(name: str | Dataset, on_progress: Progress = lambda share, what: None) -> DataFiles:
    """Have all files of a data set in the cache, each from the first source that has it.

    Does nothing where they are there and right. Of several processes one fetches.

    Raises:
        DataMissing: with each file wanted, where to put it, and why each source failed.
        UserError: unknown data set, or a cache folder that cannot be written.
    """
    dataset = _resolve(name)
    _contents(dataset, on_progress)
    paths = {
        file.name: data_folder(part) / file.name
        for part in dataset.parts or (dataset,)
        for file in part.files
    }
    return DataFiles(dataset.name, data_folder(dataset), paths, digests(dataset))


def contents(
    name: str | Dataset, on_progress: Progress = lambda share, what: None
) -> dict[str, bytes]:
    """The bytes of every file by name, checked as they were read; fetched first where missing.

    Raises:
        DataMissing, UserError: as `ensure`.
    """
    return _contents(_resolve(name), on_progress)


def load(name: str | Dataset, on_progress: Progress = lambda share, what: None) -> ImageSplit:
    """The images and labels of a data set; its files are fetched first where missing.

    Raises:
        DataMissing, UserError: as `ensure`; or the files hold something else than images.
    """
    dataset = _resolve(name)
    if dataset.read is None:
        raise UserError(f"data set {dataset.name} ({dataset.title}) holds no images")
    try:
        return dataset.read(_contents(dataset, on_progress))
    except BadData as error:
        raise UserError(f"data set {dataset.name}: {error}") from None


def _resolve(name: str | Dataset) -> Dataset:
    return name if isinstance(name, Dataset) else find_dataset(name)


def _read_cached(dataset: Dataset, file: DataFile) -> tuple[bytes, str | None]:
    """The bytes in the cache and what is wrong with them; ``missing`` where there are none."""
    path = data_folder(dataset) / file.name
    try:
        if not path.exists():
            return b"", "missing"
        if not path.is_file():
            return b"", "is no regular file"
        with path.open("rb") as stream:
            data = read_bounded(stream, file.size_bytes)
    except BadArchive as error:
        return b"", str(error)
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"
    return data, file.fault(data)


def _contents(dataset: Dataset, on_progress: Progress) -> dict[str, bytes]:
    """From the cache; what is missing or wrong there is fetched under the lock."""
    if dataset.parts:
        return {
            name: data
            for part in dataset.parts
            for name, data in _contents(part, on_progress).items()
        }
    have, faults = _look(dataset)
    if not faults:
        return have

    def waiting() -> None:
        on_progress(0.0, f"waiting for another process that fetches {dataset.name}")

    with locked(data_folder(dataset), on_wait=waiting):
        # Another process may have fetched it in the meantime.
        have, faults = _look(dataset)
        if faults:
            make_folder(data_folder(dataset))
            have |= _fetch(dataset, faults, on_progress)
    return have


def _look(dataset: Dataset) -> tuple[dict[str, bytes], dict[str, str]]:
    have: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    for file in dataset.files:
        data, fault = _read_cached(dataset, file)
        if fault is None:
            have[file.name] = data
        else:
            faults[file.name] = fault
    return have, faults


def _fetch(dataset: Dataset, faults: Mapping[str, str], on_progress: Progress) -> dict[str, bytes]:
    """Ask the sources in turn for what is still missing."""
    missing = [file for file in dataset.files if file.name in faults]
    fetched: dict[str, bytes] = {}
    tried: list[str] = []
    for name, fault in faults.items():
        if fault != "missing":
            on_progress(0.0, f"{name} in the cache {fault}: getting it again")
    for source in dataset.sources:
        wanted = [file for file in missing if file.name not in fetched]

        def keep(file: DataFile, data: bytes, source: Source = source) -> None:
            if fault := file.fault(data):
                raise SourceFailed(f"{file.name} from there {fault}")
            _write(data_folder(dataset) / file.name, data)
            fetched[file.name] = data
            # One line for many files: a newcomer's screen is not for lists.
            what = file.name if len(missing) <= LISTED_FILES else f"{len(missing)} files"
            on_progress(len(fetched) / len(missing), f"{what} from {source.label}")

        try:
            _take(source, wanted, keep, on_progress)
        except (SourceFailed, BadArchive, OSError) as error:
            tried.append(f"{source.label}: {error}")
        if len(fetched) == len(missing):
            return fetched
    raise DataMissing(_wanted(dataset, faults, fetched, tried))


def _take(
    source: Source,
    wanted: Sequence[DataFile],
    keep: Callable[[DataFile, bytes], None],
    on_progress: Progress,
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="netcompress-") as scratch,
        closing(source.obtain(wanted, Path(scratch), on_progress)) as arriving,
    ):
        for file, data in arriving:
            keep(file, data)


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space there, or set "
            "NETCOMPRESS_CACHE to a folder that you can write to"
        ) from None


def _wanted(
    dataset: Dataset,
    faults: Mapping[str, str],
    fetched: Mapping[str, bytes],
    tried: Sequence[str],
) -> str:
    """What is wanted, where to put it, and what was tried."""
    folder = data_folder(dataset)
    lines = [f"data set {dataset.name} ({dataset.title}) could not be had. Wanted:"]
    wanted = [one for one in dataset.files if one.name in faults and one.name not in fetched]
    for file in wanted[:LISTED_FILES]:
        lines.append(f"  {file.name}  {file.size_bytes:,} bytes  SHA-256 {file.sha256}")
    if len(wanted) > LISTED_FILES:
        lines.append(f"  and {len(wanted) - LISTED_FILES} more. {dataset.about}")
    for name, fault in faults.items():
        if fault != "missing" and name not in fetched:
            lines.append(f"The file in the cache is not used: {folder / name} {fault}")
    lines.append(
        f"Put them into a folder that NETCOMPRESS_DATA names (any file name, also as .gz), "
        f"or under these names into {folder}. Tried:"
    )
    lines += [f"  {line}" for line in tried]
    return "\n".join(lines)
