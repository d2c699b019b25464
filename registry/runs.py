"""What is run for a paper or a plain baseline: a benchmark with a configuration of the method."""

from typing import Annotated, Protocol

from pydantic import Field, JsonValue

from registry.fields import Identifier, Model, Slug, Title


class Run(Model):
    """One thing to run for this paper: a benchmark with a configuration of the method."""

    name: Slug
    title: Title
    benchmark: Slug
    configuration: dict[Identifier, JsonValue] = Field(default_factory=dict)
    """What differs from the method's defaults, which are the paper's values."""
    quick: dict[Identifier, JsonValue] = Field(default_factory=dict)
    """What differs again at quick scale."""
    seeds: Annotated[int, Field(ge=1, le=20)] = 3
    """How many seeds make a full-scale set; fewer only where the budget bears no three."""
    at_quick_scale: bool = True
    """False: it runs at full scale only, since the quick run of everything bears no more."""


class RunOwner(Protocol):
    """What results are of: a paper, or a plain baseline."""

    @property
    def owner(self) -> str:
        """The name that its results lie under: the paper's id, or ``baselines``."""
        ...

    @property
    def method(self) -> str: ...

    @property
    def runs(self) -> tuple[Run, ...]: ...

    def run_named(self, benchmark: str, name: str) -> Run | None:
        """Its run of that benchmark and name."""
        ...
