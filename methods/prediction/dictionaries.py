"""The fixed factors of predicted weights, made again from a rule and, for some, stored rows.

Denil et al.: "Predicting Parameters in Deep Learning", NIPS 2013, and the authors' code. A weight
matrix (inputs, outputs) is U V: U (inputs, atoms) is fixed before training and V is learned. The
outputs are split into columns, each with a U of its own. With a kernel k over the inputs and
``atoms`` of them drawn at random, alpha, U is the ridge predictor

    U = k_alpha^T (K_alpha + ridge I)^-1,

and V holds the weights at the drawn inputs. Draws come from numpy's legacy generator, whose
streams are frozen, so that a rule gives the same factors for ever.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["gaussian", "uniform", "positions", "squared-exponential", "covariance", "atoms"]
KINDS: tuple[Kind, ...] = (
    *("gaussian", "uniform", "positions", "squared-exponential"),
    *("covariance", "atoms"),
)
"""The place in this table is the number in files, so it only ever grows."""
STORED_KINDS: tuple[Kind, ...] = ("covariance", "atoms")
"""Made from data: the rows of theirs that are used have to be stored."""
RIDGE_KINDS: tuple[Kind, ...] = ("squared-exponential", "covariance")
"""Kernels, whose predictors take a linear system for each column."""
MAX_FACTOR, SMALL_FACTOR, FACTOR_PER_WEIGHT = 2**25, 2**22, 4
"""Numbers in one column's factor, at most: ``MAX_FACTOR``, and beyond ``SMALL_FACTOR`` four times
the layer's weights, so that a few bytes ask for no hours or gigabytes."""
MAX_POOL, MAX_DRAWN_FROM = 2**16, 2**22
"""Vectors in a pool, and pools of all columns together, at most."""
SMALLEST, LARGEST = 1e-12, 1e12
"""Between these lie scale and ridge."""
MAX_SOLVING = 2**38
"""Multiplications that the ridge predictors of all columns take, at most: minutes of one core."""
_SAMPLE, _VALUES = 1, 2


