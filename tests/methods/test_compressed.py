"""Networks of formats: built, saved, loaded, run."""

import hashlib
from collections import OrderedDict

import pytest
import torch
from torch import nn

from methods.atomic import is_temporary, write_atomically
from methods.compressed import Compressed, load
from methods.describe import describe
from methods.document import LayerEntry
from methods.formats.dense import Dense
from methods.formats.format import FormatError
from methods.formats.sparse_codebook import SparseCodebook
from methods.layers import Network
from registry.errors import UserError


def sparse(tensor, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(tensor.shape, generator=generator) < 0.2
    return SparseCodebook.from_dense(tensor, mask, torch.linspace(-0.3, 0.3, 16), **settings)


@pytest.fixture
def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 4, 3, stride=(2, 1), padding=1, dilation=(1, 2), groups=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2, ceil_mode=True),
            pool2=nn.AvgPool2d((2, 1), stride=1),
            flatten=nn.Flatten(),
            drop=nn.Dropout(),
            ip1=nn.Linear(12, 5, bias=False),
        )
    ).eval()


@pytest.fixture
def three_layers():
    torch.manual_seed(1)
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            ip1=nn.Linear(64, 30),
            relu1=nn.ReLU(),
            ip2=nn.Linear(30, 20),
            relu2=nn.ReLU(),
            ip3=nn.Linear(20, 10),
        )
    )


def weights(network):
    return {
        name: sparse(parameter)
        for name, parameter in network.named_parameters()
        if parameter.dim() > 1
    }


@pytest.mark.parametrize("which", ["convolutional", "three_layers"])
def test_what_is_loaded_computes_what_the_decoded_network_computes(which, request, tmp_path):
    network = request.getfixturevalue(which)
    compressed = Compressed.from_sequential(network, weights(network), {"method": "none"})
    path = tmp_path / "a.netc"
    size = compressed.save(path)
    assert size == path.stat().st_size == sum(compressed.size_bytes().values())
    read = load(path)
    assert read.metadata == {"method": "none"}
    assert dict(read.formats) == dict(compressed.formats)
    assert read.size_bytes() == compressed.size_bytes()
    network.load_state_dict(read.tensors())
    x = torch.randn(3, *((2, 8, 8) if which == "convolutional" else (64,)))
    assert torch.allclose(read.network(x), network(x), atol=1e-5)
    assert torch.equal(read.network(x), compressed.network(x))


def test_three_layers_have_a_small_header(three_layers):
    compressed = Compressed.from_sequential(three_layers, weights(three_layers))
    assert compressed.size_bytes()["header"] < 220


def test_a_users_own_module_is_filled_in_its_own_types(tmp_path):
    def module():
        return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).half()

    first = module()
    first[1].num_batches_tracked.fill_(2**40 + 1)
    state = first.state_dict()
    formats = {"0.weight": Dense(state["0.weight"], "float16")}
    Compressed.from_tensors(state, formats).save(tmp_path / "a.netc")
    second = module()
    read = Compressed.load(tmp_path / "a.netc", into=second)
    for name, tensor in second.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name])
    with pytest.raises(UserError, match="into=module"):
        _ = read.network
    with pytest.raises(UserError, match="does not fit"):
        read.fill(nn.Linear(6, 4))


def test_layers_are_described_with_their_parameters(convolutional):
    described = describe(convolutional)
    assert [one.kind for one in described] == [
        "convolution",
        "relu",
        "max-pooling",
        "average-pooling",
        "flatten",
        "linear",
    ]
    assert described[0].sizes == {
        "stride": 2,
        "stride_width": 1,
        "padding": 1,
        "dilation_width": 2,
        "groups": 2,
    }
    assert described[0].tensors == {"weight": "conv1.weight", "bias": "conv1.bias"}
    assert described[2].sizes == {"kernel": 2, "ceil": 1}
    assert described[3].sizes == {"kernel": 2, "kernel_width": 1, "stride": 1}


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.ELU()),
        nn.Sequential(nn.Conv2d(1, 1, 3, padding_mode="reflect")),
        nn.Sequential(nn.Conv2d(1, 1, 3, padding="same")),
        nn.Sequential(nn.MaxPool2d(2, dilation=2)),
        nn.Sequential(nn.Flatten(0)),
    ],
)
def test_networks_that_files_cannot_name_are_refused(network):
    with pytest.raises(UserError):
        describe(network)


