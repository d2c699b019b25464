"""A user's own network: files of tensors and factories, round trips first, then hostile ones."""

import io
import json
import struct
import sys
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from methods.compressed import Compressed
from methods.state_files import TIES_KEY, read_state, write_safetensors
from methods.state_tree import from_state_dict
from methods.user_network import read_network
from methods.weights import find_ties, find_weights
from registry.errors import UserError

LAYERS = {
    "linear": nn.Linear(4, 3),
    "conv1": nn.Conv1d(4, 6, 3),
    "conv2": nn.Conv2d(4, 6, (3, 1), bias=False),
    "norm": nn.BatchNorm1d(3),
    "lstm": nn.LSTM(3, 4, 2, bidirectional=True),
    "narrow": nn.LSTM(3, 4, proj_size=2),
    "gru": nn.GRU(3, 4, bias=False),
    "rnn": nn.RNN(3, 4),
    "lstm_cell": nn.LSTMCell(3, 4),
    "gru_cell": nn.GRUCell(3, 4),
    "rnn_cell": nn.RNNCell(3, 4, bias=False),
}


def same(one, other):
    """Names, shapes, types and bytes are equal."""
    assert set(one) == set(other)
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert tensor.shape == other[name].shape, name
        octets = [t.contiguous().reshape(-1).view(torch.uint8) for t in (tensor, other[name])]
        assert torch.equal(*octets), name


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        (".pt", torch.float32),
        (".pth", torch.float16),
        (".safetensors", torch.bfloat16),
        (".safetensors", torch.float64),
    ],
)
def test_a_file_of_tensors_comes_in_as_modules(suffix, dtype, tmp_path):
    network = nn.ModuleDict(LAYERS).to(dtype)
    path = tmp_path / f"mine{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    read = read_network(path)
    assert read.name == "mine"
    assert read.remarks == ()
    same(read.network.state_dict(), network.state_dict())
    weights = {one.name: type(one.module) for one in find_weights(read.network).handled}
    assert weights == {one.name: type(one.module) for one in find_weights(network).handled}


NAMES = st.text(alphabet="ab.é0_", min_size=1, max_size=8)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=6))
def test_any_names_and_shapes_come_back(shapes):
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    same(from_state_dict(state).state_dict(), state)


@pytest.mark.parametrize(
    "name",
    ["forward", "training", "_parameters", "__class__.weight", "state_dict.bias", "T_destination",
     "register_parameter.weight", "weight", "a..b", ".a", "a.", "."],
)  # fmt: skip
def test_names_of_a_file_never_become_attributes(name):
    state = {name: torch.ones(2, 3), "linear.weight": torch.ones(3, 2)}
    network = from_state_dict(state)
    same(network.state_dict(), state)
    assert callable(network.forward)
    assert network.training is False


def test_a_state_dict_alone_says_that_it_cannot_run():
    with pytest.raises(UserError, match=r"cannot run.*--weights"):
        from_state_dict({"weight": torch.ones(2, 2)})(torch.ones(1, 2))


def test_tensors_that_fit_no_layer_stay_plain():
    state = {
        "lstm.weight_ih_l0": torch.ones(10, 3),  # 10 rows are no 1, 3 or 4 times 4
        "lstm.weight_hh_l0": torch.ones(10, 4),
        "cell.weight_ih": torch.ones(8),
        "cell.weight_hh": torch.ones(8, 2),
        "five.weight": torch.ones(1, 1, 1, 1, 1),
        "whole.weight": torch.ones(2, 2, dtype=torch.int8),
        "none.weight": torch.ones(0, 2),
        "gap.weight_ih_l1": torch.ones(4, 4),
    }
    network = from_state_dict(state)
    same(network.state_dict(), state)
    assert find_weights(network).handled == ()


def test_ties_of_a_pickled_state_dict_are_kept(tmp_path):
    shared = torch.randn(5, 3)
    torch.save({"emb.weight": shared, "out.weight": shared}, tmp_path / "t.pt")
    network = read_network(tmp_path / "t.pt").network
    assert find_ties(network.state_dict()) == {"out.weight": "emb.weight"}
    assert len(list(network.parameters())) == 1


def test_ties_go_through_our_safetensors_and_back(tmp_path):
    shared = torch.randn(5, 3)
    held = Compressed.from_tensors({"a": shared, "b": shared, "c": shared.clone()}, {})
    size = write_safetensors(held, tmp_path / "t.safetensors")
    assert size == (tmp_path / "t.safetensors").stat().st_size
    state, remarks = read_state(tmp_path / "t.safetensors")
    assert find_ties(state) == {"b": "a"}
    assert remarks == ()


