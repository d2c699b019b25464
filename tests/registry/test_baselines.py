"""The list of plain baselines: it holds, and what is wrong with one is told with its line."""

from pathlib import Path

import pytest

from registry.baselines import BASELINES, BASELINES_FILE, read_baselines
from registry.catalog import load_catalog
from registry.errors import UserError
from registry.vocabulary import load_vocabulary
from registry.yaml_reader import Unreadable

GOOD = """\
baselines:
  - id: plain
    title: A plain method
    method: plain
    summary: It does what is plain.
    techniques: [pruning]
    source: folklore
    runs:
      - {name: one, title: One run, benchmark: mnist-lenet-300-100, configuration: {bits: 4}}
      - {name: one, title: One run, benchmark: mnist-lenet-5}
  - id: other
    title: Another one
    method: other
    summary: It does something else.
    techniques: [parameter-quantization]
    source: folklore
    runs:
      - {name: two, title: Two, benchmark: mnist-lenet-5, at_quick_scale: false}
"""


@pytest.fixture
def told(tmp_path: Path):
    """What is told of ``GOOD`` after a change."""

    def change(old: str = "", new: str = "") -> list[str]:
        assert old in GOOD
        path = tmp_path / "baselines.yaml"
        path.write_text(GOOD.replace(old, new, 1), "utf-8")
        found, faults = read_baselines(load_vocabulary(), path)
        assert bool(found) != bool(faults)
        return [f"{fault.line} {fault.field}: {fault.message}" for fault in faults]

    return change


def test_ours_hold_and_stand_in_the_catalog() -> None:
    found, faults = read_baselines(load_vocabulary())
    assert faults == []
    catalog = load_catalog()
    assert catalog.baselines == found
    assert {one.owner for one in found} == {BASELINES}
    assert BASELINES_FILE.is_file()


def test_both_networks_have_the_same_runs() -> None:
    by_network: dict[str, list[str]] = {}
    for one in load_catalog().baselines:
        for run in one.runs:
            by_network.setdefault(run.benchmark, []).append(run.name)
    assert by_network.keys() >= {"mnist-lenet-300-100", "mnist-lenet-5"}
    assert by_network["mnist-lenet-300-100"] == by_network["mnist-lenet-5"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: other", "id: plain", "11 baselines[1].id: 'plain' stands twice"),
        ("name: two", "name: one",
         "18 baselines[1].runs[0].name: 'one' stands twice among the runs of 'mnist-lenet-5'"),
        ("mnist-lenet-300-100", "mnist-lenet-300-10",
         "9 baselines[0].runs[0].benchmark: unknown benchmark 'mnist-lenet-300-10' "
         "(did you mean 'mnist-lenet-300-100'?)"),
        ("mnist-lenet-300-100", "rounding-noise",
         "9 baselines[0].runs[0].benchmark: a baseline is measured on files: 'rounding-noise' is "
         "of 'arithmetic'"),
        ("title: A plain method", "titel: A plain method",
         "3 baselines[0].titel: unknown key 'titel' (did you mean 'title'?)"),
        ("    source: folklore\n", "", "2 baselines[0].source: is missing"),
        ("[pruning]", "[prunning]",
         "6 baselines[0].techniques[0]: unknown value 'prunning' (did you mean 'pruning'?)"),
        ("bits: 4", 'bits: " 4"',
         "9 baselines[0].runs[0].configuration.bits: text begins or ends with white space"),
        ("id: plain", "id: &plain plain",
         "2 baselines[0].id: anchors are not allowed (&plain)"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(told, old: str, new: str, message: str) -> None:
    assert told() == []
    assert told(old, new) == [message]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        read_baselines(load_vocabulary(), tmp_path / "none.yaml")


def test_baselines_are_asked_for_by_one_name() -> None:
    catalog = load_catalog()
    assert catalog.owners([BASELINES]) == catalog.baselines
    assert catalog.owners() == (*catalog.papers, *catalog.baselines)
    both = catalog.owners(["2016-eie", BASELINES])
    assert [one.owner for one in both] == ["2016-eie"] + [BASELINES] * len(catalog.baselines)
    with pytest.raises(UserError, match="did you mean 'baselines'"):
        catalog.owners(["baseline"])
    with pytest.raises(UserError, match="did you mean '2016-eie'"):
        catalog.owners(["2016-eei"])


def test_a_result_leads_to_its_run() -> None:
    catalog = load_catalog()
    found = catalog.find_run(BASELINES, "mnist-lenet-5", "int8-rtn")
    assert found is not None
    assert (found[0].method, found[1].benchmark) == ("int8-rtn", "mnist-lenet-5")
    assert catalog.find_run(BASELINES, "mnist-lenet-5", "paper") is None
    paper = catalog.find_run("2016-deep-compression", "mnist-lenet-300-100", "paper")
    assert paper is not None
    assert paper[0].method == "deep-compression"
    assert catalog.find_run("2016-deep-compression", "mnist-lenet-5", "paper") is None
