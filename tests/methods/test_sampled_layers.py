"""Sampled layers: gradients against autograd's, one draw for both passes, shifts and additions."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from methods.sampled_layers import SampledConvolution, SampledLinear, Sampling
from methods.seeds import seeded


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_without_draws_and_rounding_gradients_are_autograds(kind):
    generator = seeded(1)
    if kind == "linear":
        layer, x = nn.Linear(7, 5), torch.randn(3, 4, 7, generator=generator)
        sampled = SampledLinear(layer, 0.5, Sampling("real", False), 0)
    else:
        layer = nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=(1, 2), groups=2)
        x = torch.randn(3, 4, 9, 8, generator=generator)
        sampled = SampledConvolution(layer, 0.5, Sampling("real", False), 0)
    sampled.draw()
    found = []
    for module in (layer, sampled):
        layer.zero_grad()
        inputs = x.clone().requires_grad_()
        outputs = module(inputs)
        outputs.square().sum().backward()
        found.append([outputs, inputs.grad, layer.weight.grad.clone(), layer.bias.grad.clone()])
    for wanted, given in zip(*found, strict=True):
        torch.testing.assert_close(given, wanted)


def test_one_draw_serves_forward_and_backward_pass():
    layer = nn.Linear(30, 20, bias=False)
    sampled = SampledLinear(layer, 0.1, Sampling("ternary", False), 0)
    sampled.draw()
    drawn = sampled.drawn.clone()
    x = torch.randn(8, 30, generator=seeded(0)).requires_grad_()
    outputs = sampled(x)
    torch.testing.assert_close(outputs, 0.1 * (x @ drawn.T))
    sampled.draw()  # of the next minibatch: the backward pass of this one is not touched
    outputs.backward(torch.ones_like(outputs))
    torch.testing.assert_close(x.grad, 0.1 * torch.ones(8, 20) @ drawn)
    torch.testing.assert_close(layer.weight.grad, torch.ones(20, 8) @ x.detach())
    assert not torch.equal(drawn, sampled.drawn)


def test_quantized_back_propagation_is_shifts_and_additions():
    """In integers: the error shifted by the exponent of the rounded input, added or subtracted."""
    fraction_bits = 12
    generator = seeded(3)
    x = torch.randint(-(2**10), 2**10, (16, 9), generator=generator) / 2**6
    error = torch.randint(-(2**8), 2**8, (16, 5), generator=generator)
    layer = nn.Linear(9, 5, bias=False)
    sampled = SampledLinear(layer, 0.1, Sampling("ternary", True), 11)
    sampled.draw()
    sampled(x).backward(error.float())
    again = SampledLinear(layer, 0.1, Sampling("ternary", True), 11)
    again.draw()
    rounded = again.rounded(x)
    sums = np.zeros((5, 9), dtype=np.int64)
    for row in range(16):
        for i in range(9):
            value = float(rounded[row, i])
            if value == 0:
                continue
            shift = int(math.log2(abs(value))) + fraction_bits
            assert shift >= 0
            for j in range(5):
                shifted = int(error[row, j]) << shift
                sums[j, i] += shifted if value > 0 else -shifted
    np.testing.assert_array_equal(layer.weight.grad.numpy() * 2**fraction_bits, sums)


def test_inputs_are_rounded_for_the_weights_gradient_alone():
    layer = nn.Conv2d(2, 3, 2, bias=False)
    sampled = SampledConvolution(layer, 0.1, Sampling("real", True, (-4, 3)), 0)
    sampled.draw()
    x = torch.rand(2, 2, 5, 5, generator=seeded(0)).requires_grad_()
    outputs = sampled(x)
    torch.testing.assert_close(outputs, layer(x))
    (wanted,) = torch.autograd.grad(layer(x).square().sum(), x)
    outputs.square().sum().backward()
    torch.testing.assert_close(x.grad, wanted)
    layer_gradient = layer.weight.grad.clone()
    layer.zero_grad()
    layer(x).square().sum().backward()
    assert not torch.allclose(layer_gradient, layer.weight.grad)
    assert torch.nn.functional.cosine_similarity(
        layer_gradient.flatten(), layer.weight.grad.flatten(), dim=0
    ) > 0.9  # fmt: skip
