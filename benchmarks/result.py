"""A job's outcome as data. Failures are results too."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from benchmarks.benchmark import Measurement, Scale
from benchmarks.grey_picture import MOST_PICTURES, GreyPicture
from registry.fields import Model, PaperId, Slug

OutcomeKind = Literal["done", "failed", "timed out", "out of memory", "skipped"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

RESULT_VERSION = 1


class Identity(Model):
    """What was run, apart from the revisions and digests that make a result stale."""

    paper: PaperId | Literal["baselines"]
    """The record's id; ``baselines`` for a plain method that no paper claims."""
    benchmark: Slug
    run: Slug
    scale: Scale
    seed: Annotated[int, Field(ge=0)]
    data: str
    """The data set by name (empty where a benchmark needs none)."""


class Provenance(Model):
    """Where, when and with what a result was made."""

    commit: str | None
    dirty: bool | None
    """Whether the working tree differed from the commit; None where there is no repository."""
    packages: dict[str, str]
    python: str
    cpu: str
    threads: int
    device: str = "cpu"
    started: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]
    seconds: Annotated[float, Field(ge=0)]
    source_digest: Digest
    """Of the sources of method and benchmark: recorded, not decisive."""


class Result(Model):
    """One job's result, as it lies in the store."""

    version: Literal[1] = 1
    identity: Identity
    fingerprint: Digest
    """Of identity, configuration, revisions and data digests: where these move, it is stale."""
    configuration: dict[str, JsonValue]
    method_revision: int | None
    benchmark_revision: int
    data_digests: dict[str, Digest]
    outcome: OutcomeKind
    reason: str | None = None
    metrics: Annotated[dict[str, Measurement], Field(default_factory=dict)]
    size_bytes: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(default_factory=dict)]
    remarks: tuple[str, ...] = ()
    pictures: Annotated[tuple[GreyPicture, ...], Field(max_length=MOST_PICTURES)] = ()
    log: str = ""
    """The end of what a failed job printed."""
    provenance: Provenance

    @model_validator(mode="after")
    def _says_why(self) -> "Result":
        if (self.outcome == "done") != (self.reason is None):
            raise ValueError("every outcome but 'done', and only those, has a reason")
        if self.outcome != "done" and self.metrics:
            raise ValueError("only a done job has metrics")
        if self.outcome != "done" and self.pictures:
            raise ValueError("only a done job has pictures")
        return self
