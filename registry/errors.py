"""What goes wrong, as a tree.

NetcompressError
├── UserError            the user must mend something: exit code 2, one message
│   └── FaultyFile       a record or vocabulary that breaks rules: every fault at once
"""

from dataclasses import dataclass
from pathlib import Path


class NetcompressError(Exception):
    """Whatever this project raises on purpose."""


class UserError(NetcompressError):
    """The user must mend something. The message says what, where and how."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong in a file."""

    file: str
    line: int
    """From 1; 0 where the fault belongs to the file as a whole."""
    field: str
    """A path such as ``claims[2].metric``, or an empty string."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.field}: {self.message}" if self.field else f"{place} {self.message}"


class FaultyFile(UserError):
    """Files that break rules, with all their faults in order."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    @classmethod
    def at(cls, path: Path, message: str, *, line: int = 0, field: str = "") -> "FaultyFile":
        return cls([Fault(str(path), line, field, message)])
