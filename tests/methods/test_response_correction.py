"""Error correction: every step lowers eq. 8, and each is what brute force finds."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from methods.layer_responses import response_moments
from methods.product_quantization import product_quantize
from methods.response_correction import Correction, Moments, as_columns, normal_matrix, unfolded
from methods.seeds import seeded


def linear(inputs=10, outputs=30, rows=200, width=4, codewords=6, seed=0):
    """A plain quantization, its inputs (of which one is always 0), and the original weight."""
    generator = seeded(seed)
    weight = torch.randn(outputs, inputs, generator=generator)
    x = torch.randn(rows, inputs, generator=generator).relu()
    x[:, 3] = 0
    wanted = x @ weight.T + 0.1 * torch.randn(rows, outputs, generator=generator)
    held = product_quantize(weight, width, codewords, seed=seed)
    return held, x, wanted, weight


def convolution(groups=1, seed=0, channels=6, outputs=8, codewords=5):
    generator = seeded(seed)
    weight = torch.randn(outputs, channels // groups, 3, 2, generator=generator)
    x = torch.randn(4, channels, 6, 5, generator=generator).relu()
    wanted = functional.conv2d(x, weight, stride=(2, 1), groups=groups)
    held = product_quantize(weight, 2, codewords, seed=seed)
    return held, x, wanted, weight


def moments_of(held, x, wanted, groups=1):
    if len(held.shape) == 2:
        return Moments.of(x.double().unsqueeze(1), wanted.double())
    rows = unfolded(x, held.shape[2:], stride=(2, 1), dilation=(1, 1), groups=groups)
    return Moments.of(rows.double(), wanted.double().flatten(2).transpose(1, 2).flatten(0, 1))


def error_of(held, x, wanted, groups=1):
    """Eq. 8 from the inputs themselves."""
    dense = held.decode().double()
    if len(held.shape) == 2:
        found = x.double() @ dense.T
    else:
        found = functional.conv2d(x.double(), dense, stride=(2, 1), groups=groups)
    return float((wanted.double() - found).square().sum())


CASES = {
    "linear": (linear, 1), "convolution": (convolution, 1),
    "grouped": (lambda seed=0: convolution(2, seed), 2),
    "depthwise": (lambda seed=0: convolution(6, seed, 6, 12), 6),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_error_from_moments_is_that_of_the_responses(case):
    make, groups = CASES[case]
    held, x, wanted, _ = make()
    moments = moments_of(held, x, wanted, groups)
    correction = Correction(held, moments)
    assert correction.error() == pytest.approx(error_of(held, x, wanted, groups), rel=1e-5)
    correction.run(3)
    after = error_of(correction.held(), x, wanted, groups)
    assert correction.error() == pytest.approx(after, rel=1e-4)
    assert after < error_of(held, x, wanted, groups)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 9999), st.sampled_from([0.0, 0.01, 1.0]))
def test_no_update_raises_the_error(case, seed, ridge):
    make, groups = CASES[case]
    held, x, wanted, weight = make(seed=seed)
    moments = moments_of(held, x, wanted, groups).near(as_columns(weight), ridge)
    correction = Correction(held, moments)
    before = correction.error()
    for _ in range(2):
        for subspace, update in itertools.product(
            range(held.subspaces), (correction.update_codewords, correction.update_codes)
        ):
            update(subspace)
            after = correction.error()
            assert after <= before + 1e-9 * moments.responses
            before = after
    assert torch.allclose(as_columns(correction.held().decode()), correction.weight, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_codewords_are_those_of_least_squares(case):
    """Eq. 11: linear in the codewords of a subspace, so brute force is a matrix of responses to
    each of their values."""
    make, groups = CASES[case]
    held, x, wanted, _ = make()
    correction = Correction(held, moments_of(held, x, wanted, groups))
    subspace = held.subspaces - 1
    correction.update_codewords(subspace)

    def response(codebooks):
        changed = type(held)(held.shape, held.codes, codebooks)
        dense = changed.decode().double()
        if len(held.shape) == 2:
            return x.double() @ dense.T
        return functional.conv2d(x.double(), dense, stride=(2, 1), groups=groups)

    rest = held.codebooks.copy()
    rest[subspace] = 0
    used = min(held.subspace, held.shape[1] - subspace * held.subspace)
    columns = []
    for codeword, value in itertools.product(range(held.codewords), range(used)):
        one = held.codebooks * 0
        one[subspace, codeword, value] = 1
        columns.append(response(one).flatten())
    target = (wanted.double() - response(rest)).flatten()
    matrix = torch.stack(columns, 1)
    best = target - matrix @ torch.linalg.lstsq(matrix, target, driver="gelsd").solution
    assert correction.error() == pytest.approx(float(best.square().sum()), rel=1e-6)
    assert correction.error() < error_of(held, x, wanted, groups)


@pytest.mark.parametrize("case", CASES)
def test_each_code_is_the_best_of_all(case):
    """Eq. 12: no other codeword at any one place, the others fixed, gives less error."""
    make, groups = CASES[case]
    held, x, wanted, _ = make()
    correction = Correction(held, moments_of(held, x, wanted, groups))
    for _ in range(20):  # until no place changes
        before = correction.codes.clone()
        for subspace in range(held.subspaces):
            correction.update_codes(subspace)
        if torch.equal(before, correction.codes):
            break
    done = correction.held()
    least = error_of(done, x, wanted, groups)
    assert least < error_of(held, x, wanted, groups)
    for place in itertools.islice(zip(*done.codes.nonzero(), strict=True), 0, None, 5):
        for code in range(done.codewords):
            codes = done.codes.copy()
            codes[place] = code
            other = type(done)(done.shape, codes, done.codebooks)
            assert error_of(other, x, wanted, groups) >= least * (1 - 1e-6)


def test_one_block_is_k_means_under_the_metric_of_the_inputs():
    """With G = S'S and x_c its solution for channel c, the error is a constant plus
    (d - x_c)' G (d - x_c): so a codeword is the mean of its x_c."""
    held, x, wanted, _ = linear(inputs=4, width=4)
    x = x.clone()
    x[:, 3] = torch.rand(len(x), generator=seeded(5))
    correction = Correction(held, moments_of(held, x, wanted))
    correction.update_codewords(0)
    solved = torch.linalg.lstsq(x.double(), wanted.double()).solution.T  # (outputs, 4)
    codes = torch.from_numpy(held.codes[0]).long()
    for code in codes.unique():
        mean = solved[codes == code].mean(0)
        assert correction.codebooks[0, code].tolist() == pytest.approx(mean.tolist(), abs=1e-4)


