"""What is no file is refused at once: nothing waits for a pipe, nothing reads a device for ever."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from methods.compressed import Compressed
from methods.eie.inputs import read_layer
from methods.size_report import file_report
from methods.user_data import read_data
from registry.errors import UserError

READERS: dict[str, Callable[[Path], object]] = {
    ".npz layer": read_layer, ".npz data": read_data, ".netc": Compressed.load,
    ".netc report": file_report,
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_pipes_and_devices_are_refused(reader: Callable[[Path], object], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/zero")):
        with pytest.raises(UserError, match=rf"{place}: cannot be read: it is a pipe or a device"):
            reader(place)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_a_folder_is_refused(reader: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        reader(tmp_path)
