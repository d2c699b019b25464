"""Runs one job in a process of its own and puts its result into the store.

``run_job`` may be handed to any ``concurrent.futures.Executor``: what runs the job is always a
subprocess under ``supervisor.py``, so nothing that a job does takes its caller along.
"""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.job import Job
from benchmarks.provenance import ROOT, checkout_state, child_environment, now_utc
from benchmarks.result import OutcomeKind, Result
from benchmarks.store import RUNNING, Store, published_store, read_result
from benchmarks.worker import NETWORK_FILE, make_result
from methods.atomic import write_atomically
from registry.errors import NetcompressError, UserError

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
BACKSTOP_SECONDS = 15.0
"""How long after that the supervisor itself may take before it is killed."""
OUTPUT_BYTES = 2**20
SUPERVISOR = Path(__file__).with_name("supervisor.py")

Progress = Callable[[float, str], None]


class JobStopped(NetcompressError):
    """The job was stopped on request; it left no result."""


class Stop:
    """Asks running jobs to end: politely once, at once when asked again."""

    def __init__(self) -> None:
        self.asked = 0  # no lock: a signal handler may ask while this very thread does

    def ask(self) -> None:
        self.asked += 1


@dataclass(frozen=True)
class Ended:
    """How a worker ended."""

    status: int | None
    """Exit code; negative for a signal; None where its supervisor did not live to tell."""
    timed_out: bool
    stopped: bool
    seconds: float


def run_job(
    job: Job,
    store_folder: Path,
    keep: Path | None = None,
    on_progress: Progress | None = None,
    publish: bool = False,
    stop: Stop | None = None,
) -> Path:
    """Run ``job`` and write its result, whatever the outcome.

    Args:
        store_folder: the user's store; the job's own folder lies in it while it runs.
        keep: a folder for the compressed network, named ``job.kept_name``.
        on_progress: told the share done and what goes on, from this thread.
        publish: write the result into the published store instead.
        stop: lets another thread end the job.

    Returns:
        The path of the result.

    Raises:
        JobStopped: ``stop`` was asked for.
        UserError: a file cannot be written; says which.
    """
    if os.name != "posix":
        raise UserError("jobs need Linux or macOS (on Windows: its Linux subsystem)")
    started = now_utc()
    store = published_store() if publish else Store(store_folder)
    folder = _job_folder(store_folder, job)
    try:
        job_file, result_file = folder / "job.json", folder / "result.json"
        try:
            job_file.write_text(job.model_dump_json(), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{job_file}: cannot be written: {error.strerror}") from error
        ended = _supervise(job, job_file, result_file, on_progress, stop)
        if ended.stopped:
            raise JobStopped(f"{job.title} was stopped")
        result = _accepted(job, ended, result_file, started)
        network = folder / NETWORK_FILE
        if keep is not None and result.outcome == "done" and network.is_file():
            _keep(network, keep / job.kept_name)
        return store.write(result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _job_folder(store_folder: Path, job: Job) -> Path:
    running = store_folder / RUNNING
    try:
        running.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{job.fingerprint[:12]}-", dir=running)).resolve()
    except OSError as error:
        raise UserError(
            f"{running}: no folder for the job can be made: {error.strerror}"
        ) from error


def _supervise(
    job: Job, job_file: Path, result_file: Path, on_progress: Progress | None, stop: Stop | None
) -> Ended:
    """Start supervisor and worker, pass progress on, wait until nothing is left of them."""
    worker = [sys.executable, "-P", "-m", "benchmarks.worker", str(job_file), str(result_file)]
    order = {
        "command": worker,
        "seconds": job.time_limit_seconds,
        "grace_seconds": GRACE_SECONDS,
        "data_bytes": job.memory_bytes,
        "file_bytes": job.file_bytes,
        "output": str(job_file.with_name("output.txt")),
        "output_bytes": OUTPUT_BYTES,
    }
    command = [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), json.dumps(order)]
    clock = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C of the terminal reaches the runner only
        env=child_environment(),
        cwd=job_file.parent,
    )
    try:
        backstop = clock + job.time_limit_seconds + GRACE_SECONDS + BACKSTOP_SECONDS
        ended = _listen(process, backstop, on_progress, stop)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    if ended is not None:
        return Ended(ended["status"], ended["timed_out"], ended["stopped"], ended["seconds"])
    return Ended(None, False, stop is not None and stop.asked > 0, time.monotonic() - clock)