def test_formats_for_nothing_or_of_another_shape_are_refused(three_layers):
    with pytest.raises(UserError, match="ip9"):
        Compressed.from_sequential(three_layers, {"ip9.weight": Dense(torch.zeros(1))})
    with pytest.raises(UserError, match="shape"):
        Compressed.from_sequential(three_layers, {"ip1.weight": Dense(torch.zeros(1))})


def test_a_graph_adds_and_concatenates():
    eye = Dense(torch.eye(3))
    layers = (
        LayerEntry("linear", "a", {}, (), {"weight": 0}),
        LayerEntry("relu", "b"),
        LayerEntry("addition", "c", {}, (-1, 0, 1)),
        LayerEntry("concatenation", "d", {}, (2, -1)),
    )
    x = torch.tensor([[1.0, -2.0, 3.0]])
    out = Network(layers, [eye])(x)
    assert out.tolist() == [[3.0, -4.0, 9.0, 1.0, -2.0, 3.0]]
    held = Compressed({"a.weight": eye}, layers)
    assert torch.equal(Compressed.from_bytes(held.to_bytes()).network(x), out)


def test_tensors_that_do_not_fit_their_layer_show_at_loading():
    layer = LayerEntry("linear", "a", {}, (), {"weight": 0, "bias": 1})
    held = Compressed({"w": Dense(torch.zeros(3, 2)), "b": Dense(torch.zeros(2))}, (layer,))
    with pytest.raises(FormatError, match="'a' has a bias"):
        Compressed.from_bytes(held.to_bytes())
    convolution = LayerEntry("convolution", "a", {"groups": 2}, (), {"weight": 0})
    odd = Compressed({"w": Dense(torch.zeros(3, 2, 1, 1))}, (convolution,))
    with pytest.raises(FormatError, match="groups"):
        Compressed.from_bytes(odd.to_bytes())


def test_inputs_of_the_wrong_width_are_one_readable_message(three_layers):
    compressed = Compressed.from_sequential(three_layers, {})
    with pytest.raises(UserError, match="'ip1': the layer takes 64 inputs, not 7"):
        compressed.network(torch.zeros(1, 7))


def test_files_that_cannot_be_read_or_written_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.netc"):
        load(tmp_path / "none.netc")
    (tmp_path / "other.netc").write_bytes(b"something else")
    with pytest.raises(FormatError, match=r"other\.netc: this is no \.netc file"):
        load(tmp_path / "other.netc")
    with pytest.raises(UserError, match="cannot be written"):
        Compressed({}).save(tmp_path / "no-folder" / "a.netc")


def test_unknown_kinds_are_refused():
    class Strange(Dense):
        kind = "strange"

    data = Compressed({"a": Strange(torch.zeros(1))}).to_bytes()
    with pytest.raises(FormatError, match="unknown kind 'strange'"):
        Compressed.from_bytes(data)


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:

            def fail(*_):
                raise OSError(28, "No space left on device")

            if call == "fsync":
                patch.setattr("os.fsync", fail)
            else:
                patch.setattr("pathlib.Path.replace", fail)
            with pytest.raises(OSError, match="No space"):
                write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_temporary_files_are_known_by_name(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("pathlib.Path.replace", lambda self, _: seen.append(self.name))
    write_atomically(tmp_path / "a.json", b"")
    assert is_temporary(seen[0])
    for name in ("a.json", ".a.json", ".a.tmp", "a.0123456789ab.tmp"):
        assert not is_temporary(name)


def test_saving_twice_gives_the_same_bytes(three_layers, tmp_path):
    digests = set()
    for name in ("a", "b"):
        Compressed.from_sequential(three_layers, weights(three_layers)).save(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
