"""Formats whose run-time form is the dense float32 tensor, made from the stored one once."""

import torch
from torch.nn import functional

from methods.formats.format import Format


class DecodedOnce(Format):
    """Small in a file, dense in memory: torch has no faster product for these on a CPU."""

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        weights = self._run_time(x.device)
        if len(self.shape) == 2:
            return functional.linear(x, weights)
        if len(self.shape) == 4:
            return functional.conv2d(x, weights, None, stride, padding, dilation, groups)
        raise ValueError(f"nothing is multiplied by a tensor of shape {self.shape}")

    def _run_time(self, device: torch.device) -> torch.Tensor:
        """The weights on ``device``, decoded when they are first asked for there."""
        held: dict[torch.device, torch.Tensor] = self.__dict__.setdefault("_decoded", {})
        if device not in held:
            held[device] = self.decode().to(device)
        return held[device]
