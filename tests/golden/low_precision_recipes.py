"""Golden recipes of weights in few bits: uniform grids, three values, powers of two."""

import numpy as np
from golden_values import octets, values

from methods.compressed import Compressed
from methods.formats.format import Format
from methods.formats.power_of_two import WIDTHS as POWER_WIDTHS
from methods.formats.power_of_two import PowerOfTwo
from methods.formats.ternary import Ternary
from methods.formats.uniform import WIDTHS, Granularity, Uniform, scale_count


def grid(
    seed: str,
    shape: tuple[int, ...],
    bits: int,
    granularity: Granularity = "channel",
    group_size: int | None = None,
    zeros: bool = False,
    half: bool = False,
) -> Uniform:
    """Weights on an even grid whose codes, scales and zero points depend on ``seed``."""
    count = scale_count(shape, granularity, group_size)
    wide = 256 * octets(seed, int(np.prod(shape, dtype=np.int64)))
    codes = (wide + octets(f"{seed} low", wide.size)) >> (16 - bits)
    return Uniform(
        shape,
        codes,
        np.abs(values(f"{seed} scales", count).numpy()) + 2.0**-8,
        bits=bits,
        zeros=octets(f"{seed} zeros", count) * (2**bits - 1) // 255 if zeros else None,
        granularity=granularity,
        group_size=group_size,
        scale_dtype="float16" if half else "float32",
    )


def uniform_grids() -> Compressed:
    """Each width, each granularity, with and without zero points, both types of scales."""
    held: dict[str, Format] = {
        f"bits{bits}.weight": grid(f"grid{bits}", (6, 11), bits, zeros=bits % 3 == 0)
        for bits in WIDTHS
    }
    held |= {
        "tensor.weight": grid("tensor", (6, 11), 4, "tensor", None, True, True),
        "group.weight": grid("group", (6, 11), 4, "group", 4, False, True),
        "shifted.weight": grid("shifted", (6, 11), 3, "group", 5, True),
        "wide.weight": grid("wide", (2, 7), 2, "group", 300),
        "filters": grid("filters", (4, 3, 2, 2), 5, "group", 6, True),
        "vector": grid("vector", (9,), 8, "tensor"),
        "no.rows": grid("none", (0, 4), 8),
    }
    return Compressed(held)


def ternary() -> Compressed:
    """Matrices and filters in each coding, whole and cut bytes, one side alone, and nothing."""
    signs = octets("ternary", 240) % 3 - 1
    rare = np.where(octets("rare", 2000) < 12, octets("rare signs", 2000) % 2 * 2 - 1, 0)
    held: dict[str, Format] = {
        "two-bit": Ternary((12, 20), signs, 0.25, 0.75),
        "five-trits": Ternary((6, 40), signs, 0.25, 0.75, coding="five-trits"),
        "entropy": Ternary((40, 50), rare, 1e-3, 3.0, coding="entropy"),
        "fields": Ternary((3, 5), signs[:15], 1.0, 1.0, coding="entropy"),
        "filters": Ternary((4, 2, 3, 3), signs[:72], 0.5, 0.0),
        "cut": Ternary((7,), signs[:7], 2.0, 1e-30, coding="five-trits"),
        "positive.alone": Ternary((3, 3), np.ones(9, np.int8), 0.125, 0.0),
        "no.rows": Ternary((0, 5), np.empty(0, np.int8), 1.0, 1.0),
        "nothing.coded": Ternary((0, 5), np.empty(0, np.int8), 1.0, 1.0, coding="entropy"),
    }
    return Compressed(held)


def power(seed: str, shape: tuple[int, ...], bits: int, least: int, scale: float) -> PowerOfTwo:
    """Codes that depend on ``seed``; the one that stands for no weight becomes 0."""
    codes = octets(seed, int(np.prod(shape, dtype=np.int64))) >> (8 - bits)
    codes[codes == 1 << (bits - 1)] = 0
    return PowerOfTwo(shape, codes, bits=bits, least=least, scale=scale)


def powers_of_two() -> Compressed:
    """Each width of a code, scales, filters, both ends of the exponents, and nothing."""
    held: dict[str, Format] = {
        f"bits{bits}.weight": power(f"power{bits}", (6, 11), bits, -2 * bits, 1.0)
        for bits in POWER_WIDTHS
    }
    held |= {
        "scaled.weight": power("scaled", (6, 11), 4, -5, 0.75),
        "filters": power("power filters", (4, 3, 2, 2), 5, -9, 1.5),
        "least": power("power least", (3, 7), 8, -126, 1.0),
        "largest": power("power largest", (3, 7), 3, 125, 1.0),
        "rounded.weight": PowerOfTwo.from_tensor(values("power rounded", 5, 9), 4),
        "no.rows": power("power none", (0, 4), 4, 0, 1.0),
    }
    return Compressed(held)
