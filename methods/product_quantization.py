"""Product quantization of a weight tensor: k-means in each subspace of its inputs.

Wu, Leng, Wang, Hu, Cheng: "Quantized Convolutional Neural Networks for Mobile Devices", CVPR
2016: eq. 5 for fully connected layers, and eq. 7 for convolutions, where the weights of all
kernel positions are clustered together.

The paper does not say how k-means starts. Here it is k-means++ (Arthur, Vassilvitskii 2007).
"""

import torch

from methods.formats.product_quantized import ProductQuantized, codes_shape, subspace_count
from methods.seeds import seeded

DISTANCES = 2**22
"""At most about so many distances are held at a time."""


def product_quantize(
    weight: torch.Tensor,
    subspace: int,
    codewords: int,
    *,
    seed: int,
    iterations: int = 50,
) -> ProductQuantized:
    """The plain product quantization of a weight: codewords near to its own values (eq. 5, 7).

    Args:
        weight: (outputs, channels, ...kernel), finite.
        subspace: d, channels of a subspace; cut to the channels that there are.
        codewords: K; cut to the vectors that there are to cluster, outputs times kernel
            positions.
        iterations: of k-means at most; it stops where no vector changes its codeword.

    Raises:
        ValueError: the weight is empty, or has no inputs to split.
    """
    shape = tuple(weight.shape)
    if weight.numel() == 0 or len(shape) < 2:
        raise ValueError(f"there is nothing to cluster in a tensor of shape {shape}")
    width = min(subspace, shape[1])
    vectors = subspace_vectors(weight.detach().float(), width)
    clusters = min(codewords, vectors.shape[1])
    codebooks, codes = kmeans_by_subspace(vectors, clusters, seed=seed, iterations=iterations)
    kernel = codes_shape(shape, width)[:-2]
    by_position = codes.reshape(len(codes), *kernel, shape[0]).movedim(0, -2)
    return ProductQuantized(shape, by_position.cpu().numpy(), codebooks.cpu().numpy())


def subspace_vectors(weight: torch.Tensor, width: int) -> torch.Tensor:
    """The vectors to cluster of each subspace: (M, kernel positions * outputs, width).

    The last subspace is filled with zeros where ``width`` does not divide the channels.
    """
    outputs, channels = weight.shape[:2]
    count = subspace_count(channels, width)
    flat = weight.reshape(outputs, channels, -1).permute(2, 0, 1)
    padded = torch.nn.functional.pad(flat, (0, count * width - channels))
    split = padded.reshape(-1, count, width)
    return split.transpose(0, 1).contiguous()


def kmeans_by_subspace(
    vectors: torch.Tensor, clusters: int, *, seed: int, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """k-means of every subspace for itself.

    Args:
        vectors: (M, n, d) float32.
        clusters: K, at most n.

    Returns:
        Codewords (M, K, d) float32, and the nearest codeword of each vector, (M, n) int64.
    """
    count, rows, width = vectors.shape
    codebooks = torch.empty(count, clusters, width, device=vectors.device)
    codes = torch.empty(count, rows, dtype=torch.int64, device=vectors.device)
    generator = seeded(seed)
    together = max(1, DISTANCES // (rows * clusters))
    for start in range(0, count, together):
        part = slice(start, start + together)
        centres = _spread(vectors[part], clusters, generator)
        codebooks[part], codes[part] = lloyd(vectors[part], centres, iterations)
    return codebooks, codes


def _spread(vectors: torch.Tensor, clusters: int, generator: torch.Generator) -> torch.Tensor:
    """k-means++: each next centre is drawn by its squared distance to those there are."""
    count, rows, width = vectors.shape
    subspaces = torch.arange(count, device=vectors.device)
    centres = torch.empty(count, clusters, width, device=vectors.device)
    nearest = torch.ones(count, rows, dtype=torch.float64, device=vectors.device)
    for at in range(clusters):
        drawn = torch.rand(count, 1, generator=generator, dtype=torch.float64)
        total = nearest.cumsum(1)
        # Where every vector is a centre already the total is 0, and the last one is taken again.
        chosen = torch.searchsorted(total, drawn.to(vectors.device) * total[:, -1:], right=True)
        one = vectors[subspaces, chosen.squeeze(1).clamp(max=rows - 1)]
        centres[:, at] = one
        distance = (vectors - one.unsqueeze(1)).square().sum(2).double()
        nearest = distance if at == 0 else torch.minimum(nearest, distance)
    return centres


def lloyd(
    vectors: torch.Tensor, centres: torch.Tensor, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of members and nearest means in turn; a cluster without members takes the vector that
    is farthest from its own."""
    count, _, width = vectors.shape
    clusters = centres.shape[1]
    first = torch.arange(count, device=vectors.device).unsqueeze(1) * clusters
    flat = vectors.reshape(-1, width)
    codes, distance = _nearest(vectors, centres)
    for _ in range(iterations):
        places = (codes + first).reshape(-1)
        totals = torch.zeros(count * clusters, width, dtype=torch.float64, device=vectors.device)
        totals.index_add_(0, places, flat.double())
        members = torch.bincount(places, minlength=count * clusters).unsqueeze(1)
        centres = (totals / members.clamp(min=1)).float().reshape(centres.shape)
        empty = (members == 0).reshape(count, clusters)
        for subspace in empty.any(1).nonzero().reshape(-1).tolist():
            free = empty[subspace].nonzero().reshape(-1)
            farthest = distance[subspace].topk(len(free)).indices
            centres[subspace, free] = vectors[subspace, farthest]
        previous = codes
        codes, distance = _nearest(vectors, centres)
        if torch.equal(codes, previous):
            break
    return centres, codes


def _nearest(vectors: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest centre of each vector, and its squared distance."""
    lengths = centres.square().sum(2).unsqueeze(1)
    found = torch.baddbmm(lengths, vectors, centres.transpose(1, 2), alpha=-2).min(2)
    return found.indices, found.values + vectors.square().sum(2)
