"""Activations as signed bytes: symmetric, one scale for each row, round half to even.

Without numba; the compiled loops of ``activation_loops`` give the same bytes to the bit.
"""

import torch

LARGEST = 127
"""Of a rounded activation; -128 is never made, so that the grid is symmetric."""


def rounded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``rows`` (n, inputs) float32 as int8, and the scale of each row, (n, 1) float64.

    A row's scale is its largest magnitude over 127, and its bytes are the nearest multiples. A row
    of zeros has the scale 0; one with a value that is not finite has the scale NaN and bytes 0.
    """
    if not rows.shape[1]:
        empty = torch.zeros(rows.shape[0], 1, dtype=torch.float64, device=rows.device)
        return rows.to(torch.int8), empty
    most = rows.abs().amax(1, keepdim=True).double()  # NaN where there is one
    factors = torch.where(most > 0, LARGEST / most, 0.0)
    finite = most.isfinite()
    whole = torch.where(finite, (rows.double() * factors).round(), 0.0)
    return whole.to(torch.int8), torch.where(finite, most / LARGEST, torch.nan)
