"""What is to be run: a job, its fingerprint, and the plan that makes jobs out of records."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from benchmarks.benchmark import Scale, find_benchmark
from benchmarks.result import Digest, Identity
from methods.discovery import find_method
from registry.baselines import BASELINES
from registry.errors import UserError
from registry.fields import Model
from registry.runs import Run, RunOwner
from registry.vocabulary import Vocabulary

TIME_LIMIT_SECONDS: Mapping[Scale, float] = {"quick": 300.0, "full": 1800.0}
MEMORY_BYTES = 4 * 2**30
FILE_BYTES = 2 * 2**30
QUICK_SEEDS = 1

Available = Callable[[str], Mapping[str, str] | None]
"""Data set name -> SHA-256 by file where it is present or can be fetched, else None."""


class Job(Model):
    """One benchmark of one paper at one scale with one seed."""

    identity: Identity
    configuration: dict[str, JsonValue]
    """Of the method, scale already applied."""
    method: str | None
    """By name or file; None for a benchmark that needs none."""
    method_revision: int | None
    benchmark_class: str | None = None
    """``file.py:Class`` of an outside benchmark; None for the one of the identity's name."""
    benchmark_revision: int
    data_digests: dict[str, Digest]
    device: str = "cpu"
    time_limit_seconds: Annotated[float, Field(gt=0)] = TIME_LIMIT_SECONDS["quick"]
    memory_bytes: Annotated[int, Field(gt=0)] = MEMORY_BYTES
    file_bytes: Annotated[int, Field(gt=0)] = FILE_BYTES
    """The largest file that the job may write."""
    alone: bool = False
    """It times something: no other job runs beside it."""
    first_of_benchmark: bool = True
    """Its run is the record's first one of this benchmark (see ``kept_name``); no baseline's."""
    fingerprint: Digest

    @model_validator(mode="after")
    def _is_its_own(self) -> "Job":
        if self.fingerprint != self.expected_fingerprint():
            raise ValueError("the fingerprint is not that of this job")
        return self

    def expected_fingerprint(self) -> str:
        return fingerprint(
            self.identity,
            self.configuration,
            self.method_revision,
            self.benchmark_revision,
            self.data_digests,
        )

    @property
    def title(self) -> str:
        """Such as ``2016-deep-compression mnist-lenet-300-100 table-2 seed 0``."""
        one = self.identity
        return f"{one.paper} {one.benchmark} {one.run} seed {one.seed}"

    @property
    def kept_name(self) -> str:
        """The file name of its network under ``--keep``.

        ``<paper>--<benchmark>--<seed>.netc`` for the record's first run of a benchmark; a further
        run of the same benchmark stands in it too: ``<paper>--<benchmark>--<run>--<seed>.netc``.
        """
        one = self.identity
        run = () if self.first_of_benchmark else (one.run,)
        return "--".join((one.paper, one.benchmark, *run, str(one.seed))) + ".netc"


def fingerprint(
    identity: Identity,
    configuration: Mapping[str, JsonValue],
    method_revision: int | None,
    benchmark_revision: int,
    data_digests: Mapping[str, str],
) -> str:
    """SHA-256 of everything that a result depends on, apart from machine, device and limits."""
    parts = {
        "identity": identity.model_dump(mode="json"),
        "configuration": dict(configuration),
        "method_revision": method_revision,
        "benchmark_revision": benchmark_revision,
        "data_digests": dict(data_digests),
    }
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class LeftOut:
    """A run that no job was made of."""

    paper: str
    """The record's id, or ``baselines``."""
    run: str
    reason: str
    is_planned: bool = False
    """Method or benchmark is not built yet; anything else is the user's to mend."""


class NotBuilt(UserError):
    """A method or a benchmark that a record names and that is not there yet."""


@dataclass
class Plan:
    """The jobs, and what cannot be run with why."""

    jobs: list[Job] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """What a job may use; None for the scale's default."""

    time_seconds: float | None = None
    memory_bytes: int | None = None
    device: str = "cpu"


