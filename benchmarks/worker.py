"""The process that runs one job: ``python -P -m benchmarks.worker job.json result.json``.

Exit code 0 with a whole result file, whatever the outcome: failures are results too. How a job
ended that could not write one is told by its runner.
"""

import contextlib
import faulthandler
import json
import os
import random
import shutil
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from benchmarks.benchmark import Benchmark, Context, Outcome, find_benchmark
from benchmarks.job import Job
from benchmarks.provenance import now_utc, provenance, without_places
from benchmarks.result import OutcomeKind, Result
from benchmarks.store import as_json
from methods.atomic import write_atomically
from methods.discovery import find_method, split_target
from registry.errors import UserError

NETWORK_FILE = "network.netc"
"""Beside the result: the compressed network, where the benchmark left one."""
REASON_CHARACTERS = 2000
LOG_CHARACTERS = 8000


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("usage: python -P -m benchmarks.worker job.json result.json\n")
        return 2
    faulthandler.enable()
    job_file, result_file = (Path(argument) for argument in arguments)
    try:
        job = Job.model_validate_json(job_file.read_bytes())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{job_file}: is no job: {error}\n")
        return 2
    result = work(job, result_file.parent)
    write_atomically(result_file, as_json(result))
    return 0


def work(job: Job, folder: Path) -> Result:
    """Run ``job`` with ``folder`` as its own; every exception becomes an outcome."""
    started, clock = now_utc(), time.monotonic()
    try:
        found = _measure(job, folder)
        return make_result(job, "done", None, started, time.monotonic() - clock, found=found)
    except BaseException as error:
        outcome, reason = _judge(error)
        quiet = outcome == "skipped" or isinstance(error, UserError)
        log = "" if quiet else _log_of(error)
    # Here, and not above, the exception is gone with all memory that its frames held.
    return make_result(job, outcome, reason, started, time.monotonic() - clock, log=log)


def make_result(
    job: Job,
    outcome: OutcomeKind,
    reason: str | None,
    started: str,
    seconds: float,
    *,
    log: str = "",
    found: Outcome | None = None,
) -> Result:
    """A result of ``job`` with this process's provenance."""
    return Result(
        identity=job.identity,
        fingerprint=job.fingerprint,
        configuration=job.configuration,
        method_revision=job.method_revision,
        benchmark_revision=job.benchmark_revision,
        data_digests=job.data_digests,
        outcome=outcome,
        reason=None if reason is None else printable(reason)[:REASON_CHARACTERS],
        metrics=found.metrics if found else {},
        size_bytes=found.size_bytes if found else {},
        remarks=tuple(found.remarks) if found else (),
        pictures=tuple(found.pictures) if found else (),
        log=printable(without_places(log))[-LOG_CHARACTERS:],
        provenance=provenance(started, seconds, device=job.device, extra=_outside_files(job)),
    )


def printable(text: str) -> str:
    """``text`` without control characters (but line ends), bidi marks and lone surrogates."""
    return "".join(
        character
        for character in text.replace("\r", "\n").expandtabs(4)
        if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    )


def _measure(job: Job, folder: Path) -> Outcome:
    benchmark = cast(
        Benchmark, find_benchmark(job.benchmark_class or job.identity.benchmark).load()()
    )
    method = find_method(job.method).load()() if job.method is not None else None
    revisions = (getattr(method, "revision", None), benchmark.revision)
    if revisions != (job.method_revision, job.benchmark_revision):
        raise UserError(
            f"the revisions of method and benchmark are {revisions}, the job was planned for "
            f"{(job.method_revision, job.benchmark_revision)}: plan it again"
        )
    _seed(job.identity.seed)
    one = job.identity
    own = folder / "work"
    own.mkdir(exist_ok=True)
    context = Context(
        paper=one.paper,
        run=one.run,
        scale=one.scale,
        seed=one.seed,
        data=one.data,
        device=job.device,
        folder=own,
        configuration=job.configuration,
        progress=_progress_writer(),
    )
    found = benchmark.run(method, context)
    _check(benchmark, found)
    if found.network_file is not None:
        shutil.copyfile(found.network_file, folder / NETWORK_FILE)
    return found


def _seed(seed: int) -> None:
    """For code that asks no generator of its own; torch and numpy only where they were imported."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        torch.manual_seed(seed)
        torch.set_num_threads(1)


def _progress_writer() -> Callable[[float, str], None]:
    """Writes JSON lines to the descriptor that the supervisor named; silent without one."""
    named = os.environ.pop("NETCOMPRESS_PROGRESS_FD", None)
    if named is None:
        return lambda share, what: None
    descriptor = int(named)
    os.set_inheritable(descriptor, False)
    os.set_blocking(descriptor, False)

    def tell(share: float, what: str) -> None:
        line = json.dumps({"share": min(1.0, max(0.0, float(share))), "what": what[:80]})
        with contextlib.suppress(OSError):  # progress is never worth a failure
            os.write(descriptor, f"{line}\n".encode())

    return tell


def _check(benchmark: Benchmark, found: Outcome) -> None:
    """Every metric is one of the benchmark's, in its unit."""
    for key, measurement in found.metrics.items():
        metric = benchmark.metrics.get(key.partition(".")[0])
        if metric is None:
            raise ValueError(f"{benchmark.name} measured {key!r}, which is none of its metrics")
        if metric.unit != measurement.unit:
            raise ValueError(f"{key} is in {measurement.unit}, its metric in {metric.unit}")


def _judge(error: BaseException) -> tuple[OutcomeKind, str]:
    """The outcome and the reason that an exception stands for."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, UserError):
        return "failed", str(error) or said
    # Who raised them must have imported their module: so torch need not be imported here.
    method_module = sys.modules.get("methods.method")
    if method_module is not None and isinstance(error, method_module.UnsuitableTask):
        return "skipped", str(error) or said
    out_of_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    torch: Any = sys.modules.get("torch")
    if out_of_memory or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return "out of memory", said
    return "failed", said


def _log_of(error: BaseException) -> str:
    """The end of the traceback."""
    return "".join(traceback.format_exception(error))[-LOG_CHARACTERS:]


def _outside_files(job: Job) -> list[Path]:
    """Source files that are not ours and took part."""
    named = (split_target(target)[0] for target in (job.method, job.benchmark_class) if target)
    return [Path(name) for name in named if name.endswith(".py") and Path(name).is_file()]


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that the job left running must not keep the process
