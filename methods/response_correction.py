"""Error correction: codewords and codes fitted to a layer's response instead of its weights.

Wu, Leng, Wang, Hu, Cheng: "Quantized Convolutional Neural Networks for Mobile Devices", CVPR
2016, eq. 8 to 12. On N inputs S_n with the responses T_n that are wanted, minimise

    E = sum_n || T_n - W' S_n ||^2                                             (eq. 8)

over the quantized weights W, subspace after subspace: of each, the codes by the nearest response
(eq. 12) and the codewords by least squares (eq. 11), all else fixed.

All of this needs the inputs only through G = sum_n S_n S_n' and P = sum_n S_n T_n':

    E = sum_n |T_n|^2 - 2 tr(W' P) + tr(W' G W),

so what a step costs does not depend on N. In a convolution a row S_n is what the kernel sees at one
place. One codeword stands at several kernel positions there, so the codewords of a subspace are
solved for together (the paper's one after another has the same minimum), and the codes one
position after another. G of dead inputs is singular, and few inputs tell little of some: to E is
added ``ridge`` times the squared distance from the original weights, in units of the mean of G's
diagonal.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from methods.formats.product_quantized import ProductQuantized

DAMPING = 1e-5
"""Of a step of the codewords, relative to the diagonal of its matrix: directions of which nothing
is known stay where they are, and rounding of G in float32 cannot turn the step around."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What error correction must know of a layer's inputs and of the responses that are wanted.

    U is the number of kernel positions times the channels of a group, positions first.
    """

    inputs: torch.Tensor
    """G: (groups, U, U) float64, sums over n of products of two inputs."""
    products: torch.Tensor
    """P: (U, outputs) float64, of an input with a response; an output's inputs are its group's."""
    responses: float
    """The sum of squares of all responses."""
    rows: int
    """N."""

    @classmethod
    def of(cls, inputs: torch.Tensor, responses: torch.Tensor) -> "Moments":
        """From rows of inputs (N, groups, U) and of responses (N, outputs)."""
        rows, groups, width = inputs.shape
        by_group = inputs.transpose(0, 1)  # (groups, N, U)
        targets = responses.reshape(rows, groups, -1).transpose(0, 1)
        products = (by_group.transpose(1, 2) @ targets).double()
        return cls(
            (by_group.transpose(1, 2) @ by_group).double(),
            products.permute(1, 0, 2).reshape(width, -1),
            float(responses.double().square().sum()),
            rows,
        )

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.inputs + other.inputs,
            self.products + other.products,
            self.responses + other.responses,
            self.rows + other.rows,
        )

    @property
    def are_finite(self) -> bool:
        """Whether no sum is infinite or no number."""
        sums = (self.inputs, self.products)
        return math.isfinite(self.responses) and all(bool(one.isfinite().all()) for one in sums)

    def near(self, weight: torch.Tensor, ridge: float) -> "Moments":
        """With ``ridge`` times the squared distance from ``weight`` (U, outputs) in the error."""
        width = self.inputs.shape[1]
        strength = ridge * float(self.inputs.diagonal(dim1=1, dim2=2).mean())
        eye = torch.eye(width, dtype=torch.float64, device=self.inputs.device)
        return Moments(
            self.inputs + strength * eye,
            self.products + strength * weight,
            self.responses + strength * float(weight.square().sum()),
            self.rows,
        )

    def error(self, weight: torch.Tensor) -> float:
        """Eq. 8 for weights (U, outputs), float64."""
        groups, width, _ = self.inputs.shape
        by_group = weight.reshape(width, groups, -1).transpose(0, 1)
        squares = float((by_group * (self.inputs @ by_group)).sum())
        return self.responses - 2 * float((weight * self.products).sum()) + squares


def as_columns(weight: torch.Tensor) -> torch.Tensor:
    """(outputs, channels, ...kernel) as (U, outputs) float64, kernel positions first."""
    outputs, channels = weight.shape[:2]
    by_position = weight.detach().double().reshape(outputs, channels, -1)
    return by_position.permute(2, 1, 0).reshape(-1, outputs)


class Correction:
    """The codes and codewords of one layer while they are fitted to its response.

    Each update lowers ``error()`` or leaves it.
    """

    def __init__(self, held: ProductQuantized, moments: Moments) -> None:
        """Start from ``held``, which stays as it is."""
        self.shape = held.shape
        self.moments = moments
        device = moments.inputs.device
        self.channels, self.width = held.shape[1], held.subspace
        self.positions = math.prod(held.shape[2:])
        codes = torch.from_numpy(held.codes).long().to(device)
        self.codes = codes.reshape(self.positions, held.subspaces, held.shape[0])
        self.codebooks = torch.from_numpy(held.codebooks).double().to(device)
        self.weight = as_columns(held.decode().to(device))

    def error(self) -> float:
        """Eq. 8, with the ridge that the moments hold."""
        return self.moments.error(self.weight)

    def run(self, sweeps: int, *, alternations: int = 1, least: float = 1e-4) -> float:
        """Every subspace in turn, ``sweeps`` times at most; the error in the end.

        Args:
            alternations: of codes and codewords, at each visit of a subspace.
            least: stop where a sweep lowers the error by a smaller share than this.
        """
        error = self.error()
        for _ in range(sweeps):
            for subspace in range(len(self.codebooks)):
                self.update(subspace, alternations)
            before, error = error, self.error()
            if before - error <= least * before:
                break
        return error

    def update(self, subspace: int, alternations: int = 1) -> None:
        """One block of the descent."""
        rows = self._rows(subspace)
        block = _Block(self, subspace, rows)
        for _ in range(alternations):
            block.update_codes()
            block.update_codewords()
        block.write_back()

    def update_codes(self, subspace: int) -> None:
        """Eq. 12 alone."""
        block = _Block(self, subspace, self._rows(subspace))
        block.update_codes()
        block.write_back()

    def update_codewords(self, subspace: int) -> None:
        """Eq. 11 alone."""
        block = _Block(self, subspace, self._rows(subspace))
        block.update_codewords()
        block.write_back()

    def held(self) -> ProductQuantized:
        """As a format, float32."""
        kernel = self.shape[2:]
        codes = self.codes.reshape(*kernel, *self.codes.shape[1:])
        return ProductQuantized(
            self.shape, codes.cpu().numpy(), self.codebooks.float().cpu().numpy()
        )

    def _rows(self, subspace: int) -> torch.Tensor:
        """Places in U of a subspace: (positions, its width)."""
        first = subspace * self.width
        last = min(first + self.width, self.channels)
        device = self.weight.device
        own = torch.arange(first, last, device=device)
        return torch.arange(self.positions, device=device).unsqueeze(1) * self.channels + own


class _Block:
    """One subspace: its part of G, and what its weights leave to be explained."""

    def __init__(self, whole: Correction, subspace: int, rows: torch.Tensor) -> None:
        self.whole, self.subspace, self.rows = whole, subspace, rows
        moments = whole.moments
        self.positions, self.width = rows.shape
        self.groups = len(moments.inputs)
        flat = rows.reshape(-1)
        across = moments.inputs[:, flat]  # (groups, P d, U)
        own = across[:, :, flat]
        self.gram = own.reshape(self.groups, self.positions, self.width, self.positions, self.width)
        explained = across @ self._by_group(whole.weight)
        left = moments.products[flat] - explained.transpose(0, 1).reshape(len(flat), -1)
        self.left = left.reshape(self.positions, self.width, -1)
        self.weight = whole.weight[flat].reshape(self.left.shape)
        self.codes = whole.codes[:, subspace]  # (P, outputs), a view
        self.codewords = whole.codebooks[subspace, :, : self.width]  # (K, d), a view

    def _by_group(self, columns: torch.Tensor) -> torch.Tensor:
        """(rows, outputs) as (groups, rows, outputs of a group)."""
        return columns.reshape(len(columns), self.groups, -1).transpose(0, 1)

    def update_codes(self) -> None:
        """Eq. 12: of each output the codeword with the least error, position by position."""
        for at in range(self.positions):
            gram = self.gram[:, at, :, at]
            by_group = self._by_group(self.weight[at])
            wanted = self._by_group(self.left[at]) + gram @ by_group  # sum_n S_n R_n, eq. 9
            costs = (self.codewords @ gram * self.codewords).sum(2, keepdim=True)
            costs = torch.baddbmm(costs, self.codewords.expand(self.groups, -1, -1), wanted,
                                  alpha=-2)  # fmt: skip
            # A code changes only for less error: where nothing is known it stays.
            current = self.codes[at].reshape(self.groups, 1, -1)
            found = costs.min(1, keepdim=True)
            codes = torch.where(found.values < costs.gather(1, current), found.indices, current)
            codes = codes.reshape(-1)
            self.codes[at] = codes
            self._put(self.codewords[codes].T, at)

    def update_codewords(self) -> None:
        """Eq. 11: all codewords of the subspace by least squares, from where they are."""
        clusters = len(self.codewords)
        outputs = self.weight.shape[2]
        gradient = torch.zeros_like(self.codewords)
        lefts = self.left.transpose(1, 2).reshape(-1, self.width)
        gradient.index_add_(0, self.codes.reshape(-1), lefts)
        if self.positions == 1 and self.groups == 1:  # no two codewords meet
            members = torch.bincount(self.codes.reshape(-1), minlength=clusters)
            matrices = members.reshape(-1, 1, 1) * self.gram[0, 0, :, 0]
            step = _damped_solution(matrices, gradient.unsqueeze(2)).squeeze(2)
        else:
            matrix = normal_matrix(self.codes, self.gram, clusters)
            step = _damped_solution(matrix, gradient.reshape(-1, 1)).reshape(clusters, self.width)
        self.codewords += step
        for at in range(self.positions):
            self._put(self.codewords[self.codes[at]].T.reshape(self.width, outputs), at)

    def _put(self, columns: torch.Tensor, at: int) -> None:
        """New weights (d, outputs) at a kernel position, and what is left then."""
        change = self._by_group(columns - self.weight[at])
        moved = self.gram[:, :, :, at].reshape(self.groups, -1, self.width) @ change
        self.left -= moved.transpose(0, 1).reshape(self.left.shape)
        self.weight[at] = columns

    def write_back(self) -> None:
        """The subspace's weights, into those of the layer."""
        flat = self.rows.reshape(-1)
        self.whole.weight[flat] = self.weight.reshape(len(flat), -1)