def plan(
    owners: Iterable[RunOwner],
    vocabulary: Vocabulary,
    scale: Scale,
    available: Available,
    *,
    seeds: int | None = None,
    limits: Limits | None = None,
) -> Plan:
    """The jobs of papers and baselines at ``scale``, in their order.

    Args:
        available: tells which data sets there are; the first of a benchmark's list is taken.
        seeds: how many, from 0; by default 1 at quick scale and the run's own at full.
        limits: of each job.
    """
    made = Plan()
    for owner in owners:
        seen: set[str] = set()
        for run in owner.runs:
            first = run.benchmark not in seen and owner.owner != BASELINES
            seen.add(run.benchmark)
            if scale == "quick" and not run.at_quick_scale:
                continue
            try:
                template = _template(owner, run, vocabulary, scale, available, limits or Limits())
            except UserError as error:
                is_planned = isinstance(error, NotBuilt)
                made.left_out.append(LeftOut(owner.owner, run.name, str(error), is_planned))
                continue
            default = run.seeds if scale == "full" else QUICK_SEEDS
            for seed in range(default if seeds is None else seeds):
                made.jobs.append(_with_seed(template, seed, first))
    return made


def configuration_of(run: Run, scale: Scale) -> dict[str, JsonValue]:
    """The run's own values, and at quick scale its quick ones over them."""
    return {**run.configuration, **(run.quick if scale == "quick" else {})}


def make_job(
    identity: Identity,
    configuration: Mapping[str, JsonValue],
    *,
    method: str | None,
    method_revision: int | None,
    benchmark_revision: int,
    data_digests: Mapping[str, str],
    benchmark_class: str | None = None,
    time_limit_seconds: float = TIME_LIMIT_SECONDS["quick"],
    memory_bytes: int = MEMORY_BYTES,
    file_bytes: int = FILE_BYTES,
    device: str = "cpu",
    alone: bool = False,
    first_of_benchmark: bool = True,
) -> Job:
    """A job with its fingerprint."""
    return Job(
        identity=identity,
        configuration=dict(configuration),
        method=method,
        method_revision=method_revision,
        benchmark_class=benchmark_class,
        benchmark_revision=benchmark_revision,
        data_digests=dict(data_digests),
        device=device,
        time_limit_seconds=time_limit_seconds,
        memory_bytes=memory_bytes,
        file_bytes=file_bytes,
        alone=alone,
        first_of_benchmark=first_of_benchmark,
        fingerprint=fingerprint(
            identity, configuration, method_revision, benchmark_revision, data_digests
        ),
    )


def _with_seed(template: Job, seed: int, first: bool) -> Job:
    identity = template.identity.model_copy(update={"seed": seed})
    changed = template.model_copy(update={"identity": identity, "first_of_benchmark": first})
    return changed.model_copy(update={"fingerprint": changed.expected_fingerprint()})


def _template(
    owner: RunOwner,
    run: Run,
    vocabulary: Vocabulary,
    scale: Scale,
    available: Available,
    limits: Limits,
) -> Job:
    """The job of seed 0.

    Raises:
        UserError: method, benchmark or data are not there; says which.
    """
    entry = vocabulary.benchmarks.get(run.benchmark)
    if entry is not None and entry.status == "planned":
        raise NotBuilt(f"benchmark {run.benchmark!r} is planned and not built yet")
    benchmark = find_benchmark(run.benchmark)
    kind = entry.kind if entry is not None else "file"
    method_revision = _method_revision(owner.method, required=kind == "file")
    data, digests = _data(run.benchmark, entry.data if entry is not None else (), available)
    time_limit = limits.time_seconds or TIME_LIMIT_SECONDS[scale]
    return make_job(
        Identity(
            paper=owner.owner,
            benchmark=run.benchmark,
            run=run.name,
            scale=scale,
            seed=0,
            data=data,
        ),
        configuration_of(run, scale),
        method=None if method_revision is None else owner.method,
        method_revision=method_revision,
        benchmark_revision=int(benchmark.constant("revision")),
        data_digests=digests,
        time_limit_seconds=time_limit,
        memory_bytes=limits.memory_bytes or MEMORY_BYTES,
        device=limits.device,
        alone=bool(benchmark.constant("runs_alone")),
    )


def _method_revision(name: str, *, required: bool) -> int | None:
    """The method's revision; None where nothing has that name and the benchmark needs none."""
    try:
        found = find_method(name)
    except UserError as error:
        if required:
            raise NotBuilt(str(error)) from error
        return None
    return int(found.constant("revision"))


def _data(
    benchmark: str, wanted: tuple[str, ...], available: Available
) -> tuple[str, Mapping[str, str]]:
    if not wanted:
        return "", {}
    for name in wanted:
        digests = available(name)
        if digests is not None:
            return name, digests
    raise UserError(
        f"{benchmark!r} needs one of the data sets {', '.join(wanted)}: none is here and none can "
        "be fetched (see `netcompress data`)"
    )