def test_the_short_way_of_one_position_is_the_general_one():
    held, x, wanted, _ = linear()
    moments = moments_of(held, x, wanted)
    codes = torch.from_numpy(held.codes[:1]).long()
    gram = moments.inputs[:, :4, :4].reshape(1, 1, 4, 1, 4)
    whole = normal_matrix(codes, gram, held.codewords)
    members = torch.bincount(codes.flatten(), minlength=held.codewords)
    blocks = [count * gram[0, 0, :, 0] for count in members]
    assert torch.allclose(whole, torch.block_diag(*blocks))


def test_where_nothing_is_known_all_stays():
    held, x, _, _ = linear()
    correction = Correction(held, moments_of(held, x * 0, torch.zeros(len(x), held.shape[0])))
    correction.run(2)
    assert correction.held() == held
    # An input that is always 0 says nothing of its values.
    held, x, wanted, _ = linear(width=1, codewords=8)
    correction = Correction(held, moments_of(held, x, wanted))
    correction.run(3)
    assert correction.held().codebooks[3].tolist() == held.codebooks[3].tolist()
    assert (correction.held().codes[3] == held.codes[3]).all()
    assert (correction.held().codebooks[2] != held.codebooks[2]).any()


def test_a_strong_ridge_keeps_the_original_weights():
    held, x, wanted, weight = linear(rows=5)
    columns = as_columns(weight)
    gaps = []
    for ridge in (1e-6, 1.0, 100.0):
        correction = Correction(held, moments_of(held, x, wanted).near(columns, ridge))
        correction.run(10)
        gaps.append(float((correction.weight - columns).square().sum()))
    assert gaps == sorted(gaps, reverse=True)


def test_moments_add_up_and_do_not_depend_on_the_batches():
    held, x, wanted, _ = linear()
    whole = moments_of(held, x, wanted)
    parts = [moments_of(held, *part) for part in zip(x.split(70), wanted.split(70), strict=True)]
    summed = parts[0] + parts[1] + parts[2]
    assert torch.allclose(summed.inputs, whole.inputs)
    assert torch.allclose(summed.products, whole.products)
    assert (summed.rows, summed.responses) == (200, pytest.approx(whole.responses))
    assert whole.are_finite
    assert not moments_of(held, x * torch.inf, wanted).are_finite


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 5),
        nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        nn.Conv2d(6, 4, (3, 4), padding="same", bias=False),
        nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(6, 6, 3, padding="valid", groups=6),
        nn.Conv1d(6, 4, 3, stride=2, padding=2, dilation=2),
        nn.Conv1d(6, 4, 3, padding=1, padding_mode="circular", groups=2),
    ],
    ids=str,
)
def test_moments_of_a_layer_are_of_what_it_sees_and_answers(layer):
    """With the layer's own weights the error is 0, and with none that of its responses."""
    rank = 6 if isinstance(layer, nn.Linear) else 4 if isinstance(layer, nn.Conv2d) else 3
    shape = {6: (3, 7, 6), 4: (3, 6, 8, 7), 3: (3, 6, 9)}[rank]
    x = torch.randn(shape, generator=seeded(0))
    network = nn.Sequential(nn.Identity(), layer)
    moments = response_moments(network, network, "1", x.split(2))
    columns = as_columns(layer.weight)
    with torch.no_grad():
        answer = layer(x)
        if layer.bias is not None:
            layer.bias.zero_()
        wanted = float(layer(x).double().square().sum())
    assert moments.rows == answer.numel() // layer.weight.shape[0]
    assert moments.error(columns * 0) == pytest.approx(wanted, rel=1e-5)
    assert moments.error(columns) == pytest.approx(0, abs=1e-4 * wanted)
    changed = columns + 0.1 * torch.randn(columns.shape, generator=seeded(1))
    weight = changed.T.reshape(layer.weight.shape[0], -1, layer.weight.shape[1]).transpose(1, 2)
    with torch.no_grad():
        before = layer(x)
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        gap = float((layer(x) - before).double().square().sum())
    assert moments.error(changed) == pytest.approx(gap, rel=1e-4)


def test_inputs_come_from_the_quantized_network_and_responses_from_the_original():
    torch.manual_seed(0)
    original, quantized = (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4)) for _ in "12")
    x = torch.randn(20, 5, generator=seeded(0))
    moments = response_moments(original, quantized, "2", x.split(6))
    with torch.no_grad():
        given = quantized[:2](x).double()
        wanted = (original(x) - original[2].bias).double()
    assert torch.allclose(moments.inputs[0], given.T @ given, rtol=1e-5)
    assert torch.allclose(moments.products, given.T @ wanted, rtol=1e-4, atol=1e-5)
    assert moments.responses == pytest.approx(float(wanted.square().sum()), rel=1e-5)
