"""Golden recipes of weights that follow from others: fixed factors, two factors, hashed values."""

import numpy as np
from golden_values import values
from numpy.typing import NDArray

from methods.compressed import Compressed
from methods.formats.fixed_factor import FixedFactor
from methods.formats.format import Format
from methods.formats.hashed import Hashed
from methods.formats.low_rank import LowRank
from methods.prediction.dictionaries import Dictionary


def fixed_factors() -> Compressed:
    """A factor from each kind of rule, in one column and in several of uneven width."""
    rows = values("rows", 8, 12).numpy().astype(np.float64)
    rules: dict[str, tuple[Dictionary, NDArray[np.floating] | None]] = {
        "gaussian": (Dictionary("gaussian", 3, 1, 1, scale=0.25), None),
        "uniform": (Dictionary("uniform", 3, 4, 2, scale=0.1), None),
        "positions": (Dictionary("positions", 4, 2, 2**64 - 1), None),
        "kernel": (Dictionary("squared-exponential", 5, 2, 3, 1.5, 0.1, (1, 3, 4)), None),
        "covariance": (Dictionary("covariance", 4, 2, 4, ridge=0.5), rows.T @ rows / 8),
        "atoms": (Dictionary("atoms", 4, 2, 5, pool=8), rows),
    }
    held: dict[str, Format] = {
        f"{name}.weight": FixedFactor(
            (7, 12),
            values(name, rule.atoms, 7).numpy(),
            rule,
            None if source is None else rule.select(source),
        )
        for name, (rule, source) in rules.items()
    }
    filters = Dictionary("squared-exponential", 6, 2, 6, 3.0, 0.1, (2, 3, 3))
    held["filters.weight"] = FixedFactor((4, 2, 3, 3), values("filters", 6, 4).numpy(), filters)
    nothing = Dictionary("gaussian", 0)
    held["nothing"] = FixedFactor((0, 3), np.empty((0, 0), np.float32), nothing)
    return Compressed(held)


def low_rank() -> Compressed:
    """Two factors in both types, of a matrix and of filters, and none."""
    held: dict[str, Format] = {
        "matrix": LowRank((9, 14), values("left", 9, 3).numpy(), values("right", 3, 14).numpy()),
        "half": LowRank(
            (9, 14),
            values("left", 9, 3).numpy(),
            values("right", 3, 14).numpy(),
            factor_dtype="float16",
        ),
        "filters": LowRank((4, 2, 3, 3), values("f", 4, 2).numpy(), values("g", 2, 18).numpy()),
        "rank.none": LowRank((3, 5), np.empty((3, 0)), np.empty((0, 5))),
    }
    return Compressed(held)


def hashed() -> Compressed:
    """Matrices, filters and biases of few values and of many, odd values, both ends of the seed."""
    odd = np.array([0.0, -0.0, np.inf, np.nan, 1e-40], np.float32)
    held: dict[str, Format] = {
        "ip.weight": Hashed((12, 20), values("hashed", 30).numpy(), 2015),
        "ip.bias": Hashed((12,), values("hashed bias", 2).numpy(), 1504),
        "filters": Hashed((4, 3, 3, 2), values("hashed filters", 72).numpy(), 2**64 - 1),
        "one.value": Hashed((3, 7), np.array([0.5], np.float32), 0),
        "odd": Hashed((5, 5), odd, 4788),
        "no.rows": Hashed((0, 5), np.empty(0, np.float32), 1),
    }
    return Compressed(held)
