"""``netcompress eie simulate`` through the real entry point: keys, sums, networks, bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import methods
from methods.compressed import Compressed, load
from methods.eie.coded import CodedLayer
from methods.eie.draw import random_activation, random_layer
from methods.eie.encode import encode
from methods.eie.energy import power_mw
from methods.eie.machine import Machine, simulate
from methods.eie.networks import coded_network
from methods.formats.dense import Dense
from methods.formats.sparse_codebook import SparseCodebook
from netcompress.__main__ import main

ROOT = Path(methods.__file__).resolve().parent.parent
KEYS = {
    "cycles", "time_us", "theoretical_us", "entries", "padding_entries", "stored_entries",
    "broadcasts", "pointer_reads", "spmat_reads", "stall_cycles", "bubble_cycles", "load_balance",
    "energy_uj", "overflow",
}  # fmt: skip
SIMULATE = ("eie", "simulate")
DRAWN = ("--shape", "40x96", "--weight-density", "0.2", "--activation-density", "0.3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with layers, networks and data."""
    where = tmp_path_factory.mktemp("eie")
    chance = np.random.default_rng(0)
    weight = chance.normal(size=(40, 96)).astype(np.float32)
    weight[chance.random(weight.shape) > 0.2] = 0
    activation = chance.normal(size=96).astype(np.float32)
    bias = chance.normal(size=40).astype(np.float32)
    codebook = np.append(0, np.linspace(-2, 2, 15)).astype(np.float32)
    np.savez(where / "layer.npz", weight=weight, activation=activation)
    np.savez(
        where / "whole.npz", weight=weight, activation=activation, bias=bias, codebook=codebook
    )
    np.savez(where / "zeros.npz", weight=weight, activation=-np.abs(activation))
    huge = np.full((2, 3), 3e38, np.float32)
    np.savez(where / "huge.npz", weight=huge, activation=huge[0])
    write_networks(where)
    (where / "junk.npz").write_bytes(b"PK\x03\x04junk")
    (where / "junk.netc").write_bytes(b"junk")
    return where


