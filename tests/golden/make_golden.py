"""Makes the golden files: a script, run once a recipe; a file that is there is never rewritten.

    python tests/golden/make_golden.py

A new file comes in by its recipe in ``RECIPES`` and a run of this script, which writes
``version-1-NAME.netc`` and, beside it, the digest of what it decodes to. Old files stay as they
are for ever: readers of every later version must read them. Values come from SHA-256, not from a
random generator, so the recipes give the same bytes wherever they run.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from methods.compressed import Compressed
from methods.document import LayerEntry
from methods.formats.codebook_dense import CodebookDense
from methods.formats.dense import STORED, Dense
from methods.formats.format import Format
from methods.formats.product_quantized import ProductQuantized, codes_shape, subspace_count
from methods.formats.sparse import Sparse, ValueDtype
from methods.formats.sparse_codebook import CodebookDtype, SparseCodebook

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))  # tests load this file by its place, without its neighbours

from factored_recipes import fixed_factors, hashed, low_rank  # noqa: E402
from golden_values import octets, values  # noqa: E402
from low_precision_recipes import powers_of_two, ternary, uniform_grids  # noqa: E402


def decoded_digest(compressed: Compressed) -> str:
    """SHA-256 over name, shape, type and bytes of every tensor, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(compressed.tensors().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sparse(
    seed: str, shape: tuple[int, ...], density: float, k: int, bits: int = 5, half: bool = False
) -> SparseCodebook:
    """A layer whose survivors and codes depend on ``seed``; small codes are the frequent ones."""
    count = int(np.prod(shape, dtype=np.int64))
    positions = np.flatnonzero(octets(seed, count) < 256 * density)
    spread = octets(f"{seed} codes", positions.size) * octets(f"{seed} more", positions.size)
    codebook = np.sort(values(f"{seed} codebook", k).numpy())
    stored: CodebookDtype = "float16" if half else "float32"
    return SparseCodebook(
        shape, positions, spread * k // 65536, codebook, index_bits=bits, codebook_dtype=stored
    )


def floats() -> Compressed:
    """Every float type, with numbers that are none."""
    odd = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-40, 6e-8, 65504.0])
    state = {}
    for name in ("float32", "float16", "bfloat16", "float64"):
        state[f"{name}.weight"] = values(name, 5, 7).to(STORED[name])
        state[f"{name}.odd"] = odd.to(STORED[name])
    state["narrowed"] = values("narrowed", 4, 6)
    return Compressed.from_tensors(state, {"narrowed": Dense(state["narrowed"], "float16")})


