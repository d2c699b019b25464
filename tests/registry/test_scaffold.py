import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.catalog import PAPERS_FOLDER, check_files, load_catalog
from registry.errors import UserError
from registry.scaffold import (
    TEMPLATE_FILE,
    class_name,
    default_folder,
    module_name,
    new_paper,
    what_next,
)
from registry.survey import TEMPLATE_PAPER, read_survey

ROOT = Path(__file__).parents[2]
BIBTEX = """
@InProceedings{Lecun:1989:OBD,
  title = {Optimal {Brain} Damage: 50\\% of {\\o}},
  author = {LeCun, Yann and John S. Denker and Solla, Sara},
  booktitle = {NIPS},
  year = {1989},
  eprint = {1510.00149},
  abstract = {Long.}
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "papers"


def test_the_template_is_the_sources_row_and_holds() -> None:
    assert check_files([TEMPLATE_FILE]) == []
    (row,) = [row for row in read_survey().rows if row.paper == TEMPLATE_PAPER]
    text = TEMPLATE_FILE.read_text(encoding="utf-8")
    assert f'row: "{row.raw}"' in text
    assert "\ntitle: New paper\nyear: 2016\n" in text
    assert "\nnetwork_type: cnn\n" in text


def test_a_new_record_holds_as_it_is(folder: Path) -> None:
    paths = new_paper("2019-some-thing", None, folder)
    assert [path.name for path in paths] == [
        "2019-some-thing.yaml",
        "some_thing.py",
        "test_some_thing.py",
        "paper.schema.json",
    ]
    paper = load_catalog([folder]).get("2019-some-thing")
    assert paper.year == 2019
    assert paper.method == "some-thing"
    assert paper.source.row is None
    assert len(new_paper("2020-other", None, folder)) == 3  # the schema is there already


def test_bibtex_fills_the_record(folder: Path) -> None:
    new_paper("1989-obd", BIBTEX, folder)
    paper = load_catalog([folder]).get("1989-obd")
    assert paper.title == "Optimal Brain Damage: 50% of ø"
    assert paper.authors == ("Yann LeCun", "John S. Denker", "Sara Solla")
    assert (paper.year, paper.venue) == (1989, "NIPS")
    assert paper.citation.type == "inproceedings"
    assert paper.citation.key == "lecun:1989:obd"
    assert paper.citation.fields == {"booktitle": "NIPS", "eprint": "1510.00149"}
    assert paper.links[0].url == "https://arxiv.org/abs/1510.00149"


@pytest.mark.skipif(
    importlib.util.find_spec("methods.compressed") is None, reason="there are no methods"
)
def test_the_plugin_and_its_test_run(folder: Path) -> None:
    paths = new_paper("2019-some-thing", None, folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder),
         "-c", os.devnull, str(paths[2])],
        env=environment, capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("bad", ["x", "2019", "../2019-a", "2019-A", "2019-a/b", "2019-a\n", ""])
def test_bad_ids_are_refused(bad: str, folder: Path) -> None:
    with pytest.raises(UserError, match="is not a record's id"):
        new_paper(bad, None, folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["2019-a.yaml", "a.py", "test_a.py"])
def test_nothing_is_overwritten(name: str, folder: Path) -> None:
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(UserError, match="already there"):
        new_paper("2019-a", None, folder)
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "mine"


def test_ids_of_ours_are_taken(folder: Path) -> None:
    for path in PAPERS_FOLDER.glob("[0-9]*.yaml"):
        with pytest.raises(UserError, match="already there"):
            new_paper(path.stem, None, folder)


def test_what_cannot_stand_in_a_record_is_refused(folder: Path) -> None:
    text = BIBTEX.replace("Optimal", "<script>")
    with pytest.raises(UserError, match="title: markup is not allowed here"):
        new_paper("2019-a", text, folder)
    with pytest.raises(UserError, match="no entry"):
        new_paper("2019-a", "nothing", folder)
    assert not folder.exists()


def test_a_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    def failing(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "test_a.py":
            raise OSError(28, "No space left on device", str(path))
        return real_open(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(UserError, match=r"cannot write .*test_a.py: No space left"):
        new_paper("2019-a", None, folder)
    assert list(folder.iterdir()) == []


def test_names_of_modules_and_classes() -> None:
    assert module_name("2019-some-thing") == "some_thing"
    assert module_name("2019-1bit") == "method_1bit"
    assert module_name("2019-random") == "random_method"
    assert module_name("2019-class") == "class_method"
    assert module_name("2019-a--b") == "a_b"
    assert class_name("some_thing") == "SomeThing"


def test_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETCOMPRESS_PAPERS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_folder() == Path("papers")
    monkeypatch.chdir(ROOT)
    assert default_folder() == PAPERS_FOLDER
    monkeypatch.setenv("NETCOMPRESS_PAPERS", str(tmp_path))
    assert default_folder() == tmp_path


def test_what_to_do_next_names_the_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETCOMPRESS_PAPERS", raising=False)
    text = what_next(new_paper("2019-a", None, Path("papers")))
    for words in (
        "netcompress validate papers/2019-a.yaml",
        "netcompress check-method papers/a.py",
        "pytest papers/test_a.py",
        "export NETCOMPRESS_PAPERS=papers",
    ):
        assert words in text