def normal_matrix(codes: torch.Tensor, gram: torch.Tensor, clusters: int) -> torch.Tensor:
    """The matrix of eq. 11 for all codewords of a subspace together, (K d, K d) float64.

    Codewords k and l meet in G of positions p and q once for each output that has code k at p and
    l at q.

    Args:
        codes: (positions, outputs); the outputs of one group lie together.
        gram: (groups, positions, d, positions, d), the subspace's part of G.
    """
    groups, positions, width = gram.shape[:3]
    met = torch.zeros(clusters * clusters, width * width, dtype=gram.dtype, device=gram.device)
    by_group = codes.reshape(positions, groups, -1)
    for group in range(groups):
        own = by_group[:, group]  # (positions, outputs of the group)
        for at in range(positions):
            pairs = own[at] * clusters + own  # (positions, outputs): k at ``at``, l elsewhere
            values = gram[group, at].permute(1, 0, 2).reshape(positions, 1, -1)
            spread = values.expand(-1, own.shape[1], -1).reshape(-1, width * width)
            met.index_add_(0, pairs.reshape(-1), spread)
    blocks = met.reshape(clusters, clusters, width, width)
    return blocks.transpose(1, 2).reshape(clusters * width, clusters * width)


def _damped_solution(matrix: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The step against ``gradient``, in the manner of Levenberg and Marquardt.

    Args:
        matrix: (..., n, n) symmetric, none of its eigenvalues negative but by rounding.
        gradient: (..., n, 1).
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    floor = 1e-12 * float(diagonal.max()) + torch.finfo(torch.float64).tiny
    damped = matrix + torch.diag_embed(DAMPING * diagonal + floor)
    return torch.cholesky_solve(gradient, torch.linalg.cholesky(damped))


def unfolded(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> torch.Tensor:
    """What a kernel sees at each place of a padded input (batch, channels, height, width):
    (batch * places, groups, U)."""
    columns = functional.unfold(x, kernel, dilation=dilation, stride=stride)
    batch, _, places = columns.shape
    split = columns.reshape(batch, groups, -1, kernel[0] * kernel[1], places)
    return split.permute(0, 4, 1, 3, 2).reshape(batch * places, groups, -1)
