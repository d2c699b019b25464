"""``eie tables`` and ``eie sweep`` as a user types them."""

import json

import pytest
from typer.testing import CliRunner

import benchmarks.eie_layers
from benchmarks.eie_layers import layer_named
from netcompress.app import app
from registry.errors import UserError


def call(*arguments):
    return CliRunner().invoke(app, ["eie", *arguments])


def test_tables_as_json_and_for_people(monkeypatch):
    monkeypatch.setattr(benchmarks.eie_layers, "LAYERS", (layer_named("NT-We"),))
    done = call("tables", "--json", "--draws", "1", "--seed", "7")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert list(found) == ["seed", "draws", "table_2", "table_3", "table_4", "speedups",
                           "figure_6", "table_5", "energy"]  # fmt: skip
    assert (found["seed"], found["draws"], len(found["table_4"])) == (7, 1, 4)
    assert "simulating NT-We, 1 of 1" in done.stderr
    text = call("tables", "--draws", "1").stdout
    for words in ("Table II", "inferred densities", "missed", "holds by construction", "314.3×"):
        assert words in text


def test_a_sweep_of_one_layer():
    done = call("sweep", "fifo", "--layer", "nt-we", "--layer", "NT-We", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    (row,) = found["layers"]
    assert row["layer"] == "NT-We"
    assert [point["fifo"] for point in row["points"]] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert {"load_balance", "real_efficiency", "fed_share", "bubble_cycles"} <= set(
        row["points"][0]
    )
    text = call("sweep", "width", "--layer", "NT-We").stdout
    assert "128 over 64 bits above" in text
    assert "The paper prints no energy" in text


def test_what_is_wrong_is_said():
    done = call("sweep", "fifo", "--layer", "NT-W")
    assert isinstance(done.exception, UserError)
    assert "no layer 'NT-W' in Table III: take one of Alex-6" in str(done.exception)
    assert call("sweep", "depth").exit_code == 2
    assert call("tables", "--draws", "0").exit_code == 2


@pytest.mark.parametrize("name", ["tables", "sweep"])
def test_help_has_an_example(name):
    assert f"Example: netcompress eie {name}" in call(name, "--help").stdout