def write_networks(where: Path) -> None:
    """A trained-like network of two layers, one with a convolution, and data for both."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 30), nn.ReLU(), nn.Linear(30, 4))
    with torch.no_grad():
        x = torch.rand(200, 1, 6, 6)
        y = network(x).argmax(1)
    formats = {}
    for name in ("1.weight", "3.weight"):
        tensor = network.state_dict()[name]
        held = torch.where(tensor.abs() > 0.05, (tensor * 60).round() / 60, 0)
        values, codes = torch.unique(held[held != 0], return_inverse=True)
        places = torch.nonzero(held.reshape(-1)).reshape(-1)
        formats[name] = SparseCodebook(
            tuple(tensor.shape), places.numpy(), codes.numpy(), values.numpy()
        )
    Compressed.from_module(network, formats).save(where / "two.netc")
    mixed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))
    Compressed.from_module(mixed, {}).save(where / "mixed.netc")
    dense = {"0.weight": Dense(torch.ones(2, 1, 3, 3))}
    Compressed.from_module(nn.Sequential(nn.Conv2d(1, 2, 3)), dense).save(where / "conv.netc")
    write_tensors(where)
    np.savez(where / "data.npz", x=x.numpy(), y=y.numpy())
    np.savez(where / "beyond.npz", x=x.numpy().astype(np.float64) * 1e300, y=y.numpy())
    np.savez(where / "wrong.npz", x=x.numpy()[:, :, :5], y=y.numpy())
    np.savez(where / "negative.npz", x=x.numpy() - 0.5, y=y.numpy())


def write_tensors(where: Path) -> None:
    """Files of tensors without layers: one layer without a name, and what is no layer."""
    rows = torch.ones(8, 3)
    files = {
        "bare": {"weight": rows, "bias": torch.ones(8)},
        "nan": {"a.weight": rows, "b.weight": torch.full((2, 8), torch.nan)},
        "torn": {"x.weight_ih_l0": rows, "x.weight_hh_l0": torch.ones(4, 2)},
        "flat": {"x.weight_ih_l0": torch.ones(8), "x.weight_hh_l0": torch.ones(8, 2)},
        "one-bias": {
            "x.weight_ih_l0": rows, "x.weight_hh_l0": torch.ones(8, 2),
            "x.bias_ih_l0": torch.ones(8),
        },
    }  # fmt: skip
    for name, tensors in files.items():
        Compressed.from_tensors(tensors, {}).save(where / f"{name}.netc")


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Runs the command in this process; returns what it said."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NETCOMPRESS_KERNELS", "torch")  # nothing to compile; other tests do

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["netcompress", *SIMULATE, *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert (left.value.code or 0) == code, said.err
        return said

    return run


def sums_hold(report, pes=64, clock=800.0):
    """What holds for every layer and for every total."""
    assert set(report) >= KEYS
    bubbles = report["bubble_cycles"]
    assert set(bubbles) == {"empty", "starvation", "tail"}
    assert report["entries"] + sum(bubbles.values()) == pes * report["cycles"]
    assert report["time_us"] == pytest.approx(report["cycles"] / clock)
    assert report["theoretical_us"] == pytest.approx(report["entries"] / (pes * clock))
    if report["cycles"]:
        balance = report["entries"] / (pes * report["cycles"])
        assert report["load_balance"] == pytest.approx(balance)
    watts = power_mw(pes) / 1_000
    assert report["energy_uj"] == pytest.approx(watts * report["cycles"] / 800)
    assert report["pointer_reads"] == pes * report["broadcasts"]


def test_a_layer_in_a_process_of_its_own(folder):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETCOMPRESS_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "netcompress", *SIMULATE, "--layer", "whole.npz", "--pes",
         "8", "--outputs", "--json"],
        capture_output=True, text=True, cwd=folder, check=False, timeout=100,
        env={**environment, "PYTHONPATH": str(ROOT), "NETCOMPRESS_KERNELS": "torch"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    sums_hold(report, pes=8)
    held = np.load(folder / "whole.npz")
    coded = CodedLayer.from_weights(held["weight"], held["codebook"], held["bias"])
    wanted = coded.weight() @ np.maximum(held["activation"], 0) + coded.bias()
    assert report["outputs"] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert report["broadcasts"] == int((held["activation"] > 0).sum()) + 1


def test_a_drawn_layer_is_the_librarys(call):
    machine = Machine(pes=16, queue_depth=3, width_bits=32, clock_mhz=1000.0)
    layer = encode(random_layer(40, 96, 0.2, 5), 16)
    wanted = simulate(layer, random_activation(96, 0.3, 5), machine)
    report = json.loads(
        call(*DRAWN, "--seed", 5, "--pes", 16, "--fifo", 3, "--width", 32, "--clock-mhz", 1000,
             "--json").out
    )  # fmt: skip
    sums_hold(report, pes=16, clock=1000.0)
    for name in ("cycles", "entries", "padding_entries", "stored_entries", "spmat_reads",
                 "stall_cycles"):  # fmt: skip
        assert report[name] == getattr(wanted, name)
    assert report["machine"] == machine.model_dump()
    assert "outputs" not in report
    again = json.loads(call(*DRAWN, "--json").out)
    assert again == json.loads(call(*DRAWN, "--seed", 0, "--json").out)


def test_negative_activations_are_sent_where_asked(call, folder):
    usual = json.loads(call("--layer", "layer.npz", "--json").out)
    signed = json.loads(call("--layer", "layer.npz", "--signed", "--json").out)
    activation = np.load(folder / "layer.npz")["activation"]
    assert usual["broadcasts"] == int((activation > 0).sum()) < signed["broadcasts"] == 96
    sums_hold(signed)


def test_what_is_below_0_is_said_not_to_be_sent(call, folder):
    negative = int((np.load(folder / "layer.npz")["activation"] < 0).sum())
    words = f"{negative} activations are below 0 and not broadcast: --signed sends them"
    assert words in call("--layer", "layer.npz", "--json").err
    assert "below 0" not in call("--layer", "layer.npz", "--signed", "--json").err
    on_data = ("--network", "two.netc", "--data", "negative.npz", "--json")
    assert "below 0 in x is not broadcast: --signed" in call(*on_data).err
    assert "below 0" not in call(*on_data, "--signed").err


def test_layers_without_an_order_are_said_to_run_alone(call):
    said = call("--network", "bare.netc", "--activation-density", 0.5, "--json")
    assert "every layer runs alone: the file holds tensors without the order" in said.err


def test_nothing_to_send_takes_no_cycle(call):
    report = json.loads(call("--layer", "zeros.npz", "--outputs", "--json").out)
    sums_hold(report)
    assert (report["cycles"], report["load_balance"]) == (0, None)
    assert report["outputs"] == [0.0] * 40
    assert "takes no cycle" in call("--layer", "zeros.npz").out


def test_what_does_not_fit_is_reported(call):
    shape = ("--shape", "70x3000", "--weight-density", 0.9, "--activation-density", 0.1)
    said = call(*shape, "--pes", 1, "--json")
    report = json.loads(said.out)
    assert len(report["overflow"]) == 5
    assert "batches would be needed" in " ".join(report["overflow"])
    assert said.err.count("overflow, ") == 5
    sums_hold(report, pes=1)


def test_outputs_beyond_float32_are_null(call):
    said = call("--layer", "huge.npz", "--outputs", "--json")
    assert json.loads(said.out)["outputs"] == [None, None]
    assert "beyond the range of float32" in said.err
    assert "Warning" not in said.err


def test_people_read_a_table_and_a_sentence(call):
    said = call("--layer", "whole.npz", "--outputs", "--width", 128, "--clock-mhz", 1200)
    for text in ("40 outputs x 96 inputs", "1200 MHz", "lines of 128 bits", "PE cycles (",
                 "Table II's power", "bounds it: ", "│    39 │"):  # fmt: skip
        assert text in said.out.replace("bound it", "bounds it"), text
    assert "Table II is for a port of 64 bits" in said.err


def test_every_layer_of_a_network(call, folder):
    drawn = ("--network", "two.netc", "--activation-density", 0.5, "--seed", 7)
    said = call(*drawn, "--json")
    report = json.loads(said.out)
    sums_hold(report)
    assert [layer["name"] for layer in report["layers"]] == ["1", "3"]
    for name in ("cycles", "entries", "spmat_reads", "energy_uj"):
        assert report[name] == pytest.approx(sum(layer[name] for layer in report["layers"]))
    for layer, inputs in zip(report["layers"], (36, 30), strict=True):
        sums_hold(layer)
        assert layer["broadcasts"] == round(inputs / 2) + 1  # the bias
        assert 0 < layer["coding_error"] < 0.2
    network = coded_network(load(folder / "two.netc"))
    for place, one in enumerate(network.layers):  # activations of their own for each
        activation = random_activation(one.coded.inputs, 0.5, 7 + place)
        wanted = simulate(encode(one.coded, 64), activation, Machine())
        assert report["layers"][place]["spmat_reads"] == wanted.spmat_reads
        assert report["layers"][place]["entries"] == wanted.entries
    assert said.err.count("values are clustered to 15, which changes the weights by") == 2
    assert said.err.count("its bias takes the nearest of the weights' values") == 2
    assert "accuracy" not in report
    shown = call(*drawn).out
    assert "30 x 36" in shown
    assert shown.count(f"{report['cycles']:,}") >= 1


def test_a_network_on_data_keeps_its_accuracy(call, folder):
    said = call("--network", "two.netc", "--data", "data.npz", "--json")
    report = json.loads(said.out)
    accuracy = report["accuracy"]
    assert accuracy["rows"] == 180
    assert set(accuracy) == {"rows", "as_stored", "coded", "fixed_16"}
    assert accuracy["as_stored"] > 0.7
    assert abs(accuracy["coded"] - accuracy["as_stored"]) < 0.15
    assert abs(accuracy["fixed_16"] - accuracy["coded"]) <= 0.02
    first = np.load(folder / "data.npz")["x"][0]
    assert report["layers"][0]["broadcasts"] == int((first > 0).sum()) + 1
    assert "the first of 200 rows" in said.err
    assert "Accuracy on 180 rows" in call("--network", "two.netc", "--data", "data.npz").out


def test_layers_that_the_machine_cannot_run_are_named(call):
    said = call("--network", "mixed.netc", "--activation-density", 1, "--json")
    assert [layer["shape"] for layer in json.loads(said.out)["layers"]] == [[4, 32]]
    assert "a convolution is none" in said.err


def test_relu_is_left_out_only_where_no_layer_of_the_machine_is_before_it(call, folder):
    parts = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 8), nn.ReLU()]
    Compressed.from_module(nn.Sequential(*parts), {}).save(folder / "relu.netc")
    said = call("--network", "relu.netc", "--activation-density", 1, "--json")
    left_out = [line for line in said.err.splitlines() if "is left out" in line]
    assert [line.split(":")[0] for line in left_out] == [
        "layer 0 is left out", "layer 1 is left out",
    ]  # fmt: skip


def test_a_layer_without_a_name_is_told_apart_from_a_total(call):
    said = call("--network", "bare.netc", "--activation-density", 1, "--json")
    assert [layer["name"] for layer in json.loads(said.out)["layers"]] == ["unnamed"]


def test_a_shape_beyond_the_pointers_is_refused_before_it_is_drawn(call, monkeypatch):
    monkeypatch.setattr("methods.eie.request.random_layer", lambda *_: pytest.fail("drawn"))
    said = call("--shape", "1x100000000", *DRAWN[2:], code=2)
    assert "100,000,000 columns on 64 PEs are more than" in said.err


@pytest.mark.parametrize("step", ["encode", "simulate"])
def test_a_layer_beyond_memory_is_one_message(call, monkeypatch, step):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(f"methods.eie.request.{step}", full)
    assert "40 x 96 on 64 PEs take more memory than there is" in call(*DRAWN, code=2).err


LAYER = ("--layer", "layer.npz")
NETWORK = ("--network", "two.netc")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to simulate: give one of --layer"),
        ((*LAYER, *NETWORK), "--layer and --network: give one of --layer"),
        (("--shape", "40x96"), "--shape needs --weight-density"),
        (DRAWN[:4], "--shape needs --activation-density"),
        (("--shape", "40by96", *DRAWN[2:]), "--shape 40by96: write outputs x inputs"),
        (("--shape", "0x96", *DRAWN[2:]), "--shape 0x96: write outputs x inputs"),
        ((*DRAWN[:2], "--weight-density", "1.5", *DRAWN[4:]), "weight density: 1.5"),
        ((*DRAWN[:2], "--weight-density", "nan", *DRAWN[4:]), "weight density: nan"),
        ((*DRAWN[:4], "--activation-density", "-0.1"), "activation density: -0.1"),
        ((*DRAWN, "--seed", "-1"), "--seed -1: give a whole number from 0 on"),
        ((*DRAWN, "--data", "data.npz"), "--data goes with --network, not with --shape"),
        ((*LAYER, "--seed", "1"), "--seed goes with --shape and --network, not with --layer"),
        ((*LAYER, "--activation-density", "1"), "--activation-density goes with --shape"),
        ((*LAYER, "--pes", "0"), "--pes 0: it should be greater than or equal to 1"),
        ((*LAYER, "--pes", "99999999"), "--pes 99999999: it should be less"),
        ((*LAYER, "--fifo", "0"), "--fifo 0: it should be greater"),
        ((*LAYER, "--width", "12"), "--width 12: a line of the sparse matrix memory holds whole"),
        ((*LAYER, "--width", "0"), "--width 0: it should be greater"),
        ((*LAYER, "--clock-mhz", "0"), "--clock-mhz 0.0: it should be greater than 0"),
        ((*LAYER, "--clock-mhz", "nan"), "--clock-mhz nan: it should be a finite number"),
        ((*LAYER, "--pes", "0", "--fifo", "-1"), "--pes 0: it should be greater than or equal to "
         "1; --fifo -1"),
        (("--layer", "none.npz"), "none.npz: cannot be read: No such file"),
        (("--layer", "junk.npz"), "junk.npz: is no .npz file"),
        (("--network", "nan.netc", "--activation-density", "1"), "layer b: weight: NaN or"),
        (("--network", "torn.netc", "--activation-density", "1"), "x: of recurrent layers the"),
        (("--network", "flat.netc", "--activation-density", "1"), "x: of recurrent layers the"),
        (("--network", "one-bias.netc", "--activation-density", "1"), "x: of recurrent layers"),
        ((*NETWORK, "--data", "beyond.npz"), "beyond.npz: x holds values beyond the range of"),
        (NETWORK, "--network needs --data FILE.npz with arrays x and y, or --activation-density"),
        ((*NETWORK, "--activation-density", "2"), "activation density: 2"),
        ((*NETWORK, "--activation-density", "1", "--data", "data.npz"), "leave out --activation"),
        ((*NETWORK, "--activation-density", "1", "--outputs"), "--outputs goes with --layer and"),
        ((*NETWORK, "--data", "junk.npz"), "junk.npz: is no .npz file"),
        ((*NETWORK, "--data", "wrong.npz"), "layer '1': the layer takes 36 inputs, not 30"),
        ((*NETWORK, "--activation-density", "1", "--weight-density", "1"), "not with --network"),
        (("--network", "mixed.netc", "--data", "data.npz"), "give --activation-density in place"),
        (("--network", "conv.netc", "--activation-density", "1"), "no layer that the machine can"),
        (("--network", "junk.netc", "--activation-density", "1"), "junk.netc: "),
        (("--network", "layer.npz", "--activation-density", "1"), "layer.npz: "),
    ],
)  # fmt: skip
def test_what_the_user_must_mend_is_one_message(arguments, message, call):
    said = call(*arguments, code=2)
    assert message in said.err
    assert said.err.startswith("netcompress: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