def integers() -> Compressed:
    """Every type of whole numbers at its ends, and truth values."""
    state = {}
    for name in ("int64", "int32", "int16", "int8", "uint8"):
        ends = torch.iinfo(STORED[name])
        inner = [(one - 128) // 2 for one in octets(name, 12).tolist()]
        state[name] = torch.tensor([ends.min, ends.max, *map(abs, inner)], dtype=STORED[name])
    state["bool"] = torch.from_numpy(octets("bool", 30) < 128).reshape(5, 6)
    state["norm.num_batches_tracked"] = torch.tensor(2**40 + 1)
    return Compressed.from_tensors(state, {})


def shapes() -> Compressed:
    """No dimension, eight of them, none of any length."""
    state = {
        "scalar": torch.tensor(0.75),
        "empty": torch.empty(0),
        "no.rows": torch.empty(0, 5),
        "no.columns": torch.empty(5, 0, dtype=torch.int8),
        "eight": values("eight", 1, 2, 1, 3, 1, 2, 1, 2),
        "row": values("row", 1, 40),
        "column": values("column", 40, 1),
    }
    return Compressed.from_tensors(state, {})


def sparse_bits() -> Compressed:
    """Each width of an index field, both types of codebook."""
    held: dict[str, Format] = {
        f"bits{bits}.weight": sparse(f"bits{bits}", (8, 15), 0.3, 2 + bits, bits, bits % 2 == 0)
        for bits in range(1, 13)
    }
    return Compressed(held)


def sparse_padding() -> Compressed:
    """Steps too long for their fields, one exactly as long, and a last weight far away."""
    far = np.array([0, 1, 33, 66, 67, 900, 1100, 3999])
    codes = np.array([0, 1, 2, 1, 0, 2, 1, 0])
    codebook = np.array([-0.5, 0.25, 0.75])
    held: dict[str, Format] = {
        "far": SparseCodebook((40, 100), far, codes, codebook),
        "narrow": SparseCodebook((40, 100), far, codes, codebook, index_bits=3),
        "wide": SparseCodebook((40, 100), far, codes, codebook, index_bits=12),
        "thin": sparse("thin", (30, 100), 0.02, 16, 3),
        "thinner": sparse("thinner", (50, 100), 0.01, 200, 4),
    }
    return Compressed(held)


def nothing_left() -> Compressed:
    """Layers of which nothing survived, with and without a codebook, and without weights."""
    none = np.empty(0, np.int64)
    held: dict[str, Format] = {
        "pruned.weight": SparseCodebook((30, 20), none, none, values("pruned", 64).numpy()),
        "no.codebook": SparseCodebook((30, 20), none, none, np.empty(0, np.float32)),
        "no.rows": SparseCodebook((0, 20), none, none, np.empty(0, np.float32), index_bits=12),
        "one.left": SparseCodebook((30, 20), np.array([599]), np.array([0]), np.array([0.5])),
    }
    metadata = {f"key {n}": f"value {n} of a file with little else in it" for n in range(12)}
    return Compressed(held, (), metadata)


def code_tables() -> Compressed:
    """Each way that a code table is written: one symbol, steps, literal lengths, fixed fields."""
    many = np.arange(96)
    every_other = 2 * np.concatenate([np.zeros(420, np.int64), many[:32], many[:32:3]])
    held: dict[str, Format] = {
        "one symbol": SparseCodebook((100,), np.arange(100), many[:1].repeat(100), np.ones(1)),
        "of many": SparseCodebook((100,), np.arange(0, 100, 5), many[3:4].repeat(20), many[:9] / 8),
        "fixed": SparseCodebook((96,), many, many, many.astype(np.float32) / 64),
        "literal": SparseCodebook(
            (2 * every_other.size,),
            2 * np.arange(every_other.size) + 1,
            every_other,
            np.arange(64) / 128,
            index_bits=2,
            codebook_dtype="float16",
        ),
        "steep": SparseCodebook(
            (600,), np.arange(600), np.repeat(np.arange(20), 3 * np.arange(1, 21) - 1)[:600],
            np.arange(20) / 16, index_bits=1,
        ),
    }  # fmt: skip
    return Compressed(held)


def linear_network() -> Compressed:
    """Three layers with biases, sparse, dense and narrowed, and metadata."""
    held: dict[str, Format] = {
        "ip1.weight": sparse("ip1", (24, 40), 0.2, 16),
        "ip1.bias": Dense(values("ip1 bias", 24)),
        "ip2.weight": sparse("ip2", (12, 24), 0.4, 8, 4, True),
        "ip2.bias": sparse("ip2 bias", (12,), 0.5, 4, 2),
        "ip3.weight": Dense(values("ip3", 4, 12), "bfloat16"),
        "ip3.bias": Dense(values("ip3 bias", 4), "float16"),
    }
    layers = [LayerEntry("flatten", "flatten")]
    for n in range(3):
        roles = {"weight": 2 * n, "bias": 2 * n + 1}
        layers.append(LayerEntry("linear", f"ip{n + 1}", {}, (), roles))
        layers.append(LayerEntry("relu", f"relu{n + 1}"))
    metadata = {"method": "deep-compression", "seed": "0", "überschrift": "größer ≥ kleiner"}
    return Compressed(held, tuple(layers[:-1]), metadata)


def convolution_network() -> Compressed:
    """Strides, paddings, dilations, groups and both poolings, some of them not square."""
    held: dict[str, Format] = {
        "conv1.weight": sparse("conv1", (6, 1, 5, 5), 0.6, 16, 3),
        "conv1.bias": Dense(values("conv1 bias", 6)),
        "conv2.weight": sparse("conv2", (8, 3, 3, 2), 0.4, 8),
        "conv3.weight": Dense(values("conv3", 4, 8, 1, 3), "float16"),
        "conv3.bias": Dense(values("conv3 bias", 4)),
        "ip.weight": sparse("ip", (10, 8), 0.3, 4, 4),
        "ip.bias": Dense(values("ip bias", 10)),
    }
    spread = {"stride": 2, "stride_width": 1, "padding_width": 2, "dilation_width": 2}
    layers = (
        LayerEntry("convolution", "conv1", {"padding": 2}, (), {"weight": 0, "bias": 1}),
        LayerEntry("max-pooling", "pool1", {"kernel": 2}),
        LayerEntry("convolution", "conv2", {"groups": 2, "padding": 1}, (), {"weight": 2}),
        LayerEntry("relu", "relu2"),
        LayerEntry("average-pooling", "pool2", {"kernel": 3, "stride": 2, "ceil": 1}),
        LayerEntry("convolution", "conv3", spread, (), {"weight": 3, "bias": 4}),
        LayerEntry("max-pooling", "pool3", {"kernel": 3, "kernel_width": 2, "padding": 1}),
        LayerEntry("flatten", "flatten"),
        LayerEntry("linear", "ip", {}, (), {"weight": 5, "bias": 6}),
    )
    return Compressed(held, layers)


def graph() -> Compressed:
    """Branches, an addition with the network's input, a concatenation, one weight used twice."""
    held: dict[str, Format] = {
        "shared.weight": sparse("graph", (20, 20), 0.25, 12),
        "left.bias": Dense(values("left", 20)),
        "right.bias": Dense(values("right", 20), "float16"),
        "out.weight": sparse("out", (5, 60), 0.3, 6, 3, True),
    }
    layers = (
        LayerEntry("linear", "left", {}, (), {"weight": 0, "bias": 1}),
        LayerEntry("relu", "left relu"),
        LayerEntry("linear", "right", {}, (-1,), {"weight": 0, "bias": 2}),
        LayerEntry("addition", "sum", {}, (1, 2, -1)),
        LayerEntry("concatenation", "beside", {}, (3, 1, 2)),
        LayerEntry("linear", "out", {}, (), {"weight": 3}),
    )
    return Compressed(held, layers, {"layers": "with branches"})


def shared_parts() -> Compressed:
    """Tensors that share all or some of their sections, under names that share their strings."""
    codebook = np.sort(values("shared codebook", 32).numpy())
    places = np.flatnonzero(octets("shared", 400) < 80)
    codes = octets("shared codes", places.size) % 32
    twin = SparseCodebook((20, 20), places, codes, codebook)
    bias = Dense(values("shared bias", 20))
    held: dict[str, Format] = {
        "encoder.block.weight": twin,
        "encoder.block.bias": bias,
        "decoder.block.weight": SparseCodebook((400,), places, codes, codebook),
        "decoder.block.bias": bias,
        "other.weight": SparseCodebook((20, 20), places, codes[::-1], codebook),
        "other.bias": Dense(values("shared bias", 4, 5)),
        "naïve.größe": Dense(torch.zeros(6), "float16"),
        "naïve.zeros": Dense(torch.zeros(6), "float16"),
    }
    return Compressed(held)


def sparse_values() -> Compressed:
    """Survivors with their own values: each width of a symbol, both types, odd values, none."""
    held: dict[str, Format] = {}
    for bits in range(1, 13):
        kept = np.flatnonzero(octets(f"values{bits}", 180) < 40)
        own = values(f"own{bits}", kept.size).numpy()
        half: ValueDtype = "float16" if bits % 2 else "float32"
        held[f"bits{bits}.weight"] = Sparse((12, 15), kept, own, index_bits=bits, value_dtype=half)
    odd = np.array([0.0, -0.0, np.inf, np.nan, 1e-40], np.float32)
    held["odd"] = Sparse((4000,), np.array([3, 4, 900, 2000, 3999]), odd)
    held["mask"] = Sparse((6, 7), np.arange(42), values("mask", 42).numpy())
    held["nothing.left"] = Sparse((6, 7), np.empty(0, np.int64), np.empty(0, np.float32))
    return Compressed(held)


def shared_values() -> Compressed:
    """Codebooks without pruning: Huffman codes, fixed fields, one value, none, both types."""
    spread = octets("spread", 300) * octets("spread more", 300)
    flat = np.arange(256)
    held: dict[str, Format] = {
        "coded.weight": CodebookDense((15, 20), spread * 16 // 65536, values("16", 16).numpy()),
        "half.weight": CodebookDense(
            (15, 20), spread * 7 // 65536, values("7", 7).numpy(), codebook_dtype="float16"
        ),
        "fixed.weight": CodebookDense((16, 16), flat, values("256", 256).numpy()),
        "filters": CodebookDense((3, 2, 5, 5), spread[:150] % 4, values("4", 4).numpy()),
        "one.value": CodebookDense((20,), np.zeros(20, np.int64), np.array([0.5], np.float32)),
        "no.value": CodebookDense((0, 3), np.empty(0, np.int64), np.empty(0, np.float32)),
    }
    return Compressed(held)


def subspaces(seed: str, shape: tuple[int, ...], width: int, codewords: int) -> ProductQuantized:
    """Codebooks and codes that depend on ``seed``."""
    wanted = codes_shape(shape, width)
    codes = octets(f"{seed} codes", int(np.prod(wanted, dtype=np.int64))) * codewords // 256
    books = values(f"{seed} books", subspace_count(shape[1], width), codewords, width)
    return ProductQuantized(shape, codes.reshape(wanted), books.numpy())


def product_quantized() -> Compressed:
    """Codebooks by subspace: several widths of a code, a narrower last subspace, kernels, none."""
    held: dict[str, Format] = {
        f"words{2**bits}.weight": subspaces(f"words{bits}", (2**bits, 1), 1, 2**bits)
        for bits in (0, 1, 2, 3, 4, 5, 8)
    }
    held |= {
        "odd.weight": subspaces("odd", (9, 11), 5, 6),
        "one.weight": subspaces("one", (9, 11), 1, 3),
        "filters": subspaces("filters", (8, 6, 3, 2), 4, 9),
        "along": subspaces("along", (8, 6, 3), 6, 5),
        "no.rows": subspaces("none", (0, 4), 2, 1),
        "no.columns": subspaces("none", (4, 0), 1, 3),
    }
    return Compressed(held)


def tied() -> Compressed:
    """Tensors under several names, in a format and dense, and one that is equal and not tied."""
    table, bias = values("tied table", 12, 5), values("tied bias", 12)
    state = {
        "words.weight": table,
        "out.weight": table,
        "out.bias": bias,
        "again.weight": table,
        "again.bias": bias,
        "apart.bias": bias.clone(),
        "steps": torch.tensor(7),
    }
    return Compressed.from_tensors(state, {"out.weight": Dense(table, "float16")})


def more_layers() -> Compressed:
    """The layers that came in after the first ones, with and without their sizes."""
    held: dict[str, Format] = {
        "words.weight": Dense(values("more words", 9, 6)),
        "along.weight": Dense(values("along", 4, 3, 3)),
        "along.bias": Dense(values("along bias", 4)),
        "norm.running_mean": Dense(values("mean", 4)),
        "norm.running_var": Dense(values("variance", 4).abs()),
        "norm.weight": Dense(values("scale", 4)),
        "norm.bias": Dense(values("shift", 4)),
        "norm.num_batches_tracked": Dense(torch.tensor(5), "int64"),
    }
    roles = {"running_mean": 3, "running_var": 4, "weight": 5, "bias": 6, "num_batches_tracked": 7}
    layers = (
        LayerEntry("embedding", "words", {}, (), {"weight": 0}),
        LayerEntry("tanh", "tanh"),
        LayerEntry("convolution-1d", "along", {"padding": 1, "groups": 2}, (), {
            "weight": 1, "bias": 2,
        }),
        LayerEntry("normalisation", "norm", {"epsilon": 981668463}, (), roles),
        LayerEntry("sigmoid", "sigmoid"),
        LayerEntry("gelu", "gelu"),
        LayerEntry("silu", "silu"),
        LayerEntry("softmax", "softmax", {"dimension": 2}),
        LayerEntry("log-softmax", "log", {"last": 1}),
    )  # fmt: skip
    return Compressed(held, layers, {}, {"norm.num_batches_tracked": "int64"})


def residual() -> Compressed:
    """A shortcut past a convolution, with channels of zeros around it."""
    held: dict[str, Format] = {"conv.weight": Dense(values("residual", 5, 2, 1, 1))}
    layers = (
        LayerEntry("relu", "relu"),
        LayerEntry("convolution", "conv", {}, (), {"weight": 0}),
        LayerEntry("channel-padding", "pad", {"before": 1, "after": 2}, (0,)),
        LayerEntry("addition", "sum", {}, (1, 2)),
    )
    return Compressed(held, layers)


RECIPES: dict[str, Callable[[], Compressed]] = {
    "floats": floats,
    "integers": integers,
    "shapes": shapes,
    "sparse-bits": sparse_bits,
    "sparse-padding": sparse_padding,
    "nothing-left": nothing_left,
    "code-tables": code_tables,
    "linear-network": linear_network,
    "convolution-network": convolution_network,
    "graph": graph,
    "shared-parts": shared_parts,
    "tied": tied,
    "more-layers": more_layers,
    "uniform-grids": uniform_grids,
    "sparse-values": sparse_values,
    "shared-values": shared_values,
    "product-quantized": product_quantized,
    "fixed-factors": fixed_factors,
    "low-rank": low_rank,
    "hashed": hashed,
    "ternary": ternary,
    "residual": residual,
    "powers-of-two": powers_of_two,
}


def main() -> None:
    """Write the files that are not there yet."""
    for name, recipe in RECIPES.items():
        path = FOLDER / f"version-1-{name}.netc"
        if path.exists():
            print(f"{path.name}: stays as it is")
            continue
        size = recipe().save(path)
        path.with_suffix(".decoded").write_text(decoded_digest(Compressed.load(path)) + "\n")
        print(f"{path.name}: {size} bytes")


if __name__ == "__main__":
    main()
