"""Look-ups against dense products, on each path: sizes, exactness, long sums, bad input."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from methods.kernels import choice, lookup, lookup_plan
from methods.kernels.lookup import LookupConvolution, LookupLinear

TOLERANCE = 5e-7
PATHS = ["avx512", "plain", "torch"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    choose(request.param, monkeypatch)
    return request.param


def choose(path, monkeypatch):
    if path != "torch":
        pytest.importorskip("numba")
    if path == "avx512" and not lookup.uses_avx512():
        pytest.skip("no AVX-512 here")
    monkeypatch.setenv(choice.VARIABLE, "torch" if path == "torch" else "numba")
    monkeypatch.setenv(lookup.VARIABLE, "1" if path == "avx512" else "0")


def values(generator, shape, whole):
    drawn = generator.integers(-8, 9, shape) if whole else generator.standard_normal(shape)
    return drawn.astype(np.float32)


def linear(generator, outputs, inputs, width, codewords, whole=False):
    subspaces = -(-inputs // width)
    codes = generator.integers(0, codewords, (subspaces, outputs)).astype(np.uint8)
    return LookupLinear(codes, values(generator, (subspaces, codewords, width), whole), inputs)


def convolution(generator, outputs, channels, kernel, width, codewords, whole=False):
    subspaces = -(-channels // width)
    codes = generator.integers(0, codewords, (*kernel, subspaces, outputs)).astype(np.uint8)
    books = values(generator, (subspaces, codewords, width), whole)
    return LookupConvolution(codes, books, channels)


def check_linear(layer, x, whole):
    weight = layer.decoded(x.device).double()
    found, expected = layer.product(x), x.double() @ weight.T
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    if whole:
        assert torch.equal(found.double(), expected)
    else:
        allowed = TOLERANCE * (x.double().abs() @ weight.abs().T)
        assert bool(((found - expected).abs() <= allowed).all())


def check_convolution(layer, x, geometry, whole):
    """``geometry``: stride, padding, dilation, groups."""
    weight = layer.decoded(x.device).double()
    stride, padding, dilation, groups = geometry
    found = layer.product(x, stride, padding, dilation, groups)

    def dense(image, kernel):
        return functional.conv2d(image, kernel, None, stride, padding, dilation, groups)

    expected = dense(x.double(), weight)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    if whole:
        assert torch.equal(found.double(), expected)
    else:
        allowed = TOLERANCE * dense(x.double().abs(), weight.abs())
        assert bool(((found - expected).abs() <= allowed).all())


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40)
@given(
    sizes=st.tuples(
        st.integers(1, 120), st.integers(1, 70), st.integers(1, 9), st.integers(1, 256)
    ),
    rows=st.integers(0, 20),
    whole=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_fully_connected_equals_dense(path, sizes, rows, whole, seed):
    generator = np.random.default_rng(seed)
    outputs, inputs, width, codewords = sizes
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose(path, monkeypatch)
        layer = linear(generator, outputs, inputs, min(width, inputs), codewords, whole)
        check_linear(layer, torch.from_numpy(values(generator, (rows, inputs), whole)), whole)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9), st.integers(1, 40)),
    kernel=pairs,
    stride=pairs,
    dilation=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    groups=st.integers(1, 3),
    extra=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    images=st.integers(1, 3),
    whole=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_convolution_equals_dense(
    path, sizes, kernel, stride, dilation, padding, groups, extra, images, whole, seed
):
    generator = np.random.default_rng(seed)
    outputs, channels, width, codewords = sizes
    side = [max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]) + extra[i] for i in range(2)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose(path, monkeypatch)
        layer = convolution(
            generator, outputs * groups, channels, kernel, min(width, channels), codewords, whole
        )
        x = torch.from_numpy(values(generator, (images, channels * groups, *side), whole))
        check_convolution(layer, x, (stride, padding, dilation, groups), whole)


@pytest.mark.parametrize("codewords", [1, 2, 16, 17, 32, 33, 64, 65, 128, 129, 256])
def test_every_width_of_a_code(path, codewords):
    """Each has its own permutations; the last codeword must be within reach."""
    generator = np.random.default_rng(codewords)
    layer = linear(generator, 50, 60, 3, codewords)
    layer.codes[0] = layer.codes[7] = codewords - 1
    check_linear(layer, torch.from_numpy(values(generator, (3, 60), False)), False)


def test_long_sums_of_one_sign_hold_the_tolerance(path):
    """Where nothing cancels, what rounding loses adds up: AlexNet's fc6 has 2,304 subspaces."""
    generator = np.random.default_rng(0)
    layer = linear(generator, 64, 9216, 4, 32)
    np.abs(layer.codebooks, out=layer.codebooks)
    check_linear(layer, torch.from_numpy(generator.random((3, 9216), np.float32)), False)
    layer = convolution(generator, 8, 512, (3, 3), 6, 32)
    np.abs(layer.codebooks, out=layer.codebooks)
    x = torch.from_numpy(generator.random((1, 512, 6, 6), np.float32))
    check_convolution(layer, x, ((1, 1), (1, 1), (1, 1), 1), False)
    if path == "torch":
        return  # its own convolution adds up a kernel of 31 by 31 less well
    layer = convolution(generator, 8, 2, (31, 31), 2, 32)
    np.abs(layer.codebooks, out=layer.codebooks)
    x = torch.from_numpy(generator.random((1, 2, 34, 34), np.float32))
    check_convolution(layer, x, ((1, 1), (0, 0), (1, 1), 1), False)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups"),
    [((5, 5), (1, 1), 2), ((11, 11), (4, 4), 1), ((1, 1), (1, 1), 1)],
)
def test_tiles_and_batches_meet_without_a_seam(path, kernel, stride, groups, monkeypatch):
    generator = np.random.default_rng(1)
    monkeypatch.setattr(lookup_plan, "TABLE_BYTES", 40_000)
    monkeypatch.setattr(lookup, "IMAGE_VALUES", 20_000)
    monkeypatch.setattr(lookup, "ROWS_SUMS", 40)
    layer = convolution(generator, 12, 6, kernel, 2, 16)
    x = torch.from_numpy(values(generator, (5, 6 * groups, 47, 40), False))
    check_convolution(layer, x, (stride, (2, 1), (1, 1), groups), False)
    rows = torch.from_numpy(values(generator, (7, 30), False))
    check_linear(linear(generator, 20, 30, 4, 8), rows, False)


