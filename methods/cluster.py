"""Weight sharing: one-dimensional k-means with the paper's three initialisations.

Deep Compression, section 3.1 (eq. 2) and 3.2. Exact assignment by sorted midpoints, so each
iteration is one ``searchsorted`` over the sorted weights.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Initialisation = Literal["linear", "density", "random"]
FloatArray = npt.NDArray[np.float64]


def initial_centroids(
    values: npt.NDArray[np.floating], clusters: int, how: Initialisation, seed: int
) -> FloatArray:
    """``clusters`` starting centroids, ascending, float64.

    linear: equally spaced over [min, max]; density: where the empirical distribution takes
    equally spaced levels; random (Forgy): values drawn without replacement.
    """
    data = np.asarray(values, dtype=np.float64).ravel()
    if how == "linear":
        return np.linspace(data.min(), data.max(), clusters)
    if how == "density":
        return np.quantile(data, (np.arange(clusters) + 0.5) / clusters)
    generator = np.random.default_rng(seed)
    chosen = generator.choice(data, size=clusters, replace=clusters > data.size)
    return np.sort(chosen)


def kmeans(
    values: npt.NDArray[np.floating],
    clusters: int,
    how: Initialisation = "linear",
    *,
    seed: int = 0,
    iterations: int = 300,
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Lloyd's algorithm in one dimension, until no value changes its cluster.

    Args:
        values: the weights to share, any shape, at least one.
        clusters: at most this many centroids; where fewer distinct values exist, so many.
        iterations: at most so many.

    Returns:
        Centroids (k), float64, ascending, every one of them used; and the code of each value,
        int64, of the shape of ``values``.
    """
    data = np.asarray(values, dtype=np.float64).ravel()
    if data.size == 0:
        raise ValueError("there is nothing to cluster")
    if not np.isfinite(data).all():
        raise ValueError("weights to cluster must be finite")
    ordered = np.sort(data)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = np.unique(initial_centroids(data, clusters, how, seed))
    borders: npt.NDArray[np.int64] | None = None
    for _ in range(iterations):
        midpoints = (centroids[1:] + centroids[:-1]) / 2
        edges = np.searchsorted(ordered, midpoints, side="left")
        if borders is not None and np.array_equal(edges, borders):
            break
        borders = edges
        bounds = np.concatenate([[0], edges, [data.size]])
        counts = np.diff(bounds)
        totals = np.diff(sums[bounds])
        # An empty cluster keeps its centroid: it may win members again.
        centroids = np.where(counts > 0, totals / np.maximum(counts, 1), centroids)
        centroids = np.sort(centroids)
    midpoints = (centroids[1:] + centroids[:-1]) / 2
    codes = np.searchsorted(midpoints, data, side="right")
    used, codes = np.unique(codes, return_inverse=True)
    return centroids[used], codes.reshape(np.shape(values)).astype(np.int64)
