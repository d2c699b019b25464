"""Networks that users really have: narrow types, frozen or unused layers, shared memory."""

import pytest
import torch
from torch import nn

from methods.compress import compress
from methods.compressed import Compressed
from methods.formats.codebook_dense import CodebookDense
from methods.formats.sparse import Sparse
from methods.formats.sparse_codebook import SparseCodebook
from methods.seeds import seeded
from methods.weights import find_ties
from registry.errors import UserError

SHORT = {"rounds": 2, "round_epochs": 1, "final_epochs": 1, "codebook_epochs": 1}
X = torch.randn(40, 6, generator=seeded(0))
Y = (X[:, 0] > 0).long()


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("data", [None, (X, Y)], ids=["dataless", "trained"])
def test_deep_compression_takes_networks_of_every_type(dtype, data, tmp_path):
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)
    compressed = compress(network, "deep-compression", data, weight_bits=3, **SHORT)
    compressed.save(tmp_path / "a.netc")
    held = Compressed.load(tmp_path / "a.netc", network).tensors()
    for name, tensor in network.state_dict().items():
        assert held[name].dtype == tensor.dtype == dtype
        assert torch.equal(held[name], tensor)
    assert held["0.weight"].unique().numel() <= 9
    assert (held["0.weight"] == 0).any() == (data is not None)


class WithSpare(nn.Module):
    """A frozen layer, and one that no output depends on."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.spare = nn.Linear(6, 8), nn.Linear(8, 2), nn.Linear(8, 3)
        self.body.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x).relu())


def test_layers_that_are_frozen_or_take_no_part_are_compressed_untrained():
    network = WithSpare()
    held = compress(network, "deep-compression", (X, Y), weight_bits=8, **SHORT).tensors()
    for name in ("body", "spare"):
        kept = held[f"{name}.weight"] != 0
        was = network.get_parameter(f"{name}.weight").detach()
        assert 0 < int(kept.sum()) == round(0.1 * kept.numel())
        assert torch.allclose(held[f"{name}.weight"][kept], was[kept], atol=0.01)
    assert not torch.equal(held["head.bias"], network.head.bias)


@pytest.mark.parametrize("method", ["deep-compression", "magnitude-pruning"])
def test_where_all_is_frozen_the_message_says_so(method):
    network = WithSpare().requires_grad_(False)
    with pytest.raises(UserError, match="every parameter is frozen"):
        compress(network, method, (X, Y), final_epochs=1)


def test_a_layer_of_a_few_weights_keeps_one_by_default():
    network = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 1), nn.Linear(1, 2))
    held = compress(network, "deep-compression", (X, Y), **SHORT).tensors()
    assert [int((held[f"{n}.weight"] != 0).sum()) for n in range(3)] == [1, 1, 1]


class SharedMemory(nn.Module):
    """Two parameters, one memory."""

    def __init__(self):
        super().__init__()
        self.rows, self.scores = nn.Embedding(5, 6), nn.Linear(6, 5)
        self.scores.weight.data = self.rows.weight.data

    def forward(self, x):
        return self.scores(self.rows(x[:, 0]))


@pytest.mark.parametrize("method", ["int8-rtn", "magnitude-pruning", "deep-compression"])
def test_parameters_that_share_memory_are_tied(method):
    network = SharedMemory()
    rows = torch.arange(40).reshape(-1, 1) % 5
    setting = {} if method == "int8-rtn" else {"final_epochs": 1, "rounds": 1}
    compressed = compress(network, method, (rows, rows[:, 0]), **setting)
    assert dict(compressed.ties) == {"scores.weight": "rows.weight"}
    assert network.scores.weight is not network.rows.weight
    read = Compressed.from_bytes(compressed.to_bytes())
    read.fill(network)
    assert find_ties(network.state_dict()) == {"scores.weight": "rows.weight"}
    assert torch.equal(network(rows), compressed.network(rows))


def test_what_no_file_can_hold_is_refused_before_any_training():
    def fail(*given):
        raise AssertionError("it ran")

    network = nn.Sequential(nn.Linear(6, 2))
    network.register_forward_pre_hook(fail)
    network.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(UserError, match=r"phase holds torch\.complex64"):
        compress(network, "deep-compression", (X, Y))
    network = nn.Sequential()
    network.add_module("n" * 201, nn.Linear(6, 2))
    network.register_forward_pre_hook(fail)
    with pytest.raises(UserError, match=r"tensor 'nnn.*208 bytes, not 1 to 200"):
        compress(network, "deep-compression", (X, Y))


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("magnitude-pruning", {"value_dtype": "float16", "density": 0.9}),
        ("deep-compression", {"codebook_dtype": "float16"}),
        ("deep-compression", {"codebook_dtype": "float16", "densities": {"0": 0.5}}),
    ],
)
def test_weights_beyond_float16_are_no_infinities(method, setting):
    network = nn.Sequential(nn.Linear(6, 2))
    network[0].weight.data[0, 0] = 1e6
    with pytest.raises(UserError, match="beyond the range of float16"):
        compress(network, method, **setting)


def test_biases_beyond_float16_are_no_infinities():
    network = nn.Sequential(nn.Linear(6, 2))
    network[0].bias.data[0] = 1e6
    with pytest.raises(UserError, match=r"0\.bias is beyond float16"):
        compress(network, "deep-compression", bias_dtype="float16")


def test_weights_beyond_float32_stay_dense():
    network = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 2)).double()
    network[0].weight.data[0, 0] = 1e300
    held = compress(network, "magnitude-pruning", density=0.9).tensors()
    assert torch.equal(held["0.weight"], network[0].weight)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_formats_keep_values_that_are_not_finite(value):
    codes, book = torch.zeros(1, 1, dtype=torch.int64), torch.tensor([value])
    mask, dense = torch.ones(1, 1, dtype=torch.bool), torch.tensor([[value]])
    for held in (
        Sparse.from_mask(dense, mask, value_dtype="float16"),
        CodebookDense.from_codes(codes, book, codebook_dtype="float16"),
        SparseCodebook.from_codes(mask, codes, book, codebook_dtype="float16"),
    ):
        assert torch.equal(held.decode().isnan(), dense.isnan())
        assert torch.equal(held.decode().isinf(), dense.isinf())


def test_an_older_weight_norm_is_told_with_its_way_out():
    network = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 2)))
    with pytest.raises(UserError, match=r"remove_weight_norm\(layer\)"):
        compress(network, "float16")


def test_many_small_layers_are_told_what_is_too_many():
    few = nn.Sequential(*(nn.Linear(8, 8) for _ in range(300)))
    assert len(compress(few, "float16").to_bytes()) > 0
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(700)))
    with pytest.raises(UserError, match=r"^\d+ layers, .* too many small layers"):
        compress(network, "float16").to_bytes()