@pytest.mark.parametrize(
    "ties",
    ["[]", "{", '{"b": 1}', '{"b": "d"}', '{"b": "c"}', '{"a": "b", "b": "a"}', "[" * 100_000],
)
def test_ties_that_do_not_hold_are_dropped_with_a_remark(ties, tmp_path):
    tensors = {"a": torch.ones(2), "b": torch.ones(2), "c": torch.zeros(2)}
    save_file(tensors, tmp_path / "t.safetensors", {TIES_KEY: ties})
    state, remarks = read_state(tmp_path / "t.safetensors")
    same(state, tensors)
    assert find_ties(state) == {}
    assert "ties" in remarks[0]


@pytest.mark.parametrize(
    ("wrap", "remark"),
    [
        (lambda s: {"state_dict": s, "epoch": 3}, "'state_dict' are taken; left out: epoch"),
        (lambda s: {"model_state": s, "optimizer": {"lr": 0.1}}, "'model_state' are taken"),
        (lambda s: {"mine": s, "args": None}, "'mine' are taken"),
        (lambda s: {"ema": s, "model": s}, "'model' are taken; left out: ema"),
        (lambda s: {**s, "epoch": 3}, "no tensors: epoch"),
    ],
)
def test_a_state_dict_within_is_taken_with_a_remark(wrap, remark, tmp_path):
    state = nn.Linear(2, 3).state_dict()
    torch.save(wrap(state), tmp_path / "t.pt")
    read, remarks = read_state(tmp_path / "t.pt")
    same(read, state)
    assert remark in remarks[0]


def pack_archive(path):
    """A file of torch.save whose members are deflated."""
    torch.save({"a": torch.ones(3)}, path)
    inside = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(inside, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member), zipfile.ZIP_DEFLATED)
    path.write_bytes(inside.getvalue())


