"""The descriptions of the large networks, held to published counts."""

import math

import pytest

from benchmarks.imagenet_networks import NETWORKS, Layer, described, squeezenet


@pytest.mark.parametrize(
    ("network", "weights", "parameters"),
    [
        # Deep Compression, Tables 4 and 5; Caffe's AlexNet file.
        ("alexnet", 60_954_656, 60_965_224),
        ("caffenet", 60_954_656, 60_965_224),
        ("vgg16", 138_344_128, 138_357_544),
        # Released networks of SqueezeNet, v1.0 and v1.1.
        ("squeezenet", 1_244_448, 1_248_424),
        ("squeezenet-v1.1", 1_231_552, 1_235_496),
        # SqueezeNet, Fig. 3 (a) and Table 3.
        ("squeezenet-ratio-0.25", None, 1_967_080),
        ("squeezenet-ratio-0.5", None, 3_404_392),
        ("squeezenet-ratio-0.75", None, 4_841_704),
        ("squeezenet-ratio-1", None, 6_279_016),
        ("squeezenet-complex-bypass", None, 1_589_672),
    ],
)
def test_parameters_are_the_published_ones(
    network: str, weights: int | None, parameters: int
) -> None:
    found = NETWORKS[network]
    assert weights in (None, found.weights)
    assert found.parameters == parameters


@pytest.mark.parametrize(
    ("network", "mebibytes"),
    # Q-CNN's table of run-time sizes: float32 weights and biases.
    [("alexnet", 232.56), ("cnn-s", 392.57)],
)
def test_float32_sizes_are_those_that_q_cnn_prints(network: str, mebibytes: float) -> None:
    assert 4 * NETWORKS[network].parameters / 2**20 == pytest.approx(mebibytes, abs=0.006)


def test_alexnet_has_the_weights_of_each_layer() -> None:
    assert {layer.name: layer.weights for layer in NETWORKS["alexnet"].weighted} == {
        "conv1": 34_848,
        "conv2": 307_200,
        "conv3": 884_736,
        "conv4": 663_552,
        "conv5": 442_368,
        "fc6": 37_748_736,
        "fc7": 16_777_216,
        "fc8": 4_096_000,
    }


@pytest.mark.parametrize(
    ("network", "millions"),
    # Kim et al. 2016, table of whole networks: one addition of the bias an output counts too.
    [("alexnet", 725), ("vgg16", 15_484)],
)
def test_multiply_adds_with_bias_additions_are_the_published_ones(
    network: str, millions: int
) -> None:
    found = NETWORKS[network]
    additions = sum(layer.biases * layer.output_size**2 for layer in found.layers)
    assert round((found.multiply_adds + additions) / 1e6) == millions


@pytest.mark.parametrize(
    ("network", "millions"),
    # SqueezeNet's README, 1.72 billion operations, and Q-CNN's dense count of CNN-S, 2.928e9.
    [("squeezenet", 861.3), ("squeezenet-v1.1", 387.7), ("cnn-s", 2927.7), ("alexnet", 724.4)],
)
def test_multiply_adds(network: str, millions: float) -> None:
    assert round(NETWORKS[network].multiply_adds / 1e6, 1) == millions


def test_squeezenets_modules_are_those_of_its_table_1() -> None:
    network = NETWORKS["squeezenet"]
    assert {name: network.part(name).parameters for name in network.parts} == {
        "conv1": 14_208,
        "fire2": 11_920,
        "fire3": 12_432,
        "fire4": 45_344,
        "fire5": 49_440,
        "fire6": 104_880,
        "fire7": 111_024,
        "fire8": 188_992,
        "fire9": 197_184,
        "conv10": 513_000,
    }


@pytest.mark.parametrize(
    ("share", "parameters"),
    # SqueezeNet, Fig. 3 (b), at squeeze ratio 0.5.
    [
        (0.01, 1_478_248),
        (0.125, 1_929_832),
        (0.25, 2_421_352),
        (0.75, 4_387_432),
        (0.99, 5_330_536),
    ],
)
def test_the_share_of_3x3_filters(share: float, parameters: int) -> None:
    assert squeezenet(squeeze_ratio=0.5, share_3x3=share).parameters == parameters


@pytest.mark.parametrize(
    ("network", "sizes"),
    [
        ("alexnet", {"conv1": 55, "conv2": 27, "conv5": 13, "pool5": 6}),
        ("cnn-s", {"conv1": 109, "pool1": 37, "conv2": 35, "pool2": 18, "pool5": 6}),
        ("vgg16", {"conv1_1": 224, "conv5_3": 14, "pool5": 7}),
        ("squeezenet", {"conv1": 111, "pool1": 55, "pool4": 27, "pool8": 13, "conv10": 15}),
        ("squeezenet-v1.1", {"pool1": 56, "pool3": 28, "pool5": 14, "conv10": 14}),
    ],
)
def test_maps_have_the_published_sizes(network: str, sizes: dict[str, int]) -> None:
    found = NETWORKS[network]
    assert {name: found.layer(name).output_size for name in sizes} == sizes


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_fit_together_and_counts_add_up(name: str) -> None:
    found = NETWORKS[name]
    names = [layer.name for layer in found.layers]
    assert len(set(names)) == len(names)
    for layer in found.layers:
        assert layer.inputs % layer.groups == 0 == layer.outputs % layer.groups
    assert found.parameters == sum(found.part(part).parameters for part in found.parts)
    assert found.multiply_adds == sum(found.part(part).multiply_adds for part in found.parts)
    for before, after in zip(found.layers, found.layers[1:], strict=False):
        if after.kind == "fully-connected" and before.kind == "pooling":
            assert after.inputs == before.outputs * before.output_size**2


def test_groups_and_strides_divide_the_work() -> None:
    plain = Layer("plain", "convolution", 64, 128, 3, padding=1, input_size=28)
    grouped = Layer("grouped", "convolution", 64, 128, 3, padding=1, groups=4, input_size=28)
    strided = Layer("strided", "convolution", 64, 128, 3, 2, padding=1, input_size=28)
    assert plain.weights == 4 * grouped.weights == math.prod(plain.shape)
    assert plain.multiply_adds == 4 * grouped.multiply_adds == 4 * strided.multiply_adds


def test_what_records_name_is_found() -> None:
    alexnet, fire2 = described("alexnet"), described("squeezenet.fire2")
    assert alexnet is NETWORKS["alexnet"]
    assert fire2 is not None
    assert [layer.name for layer in fire2.layers] == [
        "fire2.squeeze",
        "fire2.expand_1x1",
        "fire2.expand_3x3",
    ]
    half = described("squeezenet-ratio-0.5")
    assert half is NETWORKS["squeezenet-ratio-0.5"]
    assert described("alexnet.kept") is None
    assert described("eq-1-example") is None
    with pytest.raises(KeyError, match="no layer 'fc9'; it has conv1"):
        NETWORKS["alexnet"].layer("fc9")