@dataclass(frozen=True)
class Dictionary:
    """The rule of a fixed factor.

    * ``gaussian``: independent numbers of standard deviation ``scale``;
    * ``uniform``: independent numbers between -``scale`` and ``scale``;
    * ``positions``: columns of the identity, so that each unit sees the drawn inputs only;
    * ``squared-exponential``: the ridge predictor with the kernel exp(-d^2 / (2 scale^2)) of the
      distance d between places of ``grid``, 0 between places of different channels;
    * ``covariance``: the ridge predictor with a covariance of the inputs, whose rows at the drawn
      inputs are stored;
    * ``atoms``: rows drawn from a set of ``pool`` vectors of the inputs' length, which are stored.

    Raises:
        ValueError: a field is out of its range.
    """

    kind: Kind
    atoms: int
    """Learned values of each output."""
    columns: int = 1
    """Groups of consecutive outputs, each with its own draw; as even as they can be."""
    seed: int = 0
    """0 to 2^64 - 1."""
    scale: float = 1.0
    ridge: float = 0.1
    """Lambda, of the kernels only."""
    grid: tuple[int, int, int] = (0, 0, 0)
    """Channels, rows and columns of the inputs, flattened in this order; of the
    squared-exponential kernel only."""
    pool: int = 0
    """Vectors to draw from; of ``atoms`` only."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown dictionary {self.kind!r}; known are {', '.join(KINDS)}")
        if self.atoms < 0 or self.columns < 1:
            raise ValueError(f"{self.atoms} atoms in {self.columns} columns")
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"seed {self.seed} is no unsigned 64-bit number")
        for name, value in (("scale", self.scale), ("ridge", self.ridge)):
            if not SMALLEST <= value <= LARGEST:
                raise ValueError(f"{name} {value} is not between {SMALLEST} and {LARGEST}")
        if min(self.grid) < 0 or self.pool < 0:
            raise ValueError(f"a grid of {self.grid}, a pool of {self.pool}")

    def check(self, inputs: int, outputs: int) -> None:
        """Refuse a layer of another size than the rule is for.

        Raises:
            ValueError: says what does not agree.
        """
        if self.columns > max(outputs, 1):
            raise ValueError(f"{self.columns} columns for {outputs} outputs")
        if (self.kind == "squared-exponential") != (self.grid != (0, 0, 0)):
            raise ValueError("a grid belongs to the squared-exponential kernel, and only there")
        if (self.kind == "atoms") != (self.pool > 0):
            raise ValueError("a pool belongs to a dictionary of atoms, and only there")
        # A rank beyond the inputs would learn more than the dense layer does.
        choices = self.pool if self.kind == "atoms" else inputs
        if self.atoms > choices:
            raise ValueError(f"{self.atoms} atoms drawn from {choices}")
        if self.kind == "squared-exponential" and math.prod(self.grid) != inputs:
            raise ValueError(f"a grid of {self.grid} for {inputs} inputs")
        most = min(MAX_FACTOR, max(SMALL_FACTOR, FACTOR_PER_WEIGHT * inputs * outputs))
        if inputs * self.atoms > most:
            raise ValueError(f"a factor of {inputs} x {self.atoms}, more than {most} numbers")
        solving = self.columns * inputs * self.atoms**2
        if self.kind in RIDGE_KINDS and solving > MAX_SOLVING:
            raise ValueError(
                f"{self.columns} columns of {self.atoms} atoms of {inputs} inputs are too many "
                "to solve for"
            )
        if self.pool > MAX_POOL or self.columns * self.pool > MAX_DRAWN_FROM:
            raise ValueError(
                f"{self.columns} columns from a pool of {self.pool}: at most {MAX_POOL} each and "
                f"{MAX_DRAWN_FROM} in all"
            )

    def places(self, outputs: int) -> list[slice]:
        """The outputs of each column: consecutive, the first columns one more where it does not
        go up."""
        least, more = divmod(outputs, self.columns)
        sizes = [least + (at < more) for at in range(self.columns)]
        ends = [0, *itertools.accumulate(sizes)]
        return [slice(start, end) for start, end in itertools.pairwise(ends)]

    def draws(self, inputs: int) -> list[NDArray[np.int64]]:
        """What each column draws, without replacement: (atoms) int64, rising, for each column.

        Numbers of inputs, or of vectors for ``atoms``.
        """
        choices = self.pool if self.kind == "atoms" else inputs
        keys = (self._stream(_SAMPLE, at).random_sample(choices) for at in range(self.columns))
        firsts = (np.argsort(one, kind="stable")[: self.atoms] for one in keys)
        return [np.sort(first).astype(np.int64) for first in firsts]

    def _stream(self, purpose: int, column: int) -> np.random.RandomState:
        words = [self.seed & 0xFFFFFFFF, self.seed >> 32, purpose, column]
        return np.random.RandomState(np.array(words, np.uint32))

    def used(self, inputs: int) -> NDArray[np.int64]:
        """The rows that are stored: those that some column draws, int64, rising."""
        if self.kind not in STORED_KINDS or self.atoms == 0:
            return np.empty(0, np.int64)
        is_used = np.zeros(self.pool if self.kind == "atoms" else inputs, bool)
        for drawn in self.draws(inputs):
            is_used[drawn] = True
        return np.flatnonzero(is_used)

    def stored_values(self, inputs: int) -> int:
        """Numbers that must be stored beside the learned ones.

        A covariance is symmetric: what two used rows have in common counts once.
        """
        return self._stored(len(self.used(inputs)), inputs)

    def least_stored(self, inputs: int) -> int:
        """What ``stored_values`` is at least, told without drawing: one column's."""
        return self._stored(self.atoms if self.kind in STORED_KINDS else 0, inputs)

    def _stored(self, rows: int, inputs: int) -> int:
        twice = rows * (rows - 1) // 2 if self.kind == "covariance" else 0
        return rows * inputs - twice

    def select(self, source: NDArray[np.floating]) -> NDArray[np.float32]:
        """What is stored of ``source``: flat float32, of ``stored_values`` numbers.

        Args:
            source: the whole covariance (inputs, inputs), or all vectors (pool, inputs).

        Raises:
            ValueError: it is of another shape.
        """
        inputs = source.shape[-1]
        wanted = (self.pool if self.kind == "atoms" else inputs, inputs)
        if source.shape != wanted:
            raise ValueError(f"a dictionary of {source.shape} where {wanted} belong")
        rows = self.used(inputs)
        chosen = source[rows].astype(np.float32)
        return chosen[self._kept(rows, inputs)] if self.kind == "covariance" else chosen.ravel()

    def _kept(self, rows: NDArray[np.int64], inputs: int) -> NDArray[np.bool_]:
        """Which entries of a covariance's used rows are stored: (rows, inputs)."""
        kept = np.ones((len(rows), inputs), bool)
        kept[:, rows] = np.triu(np.ones((len(rows), len(rows)), bool))
        return kept

    def restore(self, stored: NDArray[np.floating], inputs: int) -> NDArray[np.float64]:
        """The used rows (used, inputs), float64, of what ``select`` gave."""
        rows = self.used(inputs)
        if self.kind != "covariance":
            return stored.astype(np.float64).reshape(len(rows), inputs)
        whole = np.zeros((len(rows), inputs))
        whole[self._kept(rows, inputs)] = stored
        square = whole[:, rows]
        whole[:, rows] = np.triu(square) + np.triu(square, 1).T
        return whole

    def factors(
        self, inputs: int, stored: NDArray[np.floating] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """U of each column, one after the other: (inputs, atoms) float32.

        Args:
            stored: what ``select`` gave, of the kinds in ``STORED_KINDS``.
        """
        if self.kind in ("gaussian", "uniform"):
            for column in range(self.columns):
                yield _rounded(self._random(self._stream(_VALUES, column), inputs))
            return
        used, rows = self.used(inputs), np.empty((0, inputs))
        if self.kind in STORED_KINDS:
            assert stored is not None, "a dictionary made from data comes with its rows"
            rows = self.restore(stored, inputs)
        for alpha in self.draws(inputs):
            if self.kind == "positions":
                identity = np.zeros((inputs, self.atoms), np.float32)
                identity[alpha, np.arange(self.atoms)] = 1
                yield identity
            elif self.kind == "squared-exponential":
                kernel = squared_exponential(self.grid, self.scale, alpha)
                yield _rounded(ridge_predictor(kernel, alpha, self.ridge))
            elif self.kind == "covariance":
                kernel = rows[np.searchsorted(used, alpha)]
                yield _rounded(ridge_predictor(kernel, alpha, self.ridge))
            else:
                yield _rounded(rows[np.searchsorted(used, alpha)].T)

    def _random(self, stream: np.random.RandomState, inputs: int) -> NDArray[np.float64]:
        if self.kind == "gaussian":
            return self.scale * stream.standard_normal((inputs, self.atoms))
        return self.scale * (2 * stream.random_sample((inputs, self.atoms)) - 1)


def squared_exponential(
    grid: tuple[int, int, int], scale: float, alpha: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """The kernel between places ``alpha`` (all by default) and all: (len(alpha), places) float64.

    Args:
        grid: channels, rows and columns; places are numbered in this order.
        scale: in steps of the grid.
    """
    places = np.unravel_index(np.arange(math.prod(grid)), grid)
    chosen = [axis if alpha is None else axis[alpha] for axis in places]
    kernel = np.equal.outer(chosen[0], places[0]).astype(np.float64)
    for mine, all_of_them, length in zip(chosen[1:], places[1:], grid[1:], strict=True):
        steps = np.arange(length)
        along = np.exp(-0.5 * (np.subtract.outer(steps, steps) / scale) ** 2)
        kernel *= along[np.ix_(mine, all_of_them)]
    return kernel


def ridge_predictor(
    rows: NDArray[np.float64], alpha: NDArray[np.int64], ridge: float
) -> NDArray[np.float64]:
    """k_alpha^T (K_alpha + ridge I)^-1: (inputs, len(alpha)) float64.

    Args:
        rows: k_alpha, the kernel between the drawn inputs and all: (len(alpha), inputs).
        alpha: the drawn inputs.
    """
    square = rows[:, alpha] + ridge * np.eye(len(alpha))
    try:
        solved = np.linalg.solve(square, rows)
    except np.linalg.LinAlgError:  # a file may hold what is no covariance
        solved = np.linalg.lstsq(square, rows, rcond=None)[0]
    return np.asarray(solved.T, np.float64)


def _rounded(values: NDArray[np.floating]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # of what a file may hold
        return np.ascontiguousarray(values, np.float32)