def hostile(kind, path):
    """Write a bad file."""
    match kind:
        case "a whole module":
            torch.save(nn.Linear(2, 2), path)
        case "code":
            path.write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
        case "nothing":
            path.write_bytes(b"")
        case "text":
            path.write_bytes(b"hello" * 100)
        case "cut short":
            torch.save(nn.Linear(20, 20).state_dict(), path)
            path.write_bytes(path.read_bytes()[:-200])
        case "changed":
            torch.save(nn.Linear(20, 20).state_dict(), path)
            data = bytearray(path.read_bytes())
            data[60:90] = bytes(30)
            path.write_bytes(data)
        case "a list":
            torch.save([torch.ones(2)], path)
        case "no tensors":
            torch.save({"epoch": 3}, path)
        case "empty dictionary":
            torch.save({}, path)
        case "numbers as names":
            torch.save({0: torch.ones(2)}, path)
        case "two state dicts":
            torch.save({"net_g": {"a": torch.ones(2)}, "net_d": {"a": torch.ones(2)}}, path)
        case "a view without end":
            torch.save({"a": torch.ones(1).expand(2**40)}, path)
        case "a packed archive":
            pack_archive(path)
        case "sparse":
            torch.save({"a": torch.eye(3).to_sparse()}, path)
        case "no values":
            torch.save({"a": torch.empty(3, device="meta")}, path)
        case "an endless name":
            torch.save({"a" * 300: torch.ones(2)}, path)
        case "a name that does not show":
            torch.save({"a\u202eb": torch.ones(2)}, path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("a whole module", "not unpickled.*save the state dict alone"),
        ("code", "not unpickled"),
        ("nothing", "no file of torch.save"),
        ("text", "no file of torch.save|not unpickled"),
        ("cut short", "damaged|no file of torch.save|not unpickled"),
        ("changed", "damaged"),
        ("a list", "holds a list, not a state dict"),
        ("no tensors", "holds no state dict"),
        ("empty dictionary", "holds no state dict"),
        ("numbers as names", "holds no state dict"),
        ("two state dicts", r"several state dicts \(net_g, net_d\)"),
        ("a view without end", "declares tensors of 4398046511104 bytes"),
        ("a packed archive", "unpacks to more"),
        ("sparse", "not stored densely"),
        ("no values", "has no values yet"),
        ("an endless name", "300 bytes"),
        ("a name that does not show", "control character"),
    ],
)
def test_bad_pickled_files_are_one_message(kind, message, tmp_path):
    path = tmp_path / "bad.pt"
    hostile(kind, path)
    with pytest.raises(UserError, match=message) as caught:
        read_state(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert "weights_only" not in text


def header(fields, data=b""):
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text + data


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**40) + b"{}",
        header(b"{"),
        header(b"[" * 50_000),
        header({"a": FLOATS}, bytes(7)),
        header({"a": FLOATS}, bytes(9)),
        header({"a": {**FLOATS, "shape": [2**62, 4]}}, bytes(8)),
        header({"a": {**FLOATS, "data_offsets": [0, 2**60]}}, bytes(8)),
        header({"a": {**FLOATS, "data_offsets": [8, 0]}}, bytes(8)),
        header({"a": {**FLOATS, "dtype": "F31"}}, bytes(8)),
        header({"a": FLOATS, "b": FLOATS}, bytes(8)),
        header({"__metadata__": {"a": 1}, "a": FLOATS}, bytes(8)),
        header({}),
    ],
    ids=range(14),
)
def test_bad_safetensors_are_one_message(content, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_state(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["none.pt", "none.safetensors", "folder.pt", "x.netc", "x.onnx",
                                    "a\0b.pt", "module", "a:b:c", "os;x:y"])  # fmt: skip
def test_sources_that_name_no_network(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(UserError):
        read_network(source)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The working folder, with a module of a name that nothing else has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_module_of_tests.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n    print('noise')\n    return nn.Sequential(nn.Linear(4, 3), nn.Tanh())\n"
        "class Nets:\n    Small = nn.Linear(2, 2)\n"
        "def needs(size):\n    return nn.Linear(size, size)\n"
        "def breaks():\n    raise RuntimeError('no such file')\n"
        "def leaves():\n    raise SystemExit(3)\n"
        "def number():\n    return 3\n"
        "def lazy():\n    return nn.LazyLinear(3)\n"
        "def tied():\n    a, b = nn.Linear(2, 2), nn.Linear(2, 2)\n    b.weight = a.weight\n"
        "    return nn.Sequential(a, b)\n",
        "utf-8",
    )
    (tmp_path / "own_broken_module_of_tests.py").write_text("import no_such_thing\n", "utf-8")
    yield tmp_path
    for name in ("own_module_of_tests", "own_broken_module_of_tests"):
        sys.modules.pop(name, None)


def test_a_factory_is_called_and_gives_the_same_each_time(in_folder, capsys):
    one, two = (read_network("own_module_of_tests:build") for _ in range(2))
    same(one.network.state_dict(), two.network.state_dict())
    other = read_network("own_module_of_tests:build", seed=1)
    assert not torch.equal(one.network[0].weight, other.network[0].weight)
    assert one.network.training is False
    assert one.name == "build"
    assert read_network("own_module_of_tests:Nets.Small").name == "Nets-Small"
    assert capsys.readouterr().out == ""
    assert sys.path[0] != str(in_folder)


def test_a_factory_is_filled_by_weights(in_folder):
    state = nn.Sequential(nn.Linear(4, 3)).state_dict()
    torch.save({"state_dict": state}, in_folder / "w.pt")
    read = read_network("own_module_of_tests:build", in_folder / "w.pt")
    same(read.network.state_dict(), state)
    assert "taken" in read.remarks[0]
    torch.save({name: one.half() for name, one in state.items()}, in_folder / "half.pt")
    halves = read_network("own_module_of_tests:build", in_folder / "half.pt")
    assert "float16 to torch.float32" in halves.remarks[0]
    save_file(
        {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2), "1.bias": torch.ones(2)},
        in_folder / "tied.safetensors",
    )
    tied = read_network("own_module_of_tests:tied", in_folder / "tied.safetensors").network
    assert tied[1].weight is tied[0].weight
    assert bool((tied[0].weight == 1).all())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own_module_of_tests:biuld", "has no biuld"),
        ("own_module_of_tests:needs", "without arguments failed"),
        ("own_module_of_tests:breaks", "RuntimeError: no such file"),
        ("own_module_of_tests:leaves", "SystemExit"),
        ("own_module_of_tests:number", "gives a int, not a torch.nn.Module"),
        ("own_module_of_tests:lazy", "has no values yet"),
        ("own_broken_module_of_tests:build", "no_such_thing"),
        ("no_such_module_of_tests:build", "cannot be imported"),
    ],
)
def test_factories_that_give_no_network(target, message, in_folder):
    with pytest.raises(UserError, match=message) as caught:
        read_network(target)
    assert target in str(caught.value) or "weight" in str(caught.value)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_what_wrappers_put_before_every_name_is_taken_off(prefix, in_folder):
    state = nn.Sequential(nn.Linear(4, 3)).state_dict()
    torch.save({prefix + name: tensor for name, tensor in state.items()}, in_folder / "w.pt")
    read = read_network("own_module_of_tests:build", in_folder / "w.pt")
    same(read.network.state_dict(), state)
    assert prefix in read.remarks[0]


def test_a_message_lists_no_thousand_names(in_folder):
    torch.save({f"x{n}.weight": torch.ones(1) for n in range(999)}, in_folder / "w.pt")
    with pytest.raises(UserError, match="does not fit the network") as caught:
        read_network("own_module_of_tests:build", in_folder / "w.pt")
    assert len(str(caught.value)) < 2500


def test_weights_that_do_not_fit(in_folder):
    torch.save({"weight": torch.ones(2, 2)}, in_folder / "w.pt")
    with pytest.raises(UserError, match="does not fit the network"):
        read_network("own_module_of_tests:build", in_folder / "w.pt")
    with pytest.raises(UserError, match="leave out --weights"):
        read_network(in_folder / "w.pt", in_folder / "w.pt")
