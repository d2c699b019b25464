"""Residual networks: the published parameter counts, and the same outputs from a file."""

import pytest
import torch
from torch import nn

from methods.compressed import Compressed
from methods.describe import describe
from methods.layers import ChannelPadding
from methods.residual_networks import Geometry, PreActivationBlock, residual_network
from methods.seeds import seeded
from registry.errors import UserError


@pytest.mark.parametrize(
    ("blocks", "convolutions", "parameters"),
    [(3, 267_264, 269_722), (5, 460_800, 464_154), (7, 654_336, 658_586), (9, 847_872, 853_018)],
)
def test_the_papers_networks_have_their_parameters(
    blocks: int, convolutions: int, parameters: int
) -> None:
    """ResNet-20 to 56 on CIFAR-10, all convolutions but the first."""
    network = residual_network(blocks, 0, channels=3, size=32)
    counted = sum(
        module.weight.numel() for module in network.modules() if isinstance(module, nn.Conv2d)
    )
    assert counted - 3 * 16 * 9 == convolutions
    assert sum(one.numel() for one in network.parameters()) == parameters
    layers = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    assert len(layers) == 6 * blocks + 2


def shaken(network: nn.Sequential) -> nn.Sequential:
    """With statistics and scales of normalisations that are not those of a start."""
    generator = seeded(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for held, low in ((module.weight, 0.5), (module.running_var, 0.5)):
                    assert held is not None
                    held.uniform_(low, 2, generator=generator)
                for held in (module.bias, module.running_mean):
                    assert held is not None
                    held.normal_(generator=generator)
    return network.eval()


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_file_names_every_layer_and_computes_the_same(blocks: int) -> None:
    network = shaken(residual_network(blocks, 0, size=12))
    held = Compressed.from_bytes(Compressed.from_module(network, {}).to_bytes())
    kinds = [layer.kind for layer in held.layers]
    assert kinds.count("addition") == 3 * blocks
    assert kinds.count("channel-padding") == 2
    x = torch.randn(3, 1, 12, 12, generator=seeded(2))
    with torch.inference_mode():
        assert torch.equal(held.network(x), network(x))


@pytest.mark.parametrize("geometry", [Geometry(4, 4), Geometry(4, 9), Geometry(3, 6)])
@pytest.mark.parametrize("first", [True, False])
def test_a_block_may_be_the_first_layer_and_its_shortcut_starts_at_the_input(
    geometry: Geometry, first: bool
) -> None:
    network = shaken(nn.Sequential(PreActivationBlock(geometry, first=first), nn.ReLU()))
    held = Compressed.from_bytes(Compressed.from_module(network, {}).to_bytes())
    x = torch.randn(2, geometry.inputs, 6, 6, generator=seeded(3))
    with torch.inference_mode():
        assert torch.equal(held.network(x), network(x))


def test_a_block_within_a_sequence_within_a_network_is_found() -> None:
    inner = nn.Sequential(nn.ReLU(), PreActivationBlock(Geometry(2, 4)))
    network = shaken(nn.Sequential(nn.Conv2d(1, 2, 3), inner, nn.ReLU()))
    held = Compressed.from_bytes(Compressed.from_module(network, {}).to_bytes())
    assert "1.1.sum" in [layer.name for layer in held.layers]
    x = torch.randn(2, 1, 8, 8, generator=seeded(3))
    with torch.inference_mode():
        assert torch.equal(held.network(x), network(x))


def test_a_class_derived_from_the_block_may_compute_anything_and_is_refused() -> None:
    class Other(PreActivationBlock):
        pass

    with pytest.raises(UserError, match="kind that files cannot name"):
        describe(nn.Sequential(Other(Geometry(2, 2))))


def test_the_same_seed_is_the_same_network_and_another_is_not() -> None:
    one, same, other = (residual_network(1, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv0.weight"], other["conv0.weight"])


@pytest.mark.parametrize(("blocks", "size"), [(0, 28), (1, 30)])
def test_what_cannot_be_built_is_refused(blocks: int, size: int) -> None:
    with pytest.raises(ValueError, match="blocks a stage"):
        residual_network(blocks, 0, size=size)


def test_channels_of_zeros_stand_around_those_of_any_map() -> None:
    padding = ChannelPadding(1, 2)
    assert padding(torch.ones(2, 3)).tolist() == [[0, 1, 1, 1, 0, 0]] * 2
    padded = padding(torch.ones(2, 3, 4, 5))
    assert tuple(padded.shape) == (2, 6, 4, 5)
    assert padded.sum() == 2 * 3 * 4 * 5
    with pytest.raises(UserError, match="batch, channels"):
        padding(torch.ones(3))
