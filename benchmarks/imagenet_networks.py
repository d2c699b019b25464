"""The ImageNet-sized networks of the papers, layer by layer; everything follows from the shapes.

``NETWORKS["alexnet"].layer("fc6").weights``. One multiply-add is counted once. Layers and networks
are named as the records name them. Only what has weights or changes the size of a map is
listed: activations, local response normalisation and dropout are not.

Sources: the authors' layer files, as the papers' records cite them. AlexNet, CaffeNet and CNN-S:
the layer tables of the released Q-CNN code (inputs of 227, 227 and 224). SqueezeNet: section 3 of
the paper and the released networks (input 227). Pooling rounds up, as in Caffe.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

Kind = Literal["convolution", "pooling", "fully-connected"]


@dataclass(frozen=True)
class Layer:
    """One layer with the size of its input."""

    name: str
    kind: Kind
    inputs: int
    """Channels, or values of a fully connected layer."""
    outputs: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
    input_size: int = 1
    """Side of the square input map; 1 for a fully connected layer."""

    @property
    def output_size(self) -> int:
        """Side of the output map; pooling rounds up."""
        steps = (self.input_size + 2 * self.padding - self.kernel) / self.stride
        return (math.ceil(steps) if self.kind == "pooling" else math.floor(steps)) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights: (outputs, inputs of a group, kernel, kernel), or (outputs, inputs)."""
        if self.kind == "pooling":
            return (0,)
        if self.kind == "fully-connected":
            return (self.outputs, self.inputs)
        return (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    @property
    def biases(self) -> int:
        return 0 if self.kind == "pooling" else self.outputs

    @property
    def parameters(self) -> int:
        return self.weights + self.biases

    @property
    def multiply_adds(self) -> int:
        """Without those of the biases."""
        return self.weights * self.output_size**2


@dataclass(frozen=True)
class Network:
    """Layers in the order in which an image passes them; branches one after the other."""

    name: str
    layers: tuple[Layer, ...]

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            KeyError: there is none; names those that there are.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise KeyError(f"{self.name} has no layer {name!r}; it has {known}")

    def part(self, name: str) -> "Network":
        """The layers of one module, such as ``fire2``, or the one layer of that name.

        Raises:
            KeyError: there is none.
        """
        found = tuple(x for x in self.layers if x.name == name or x.name.startswith(f"{name}."))
        return Network(f"{self.name}.{name}", found or (self.layer(name),))

    def holds(self, name: str) -> bool:
        """Whether it has a layer or a module of that name."""
        return any(x.name == name or x.name.startswith(f"{name}.") for x in self.layers)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the modules and layers that have weights, in order."""
        return tuple(dict.fromkeys(layer.name.partition(".")[0] for layer in self.weighted))

    @property
    def weighted(self) -> tuple[Layer, ...]:
        """The layers that have weights."""
        return tuple(layer for layer in self.layers if layer.weights)

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    @property
    def biases(self) -> int:
        return sum(layer.biases for layer in self.layers)

    @property
    def parameters(self) -> int:
        return self.weights + self.biases

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)


@dataclass
class Stack:
    """Builds a network: each layer takes what the one before gives."""

    size: int
    """Side of the image, then of the map reached so far."""
    channels: int = 3
    layers: list[Layer] = field(default_factory=list)

    def convolution(
        self,
        name: str,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> Self:
        layer = Layer(
            name, "convolution", self.channels, outputs, kernel, stride, padding, groups, self.size
        )
        return self._then(layer, layer.output_size)

    def pooling(self, name: str, kernel: int, stride: int) -> Self:
        channels = self.channels
        layer = Layer(name, "pooling", channels, channels, kernel, stride, input_size=self.size)
        return self._then(layer, layer.output_size)

    def connected(self, name: str, outputs: int) -> Self:
        """A fully connected layer over all of the map."""
        inputs = self.channels * self.size**2
        return self._then(Layer(name, "fully-connected", inputs, outputs), 1)

    def fire(self, name: str, squeeze: int, expand_1x1: int, expand_3x3: int) -> Self:
        """A fire module: 1x1 to ``squeeze`` channels, then 1x1 and 3x3 beside each other.

        SqueezeNet, section 3.2: the outputs are concatenated, 1x1 first.
        """
        self.convolution(f"{name}.squeeze", squeeze, 1)
        self.convolution(f"{name}.expand_1x1", expand_1x1, 1)
        self.channels = squeeze
        self.convolution(f"{name}.expand_3x3", expand_3x3, 3, padding=1)
        self.channels = expand_1x1 + expand_3x3
        return self

    def network(self, name: str) -> Network:
        return Network(name, tuple(self.layers))

    def _then(self, layer: Layer, size: int) -> Self:
        self.layers.append(layer)
        self.channels, self.size = layer.outputs, size
        return self


def alexnet(name: str = "alexnet") -> Network:
    """AlexNet with two groups in conv2, conv4 and conv5, as Caffe has it.

    CaffeNet differs only in that it pools before it normalises: its counts are the same.
    """
    return (
        Stack(227)
        .convolution("conv1", 96, 11, stride=4)
        .pooling("pool1", 3, 2)
        .convolution("conv2", 256, 5, padding=2, groups=2)
        .pooling("pool2", 3, 2)
        .convolution("conv3", 384, 3, padding=1)
        .convolution("conv4", 384, 3, padding=1, groups=2)
        .convolution("conv5", 256, 3, padding=1, groups=2)
        .pooling("pool5", 3, 2)
        .connected("fc6", 4096)
        .connected("fc7", 4096)
        .connected("fc8", 1000)
        .network(name)
    )


def cnn_s() -> Network:
    """CNN-S, the slow network of Chatfield et al. 2014."""
    return (
        Stack(224)
        .convolution("conv1", 96, 7, stride=2)
        .pooling("pool1", 3, 3)
        .convolution("conv2", 256, 5, padding=1)
        .pooling("pool2", 2, 2)
        .convolution("conv3", 512, 3, padding=1)
        .convolution("conv4", 512, 3, padding=1)
        .convolution("conv5", 512, 3, padding=1)
        .pooling("pool5", 3, 3)
        .connected("fc6", 4096)
        .connected("fc7", 4096)
        .connected("fc8", 1000)
        .network("cnn-s")
    )


VGG_16_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg_16() -> Network:
    """VGG-16, configuration D of Simonyan and Zisserman 2014."""
    stack = Stack(224)
    for block, widths in enumerate(VGG_16_CHANNELS, 1):
        for place, outputs in enumerate(widths, 1):
            stack.convolution(f"conv{block}_{place}", outputs, 3, padding=1)
        stack.pooling(f"pool{block}", 2, 2)
    return (
        stack.connected("fc6", 4096).connected("fc7", 4096).connected("fc8", 1000).network("vgg16")
    )


def squeezenet(
    name: str = "squeezenet",
    *,
    squeeze_ratio: float = 0.125,
    share_3x3: float = 0.5,
    base: int = 128,
    increment: int = 128,
    every: int = 2,
    complex_bypass: bool = False,
) -> Network:
    """SqueezeNet v1.0 and its design space (section 5.1).

    Fire module i, from 0, has e = base + increment * (i // every) expand filters, of which
    ``share_3x3`` are 3x3, and squeeze_ratio * e squeeze filters.
    conv10 is padded by 1, as in the released network. Complex bypass adds a 1x1 convolution around
    fire2, 4, 6 and 8, whose input and output differ in channels.
    """
    stack = Stack(227).convolution("conv1", 96, 7, stride=2).pooling("pool1", 3, 2)
    for index in range(8):
        module = f"fire{index + 2}"
        expand = base + increment * (index // every)
        expand_3x3 = round(expand * share_3x3)
        inputs = stack.channels
        stack.fire(module, round(squeeze_ratio * expand), expand - expand_3x3, expand_3x3)
        if complex_bypass and inputs != expand:
            stack.channels = inputs
            stack.convolution(f"{module}.bypass", expand, 1)
        if module in ("fire4", "fire8"):
            stack.pooling(f"pool{index + 2}", 3, 2)
    return (
        stack.convolution("conv10", 1000, 1, padding=1)
        .pooling("pool10", stack.size, 1)
        .network(name)
    )


def squeezenet_1_1() -> Network:
    """SqueezeNet v1.1 (the authors' repository): 64 filters of 3x3 first, pools moved forward."""
    stack = Stack(227).convolution("conv1", 64, 3, stride=2).pooling("pool1", 3, 2)
    for index in range(8):
        module = f"fire{index + 2}"
        expand = 128 + 128 * (index // 2)
        stack.fire(module, expand // 8, expand // 2, expand // 2)
        if module in ("fire3", "fire5"):
            stack.pooling(f"pool{index + 2}", 3, 2)
    stack.convolution("conv10", 1000, 1)
    return stack.pooling("pool10", stack.size, 1).network("squeezenet-v1.1")


NETWORKS: Mapping[str, Network] = {
    network.name: network
    for network in (
        alexnet(),
        alexnet("caffenet"),
        cnn_s(),
        vgg_16(),
        squeezenet(),
        squeezenet_1_1(),
        *(
            squeezenet(f"squeezenet-ratio-{ratio:g}", squeeze_ratio=ratio)
            for ratio in (0.25, 0.5, 0.75, 1.0)
        ),
        squeezenet("squeezenet-complex-bypass", complex_bypass=True),
    )
}
"""By the name that records use in their layers: ``alexnet.conv1``, ``vgg16.fc6``."""


def described(layer: str) -> Network | None:
    """The network, or the part of one, that a record's ``layer`` names; None where it is none."""
    if layer in NETWORKS:
        return NETWORKS[layer]
    for name, network in NETWORKS.items():
        part = layer.removeprefix(f"{name}.")
        if part != layer and network.holds(part):
            return network.part(part)
    return None
