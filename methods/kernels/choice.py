"""Which of the kernels runs: the environment variable NETCOMPRESS_KERNELS says so."""

import os
from functools import cache
from importlib.util import find_spec
from typing import Literal

from registry.errors import UserError

VARIABLE = "NETCOMPRESS_KERNELS"


def chosen_path() -> Literal["numba", "torch"]:
    """The path for tensors on the CPU: ``auto`` (the default) takes numba where it is installed.

    Raises:
        UserError: the variable holds something else, or asks for numba where there is none.
    """
    asked = os.environ.get(VARIABLE, "auto")
    if asked == "torch":
        return "torch"
    if asked not in ("auto", "numba"):
        raise UserError(f"{VARIABLE} is {asked!r}: set it to auto, numba or torch")
    if _has_numba():
        return "numba"
    if asked == "numba":
        raise UserError(f"{VARIABLE} asks for numba: run pip install 'netcompress[fast]'")
    return "torch"


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