def test_infinity_reaches_only_its_own_outputs(path):
    """What stands between rows, groups and planes, and fills subspaces up, never gets through."""
    generator = np.random.default_rng(2)
    layer = convolution(generator, 4, 5, (3, 3), 2, 8)
    x = torch.from_numpy(values(generator, (2, 10, 9, 9), False))
    weight = layer.decoded(x.device)
    for place in [(0, 0, 0, 0), (0, 4, 8, 8), (1, 5, 4, 8), (1, 9, 8, 0)]:
        image = x.clone()
        image[place] = np.inf
        for stride in (1, 2):
            found = layer.product(image, (stride, stride), (1, 1), (1, 1), 2)
            expected = functional.conv2d(image, weight, None, stride, 1, 1, 2)
            assert torch.equal(found.isfinite(), expected.isfinite())
    rows = torch.from_numpy(values(generator, (1, 7), False))
    rows[0, 6] = np.inf
    layer = linear(generator, 20, 7, 4, 3)
    assert torch.equal(layer.product(rows), rows @ layer.decoded(rows.device).T)


def test_what_lies_beyond_the_inputs_is_ignored(path):
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 8, (2, 10)).astype(np.uint8)
    books = values(generator, (2, 8, 4), False)
    x = torch.from_numpy(values(generator, (2, 5), False))
    expected = LookupLinear(codes, books, 5).product(x)
    books[1, :, 1:] = np.nan
    assert torch.equal(LookupLinear(codes, books, 5).product(x), expected)
    images = x.reshape(2, 5, 1, 1)
    codes = codes.reshape(1, 1, 2, 10)
    found = LookupConvolution(codes, books, 5).product(images)
    torch.testing.assert_close(found.reshape(2, 10), expected)