def _listen(
    process: "subprocess.Popen[bytes]",
    backstop: float,
    on_progress: Progress | None,
    stop: Stop | None,
) -> dict[str, Any] | None:
    """The supervisor's last word; None where it ended, or had to be ended, without one."""
    assert process.stdout is not None
    pending = b""
    asked = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < backstop:
            if stop is not None and stop.asked > asked:
                asked = stop.asked
                process.send_signal(signal.SIGTERM)
            if not selector.select(0.1):
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return None
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "ended" in message:
                    ended: dict[str, Any] = message["ended"]
                    process.wait(timeout=5)
                    return ended
                _tell(message.get("progress", ""), on_progress)
    return None


def _tell(line: str, on_progress: Progress | None) -> None:
    """Pass a worker's progress line on; what is none is ignored."""
    if on_progress is None:
        return
    try:
        content = json.loads(line)
        share, what = float(content["share"]), str(content["what"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    on_progress(min(1.0, max(0.0, share)), what)


def _accepted(job: Job, ended: Ended, result_file: Path, started: str) -> Result:
    """The worker's result where it may be believed, else one that says how the job ended."""
    outcome, reason = _verdict(job, ended)
    if reason is None:
        try:
            result = read_result(result_file)
            if (result.identity, result.fingerprint) == (job.identity, job.fingerprint):
                return result
            reason = "it left the result of another job"
        except ValueError as error:
            missing = not result_file.exists()
            reason = "it left no result" if missing else f"its result file {error}"
        reason = f"the job ended with exit code 0, but {reason}"
    log = _excerpt(result_file.with_name("output.txt"))
    return make_result(job, outcome, reason, started, ended.seconds, log=log)


def _verdict(job: Job, ended: Ended) -> tuple[OutcomeKind, str | None]:
    """What the worker's end alone says; no reason where it may have left a result."""
    if ended.timed_out:
        return "timed out", f"it ran longer than its limit of {job.time_limit_seconds:g} s"
    if ended.status is None:
        return "failed", "the process that watches over the job was killed"
    if ended.status == -signal.SIGKILL:
        return "failed", "killed (perhaps out of memory)"
    if ended.status < 0:
        return "failed", f"ended by signal {-ended.status} ({_signal_name(-ended.status)})"
    if ended.status > 0:
        return "failed", f"ended with exit code {ended.status}"
    return "failed", None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _excerpt(output: Path) -> str:
    """The beginning and the end of what the job printed."""
    try:
        text = output.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
    return text if len(text) <= 6000 else f"{text[:1000]}\n[...]\n{text[-5000:]}"


def _keep(network: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, network.read_bytes())
    except OSError as error:
        raise UserError(
            f"{target}: the compressed network cannot be kept: {error.strerror}"
        ) from error


def check_publishable() -> None:
    """Refuse to publish from anything but a committed, writable checkout.

    Raises:
        UserError: says what is wrong.
    """
    commit, dirty = checkout_state()
    folder = published_store().folder
    if commit is None:
        raise UserError(
            f"--publish works in a source checkout with a commit: {ROOT} is none "
            "(clone the repository and run from there)"
        )
    if dirty:
        raise UserError(
            f"--publish needs committed sources, so that a result names what made it: {ROOT} has "
            "changes (see `git status`)"
        )
    nearest = folder if folder.exists() else folder.parent
    if not os.access(nearest, os.W_OK):
        raise UserError(f"--publish: {folder} is not writable")
