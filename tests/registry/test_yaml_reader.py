from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import yaml_reader
from registry.errors import Fault, FaultyFile
from registry.fields import Line, Model
from registry.yaml_reader import Limits, read_model, read_yaml

# what a file may hold as it stands: no control, format, private or unassigned characters
TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]), max_size=12
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**17), 10**17),
    st.decimals(-1000, 1000, places=3).map(float),
    TEXT,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


class Inner(Model):
    name: Line
    count: int = 0


class Outer(Model):
    items: tuple[Inner, ...]
    label: Line | None = None


def faults(source: Path | bytes, **limits: int) -> list[str]:
    with pytest.raises(FaultyFile) as caught:
        read_yaml(source, Limits(**limits))
    return [str(fault) for fault in caught.value.faults]


def outcome(content: bytes) -> tuple[Any, list[Fault]]:
    """The value, or the faults that were raised; anything else raised fails the test."""
    try:
        return read_yaml(content)[0], []
    except FaultyFile as error:
        return None, error.faults


@given(st.dictionaries(TEXT, VALUES, max_size=5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_pyyaml_writes_in_quotes_reads_back(data: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(
        data, default_style=None, default_flow_style=flow, allow_unicode=True, sort_keys=False
    )
    read, told = outcome(text.encode("utf-8"))
    # PyYAML leaves unquoted what only YAML 1.2 reads as a number
    assert read == data or all("put it in quotes" in fault.message for fault in told), told


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_value_or_faults_with_lines(text: str) -> None:
    _, told = outcome(text.encode("utf-8", "surrogatepass"))
    assert all(1 <= fault.line <= text.count("\n") + 2 for fault in told)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_value_or_faults(content: bytes) -> None:
    outcome(content)


SCALAR_TABLE: list[tuple[str, Any]] = [
    ("1", 1),
    ("-7", -7),
    ("0", 0),
    ("1.50", 1.5),
    ("-0.25", -0.25),
    ("1.0e-4", 0.0001),
    ("true", True),
    ("false", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("word", "word"),
    ("no.", "no."),
    ("1.2.3", "1.2.3"),
    ("2016-eie", "2016-eie"),
    ("1510.00149v5", "1510.00149v5"),
    ("'yes'", "yes"),
    ('"1e3"', "1e3"),
    ("4 bits", "4 bits"),
    ("y", "y"),
]


@pytest.mark.parametrize(("text", "value"), SCALAR_TABLE)
def test_scalars(text: str, value: Any) -> None:
    data, _ = read_yaml(f"k: {text}\n".encode())
    assert data == {"k": value}
    assert type(data["k"]) is type(value)


def test_the_pure_python_loader_reads_the_same(
    record_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_yaml(record_text.encode())
    monkeypatch.setattr(yaml_reader, "_LOADER", yaml.SafeLoader)
    assert read_yaml(record_text.encode()) == wanted


def test_each_part_has_its_line() -> None:
    data, marks = read_yaml(b"a: 1\nb:\n  - x\n  -\n    c: 2\n    d: [3,\n     4]\n")
    assert data == {"a": 1, "b": ["x", {"c": 2, "d": [3, 4]}]}
    assert marks[("a",)] == 1
    assert marks[("b",)] == 2
    assert marks[("b", 0)] == 3
    assert marks[("b", 1, "c")] == 5
    assert marks[("b", 1, "d")] == 6
    assert marks[("b", 1, "d", 1)] == 7


def test_every_fault_of_a_file_comes_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    path.write_text(
        "items:\n"
        "  - {nam: a}\n"
        "  - {name: b, count: no}\n"
        "  - {name: 3}\n"
        "  - {name: d, name: e}\n"
        "label: &x y\n"
        "more: 1\n"
    )
    with pytest.raises(FaultyFile) as caught:
        read_model(path, Outer)
    assert str(caught.value).splitlines() == [
        "x.yaml:2 items[0].nam: unknown key 'nam' (did you mean 'name'?)",
        "x.yaml:3 items[1].count: 'no' is read by YAML as a truth value: put it in quotes, or "
        "write it out in decimals",
        "x.yaml:4 items[2].name: text is expected here, not the value 3: put it in quotes",
        "x.yaml:5 items[3].name: this key stands twice: on line 5 and on line 5",
        "x.yaml:6 label: anchors are not allowed (&x)",
        "x.yaml:7 more: unknown key 'more'",
    ]


def test_a_valid_file_becomes_its_model(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("items: [{name: a}, {name: b, count: 2}]\n")
    assert read_model(path, Outer) == Outer(items=(Inner(name="a"), Inner(name="b", count=2)))


def test_limits_are_those_that_are_given() -> None:
    assert faults(b"a: b\n", size_bytes=3) == ["YAML larger than 3 bytes"]
    assert read_yaml(b"a: b\n", Limits(size_bytes=5))[0] == {"a": "b"}
    assert "more than 3 parts" in faults(b"a: b\n", events=3)[0]
    assert "nested more than 1 deep" in faults(b"a: [b]\n", depth=1)[0]
    assert read_yaml(b"a: [b]\n", Limits(depth=2))[0] == {"a": ["b"]}


def test_faults_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("items: []\n" + "".join(f"k{n}: 1\n" for n in range(31)))
    with pytest.raises(FaultyFile) as caught:
        read_model(path, Outer, Limits(faults=10))
    assert len(caught.value.faults) == 11
    assert caught.value.faults[-1].message == "21 more faults from here on: mend those above first"


def test_refused_characters_do_not_hide_other_faults() -> None:
    told = faults("a: x\u202e\nb: 1e3\n".encode())
    assert len(told) == 2
    assert told[0].startswith("YAML:1 character U+202E")
    assert told[1].startswith("YAML:2 b: '1e3'")


def test_windows_line_ends_read_like_others() -> None:
    assert read_yaml(b"a: 1\r\nb: 2\r\n") == read_yaml(b"a: 1\nb: 2\n")