def test_maps_of_several_sizes_and_strides_in_turn(path):
    """The plans for the sizes are kept apart, and room is used again."""
    generator = np.random.default_rng(4)
    layer = convolution(generator, 6, 4, (3, 3), 2, 16)
    for size in [9, 5, 9, 12, 7, 30, 31, 5]:
        for images in (3, 1):
            x = torch.from_numpy(values(generator, (images, 4, size, size + 1), False))
            check_convolution(layer, x, ((1, 2), (1, 1), (1, 1), 1), False)


def test_threads_do_not_share_room(path):
    generator = np.random.default_rng(5)
    layer = convolution(generator, 32, 16, (3, 3), 4, 32)
    images = [torch.from_numpy(values(generator, (2, 16, 20, 20), False)) for _ in range(4)]
    expected = [layer.product(x) for x in images]
    wrong = []

    def work(at):
        for _ in range(20):
            if not torch.equal(layer.product(images[at]), expected[at]):
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kernel", [(1, 1), (3, 5), (11, 11)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("wide", [12, 30, 100])
def test_no_loop_leaves_its_room(kernel, stride, wide):
    """The last table of the last image and the farthest entry end within what is held."""
    generator = np.random.default_rng(7)
    codes = generator.integers(0, 200, (*kernel, 3, 10)).astype(np.uint8)
    geometry = lookup_plan.Geometry(17, wide, stride, (1, 2), (1, 1), 2)
    plan = lookup_plan.Plan(geometry, codes, (200, 4))
    images, subspaces = 3, plan.slices[-1, 0] + 1
    with plan.room():
        pass
    with plan.room() as room, plan.room() as other:
        assert not np.shares_memory(room.table, other.table)
        x = plan.split(values(generator, (images, 2 * 11, 17, wide), False), room)
        image, group, channel, plane, pitch = plan.pitches
        assert (image, group) == (2 * group, subspaces * 4 * channel)
        tops = range(0, plan.out_shape[2], plan.rows)
        last = (images - 1) * image + group + (subspaces - 1) * 4 * channel + 3 * channel
        last += plan.slices[-1, 1] * plane + tops[-1] * pitch
        assert last + plan.table_stride <= x.size
        run = room.sums.size // plan.out_shape[1]
        assert run >= plan.rows * pitch
        assert int(plan.offsets.max()) + run <= room.table.size
        assert room.table.size == plan.block * 200 * plan.table_stride
        assert room.table.ctypes.data % 64 == room.sums.ctypes.data % 64 == 0


def test_shapes_of_the_input(path):
    generator = np.random.default_rng(6)
    layer = linear(generator, 9, 10, 3, 4)
    x = torch.from_numpy(values(generator, (2, 3, 10), False)).requires_grad_()
    found = layer.product(x)
    assert not found.requires_grad
    torch.testing.assert_close(found[1, 2], layer.product(x[1, 2]))
    turned = torch.from_numpy(values(generator, (10, 4), True)).T.to(torch.float64)
    check_linear(layer, turned, False)
    assert layer.product(torch.zeros(0, 10)).shape == (0, 9)
    empty = LookupLinear(np.zeros((0, 9), np.uint8), np.zeros((0, 4, 3), np.float32), 0)
    assert torch.equal(empty.product(torch.zeros(2, 0)), torch.zeros(2, 9))
    assert linear(generator, 0, 10, 3, 4).product(torch.zeros(2, 10)).shape == (2, 0)
    with pytest.raises(ValueError, match="11 inputs for a layer of 10"):
        layer.product(torch.zeros(10, 11))
    kernel = convolution(generator, 6, 4, (3, 3), 2, 4)
    last = torch.from_numpy(values(generator, (2, 4, 8, 8), False))
    last = last.to(memory_format=torch.channels_last)
    check_convolution(kernel, last, ((1, 1), (0, 0), (1, 1), 1), False)
    assert kernel.product(torch.zeros(0, 4, 8, 8)).shape == (0, 6, 6, 6)
    for refused in (torch.zeros(1, 4, 2, 8), torch.zeros(1, 5, 8, 8)):
        with pytest.raises(RuntimeError):
            kernel.product(refused)


