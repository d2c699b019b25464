"""What a data set is, and how several become one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.sources import DataFile, Source
from benchmarks.splits import ImageSplit


@dataclass(frozen=True)
class Dataset:
    """A data set: what it is and where it comes from."""

    name: str
    title: str
    about: str
    licence: str
    citation: str
    files: tuple[DataFile, ...]
    sources: tuple[Source, ...]
    read: Callable[[Mapping[str, bytes]], ImageSplit] | None = None
    """Files by name into arrays; raises `benchmarks.splits.BadData`. None where the files are no
    images: their bytes are had by `benchmarks.datasets.contents`."""
    caution: str | None = None
    """What must be said beside a number measured on it."""
    parts: tuple["Dataset", ...] = ()
    """The data sets that this one is made of; their files stay where they are."""

    @property
    def size_bytes(self) -> int:
        """Of all files, uncompressed."""
        return sum(file.size_bytes for file in self.files)


def joined(name: str, title: str, about: str, *parts: Dataset) -> Dataset:
    """Several data sets that a benchmark needs together, as one.

    It owns no file: each part is fetched by its own sources and lies in its own folder. The files
    of all parts, and so their digests, are the files of the whole.

    Raises:
        ValueError: two parts have a file of the same name.
    """
    files = tuple(file for part in parts for file in part.files)
    if len({file.name for file in files}) < len(files):
        raise ValueError(f"{name}: two parts have a file of the same name")
    return Dataset(
        name=name,
        title=title,
        about=about,
        licence="; ".join(f"{part.title}: {part.licence}" for part in parts),
        citation="; ".join(part.citation for part in parts),
        files=files,
        sources=tuple({one.label: one for part in parts for one in part.sources}.values()),
        caution="; ".join(part.caution for part in parts if part.caution) or None,
        parts=parts,
    )