def test_arrays_that_disagree_are_refused():
    codes, books = np.zeros((3, 5), np.uint8), np.zeros((3, 4, 2), np.float32)
    LookupLinear(codes, books, 6)
    LookupLinear(codes, books, 5)
    for inputs in (4, 7):
        with pytest.raises(ValueError, match=f"for {inputs} inputs"):
            LookupLinear(codes, books, inputs)
    with pytest.raises(ValueError, match="for 6 inputs"):
        LookupLinear(codes[:2], books, 6)
    with pytest.raises(ValueError, match="names none of the 4 codewords"):
        LookupLinear(codes + np.uint8(4), books, 6)
    with pytest.raises(ValueError, match="257 codewords"):
        LookupLinear(codes, np.zeros((3, 257, 2), np.float32), 6)
    with pytest.raises(ValueError, match="codes"):
        LookupLinear(codes[0], books, 6)
    with pytest.raises(ValueError, match="codes"):
        LookupConvolution(codes, books, 6)


def run_python(code, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_numba_is_imported_at_the_first_product_only():
    done = run_python(
        "import sys, methods.kernels.lookup, benchmarks.lookup_layer_speed\n"
        "assert not {'numba', 'llvmlite'} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


PRODUCTS = """
import numpy as np, torch
from methods.kernels import lookup
generator = np.random.default_rng(0)
books = generator.integers(-4, 5, (3, 20, 2)).astype(np.float32)
codes = generator.integers(0, 20, (3, 3, 3, 18)).astype(np.uint8)
x = torch.from_numpy(generator.integers(-4, 5, (2, 6, 9, 20)).astype(np.float32))
layer = lookup.LookupConvolution(codes, books, 6)
dense = torch.nn.functional.conv2d(x, layer.decoded(x.device))
assert torch.equal(layer.product(x), dense)
layer = lookup.LookupLinear(codes[0, 0], books, 6)
rows = x[0, :, 0].T.contiguous()
assert torch.equal(layer.product(rows), rows @ layer.decoded(x.device).T)
"""


def test_a_processor_without_avx512_has_its_loops():
    """Numba is told to compile for the least of x86-64: an AVX-512 instruction would not pass."""
    pytest.importorskip("numba")
    code = PRODUCTS + "assert lookup.chosen_path() == 'numba' and not lookup.uses_avx512()"
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = run_python(code, **generic)
    assert done.returncode == 0, done.stderr


def test_without_numba_torch_looks_up():
    hidden = "import sys\nsys.modules['numba'] = None\n"
    hidden += "from methods.kernels import choice\nchoice._has_numba = lambda: False\n"
    done = run_python(hidden + PRODUCTS + "assert lookup.chosen_path() == 'torch'")
    assert done.returncode == 0, done.stderr


def test_decoded_puts_each_codeword_where_its_code_stands():
    generator = np.random.default_rng(8)
    codes = generator.integers(0, 5, (2, 3, 4, 6)).astype(np.uint8)
    books = values(generator, (4, 5, 3), False)
    found = lookup.decoded(codes, books, 10)
    assert found.shape == (6, 10, 2, 3)
    assert found.is_contiguous()
    for o, channel, y, x in np.ndindex(*found.shape):
        m, j = divmod(channel, 3)
        assert found[o, channel, y, x] == books[m, codes[y, x, m, o], j]
    flat = lookup.decoded(codes[0, 0], books, 10)
    assert torch.equal(flat, found[:, :, 0, 0])
